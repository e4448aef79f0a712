"""EvaluationReport: the model and its baselines on identical samples, and the verdict."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.backtest import Backtest
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.champion import ChampionComparison
from gnn_trainer.evaluation.gate import Verdict
from gnn_trainer.evaluation.intervals import Difference, Interval
from gnn_trainer.evaluation.metrics import Metrics
from gnn_trainer.evaluation.novelty import Novelty
from gnn_trainer.evaluation.protocol import Span
from gnn_trainer.evaluation.recovery import EdgeRecovery

SliceKind = Literal["fold", "seed", "symbol", "volatility", "hour"]


@dataclass(frozen=True)
class Slice:
    """The model on a part of the samples.

    A symbol's RankIC is what it adds: the mean of all symbols' is that of the whole.
    """

    kind: SliceKind
    name: str
    bars: int
    samples: int  # symbol-bars
    rank_ic: Interval
    graph_contribution: Interval


@dataclass(frozen=True)
class FoldSpans:
    """The spans of one fold, for one seed."""

    seed: int
    train: Span
    validation: Span
    test: Span


@dataclass(frozen=True)
class EvaluationReport:
    """All figures are of the test spans, which nothing was fitted, chosen or stopped on.

    `metrics` has the model under MODEL, the baselines under their names, and ORACLE where the
    market is generated and the best possible score is therefore known. `differences` are those of
    the model to each of the others, `graph_contribution` is the one to NO_GRAPH.
    """

    train: Span
    validation: Span
    test: Span
    folds: tuple[FoldSpans, ...]
    metrics: dict[str, Metrics]
    differences: dict[str, Difference]
    graph_contribution: Interval  # RankIC(model) - RankIC(same network without graph), paired
    slices: tuple[Slice, ...]
    class_shares: dict[str, float]  # of DOWN, FLAT, UP in the test span
    coverage: float  # share of the symbol-bars with a known label that were scored
    graph_density: float
    graph_churn: float
    recovery: EdgeRecovery | None  # of planted edges, where the market is generated
    backtest: Backtest
    calibration: Calibration | None  # fitted on the validation span; None: not calibrated
    novelty: Novelty | None  # of the test span; None: the model has no index
    audit: AuditReport | None  # None: not audited, and therefore not promoted
    champion: ChampionComparison | None  # None: there is no champion
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def sliced(self, kind: SliceKind) -> tuple[Slice, ...]:
        """The slices of one kind."""
        return tuple(part for part in self.slices if part.kind == kind)
