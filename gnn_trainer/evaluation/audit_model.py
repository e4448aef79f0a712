"""Is the model what its training and validation span alone make of it?

What was fitted beside the network is fitted again on bars that end with its span; the chosen epoch
is held against the record; and the first epoch is repeated on bars that end with the validation
span. What reproduces without the test span did not use it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gnn_trainer.errors import StopRequested
from gnn_trainer.evaluation.audit_poison import bars_of
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.evaluation.calibration import Calibration, calibrate
from gnn_trainer.evaluation.novelty import NoveltyIndex, fit_novelty
from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.labels import fit_class_threshold
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import FitPlan, fit
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import usable_rows
from gnn_trainer.training.trained import TrainedModel

LOSS_TOLERANCE = 1e-3  # relative; other hardware adds up in another order
RANK_IC_TOLERANCE = 5e-3  # likewise, absolute
FITTED_TOLERANCE = 1e-6  # relative
SCORED_TOLERANCE = 2e-3  # relative; through scores, and a search
SELECTION_TOLERANCE = 1e-3  # of a RankIC; the same weights on the same bars


@dataclass(frozen=True)
class Fitted:
    """A model, and what is shipped with it."""

    model: TrainedModel
    calibration: Calibration
    novelty: NoveltyIndex


def check_model(
    fitted: Fitted,
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    should_stop: Callable[[], bool],
) -> tuple[Check, ...]:
    """The model against its own record, and against what its spans alone make of it.

    Raises:
        StopRequested: `should_stop` said yes.
    """
    return (
        _selection(fitted.model, graph, split),
        _beside(fitted, graph, split, plan),
        _replay(fitted.model, graph, split, plan, should_stop),
    )


def _selection(model: TrainedModel, graph: GraphSequence, split: Split) -> Check:
    """The chosen epoch is the best of the validation span, and the weights are those of it."""
    recorded = [entry.val_rank_ic for entry in model.history]
    chosen = recorded[model.best_epoch - 1]
    best = max((value for value in recorded if math.isfinite(value)), default=math.nan)
    breaches = []
    if math.isfinite(best) and not chosen >= best - LOSS_TOLERANCE:
        breaches.append(
            f"epoch {model.best_epoch} was chosen with a validation RankIC of {chosen:.4f}, though "
            f"epoch {recorded.index(best) + 1} has {best:.4f}"
        )
    rows = np.flatnonzero(split.validation_T)
    start, stop = int(rows[0]), int(rows[-1]) + 1
    known = usable_rows(graph)[start:stop] & split.validation_T[start:stop, None]
    score = score_bars(model, graph, start, stop).rank_CN
    measured = mean_rank_ic(score, graph.ret_TN[start:stop], known)
    if abs(measured - chosen) > SELECTION_TOLERANCE:
        breaches.append(
            f"best-epoch choice: a RankIC of {chosen:.4f} was recorded for the chosen weights, "
            f"which have {measured:.4f} on the validation span: they were chosen on other bars"
        )
    figures = {"recorded": chosen, "measured": measured} if math.isfinite(best) else {}
    return check_of("selection", "definition", int(known.sum()), breaches, figures)


def _beside(fitted: Fitted, graph: GraphSequence, split: Split, plan: FitPlan) -> Check:
    """Scaler, threshold, temperature and novelty index, each without a bar after its span."""
    train, both = int(np.flatnonzero(split.train_T)[-1]) + 1, split.num_learned
    model, past = fitted.model, bars_of(graph, 0, train)
    rows_T = split.train_T[:train]
    train_TN = past.mask_TN & rows_T[:, None]
    scaler = fit_scaler(past.x_TNF, train_TN)
    breaches = [
        f"scaler of {name} is not that of the training span"
        for f, name in enumerate(graph.feature_names)
        if not _near(
            [model.scaler.mean_F[f], model.scaler.scale_F[f], model.scaler.used_F[f]],
            [scaler.mean_F[f], scaler.scale_F[f], scaler.used_F[f]],
        )
    ]
    threshold = fit_class_threshold(past.labels, rows_T, plan.labels)
    if not _near(model.class_threshold, threshold):
        breaches.append(
            f"class threshold {model.class_threshold:.6g} is not that of the training span, "
            f"{threshold:.6g}"
        )
    given = fitted.calibration
    alone = calibrate(model, bars_of(graph, 0, both), split.validation_T[:both])
    if not _near(given.temperature, alone.temperature, SCORED_TOLERANCE):
        breaches.append(
            f"temperature {given.temperature:.4g} is not that of the validation span, "
            f"{alone.temperature:.4g}"
        )
    elif given.samples != alone.samples or not _near(
        given.log_loss_before, alone.log_loss_before, SCORED_TOLERANCE
    ):
        breaches.append("temperature was fitted on other samples than the validation span's")
    if not _alike(fitted.novelty, fit_novelty(past.x_TNF, model.scaler, train_TN, plan.seed)):
        breaches.append("novelty index is not that of the training span")
    return check_of("fit", "without later bars", 3 * len(graph.feature_names) + 3, breaches)


def _alike(left: NoveltyIndex, right: NoveltyIndex) -> bool:
    return all(
        len(one) == len(other) and _near(one, other, SCORED_TOLERANCE)
        for one, other in (
            (left.reference_MF, right.reference_MF),
            (left.row_distance_Q, right.row_distance_Q),
            (left.bar_distance_Q, right.bar_distance_Q),
        )
    )


def _near(left: object, right: object, tolerance: float = FITTED_TOLERANCE) -> bool:
    return bool(np.allclose(left, right, rtol=tolerance, atol=1e-9, equal_nan=True))  # type: ignore[arg-type]


def _replay(
    model: TrainedModel,
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    should_stop: Callable[[], bool],
) -> Check:
    stop = split.num_learned
    heard: list[Progress] = []
    try:
        fit(
            bars_of(graph, 0, stop),
            split.first(stop),
            replace(plan, fit=plan.fit.model_copy(update={"processes": 1})),
            on_progress=heard.append,
            should_stop=lambda: bool(heard) or should_stop(),
        )
    except StopRequested:
        if not heard or should_stop():
            raise
    first, fields = model.history[0], heard[0].fields
    loss, val_rank_ic = float(str(fields["loss"])), float(str(fields["val_rank_ic"]))
    breaches = []
    if abs(loss - first.loss) > LOSS_TOLERANCE * abs(first.loss):
        breaches.append(
            f"training loss of epoch 1 was {first.loss:.6f}, and is {loss:.6f} on bars that end "
            "with the validation span: weights depend on the test span, or on another training span"
        )
    if abs(val_rank_ic - first.val_rank_ic) > RANK_IC_TOLERANCE:
        breaches.append(
            f"validation RankIC of epoch 1 was {first.val_rank_ic:.4f}, and is {val_rank_ic:.4f} "
            "on bars that end with the validation span"
        )
    figures = {"loss": first.loss, "loss without test span": loss}
    return check_of("fit", "replay without the test span", 2, breaches, figures)
