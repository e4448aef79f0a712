"""From a trained model to a version in the store: when it is done, and when it is cut short."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flows.caching import PUBLISHING, code_version
from flows.references import Features, Published
from flows.run import Run
from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.control import StopController
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.report import DataReport
from gnn_trainer.ports import ModelStore

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.artifact.manifest import DataRecord
    from gnn_trainer.artifact.publish import Version
    from gnn_trainer.evaluation.exhibits import Exhibits
    from gnn_trainer.evaluation.report import EvaluationReport


def publish(
    run: Run,
    features: Features,
    bundle: "Bundle",
    report: "EvaluationReport",
    tables: Mapping[str, bytes],
    exhibits: "Exhibits",
) -> Published:
    """Publish a judged model with its report and the tables that this was computed from.

    Raises:
        StopRequested: before its manifest was written; after that a stop comes too late.
        ConfigError, ServiceError: the store refuses, or stayed away; they say where the model is.
    """
    version = _version(run, features, bundle, report, tables, exhibits)
    store = StoppableStore(run.models, run.session.stop)
    return _deliver(run, store, version, run.settings.upload_patience_s)


def publish_interrupted(run: Run, features: Features, bundle: "Bundle") -> Published:
    """Publish what a stopped run has: a version that nothing points at. Tried once.

    Raises:
        ConfigError, ServiceError: the store refuses, or is away; they say where the model is.
    """
    return _deliver(run, run.models, _version(run, features, bundle, None, {}), patience_s=0.0)


class StoppableStore(ModelStore):
    """A store that takes no further file once a stop is requested. Pointers still move: they
    follow a manifest, and with that the version is published."""

    def __init__(self, store: ModelStore, stop: StopController) -> None:
        self._store = store
        self._stop = stop
        self.location = store.location

    def prepare(self) -> None:
        self._store.prepare()

    def put_file(self, key: str, path: Path) -> None:
        self._stop.check()
        self._store.put_file(key, path)

    def put_bytes(self, key: str, data: bytes) -> None:
        self._stop.check()
        self._store.put_bytes(key, data)

    def read(self, key: str) -> bytes:
        return self._store.read(key)

    def exists(self, key: str) -> bool:
        return self._store.exists(key)

    def keys(self, prefix: str) -> list[str]:
        return self._store.keys(prefix)

    def remove(self, key: str) -> None:
        self._store.remove(key)

    def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        return self._store.update(key, change)


def _version(
    run: Run,
    features: Features,
    bundle: "Bundle",
    report: "EvaluationReport | None",
    tables: Mapping[str, bytes],
    exhibits: "Exhibits | None" = None,
) -> "Version":
    from gnn_trainer.artifact.publish import Provenance, make_files

    data = data_of(run, features)
    return make_files(
        bundle,
        report,
        model_name=run.config.model_name,
        provenance=Provenance(
            run.began,
            data,
            code_version(PUBLISHING),
            data_report=run.datasets.get(features.data_report, DataReport),
        ),
        tables=tables,
        exhibits=exhibits,
    )


def data_of(run: Run, features: Features) -> "DataRecord":
    """What the run trained on."""
    from gnn_trainer.artifact.manifest import DataRecord

    frame = run.datasets.get(features.frame, MarketFrame)
    return DataRecord(
        source=run.plan.source,
        fingerprint=features.data_fingerprint,
        interval=run.plan.interval,
        symbols=frame.symbols,
        start_ms=int(frame.open_time_T[0]),
        end_ms=int(frame.close_time_T[-1]) + 1,
    )


def _deliver(run: Run, store: ModelStore, version: "Version", patience_s: float) -> Published:
    from gnn_trainer.artifact.delivery import Patience, deliver_or_keep

    published = deliver_or_keep(
        store,
        FolderStore(run.settings.unpublished_folder),
        version,
        Patience(patience_s, run.session.stop.wait),
    )
    return Published(
        uri=published.uri,
        version=published.version,
        manifest_sha256=published.manifest_sha256,
        promoted=published.promoted,
    )
