"""What people find in Prefect's UI about a run: the data, the epochs, the skill, the model."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.references import Features, Published
from flows.run import Run
from gnn_trainer.market.report import DataReport, SymbolReport


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
    """The model beside its baselines on the test span, what it is, and where."""
    create_table_artifact(
        key="metrics",
        table=[dict(zip(columns, row, strict=True)) for row in rows],
        description=f"{run.config.model_name} {published.version}, test span",
    )
    card = run.models.read(f"{run.config.model_name}/{published.version}/model_card.md")
    create_markdown_artifact(card.decode(), key="report", description="the model card")
    show_model(run.config.model_name, published)


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
