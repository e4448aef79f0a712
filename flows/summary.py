"""What a run says at its end: stages, skill beside the baselines, and where the model is."""

import logging
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.artifacts import show_skill
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
    show_skill(run, published, COLUMNS, rows)
    console = Console()
    console.print(_stages(run), _skill(COLUMNS, rows))
    gain = evaluation.graph_contribution
    console.print(
        f"graph contribution: RankIC {gain.mean:+.4f}, 95 % interval "
        f"{gain.low:+.4f} .. {gain.high:+.4f}"
    )
    for symbol, reason in run.plan.dropped.items():
        console.print(f"left out: {symbol}, {reason}")
    states = {stage.name: stage.state for stage in run.stages}
    verb = "found" if states["upload_model"] == "Cached" else "published"
    rank = "champion" if published.promoted else "challenger"
    console.print(f"{verb} {rank} {run.config.model_name} {published.version}", style="bold")
    console.print("; ".join(evaluation.verdict.reasons))
    console.print(published.uri, soft_wrap=True)
    message = f"{verb} {rank} {run.config.model_name} {published.version}"
    logger.info(message)
    run.session.reporter.finished(message, **run.whereabouts(published), **_headline(evaluation))


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


def _stages(run: Run) -> Table:
    table = Table("stage", "state", "seconds", box=None)
    for stage in run.stages:
        table.add_row(stage.name, stage.state, f"{stage.seconds:.1f}")
    return table


def _skill(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(*columns, box=None, title="skill on the test span", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
