"""The leak audit: does anything in a run know what nobody could know at the time?

Nothing here trusts a name, a formula or a list of known leaks. Each step is asked again with the
future cut off (truncation) or turned into nonsense (poison), and what it says of the past must be
the same to the last bit; what cannot be asked that way is held against its definition.

    bars        every value of the frame is a stored row of its own time; closed bars only
    features    of every bar are made of that bar and earlier ones
    edges       likewise, and relations are in force from when they were known
    labels      are the tradable return, and decide nothing about which rows are used
    split       by label ends, purged, embargoed, nothing twice
    fit         scaler, threshold, weights and the chosen epoch do not depend on what comes after
    scores      of a bar are made of that bar and earlier ones
    evaluation  no score of the test span depends on the outcomes it is judged by
    probe       shuffled labels cannot be predicted; no feature is too good to be true
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from gnn_trainer.errors import StopRequested
from gnn_trainer.evaluation.audit_bars import Origin, check_bars
from gnn_trainer.evaluation.audit_features import check_features
from gnn_trainer.evaluation.audit_fit import (
    check_fit,
    check_scores,
    rehearsal_plan,
    stretch_of,
)
from gnn_trainer.evaluation.audit_graph import check_graph, static_relations
from gnn_trainer.evaluation.audit_judgement import check_evaluation
from gnn_trainer.evaluation.audit_labels import check_labels
from gnn_trainer.evaluation.audit_model import Fitted, check_model
from gnn_trainer.evaluation.audit_poison import bars_of
from gnn_trainer.evaluation.audit_probes import (
    check_shuffled_labels,
    check_single_features,
    suspicious_features,
)
from gnn_trainer.evaluation.audit_report import AuditReport, Check
from gnn_trainer.evaluation.audit_split import check_split
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.relations import STATIC, Relations
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.training.fit import FitPlan

REHEARSAL_THREADS = 1  # too short to share: threads would mostly wait for each other


@dataclass(frozen=True)
class Subject:
    """What a run made on the way from stored rows to its model, and what it was made with."""

    origin: Origin
    frame: MarketFrame
    features: FeatureFrame
    feature_config: FeatureConfig
    graph: GraphSequence
    graph_config: GraphConfig
    relations: Relations | None
    split: Split
    embargo_bars: int
    plan: FitPlan
    fitted: Fitted

    def first(self, num_bars: int) -> "Subject":
        """The same without the bars after the first `num_bars`."""
        return replace(
            self,
            frame=self.frame.bars(0, num_bars),
            features=bars_of(self.features, 0, num_bars),
            graph=self.graph.first(num_bars),
            split=self.split.first(num_bars),
        )


Part = Callable[[Subject, Callable[[], bool]], tuple[Check, ...]]


def audit(
    subject: Subject,
    *,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
) -> AuditReport:
    """Put every question; the report says what was compared and names every breach.

    Raises:
        StopRequested: `should_stop`, asked before every part and every batch, said yes.
    """
    market = audit_market(subject, on_progress=on_progress, should_stop=should_stop)
    return market.joined(audit_learning(subject, on_progress=on_progress, should_stop=should_stop))


def audit_market(
    subject: Subject,
    *,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
) -> AuditReport:
    """The half that asks for everything until the graph, and every bar of it; errors likewise."""
    checks = _ask(subject, OF_MARKET, on_progress, should_stop)
    static = static_relations(subject.relations)
    return AuditReport(checks, (f"{static} relations are {STATIC}: no valid_from",) * bool(static))


def audit_learning(
    subject: Subject,
    *,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
) -> AuditReport:
    """The half that asks how a model is fitted and judged, and for this one; errors likewise.

    Bars until the end of the validation span are enough for it.
    """
    checks = _ask(subject, OF_LEARNING, on_progress, should_stop)
    return AuditReport(checks, suspicious_features(checks[-1]))


def audit_training(
    subject: Subject,
    name: str,
    *,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
) -> AuditReport:
    """What has to be asked of every one of several trainings on the same graph: this is `name`.

    Raises:
        StopRequested: likewise.
    """
    checks = _ask(subject, OF_ONE_TRAINING, on_progress, should_stop)
    return AuditReport(tuple(replace(check, step=f"{name}: {check.step}") for check in checks))


def _ask(
    subject: Subject,
    parts: tuple[str, ...],
    on_progress: ProgressListener,
    should_stop: Callable[[], bool],
) -> tuple[Check, ...]:
    checks: list[Check] = []
    for done, name in enumerate(parts):
        if should_stop():
            raise StopRequested(f"stopped before the audit of {name}")
        on_progress(Progress(f"audit: {name}", done, len(parts)))
        checks += PARTS[name](subject, should_stop)
    return tuple(checks)


def _split(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    frame, horizon = subject.frame, subject.plan.labels.horizon
    return (
        check_split(
            frame.open_time_T, frame.interval_ms, horizon, subject.split, subject.embargo_bars
        ),
    )


def _labels(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    return check_labels(subject.frame, subject.graph, subject.plan.labels.horizon)


def _bars(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    return check_bars(subject.origin, subject.frame)


def _features(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    split = subject.split
    borders = tuple(int(np.argmax(rows_T)) + 1 for rows_T in (split.validation_T, split.test_T))
    return check_features(subject.frame, subject.features, subject.feature_config, borders)


def _edges(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    return check_graph(
        subject.frame,
        subject.features,
        subject.graph,
        subject.graph_config,
        subject.plan.labels,
        subject.relations,
    )


def _model(subject: Subject, should_stop: Callable[[], bool]) -> tuple[Check, ...]:
    return check_model(subject.fitted, subject.graph, subject.split, subject.plan, should_stop)


def _fit(subject: Subject, _: Callable[[], bool]) -> tuple[Check, ...]:
    model = subject.fitted.model
    stretch, plan = stretch_of(subject.graph, subject.split), rehearsal_plan(subject.plan)
    with threadpool_limits(REHEARSAL_THREADS):
        return (*check_fit(stretch, plan), check_scores(model, stretch))


def _evaluation(subject: Subject, should_stop: Callable[[], bool]) -> tuple[Check, ...]:
    stretch, plan = stretch_of(subject.graph, subject.split), rehearsal_plan(subject.plan)
    bars = subject.frame.bars(stretch.start, stretch.start + stretch.graph.num_bars)
    with threadpool_limits(REHEARSAL_THREADS):
        return (
            *check_evaluation(subject.fitted.model, stretch, plan, bars, should_stop),
            check_shuffled_labels(stretch, subject.fitted.model.scaler),
            check_single_features(subject.graph),
        )


PARTS: dict[str, Part] = {
    "split": _split,
    "labels": _labels,
    "bars": _bars,
    "features": _features,
    "edges": _edges,
    "model": _model,
    "fit": _fit,
    "evaluation": _evaluation,
}
OF_MARKET = ("split", "labels", "bars", "features", "edges")
OF_LEARNING = ("model", "fit", "evaluation")
OF_ONE_TRAINING = ("split", "model")  # the others ask for the data, or for the code itself
