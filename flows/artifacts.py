"""What people find in Prefect's UI about a run: the data, the epochs, the skill, the model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.references import Features, Published
from flows.run import Run
from flows.walking import Walk
from gnn_trainer.market.report import DataReport, SymbolReport

if TYPE_CHECKING:
    from gnn_trainer.evaluation.gate import Verdict
    from gnn_trainer.report.material import Material


def show_data(run: Run, features: Features) -> None:
    """The data report, symbol by symbol."""
    report = run.datasets.get(features.data_report, DataReport)
    create_table_artifact(
        key="data-report",
        table=[_data_row(entry) for entry in report.symbols],
        description=f"{report.num_bars} bars of {len(report.symbols)} symbols; "
        f"{len(report.market_holes)} holes in the whole market; left out: "
        f"{', '.join(run.plan.dropped) or 'none'}",
    )


def _data_row(entry: SymbolReport) -> dict[str, str | int]:
    return {
        "symbol": entry.symbol,
        "usable bars": entry.valid_bars,
        "first (UTC)": _minute(entry.first_ms),
        "last (UTC)": _minute(entry.last_ms),
        "gaps": entry.gaps,
        "missing": entry.missing_bars,
        "dropped": entry.duplicates + entry.unclosed + entry.misaligned + entry.impossible,
        "unlisted": entry.outside_listing,
        "frozen": entry.frozen,
        "jumps": len(entry.jump_times_ms),
        "funding": entry.funding_rates,
        "books": entry.book_snapshots,
    }


def _minute(ms: int | None) -> str:
    return "none" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"


def show_epochs(model_name: str, history: Sequence[Mapping[str, float]]) -> None:
    """The metrics of every epoch; from a model's JSON a NaN comes as text."""
    create_table_artifact(
        key="epochs",
        table=[
            {
                "epoch": record["epoch"],
                "loss": f"{float(record['loss']):.4f}",
                "validation RankIC": f"{float(record['val_rank_ic']):+.4f}",
                "seconds": f"{float(record['seconds']):.2f}",
            }
            for record in history
        ],
        description=f"{model_name}: training loss and RankIC on the validation span",
    )


def show_stages(run: Run) -> None:
    """What each stage took and brought."""
    create_table_artifact(
        key="stages",
        table=[
            {
                "stage": stage.name,
                "state": stage.state,
                "seconds": f"{stage.seconds:.1f}",
                "made": stage.made,
            }
            for stage in run.measurements.stages
        ],
        description="durations and counts",
    )


def show_skill(
    run: Run, published: Published, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """The model beside its baselines on the test span, and where it is."""
    create_table_artifact(
        key="metrics",
        table=[dict(zip(columns, row, strict=True)) for row in rows],
        description=f"{run.config.model_name} {published.version}, test span",
    )
    show_model(run.config.model_name, published)


def show_report(material: "Material") -> None:
    """The report without its pictures."""
    from gnn_trainer.report.page import report_markdown

    create_markdown_artifact(report_markdown(material), key="report")


def show_verdict(run: Run, published: Published, verdict: "Verdict") -> None:
    """What the gate demanded, what the model showed, and what came of it."""
    rank = "champion" if published.promoted else "challenger"
    create_table_artifact(
        key="verdict",
        table=[_finite(asdict(check)) for check in verdict.checks],
        description=f"{run.config.model_name} {published.version} is {rank}: "
        + "; ".join(verdict.reasons),
    )


def _finite(row: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def show_model(model_name: str, published: Published) -> None:
    """A link to a published version."""
    uri = published.uri
    rank = "champion" if published.promoted else "not promoted"
    create_link_artifact(
        link=uri if "://" in uri else Path(uri).as_uri(),
        link_text=f"{model_name} {published.version} ({rank})",
        key="model",
        description=f"load_model({uri!r})",
    )


def show_walk(
    run: Run, walk: Walk, tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[str]]]]
) -> None:
    """Tables (columns and rows) of a walk-forward, by key, and a link to its report."""
    for key, (columns, rows) in tables.items():
        create_table_artifact(
            key=key,
            table=[list(row) for row in (columns, *rows)],
            description=f"{run.config.model_name} {walk.name}, all test spans",
        )
    uri = f"{walk.uri}/report.html"
    create_link_artifact(
        link=uri if "://" in uri else Path(uri).resolve().as_uri(),
        link_text=f"{run.config.model_name} walk-forward {walk.name}",
        key="walk-forward",
    )
