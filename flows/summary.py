"""What a run says at its end: stages, skill beside the baselines, and where the model is."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.artifacts import show_skill, show_stages
from flows.milestones import tell_published, tell_verdict
from flows.references import Published, Report
from flows.run import Run

if TYPE_CHECKING:
    from gnn_trainer.evaluation.report import EvaluationReport

logger = logging.getLogger("gnn_trainer.summary")


def announce(run: Run, report: Report, published: Published) -> None:
    """Print the summary, leave it in Prefect's UI, and tell that the run is finished."""
    from gnn_trainer.artifact.card import COLUMNS, score_rows
    from gnn_trainer.evaluation.report import EvaluationReport

    evaluation = run.datasets.get(report.report, EvaluationReport)
    rows = score_rows(evaluation)
    show_stages(run)
    show_skill(run, published, COLUMNS, rows)
    states = {stage.name: stage.state for stage in run.measurements.stages}
    is_new = states["upload_model"] != "Cached"
    rank = "champion" if published.promoted else "challenger"
    verb = "published" if is_new else "found"
    message = f"{verb} {rank} {run.config.model_name} {published.version}"
    if run.settings.log_format == "text":
        _print(run, evaluation, published, message, _skill(COLUMNS, rows))
    figures = _headline(evaluation)
    run.measurements.judge({**figures, "promoted": evaluation.verdict.promoted})
    _log(evaluation, figures, message)
    if is_new:
        _tell_prefect(run, evaluation, published, figures)
    run.session.reporter.finished(message, **run.whereabouts(published), **figures)


def _headline(evaluation: "EvaluationReport") -> dict[str, float]:
    """The figures that decide, all of the test span."""
    from gnn_trainer.evaluation.report import MODEL

    skill, gain = evaluation.metrics[MODEL], evaluation.graph_contribution
    return {
        "rank_ic": skill.rank_ic.mean,
        "rank_ic_low": skill.rank_ic.low,
        "rank_ic_high": skill.rank_ic.high,
        "accuracy": skill.accuracy,
        "macro_f1": skill.macro_f1,
        "graph_contribution": gain.mean,
        "graph_contribution_low": gain.low,
        "graph_contribution_high": gain.high,
    }


def _log(evaluation: "EvaluationReport", figures: dict[str, float], message: str) -> None:
    logger.info(
        "test span: RankIC %.4f (%.4f .. %.4f), of which the graph %+.4f (%+.4f .. %+.4f)",
        *(figures[f"rank_ic{end}"] for end in ("", "_low", "_high")),
        *(figures[f"graph_contribution{end}"] for end in ("", "_low", "_high")),
        extra={"fields": figures},
    )
    verdict = evaluation.verdict
    gate = "passed" if verdict.promoted else "refused"
    logger.info("gate: %s; %s", gate, "; ".join(verdict.reasons))
    logger.info(message)


def _tell_prefect(
    run: Run, evaluation: "EvaluationReport", published: Published, figures: dict[str, float]
) -> None:
    verdict, name = evaluation.verdict, run.config.model_name
    tell_published(name, published.version, figures)
    tell_verdict(name, published.version, promoted=verdict.promoted, reasons=verdict.reasons)


def _print(
    run: Run,
    evaluation: "EvaluationReport",
    published: Published,
    message: str,
    skill: Table,
) -> None:
    console = Console()
    console.print(_stages(run), skill)
    gain = evaluation.graph_contribution
    console.print(
        f"graph contribution: RankIC {gain.mean:+.4f}, 95 % interval "
        f"{gain.low:+.4f} .. {gain.high:+.4f}"
    )
    for symbol, reason in run.plan.dropped.items():
        console.print(f"left out: {symbol}, {reason}")
    console.print(message, style="bold")
    console.print("; ".join(evaluation.verdict.reasons))
    console.print(published.uri, soft_wrap=True)


def _stages(run: Run) -> Table:
    table = Table("stage", "state", "seconds", "made", box=None)
    for stage in run.measurements.stages:
        table.add_row(stage.name, stage.state, f"{stage.seconds:.1f}", stage.made)
    return table


def _skill(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*columns, box=None, title="skill on the test span", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
