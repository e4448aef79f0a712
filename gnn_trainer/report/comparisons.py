"""Pictures of many figures with intervals: predictors, slices, features."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnn_trainer.evaluation.exhibits import Importance
from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.evaluation.protocol import MODEL
from gnn_trainer.evaluation.report import EvaluationReport, Slice, SliceKind
from gnn_trainer.report.style import MAIN, MUTED, OTHER, new_figure, zero_line

MOST_FEATURES = 20
MOST_SYMBOLS = 16  # at either end; those in between are in the table
_SHORT: tuple[SliceKind, ...] = ("fold", "seed", "volatility")


def skill(report: EvaluationReport) -> Figure:
    """RankIC of every predictor, and the model less each of the others."""
    names = sorted(report.metrics, key=lambda name: report.metrics[name].rank_ic.mean)
    figure, (own, paired) = new_figure(0.7 + 0.27 * len(names), 2, sharey=True)
    _intervals(
        own,
        [report.metrics[name].rank_ic for name in names],
        [MAIN if name == MODEL else OTHER for name in names],
    )
    own.set_yticks(range(len(names)), ["this model" if n == MODEL else n for n in names])
    own.set_title("RankIC on the test span, 95 % interval")
    rivals = [(row, name) for row, name in enumerate(names) if name in report.differences]
    _intervals(
        paired,
        [report.differences[name].interval for _, name in rivals],
        [MAIN] * len(rivals),
        [row for row, _ in rivals],
    )
    paired.set_title("this model less the other, paired by bar")
    return figure


def slices(report: EvaluationReport) -> Figure:
    """RankIC by part of the samples, with that of the whole."""
    groups = [
        ("fold, seed, volatility", [p for kind in _SHORT for p in report.sliced(kind)]),
        ("hour of the close, UTC", list(report.sliced("hour"))),
        ("symbol", _extremes(report.sliced("symbol"))),
    ]
    groups = [(title, parts) for title, parts in groups if parts]
    tallest = max((len(parts) for _, parts in groups), default=1)
    figure, panels = new_figure(0.9 + 0.17 * max(tallest, 6), max(len(groups), 1))
    whole = report.metrics[MODEL].rank_ic.mean
    for panel, (title, parts) in zip(panels, groups, strict=False):
        _intervals(panel, [part.rank_ic for part in parts], [MAIN] * len(parts))
        panel.axvline(whole, color=MUTED, linestyle="--", linewidth=0.8)
        panel.set_yticks(range(len(parts)), [_label(part) for part in parts], fontsize=8)
        panel.invert_yaxis()
        panel.set_title(f"RankIC by {title}")
    return figure


def importance(found: Sequence[Importance]) -> Figure:
    """RankIC lost without each feature, the most important on top."""
    top = found[:MOST_FEATURES]
    figure, (panel,) = new_figure(0.7 + 0.22 * len(top))
    _intervals(panel, [feature.lost for feature in top], [MAIN] * len(top))
    panel.set_yticks(range(len(top)), [feature.feature for feature in top])
    panel.invert_yaxis()
    panel.set_title("RankIC lost when the feature is permuted, validation span, 95 % interval")
    return figure


def _intervals(
    panel: Axes,
    found: Sequence[Interval],
    colours: Sequence[str],
    rows: Sequence[int] | None = None,
) -> None:
    """One lying interval per row with a dot at its mean."""
    places = list(range(len(found)) if rows is None else rows)
    panel.hlines(places, [i.low for i in found], [i.high for i in found], colors=list(colours))
    panel.scatter([i.mean for i in found], places, color=list(colours), s=22, zorder=3)
    zero_line(panel, upright=True)
    panel.grid(visible=False, axis="y")


def _extremes(parts: Sequence[Slice]) -> list[Slice]:
    """Best first; of many symbols only both ends."""
    ranked = sorted(parts, key=lambda part: -part.rank_ic.mean)
    if len(ranked) <= 2 * MOST_SYMBOLS:
        return ranked
    return [*ranked[:MOST_SYMBOLS], *ranked[-MOST_SYMBOLS:]]


def _label(part: Slice) -> str:
    return f"{part.kind} {part.name}" if part.kind in ("fold", "seed") else part.name
