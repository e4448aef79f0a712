"""What a store holds of a model: its versions, how they did, and who points at them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gnn_trainer.artifact.location import files_in
from gnn_trainer.artifact.manifest import MANIFEST, Outcome, read_manifest
from gnn_trainer.artifact.pointers import (
    CHAMPION,
    POINTERS,
    Move,
    Pointer,
    place_champion,
    read_pointer,
)
from gnn_trainer.artifact.publish import Version, pointer_to, read_version
from gnn_trainer.errors import ArtifactError, ConfigError
from gnn_trainer.evaluation.protocol import MODEL
from gnn_trainer.ports import ModelStore

_METRICS = "metrics.json"


@dataclass(frozen=True)
class Entry:
    """One complete version. `rank_ic` is mean, low, high; None where nothing was judged."""

    model_name: str
    version: str
    outcome: Outcome
    pointers: tuple[str, ...]
    rank_ic: tuple[float, float, float] | None
    accuracy: float | None
    graph_contribution: float | None


def list_versions(store: ModelStore, model_name: str | None = None) -> list[Entry]:
    """Complete versions by model and time, of one model or of all.

    Raises:
        ArtifactError: a manifest that cannot be read.
    """
    names = sorted(
        tuple(parts[:2])
        for key in store.keys("" if model_name is None else f"{model_name}/")
        if len(parts := key.split("/")) == 3 and parts[2] == MANIFEST
    )
    pointed = {name: _pointed(store, name) for name in {model for model, _ in names}}
    return [_entry(store, model, version, pointed[model]) for model, version in names]


def champion_moves(store: ModelStore, model_name: str) -> tuple[Move, ...]:
    """Every move of the champion, newest first."""
    champion = read_pointer(store, model_name, CHAMPION)
    return () if champion is None else champion.moves


def move_champion(
    store: ModelStore,
    model_name: str,
    version: str,
    *,
    action: Literal["promote", "rollback"],
    reason: str,
    at: datetime,
) -> Move:
    """Make a version the champion because a person says so; the reason is kept in champion.json.

    Raises:
        ConfigError: `version` lies on the other side of the champion than `action` goes.
        ArtifactError: the version is absent, altered, or its training was interrupted.
    """
    if not reason.strip():
        raise ConfigError("--reason is blank; say why, it is kept with the champion")
    chosen = _whole_version(store, model_name, version)
    if chosen.manifest.outcome == "interrupted":
        raise ArtifactError(
            f"{chosen.prefix} comes from a training that was stopped and was never judged; "
            "promote a version whose training was finished"
        )
    champion = read_pointer(store, model_name, CHAMPION)
    _check_direction(champion, version, action)
    move = Move(
        version=version,
        previous=None if champion is None else champion.version,
        action=action,
        reason=reason.strip(),
        at=at,
    )
    place_champion(store, pointer_to(chosen), move)
    return move


def _whole_version(store: ModelStore, model_name: str, version: str) -> Version:
    files = files_in(store, model_name, version)
    if MANIFEST not in files.names:
        known = [entry.version for entry in list_versions(store, model_name)]
        raise ArtifactError(
            f"{files.uri} is no complete version; expected one of {known or 'none there is'}"
        )
    return read_version(files)


def _check_direction(champion: Pointer | None, version: str, action: str) -> None:
    present = None if champion is None else champion.version
    if present == version:
        raise ConfigError(f"{version} is the champion already; name another version")
    if action == "promote" and present is not None and version < present:
        raise ConfigError(
            f"{version} is older than the champion {present}; going back is `rollback`"
        )
    if action == "rollback" and (present is None or version > present):
        raise ConfigError(
            f"{version} is newer than the champion {present}; going forward is `promote`"
        )


def _pointed(store: ModelStore, model_name: str) -> dict[str, str]:
    found = {name: read_pointer(store, model_name, name) for name in POINTERS}
    return {name: pointer.version for name, pointer in found.items() if pointer is not None}


def _entry(store: ModelStore, model_name: str, version: str, pointed: Mapping[str, str]) -> Entry:
    prefix = f"{model_name}/{version}"
    manifest = read_manifest(store.read(f"{prefix}/{MANIFEST}"), f"{store.location}/{prefix}")
    metrics = _metrics(store, prefix)
    own = metrics.get("metrics", {}).get(MODEL, {})
    rank_ic = own.get("rank_ic")
    return Entry(
        model_name=model_name,
        version=version,
        outcome=manifest.outcome,
        pointers=tuple(name for name in POINTERS if pointed.get(name) == version),
        rank_ic=None if rank_ic is None else (rank_ic["mean"], rank_ic["low"], rank_ic["high"]),
        accuracy=own.get("accuracy"),
        graph_contribution=metrics.get("graph_contribution", {}).get("mean"),
    )


def _metrics(store: ModelStore, prefix: str) -> dict[str, Any]:
    content = json.loads(store.read(f"{prefix}/{_METRICS}"))
    return content if isinstance(content, dict) else {}
