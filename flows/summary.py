"""What a run says at its end: stages, skill beside the baselines, and where the model is."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.artifacts import show_report, show_skill, show_stages, show_verdict, show_walk
from flows.milestones import tell_published, tell_verdict
from flows.references import Features, Published, Report
from flows.run import Run
from flows.walking import Walk
from gnn_trainer.market.report import DataReport

if TYPE_CHECKING:
    from gnn_trainer.evaluation.gate import Verdict
    from gnn_trainer.evaluation.report import EvaluationReport
    from gnn_trainer.report.material import Material

logger = logging.getLogger("gnn_trainer.summary")


def announce(run: Run, report: Report, published: Published) -> None:
    """Print the summary, leave it in Prefect's UI, and tell that the run is finished."""
    from gnn_trainer.evaluation.report import EvaluationReport
    from gnn_trainer.report.tables import COLUMNS, SHOWN, score_rows

    evaluation = run.datasets.get(report.report, EvaluationReport)
    rows = score_rows(evaluation)
    show_stages(run)
    show_skill(run, published, COLUMNS, rows)
    show_verdict(run, published, evaluation.verdict)
    show_report(_material(run, evaluation, report, published.uri))
    states = {stage.name: stage.state for stage in run.measurements.stages}
    is_new = states["upload_model"] != "Cached"
    rank = "champion" if published.promoted else "challenger"
    verb = "published" if is_new else "found"
    message = f"{verb} {rank} {run.config.model_name} {published.version}"
    if run.settings.log_format == "text":
        skill = _skill(COLUMNS[:SHOWN], [row[:SHOWN] for row in rows])
        _print(run, evaluation, published, message, skill)
    figures = _headline(evaluation)
    run.measurements.judge({**figures, "promoted": evaluation.verdict.promoted})
    _log(evaluation, figures, message)
    if is_new:
        _tell_prefect(run, evaluation, published, figures)
    run.session.reporter.finished(message, **run.whereabouts(published), **figures)


def announce_walk(run: Run, report: Report, walk: Walk) -> None:
    """The same of a walk-forward, which publishes a report and no model."""
    from gnn_trainer.evaluation.report import EvaluationReport
    from gnn_trainer.report.tables import COLUMNS, SHOWN, SLICE_COLUMNS, score_rows, slice_row

    evaluation = run.datasets.get(report.report, EvaluationReport)
    rows = score_rows(evaluation)
    folds = [slice_row(part) for part in evaluation.sliced("fold")]
    show_stages(run)
    show_report(_material(run, evaluation, report, walk.uri))
    show_walk(run, walk, {"metrics": (COLUMNS, rows), "folds": (SLICE_COLUMNS, folds)})
    message = f"published walk-forward {walk.name} of {run.config.model_name}"
    if run.settings.log_format == "text":
        console = Console()
        console.print(_stages(run), _skill(COLUMNS[:SHOWN], [row[:SHOWN] for row in rows]))
        console.print(_skill(SLICE_COLUMNS, folds, "fold by fold"))
        console.print(message, style="bold")
        console.print(_why(evaluation.verdict))
        console.print(walk.uri, soft_wrap=True)
    figures = _headline(evaluation)
    run.measurements.judge(figures)
    _log(evaluation, figures, message)
    run.session.reporter.finished(
        message,
        bucket=run.settings.minio and run.settings.minio.bucket,
        prefix=walk.prefix(run),
        walk_forward=walk.name,
        promoted=False,
        **figures,
    )


def _material(run: Run, evaluation: "EvaluationReport", report: Report, uri: str) -> "Material":
    """What Prefect's UI shows of a report; `uri` is where its page is."""
    from gnn_trainer.evaluation.exhibits import Exhibits
    from gnn_trainer.report.material import Material

    features, data = run.products.get(Features), None
    if isinstance(features, Features):
        data = run.datasets.get(features.data_report, DataReport)
    return Material(
        title=run.config.model_name,
        about=(f"The same with pictures: {uri}/report.html",),
        limits=(),
        report=evaluation,
        data=data,
        exhibits=run.datasets.get(report.exhibits, Exhibits),
    )


def _headline(evaluation: "EvaluationReport") -> dict[str, float | str]:
    """The figures that decide, all of the test span."""
    from gnn_trainer.evaluation.protocol import MODEL
    from gnn_trainer.report.tables import best_rival

    skill, gain = evaluation.metrics[MODEL], evaluation.graph_contribution
    best, gap = best_rival(evaluation)
    return {
        "rank_ic": skill.rank_ic.mean,
        "rank_ic_low": skill.rank_ic.low,
        "rank_ic_high": skill.rank_ic.high,
        "rank_ic_net": skill.rank_ic_net.mean,
        "newey_west_t": skill.newey_west_t,
        "best_baseline": best,
        "over_best_baseline": gap.mean,
        "over_best_baseline_low": gap.low,
        "over_best_baseline_high": gap.high,
        "accuracy": skill.accuracy,
        "macro_f1": skill.macro_f1,
        "graph_contribution": gain.mean,
        "graph_contribution_low": gain.low,
        "graph_contribution_high": gain.high,
    }


def _why(verdict: "Verdict") -> str:
    """What the gate found wrong; the report has all it asked for."""
    if verdict.promoted:
        return f"all {len(verdict.checks)} checks of the gate passed"
    return "; ".join(verdict.reasons)


def _log(evaluation: "EvaluationReport", figures: dict[str, float | str], message: str) -> None:
    logger.info(
        "test span: RankIC %.4f (%.4f .. %.4f), of which the graph %+.4f (%+.4f .. %+.4f)",
        *(figures[f"rank_ic{end}"] for end in ("", "_low", "_high")),
        *(figures[f"graph_contribution{end}"] for end in ("", "_low", "_high")),
        extra={"fields": figures},
    )
    gate = "passed" if evaluation.verdict.promoted else "refused"
    logger.info("gate: %s; %s", gate, _why(evaluation.verdict))
    logger.info(message)


def _tell_prefect(
    run: Run, evaluation: "EvaluationReport", published: Published, figures: dict[str, float | str]
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
    console.print(_why(evaluation.verdict))
    console.print(published.uri, soft_wrap=True)


def _stages(run: Run) -> Table:
    table = Table("stage", "state", "seconds", "made", box=None)
    for stage in run.measurements.stages:
        table.add_row(stage.name, stage.state, f"{stage.seconds:.1f}", stage.made)
    return table


def _skill(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str = "skill on the test span",
) -> Table:
    table = Table(
        *columns, box=None, padding=(0, 2, 0, 0), pad_edge=False, title=title, title_justify="left"
    )
    for row in rows:
        table.add_row(*row)
    return table
