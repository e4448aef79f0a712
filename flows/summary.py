"""What a run says at its end: stages, skill beside the baselines, and where the model is."""

import logging

from prefect.artifacts import create_table_artifact
from rich.console import Console
from rich.table import Table

from flows.references import Published, Report
from flows.run import Run
from gnn_trainer.artifact.card import COLUMNS, score_rows
from gnn_trainer.evaluation.report import EvaluationReport

logger = logging.getLogger("gnn_trainer.summary")


def announce(run: Run, report: Report, published: Published) -> None:
    """Print the summary, and leave the metrics as a table in Prefect's UI."""
    evaluation = run.datasets.get(report.report, EvaluationReport)
    rows = score_rows(evaluation)
    create_table_artifact(
        key="metrics",
        table=[dict(zip(COLUMNS, row, strict=True)) for row in rows],
        description=f"{run.config.model_name} {published.version}, test span",
    )
    console = Console()
    console.print(_stages(run), _skill(rows))
    gain = evaluation.graph_contribution
    console.print(
        f"graph contribution: RankIC {gain.mean:+.4f}, 95 % interval "
        f"{gain.low:+.4f} .. {gain.high:+.4f}"
    )
    for symbol, reason in run.plan.dropped.items():
        console.print(f"left out: {symbol}, {reason}")
    verb = "found" if run.stages[-1].state == "Cached" else "published"
    rank = "champion" if published.promoted else "challenger"
    console.print(f"{verb} {rank} {run.config.model_name} {published.version}", style="bold")
    console.print("; ".join(evaluation.verdict.reasons))
    console.print(published.uri, soft_wrap=True)
    logger.info("%s version %s (%s)", verb, published.version, rank)


def _stages(run: Run) -> Table:
    table = Table("stage", "state", "seconds", box=None)
    for stage in run.stages:
        table.add_row(stage.name, stage.state, f"{stage.seconds:.1f}")
    return table


def _skill(rows: list[tuple[str, ...]]) -> Table:
    table = Table(*COLUMNS, box=None, title="skill on the test span", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
