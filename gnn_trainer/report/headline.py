"""The verdict and the handful of figures that it hangs on."""

from dataclasses import dataclass
from typing import Literal

from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.evaluation.protocol import MODEL, ORACLE
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.report.material import Table
from gnn_trainer.report.tables import best_rival

Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class Verdict:
    """What became of the model, in a word and a sentence."""

    word: str
    tone: Tone
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One figure, large, with what belongs to it, small."""

    name: str
    value: str
    note: str
    tone: Tone


def verdict_of(report: EvaluationReport | None) -> Verdict:
    if report is None:
        reason = "training was stopped: this is its best epoch so far, and it was not judged"
        return Verdict("INTERRUPTED", "plain", (reason,))
    if report.verdict.promoted:
        return Verdict("PROMOTED to champion", "good", report.verdict.reasons)
    return Verdict("NOT PROMOTED, stays challenger", "bad", report.verdict.reasons)


def headline(report: EvaluationReport) -> tuple[Figure, ...]:
    """All of the test span."""
    skill = report.metrics[MODEL]
    rival, gap = best_rival(report)
    money = report.backtest
    figures = [
        _interval("RankIC", skill.rank_ic, f"Newey-West t {skill.newey_west_t:.1f}"),
        _interval(f"over best baseline, {rival}", gap, "paired by bar"),
        _interval("graph contribution", report.graph_contribution, "over the same network without"),
        Figure(
            "break-even cost",
            f"{money.break_even_bps:.2f} bps",
            f"per trade; {money.fee_bps + money.half_spread_bps:.1f} bps were paid",
            "good" if money.break_even_bps > money.fee_bps + money.half_spread_bps else "plain",
        ),
    ]
    if skill.ece is not None:
        figures.append(Figure("calibration error", f"{skill.ece:.3f}", "of 0 to 1", "plain"))
    if ORACLE in report.metrics:
        best = report.metrics[ORACLE].rank_ic.mean
        share = skill.rank_ic.mean / best if best else float("nan")
        note = f"the best possible RankIC here is {best:.4f}"
        figures.append(Figure("of the oracle", f"{share:.0%}", note, "plain"))
    if report.novelty is not None:
        share = report.novelty.unlike_bars
        note = "of its bars; 5 % would be usual"
        figures.append(Figure("test span unlike training", f"{share:.0%}", note, "plain"))
    return tuple(figures)


def checks_table(report: EvaluationReport) -> Table:
    """What the gate demanded, and what the model showed."""
    rows = tuple(
        ("passed" if check.passed else "FAILED", check.name, check.reason)
        for check in report.verdict.checks
    )
    return Table("", ("", "check", "what it showed"), rows)


def _interval(name: str, found: Interval, note: str) -> Figure:
    tone: Tone = "good" if found.low > 0.0 else "bad" if found.high < 0.0 else "plain"
    return Figure(
        name, f"{found.mean:+.4f}", f"95 %: {found.low:+.4f} to {found.high:+.4f}; {note}", tone
    )
