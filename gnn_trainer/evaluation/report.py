"""EvaluationReport: the model and its baselines on identical samples, and the verdict."""

from dataclasses import asdict, dataclass
from typing import Any

from gnn_trainer.evaluation.metrics import Interval, Metrics

MODEL = "gnn"
NO_GRAPH = "no graph"
ORACLE = "oracle"


@dataclass(frozen=True)
class Span:
    """First and last bar of a span (open time, unix ms) and how many of its bars are judged."""

    first_ms: int
    last_ms: int
    bars: int
    samples: int  # symbol-bars


@dataclass(frozen=True)
class Verdict:
    """Whether the model may become champion, and why (not)."""

    promoted: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """All figures are of the test span, which nothing was fitted, chosen or stopped on.

    `metrics` has the model under MODEL, the baselines under their names, and ORACLE where the
    market is generated and the best possible score is therefore known.
    """

    train: Span
    validation: Span
    test: Span
    metrics: dict[str, Metrics]
    graph_contribution: Interval  # RankIC(model) - RankIC(same network without graph), paired
    class_shares: dict[str, float]  # of DOWN, FLAT, UP in the test span
    graph_density: float
    graph_churn: float
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def give_verdict(metrics: dict[str, Metrics]) -> Verdict:
    """Promote only skill that is there beyond chance and that no baseline matches."""
    model = metrics[MODEL].rank_ic
    baselines = {name: m.rank_ic.mean for name, m in metrics.items() if name not in (MODEL, ORACLE)}
    best = max(baselines, key=baselines.__getitem__)
    reasons = []
    if not model.low > 0.0:
        reasons.append(f"RankIC interval [{model.low:.4f}, {model.high:.4f}] is not above zero")
    if model.mean <= baselines[best]:
        reasons.append(
            f"RankIC {model.mean:.4f} is not better than that of {best!r}, {baselines[best]:.4f}"
        )
    if reasons:
        return Verdict(promoted=False, reasons=tuple(reasons))
    return Verdict(
        promoted=True,
        reasons=(
            f"RankIC {model.mean:.4f}, interval [{model.low:.4f}, {model.high:.4f}] above zero",
            f"better than the best baseline, {best!r} with {baselines[best]:.4f}",
        ),
    )
