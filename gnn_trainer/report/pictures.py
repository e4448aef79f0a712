"""The pictures of a report, by the name that its sections call them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnn_trainer.evaluation.backtest import Backtest
from gnn_trainer.evaluation.exhibits import Exhibits, Period, Reliability
from gnn_trainer.market.report import DataReport
from gnn_trainer.report import comparisons, network
from gnn_trainer.report.material import Material
from gnn_trainer.report.style import (
    INK,
    MAIN,
    MUTED,
    OTHER,
    new_figure,
    svg,
    time_axis,
    times,
    zero_line,
)

if TYPE_CHECKING:
    from gnn_trainer.training.trained import EpochRecord


def picture(name: str, material: Material) -> str:
    """The <svg> element of one picture; what it shows must be in the material."""
    return svg(name, drawings(material)[name])


def drawings(material: Material) -> dict[str, Callable[[], Figure]]:
    """Every picture there is something to draw for."""
    found: dict[str, Callable[[], Figure]] = {}
    report, data, history = material.report, material.data, material.history
    if report is not None:
        found["skill"] = lambda: comparisons.skill(report)
        found["slices"] = lambda: comparisons.slices(report)
        found["money"] = lambda: money(report.backtest)
    if material.exhibits is not None:
        found |= _exhibited(material.exhibits)
    if history:
        found["learning"] = lambda: learning(history, material.best_epoch)
    if data is not None:
        found["data"] = lambda: quality(data)
    return found


def _exhibited(shown: Exhibits) -> dict[str, Callable[[], Figure]]:
    found: dict[str, Callable[[], Figure]] = {}
    portrait, calibrated = shown.portrait, shown.reliability
    if shown.periods:
        found["periods"] = lambda: over_time(shown.periods)
    if calibrated is not None:
        found["sureness"] = lambda: sureness(calibrated, shown.uncalibrated)
    if shown.importance:
        found["importance"] = lambda: comparisons.importance(shown.importance)
    if portrait is not None and portrait.leads:
        found["graph"] = lambda: network.graph(portrait)
    return found


def over_time(periods: Sequence[Period]) -> Figure:
    """RankIC of model and no graph by period of the test spans."""
    figure, (panel,) = new_figure(2.8)
    middle_P = times([(period.first_ms + period.last_ms) // 2 for period in periods])
    found = [period.rank_ic for period in periods]
    panel.vlines(middle_P, [i.low for i in found], [i.high for i in found], colors=MAIN)
    panel.plot(middle_P, [i.mean for i in found], "o-", color=MAIN, markersize=4, label="model")
    plain = [period.rank_ic_no_graph for period in periods]
    panel.plot(middle_P, plain, ".--", color=OTHER, linewidth=0.9, label="no graph")
    zero_line(panel)
    time_axis(panel)
    panel.set_title("RankIC by period of the test span, 95 % interval")
    panel.legend(ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0)
    return figure


def money(traded: Backtest) -> Figure:
    """Cumulated gains before and after costs; the year's gain by cost."""
    figure, (curve, costs) = new_figure(3.0, 2, width_ratios=(2.0, 1.0))
    time_C = times(traded.curve_ms)
    paid = f"after {traded.fee_bps + traded.half_spread_bps:.1f} bps per trade and funding"
    curve.plot(time_C, [100.0 * g for g in traded.curve_gross], color=OTHER, label="before costs")
    curve.plot(time_C, [100.0 * g for g in traded.curve_net], color=MAIN, label=paid)
    zero_line(curve)
    time_axis(curve)
    curve.set_title("gains of the rank portfolio, % of its capital")
    curve.legend()
    by_cost = {float(bps): 100.0 * o.annual_return for bps, o in traded.by_cost_bps.items()}
    costs.plot(list(by_cost), list(by_cost.values()), "o-", color=MAIN, markersize=4)
    if min(by_cost) <= traded.break_even_bps <= max(by_cost):
        costs.axvline(traded.break_even_bps, color=MUTED, linestyle="--", linewidth=0.8)
    zero_line(costs)
    costs.set_title("% a year, by cost per trade in bps")
    return figure


def sureness(calibrated: Reliability, uncalibrated: Reliability | None) -> Figure:
    """How often right against how sure, and how many samples are how sure."""
    figure, (curve, crowd) = new_figure(3.2, 2, width_ratios=(1.2, 1.0))
    shown = calibrated.sure if uncalibrated is None else calibrated.sure + uncalibrated.sure
    ends = (min(shown), max(shown))
    curve.plot(ends, ends, color=INK, linewidth=0.8, label="perfect")
    if uncalibrated is not None:
        curve.plot(
            uncalibrated.sure, uncalibrated.right, ".--", color=OTHER, label="before calibration"
        )
    curve.plot(calibrated.sure, calibrated.right, "o-", color=MAIN, markersize=4, label="published")
    curve.set_title("how often right, by how sure")
    curve.legend()
    shares = [100.0 * count / calibrated.samples for count in calibrated.counts]
    crowd.bar(calibrated.sure, shares, width=0.04, color=MAIN)
    crowd.set_title("% of the samples, by how sure")
    return figure


def learning(history: "Sequence[EpochRecord]", best_epoch: int) -> Figure:
    """Training loss and validation RankIC by epoch, the best one marked."""
    figure, (loss, skill) = new_figure(2.6, 2)
    epochs = [record.epoch for record in history]
    loss.plot(epochs, [record.loss for record in history], ".-", color=OTHER)
    loss.set_title("training loss by epoch")
    skill.plot(epochs, [record.val_rank_ic for record in history], ".-", color=MAIN)
    skill.set_title("RankIC on the validation span by epoch; dashed: the best")
    for panel in (loss, skill):
        panel.axvline(best_epoch, color=MUTED, linestyle="--", linewidth=0.8)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def quality(data: DataReport) -> Figure:
    """Which share of the bars of each symbol is usable."""
    figure, (panel,) = new_figure(2.4)
    shares = [100.0 * entry.valid_bars / max(data.num_bars, 1) for entry in data.symbols]
    panel.bar(range(len(shares)), shares, color=MAIN)
    names = [entry.symbol for entry in data.symbols]
    panel.set_xticks(range(len(names)), names, rotation=90, fontsize=7 if len(names) < 80 else 4)
    panel.grid(visible=False, axis="x")
    panel.set_title("usable bars by symbol, %")
    return figure
