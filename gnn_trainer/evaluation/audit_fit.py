"""Does anything that is fitted or chosen depend on what comes after its span?

A rehearsal: the network is fitted on a short stretch again and again, each time with another
future after the stretch's training or validation span. Bits that differ have seen it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from gnn_trainer.evaluation.audit_poison import bars_of, poison_graph
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import FitPlan, fit
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.trained import TrainedModel

REHEARSED_CELLS = 4800  # bars x symbols; half to train on, a quarter each to validate and to test
REHEARSED_BARS = (160, 320)  # not fewer and not more, however many symbols there are
REHEARSED_EPOCHS = 3
REHEARSED_MEMBERS = 2
REHEARSED_RATE = 0.02  # so large that the last epoch is hardly ever the best: a choice shows itself
SCORE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Stretch:
    """A short part of a run, its bars from `start` on, with spans of its own a horizon apart."""

    start: int
    graph: GraphSequence
    split: Split

    @property
    def validation_end(self) -> int:
        return int(np.flatnonzero(self.split.validation_T)[-1]) + 1

    @property
    def train_end(self) -> int:
        return int(np.flatnonzero(self.split.train_T)[-1]) + 1


def stretch_of(graph: GraphSequence, split: Split) -> Stretch:
    """The bars around the first one of the validation span."""
    gap = graph.horizon + 1
    bars = int(np.clip(REHEARSED_CELLS // graph.num_symbols, *REHEARSED_BARS))
    length = min(graph.num_bars, bars + 3 * gap)
    middle = int(np.argmax(split.validation_T))
    start = min(max(0, middle - length // 2), graph.num_bars - length)
    part = bars_of(graph, start, start + length)
    row_T, spare = np.arange(length), max(0, length - 3 * gap)
    validation, test = spare // 2 + gap, spare * 3 // 4 + 2 * gap
    return Stretch(
        start,
        part,
        Split(
            train_T=row_T < validation - gap,
            validation_T=(row_T >= validation) & (row_T < test - gap),
            test_T=(row_T >= test) & (row_T < length - gap),
        ),
    )


def rehearsal_plan(plan: FitPlan) -> FitPlan:
    """The run's own plan, made short."""
    members = min(REHEARSED_MEMBERS, plan.fit.members)
    brief = plan.fit.model_copy(
        update={
            "members": members,
            "batch_bars": 64,
            "device": "cpu",
            "processes": 1,
            "patience": REHEARSED_EPOCHS,
        }
    )
    return replace(plan, fit=brief, epochs=REHEARSED_EPOCHS, learning_rate=REHEARSED_RATE)


def check_fit(stretch: Stretch, plan: FitPlan) -> tuple[Check, ...]:
    """Rehearse with three other futures; what must not know them must not change."""
    rng = np.random.default_rng(plan.seed)

    def fitted(graph: GraphSequence) -> TrainedModel:
        return fit(graph, stretch.split, plan, on_progress=unheard)

    honest = fitted(stretch.graph)
    changed_test = fitted(poison_graph(stretch.graph, stretch.validation_end, rng))
    reversed_test = fitted(reversed_labels(stretch.graph, stretch.validation_end))
    changed_rest = fitted(poison_graph(stretch.graph, stretch.train_end, rng))
    names = stretch.graph.feature_names
    return (
        _compare("poison after validation", _everything(honest, names), changed_test, names),
        _compare("reversed test labels", _everything(honest, names), reversed_test, names),
        _compare("poison after training", _of_training(honest, names), changed_rest, names),
    )


def check_scores(model: TrainedModel, stretch: Stretch) -> Check:
    """The model's scores of a bar, with another future after it and with none."""
    rng = np.random.default_rng(model.seed)
    graph, breaches, compared = stretch.graph, [], 0
    honest = score_bars(model, graph, 0, graph.num_bars)
    for share in (0.3, 0.55, 0.8):
        stop = int(graph.num_bars * share)
        futures = {
            "changed": poison_graph(graph, stop, rng),
            "cut off": bars_of(graph, 0, stop),
        }
        for how, other in futures.items():
            scores = score_bars(model, other, 0, stop)
            pairs = {
                "rank score": (honest.rank_CN[:stop], scores.rank_CN),
                "probability": (honest.probability_CN3[:stop], scores.probability_CN3),
                "expected return": (honest.expected_return_CN[:stop], scores.expected_return_CN),
            }
            for name, (before, after) in pairs.items():
                compared += before.size
                known = np.isfinite(before)
                if not np.allclose(before[known], after[known], atol=SCORE_TOLERANCE, rtol=0):
                    breaches.append(f"{name} of a bar changes when later bars are {how}")
    return check_of("scores", "poison and truncation", compared, sorted(set(breaches)))


def reversed_labels(graph: GraphSequence, start: int) -> GraphSequence:
    """Whoever looks for the best after `start` now finds the worst."""
    sign_T1 = np.where(np.arange(graph.num_bars) >= start, -1.0, 1.0)[:, None]
    return replace(
        graph,
        ret_TN=graph.ret_TN * sign_T1,
        close_ret_TN=graph.close_ret_TN * sign_T1,
        late_ret_TN=graph.late_ret_TN * sign_T1,
    )


def _of_training(model: TrainedModel, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """What the training span alone decides, by name."""
    scaler = model.scaler
    decided = {
        f"scaler of {name}": np.array([scaler.mean_F[f], scaler.scale_F[f], scaler.used_F[f]])
        for f, name in enumerate(names)
    }
    decided["class threshold"] = np.array([model.class_threshold])
    decided["training loss"] = np.array([entry.loss for entry in model.history])
    return decided


def _everything(model: TrainedModel, names: tuple[str, ...]) -> dict[str, FloatArray]:
    """What training and validation span decide, by name."""
    weights = [value.double().flatten() for value in model.network.state_dict().values()]
    return {
        **_of_training(model, names),
        "validation RankIC": np.array([entry.val_rank_ic for entry in model.history]),
        "best epoch": np.array([float(model.best_epoch)]),
        "network weights": torch.cat(weights).cpu().numpy(),
    }


def _compare(
    test: str, expected: dict[str, FloatArray], other: TrainedModel, names: tuple[str, ...]
) -> Check:
    found = _everything(other, names)
    breaches = [
        f"{name} depends on bars after its span"
        for name, value in expected.items()
        if not np.array_equal(value, found[name], equal_nan=True)
    ]
    compared = sum(value.size for value in expected.values())
    return check_of("fit", test, compared, breaches)


def unheard(progress: Progress) -> None:
    """A rehearsal tells nobody how far it is."""
