"""What people find in Prefect's UI about a run: the data, the epochs, the skill, the model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.references import Features, Published
from flows.run import Run
from gnn_trainer.market.report import DataReport


def show_data(run: Run, features: Features) -> None:
    """The data report, symbol by symbol."""
    report = run.datasets.get(features.data_report, DataReport)
    create_table_artifact(
        key="data-report",
        table=[asdict(entry) for entry in report.symbols],
        description=f"{report.num_bars} bars of {len(report.symbols)} symbols; "
        f"{len(report.market_holes)} holes in the whole market; left out: "
        f"{', '.join(run.plan.dropped) or 'none'}",
    )


def show_epochs(model_name: str, history: Sequence[Mapping[str, float]]) -> None:
    """The metrics of every epoch."""
    create_table_artifact(
        key="epochs",
        table=[dict(record) for record in history],
        description=f"{model_name}: training loss and RankIC on the validation span",
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


def show_model(model_name: str, published: Published) -> None:
    """A link to a published version."""
    uri = published.uri
    create_link_artifact(
        link=uri if "://" in uri else Path(uri).as_uri(),
        link_text=f"{model_name} {published.version}",
        key="model",
    )
