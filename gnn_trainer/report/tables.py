"""The figures of a report as rows of text, for documents, terminals and Prefect's UI."""

from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.evaluation.metrics import Metrics
from gnn_trainer.evaluation.protocol import MODEL
from gnn_trainer.evaluation.report import EvaluationReport, Slice, SliceKind

COLUMNS = (
    "predictor",
    "RankIC",
    "95 % interval",
    "net of styles",
    "model less it",
    "t",
    "ICIR",
    "accuracy",
    "macro-F1",
    "MCC",
    "AUC",
    "log loss",
    "ECE",
)
SHOWN = 5  # of them fit a terminal
SLICE_COLUMNS = ("part", "bars", "RankIC", "95 % interval", "graph contribution", "95 % interval")
SLICES: dict[SliceKind, str] = {
    "fold": "fold",
    "seed": "seed",
    "volatility": "volatility",
    "hour": "hour of the close, UTC",
    "symbol": "symbol",
}


def score_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    """One row of `COLUMNS` per predictor, the model first."""
    names = sorted(report.metrics, key=lambda name: name != MODEL)
    return [_score_row(name, report.metrics[name], report) for name in names]


def best_rival(report: EvaluationReport) -> tuple[str, Interval]:
    """The baseline the model is least above, and by how much, paired on the same bars."""
    name = min(report.differences, key=lambda name: report.differences[name].interval.mean)
    return name, report.differences[name].interval


def _score_row(name: str, metrics: Metrics, report: EvaluationReport) -> tuple[str, ...]:
    gap = report.differences.get(name)
    return (
        name,
        f"{metrics.rank_ic.mean:.4f}",
        bounds(metrics.rank_ic),
        f"{metrics.rank_ic_net.mean:.4f}",
        "" if gap is None else f"{gap.interval.mean:+.4f} (t {gap.t:+.1f})",
        f"{metrics.newey_west_t:.1f}",
        f"{metrics.icir:.3f}",
        f"{metrics.accuracy:.3f}",
        f"{metrics.macro_f1:.3f}",
        f"{metrics.mcc:.3f}",
        *(_figure(value) for value in (metrics.auc, metrics.log_loss, metrics.ece)),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def bounds(interval: Interval) -> str:
    """Its ends."""
    return f"{interval.low:.4f} .. {interval.high:.4f}"


def slice_tables(report: EvaluationReport) -> list[str]:
    """Lines of Markdown: one table per way to cut the samples."""
    lines = []
    for kind, title in SLICES.items():
        parts = report.sliced(kind)
        if parts:
            rows = [SLICE_COLUMNS, tuple("---" for _ in SLICE_COLUMNS), *map(slice_row, parts)]
            lines += ["", f"### By {title}", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return lines


def slice_row(part: Slice) -> tuple[str, ...]:
    """`SLICE_COLUMNS` of one part."""
    return (
        part.name,
        str(part.bars),
        f"{part.rank_ic.mean:.4f}",
        bounds(part.rank_ic),
        f"{part.graph_contribution.mean:+.4f}",
        bounds(part.graph_contribution),
    )
