"""A walk-forward in a store: <model name>/walk-forward/<name>/, its report and what it comes from.

It is no version: no pointer names it, and it has no weights. walk-forward.json is written last
and lists every other file with size and hash.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gnn_trainer.artifact.card import Story, documents
from gnn_trainer.artifact.manifest import (
    WALK_INDEX,
    WALKS,
    DataRecord,
    FileRecord,
    dependency_versions,
    list_files,
    make_version,
)
from gnn_trainer.artifact.publish import Provenance
from gnn_trainer.ports import ModelStore


class WalkIndex(BaseModel):
    """The contents of walk-forward.json. `would_promote` is the gate's word on all folds together;
    nothing follows from it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model_name: str
    name: str
    created: datetime
    would_promote: bool
    reasons: tuple[str, ...]
    folds: int
    seeds: tuple[int, ...]
    config: dict[str, Any]  # TrainConfig
    data: DataRecord
    code_version: str
    dependencies: dict[str, str]
    files: dict[str, FileRecord]


@dataclass(frozen=True)
class Walk:
    """Every file of a walk-forward by name, the index among them."""

    prefix: str
    name: str
    files: Mapping[str, bytes]

    @property
    def index_sha256(self) -> str:
        return hashlib.sha256(self.files[WALK_INDEX]).hexdigest()


def make_walk(
    story: Story, provenance: Provenance, tables: Mapping[str, bytes], config: dict[str, Any]
) -> Walk:
    """The files of a walk-forward. `story` has the pooled report and the model of the newest fold;
    its version is replaced by the walk's name, which follows from `tables`."""
    report = story.report
    assert report is not None, "a walk-forward that was stopped has no report"
    name = make_version(provenance.created, tables)
    story = replace(story, version=f"{WALKS} {name}")
    files = {**tables, **documents(story)}
    index = WalkIndex(
        model_name=story.model_name,
        name=name,
        created=provenance.created,
        would_promote=report.verdict.promoted,
        reasons=report.verdict.reasons,
        folds=len({fold.test for fold in report.folds}),
        seeds=tuple(sorted({fold.seed for fold in report.folds})),
        config=config,
        data=provenance.data,
        code_version=provenance.code_version,
        dependencies=dependency_versions(),
        files=list_files(files),
    )
    files[WALK_INDEX] = index.model_dump_json(indent=2).encode()
    return Walk(f"{story.model_name}/{WALKS}/{name}", name, files)


def write_walk(store: ModelStore, walk: Walk) -> None:
    """The files of a walk-forward, the index last; doing it again changes nothing."""
    for name in sorted(walk.files, key=lambda name: name == WALK_INDEX):
        store.put_bytes(f"{walk.prefix}/{name}", walk.files[name])
