"""What tasks hand to each other: small, JSON-ready, able to say whether the product is there."""

import json
from collections.abc import Mapping
from typing import Literal

import polars as pl

from flows.run import Reference, Run
from gnn_trainer.adapters.datasets import DatasetRef, tables_fingerprint
from gnn_trainer.market.funding import FUNDING_MAX_AGE_MS

Kind = Literal["klines", "funding", "books"]


class Rows(Reference):
    """Rows of the market history in the plan's span."""

    kind: Kind
    fingerprint: str  # of the rows themselves
    rows: int
    dropped: dict[str, str]  # symbols the exchange refused, with the reason

    def is_there(self, run: Run) -> bool:
        return tables_fingerprint(stored_tables(run, self.kind)) == self.fingerprint

    @property
    def counts(self) -> Mapping[str, int]:
        return {"rows": self.rows} | (
            {"refused symbols": len(self.dropped)} if self.dropped else {}
        )


def stored_rows(run: Run, kind: Kind, dropped: Mapping[str, str]) -> Rows:
    """A reference to what the history now has for the plan."""
    tables = stored_tables(run, kind)
    return Rows(
        kind=kind,
        fingerprint=tables_fingerprint(tables),
        rows=sum(table.height for table in tables.values()),
        dropped=dict(dropped),
    )


def stored_tables(run: Run, kind: Kind) -> dict[str, pl.DataFrame]:
    """Tables by symbol; order books of all symbols are one table."""
    plan, history = run.plan, run.history
    start, end = plan.start_ms, plan.end_ms
    if kind == "books":
        return {kind: history.read_books(plan.source, plan.symbols, start, end + plan.step_ms)}
    if kind == "funding":
        return {
            symbol: history.read_funding(plan.source, symbol, start - FUNDING_MAX_AGE_MS, end)
            for symbol in plan.symbols
        }
    return {
        symbol: history.read_klines(plan.source, plan.interval, symbol, start, end)
        for symbol in plan.symbols
    }


class Relations(Reference):
    """Prepared relations; `source` and `relations` are None where none are configured."""

    source: str | None
    edges: int
    relations: DatasetRef | None

    def is_there(self, run: Run) -> bool:
        return self.relations is None or run.datasets.holds(self.relations)

    @property
    def counts(self) -> Mapping[str, int]:
        return {"edges": self.edges}


class Features(Reference):
    """The aligned market, its features, and the report on the data's defects."""

    frame: DatasetRef
    features: DatasetRef
    data_report: DatasetRef
    data_fingerprint: str

    def is_there(self, run: Run) -> bool:
        return all(map(run.datasets.holds, (self.frame, self.features, self.data_report)))

    @property
    def counts(self) -> Mapping[str, int]:
        return {"bars": self.features.rows, "symbols": self.data_report.rows}


class Graph(Reference):
    """A GraphSequence, and the prepared relations in it if there are any.

    `learned` is the fingerprint of all that may be learned from: its bars until the end of the
    validation span.
    """

    graph: DatasetRef
    learned: str
    relations: DatasetRef | None

    def is_there(self, run: Run) -> bool:
        parts = (self.graph,) if self.relations is None else (self.graph, self.relations)
        return all(map(run.datasets.holds, parts))

    @property
    def counts(self) -> Mapping[str, int]:
        return {"bars": self.graph.rows}


class Model(Reference):
    """A trained model as the files of its bundle, by name."""

    files: dict[str, DatasetRef]

    def is_there(self, run: Run) -> bool:
        return all(map(run.datasets.holds, self.files.values()))


class Baselines(Reference):
    """Rivals: networks as bundles, by name, and the scorers of all others as one JSON document."""

    networks: dict[str, Model]
    scorers: DatasetRef

    def is_there(self, run: Run) -> bool:
        return run.datasets.holds(self.scorers) and all(
            network.is_there(run) for network in self.networks.values()
        )

    @property
    def counts(self) -> Mapping[str, int]:
        return {"networks": len(self.networks)}


def history_of(run: Run, model: Model) -> list[dict[str, float]]:
    """The record of every epoch; from a model's JSON, so that torch is not needed."""
    config = json.loads(run.datasets.get_bytes(model.files["config.json"]))
    history: list[dict[str, float]] = config["history"]
    return history


class Audit(Reference):
    """An AuditReport."""

    audit: DatasetRef

    def is_there(self, run: Run) -> bool:
        return run.datasets.holds(self.audit)


class Report(Reference):
    """An EvaluationReport, its exhibits, and the tables (Parquet) that they are computed from."""

    report: DatasetRef
    exhibits: DatasetRef
    predictions: DatasetRef
    bars: DatasetRef

    def is_there(self, run: Run) -> bool:
        parts = (self.report, self.exhibits, self.predictions, self.bars)
        return all(map(run.datasets.holds, parts))

    @property
    def counts(self) -> Mapping[str, int]:
        return {"test samples": self.report.rows}


class Published(Reference):
    """A version in the model store."""

    uri: str
    version: str
    manifest_sha256: str
    promoted: bool

    def is_there(self, run: Run) -> bool:
        manifest = f"{run.config.model_name}/{self.version}/manifest.json"
        return bool(run.models.exists(manifest))
