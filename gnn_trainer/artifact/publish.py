"""Publishing a version: its files, then the manifest, then the pointers."""

from dataclasses import dataclass
from datetime import datetime

from pydantic_core import to_json

from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.card import Story, model_card, report_page
from gnn_trainer.artifact.location import pointed_version
from gnn_trainer.artifact.manifest import (
    MANIFEST,
    DataRecord,
    FileRecord,
    Manifest,
    dependency_versions,
    list_files,
    make_version,
)
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.ports import ModelStore


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from. `parent` is the version that training carried on from."""

    created: datetime  # with time zone; the version is named after it
    data: DataRecord
    code_version: str
    parent: str | None = None


@dataclass(frozen=True)
class Published:
    """A complete version in a store."""

    uri: str
    model_name: str
    version: str
    manifest_sha256: str
    promoted: bool  # champion.json names this version

    @property
    def prefix(self) -> str:
        return f"{self.model_name}/{self.version}"


def publish(
    store: ModelStore,
    bundle: Bundle,
    report: EvaluationReport,
    *,
    model_name: str,
    provenance: Provenance,
) -> Published:
    """Write a version and move the pointers; doing it again changes nothing.

    The manifest goes last, so a publication cut short leaves nothing that loads. `latest.json`
    follows every version, `champion.json` only what the report's verdict promotes.
    """
    content = bundle.to_files()
    version = make_version(provenance.created, content)
    story = Story(model_name, version, bundle, provenance.data, report)
    files = {
        **content,
        "metrics.json": to_json(report.to_dict(), indent=2, inf_nan_mode="null"),
        "model_card.md": model_card(story),
        "report.html": report_page(story),
    }
    manifest = Manifest(
        model_name=model_name,
        version=version,
        parent=provenance.parent,
        seed=bundle.model.seed,
        data=provenance.data,
        code_version=provenance.code_version,
        dependencies=dependency_versions(),
        files=list_files(files),
    ).to_json()
    for name, data in files.items():
        store.put_bytes(f"{model_name}/{version}/{name}", data)
    store.put_bytes(f"{model_name}/{version}/{MANIFEST}", manifest)
    sha256 = FileRecord.of(manifest).sha256
    pointer = {"model_name": model_name, "version": version, "manifest_sha256": sha256}
    store.move_pointer(f"{model_name}/latest.json", pointer)
    return Published(
        uri=f"{store.location}/{model_name}/{version}",
        model_name=model_name,
        version=version,
        manifest_sha256=sha256,
        promoted=report.verdict.promoted and _promote(store, model_name, pointer),
    )


def _promote(store: ModelStore, model_name: str, pointer: dict[str, str]) -> bool:
    key = f"{model_name}/champion.json"
    store.move_pointer(key, pointer)
    return pointed_version(store.read(key), key) == pointer["version"]
