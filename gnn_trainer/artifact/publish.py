"""Publishing a version: its files, then the manifest, then the pointers."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.card import Story, documents
from gnn_trainer.artifact.location import PublishedFiles
from gnn_trainer.artifact.manifest import (
    MANIFEST,
    DataRecord,
    Manifest,
    Outcome,
    dependency_versions,
    list_files,
    make_version,
    read_manifest,
)
from gnn_trainer.artifact.pointers import (
    CHAMPION,
    LATEST,
    Move,
    Pointer,
    advance,
    read_pointer,
)
from gnn_trainer.evaluation.exhibits import Exhibits
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.market.report import DataReport
from gnn_trainer.ports import ModelStore

NO_TABLES: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from. `parent` is the version that training carried on from.

    `data_report` says what the data of `data` were like; it becomes data_report.json.
    """

    created: datetime  # with time zone; the version is named after it
    data: DataRecord
    code_version: str
    parent: str | None = None
    data_report: DataReport | None = None


@dataclass(frozen=True)
class Version:
    """A version ready to be delivered: every file, the manifest among them, by name."""

    manifest: Manifest
    files: Mapping[str, bytes]

    @property
    def model_name(self) -> str:
        return self.manifest.model_name

    @property
    def name(self) -> str:
        return self.manifest.version

    @property
    def prefix(self) -> str:
        return f"{self.model_name}/{self.name}"

    @property
    def manifest_sha256(self) -> str:
        return hashlib.sha256(self.files[MANIFEST]).hexdigest()


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
    tables: Mapping[str, bytes] = NO_TABLES,
    exhibits: Exhibits | None = None,
) -> Published:
    """Make a version and deliver it; doing it again changes nothing."""
    version = make_files(
        bundle,
        report,
        model_name=model_name,
        provenance=provenance,
        tables=tables,
        exhibits=exhibits,
    )
    return deliver(store, version)


def make_files(
    bundle: Bundle,
    report: EvaluationReport | None,
    *,
    model_name: str,
    provenance: Provenance,
    tables: Mapping[str, bytes] = NO_TABLES,
    exhibits: Exhibits | None = None,
) -> Version:
    """Every file of a version. Without a report it is that of an interrupted training.

    `tables`, by file name, are what the report's figures can be computed from again. `exhibits`
    are what the page of the report shows beyond the report; they become exhibits.json.
    """
    content = bundle.to_files()
    name = make_version(provenance.created, content)
    story = Story(
        model_name, name, bundle, provenance.data, report, provenance.data_report, exhibits
    )
    files = {**content, **tables, **documents(story)}
    outcome, reasons = _judgement(report)
    manifest = Manifest(
        model_name=model_name,
        version=name,
        created=provenance.created,
        parent=provenance.parent,
        outcome=outcome,
        reasons=reasons,
        seed=bundle.model.seed,
        data=provenance.data,
        code_version=provenance.code_version,
        dependencies=dependency_versions(),
        files=list_files(files),
    )
    return Version(manifest, {**files, MANIFEST: manifest.to_json()})


def read_version(published: PublishedFiles) -> Version:
    """A version as it was made, from wherever its files are, every hash verified.

    Raises:
        ArtifactError: incomplete or altered.
    """
    data = published.read(MANIFEST)
    manifest = read_manifest(data, published.uri)
    manifest.check_names(published.names)
    files = {name: published.read(name) for name in manifest.files}
    for name, content in files.items():
        manifest.check_file(name, content)
    return Version(manifest, {**files, MANIFEST: data})


def deliver(store: ModelStore, version: Version) -> Published:
    """Write a version and move the pointers; doing it again changes nothing.

    The manifest goes last, so a delivery cut short leaves nothing that loads. `latest.json`
    follows every version whose training was finished, `champion.json` only what the gate
    promotes; an interrupted version is there for whoever asks for it by name.
    """
    write_files(store, version)
    manifest = version.manifest
    pointer = pointer_to(version)
    promoted = False
    if manifest.outcome != "interrupted":
        advance(store, LATEST, pointer)
    if manifest.outcome == "champion":
        move = Move(
            version=version.name,
            previous=None,
            action="gate",
            reason="; ".join(manifest.reasons),
            at=manifest.created,
        )
        advance(store, CHAMPION, pointer, move)
        champion = read_pointer(store, version.model_name, CHAMPION)
        promoted = champion is not None and champion.version == version.name
    return Published(
        uri=f"{store.location}/{version.prefix}",
        model_name=version.model_name,
        version=version.name,
        manifest_sha256=version.manifest_sha256,
        promoted=promoted,
    )


def write_files(store: ModelStore, version: Version) -> None:
    """The files of a version, the manifest last."""
    for name in sorted(version.files, key=lambda name: name == MANIFEST):
        store.put_bytes(f"{version.prefix}/{name}", version.files[name])


def pointer_to(version: Version) -> Pointer:
    return Pointer(
        model_name=version.model_name,
        version=version.name,
        manifest_sha256=version.manifest_sha256,
    )


def _judgement(report: EvaluationReport | None) -> tuple[Outcome, tuple[str, ...]]:
    if report is None:
        return "interrupted", ("training was stopped; this is its best epoch so far",)
    return "champion" if report.verdict.promoted else "challenger", report.verdict.reasons
