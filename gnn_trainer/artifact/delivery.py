"""Delivering a version to a store that may be away: first kept, then offered, then let go of.

A version is in the workspace before its first byte leaves the machine, so nothing that happens
on the way loses it. `gnn-trainer publish` delivers what was left there.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gnn_trainer.artifact.bundle import CONFIG, WEIGHTS
from gnn_trainer.artifact.location import files_in
from gnn_trainer.artifact.manifest import MANIFEST
from gnn_trainer.artifact.publish import Published, Version, deliver, read_version, write_files
from gnn_trainer.errors import (
    ArtifactError,
    ConfigError,
    GnnTrainerError,
    ServiceError,
    StopRequested,
    TransientServiceError,
)
from gnn_trainer.ports import ModelStore

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_SAME_MODEL = (CONFIG, WEIGHTS, "metrics.json")


@dataclass(frozen=True)
class Patience:
    """How long a store that is away is tried again.

    `pause` waits that many seconds, or less if the run is asked to stop: then it returns True.
    `StopController.wait` is one.
    """

    total_s: float
    pause: Callable[[float], bool]
    clock: Callable[[], float] = time.monotonic


def deliver_or_keep(
    store: ModelStore, unpublished: ModelStore, version: Version, patience: Patience
) -> Published:
    """Deliver a version; where that cannot be done, it stays in `unpublished`.

    If an earlier attempt left the same model there, that version is delivered, not another.

    Raises:
        ConfigError: the store does not let us in.
        ServiceError: the store stayed away, or refused; not worth a retry at once.
        StopRequested: while the store was away.
        All say where the version is kept.
    """
    version = _left_by_earlier_attempt(unpublished, version) or version
    write_files(unpublished, version)
    try:
        published = _deliver_patiently(store, version, patience)
    except GnnTrainerError as exc:
        raise _with_whereabouts(exc, f"{unpublished.location}/{version.prefix}") from exc
    discard(unpublished, version)
    return published


def versions_kept(unpublished: ModelStore) -> Iterator[Version]:
    """Every whole version that waits for its delivery, by model and time."""
    for key in unpublished.keys(""):
        model_name, _, rest = key.partition("/")
        name, _, file = rest.partition("/")
        if file != MANIFEST:
            continue
        try:
            yield read_version(files_in(unpublished, model_name, name))
        except ArtifactError as exc:
            logger.warning("a version that waits in %s is damaged: %s", unpublished.location, exc)


def discard(unpublished: ModelStore, version: Version) -> None:
    """Let go of a version that was delivered; its manifest first, so that no half is left."""
    for name in sorted(version.files, key=lambda name: name != MANIFEST):
        unpublished.remove(f"{version.prefix}/{name}")


def _left_by_earlier_attempt(unpublished: ModelStore, version: Version) -> Version | None:
    kept = [item for item in versions_kept(unpublished) if _is_same_model(item, version)]
    return kept[-1] if kept else None


def _is_same_model(one: Version, other: Version) -> bool:
    return one.model_name == other.model_name and all(
        one.files.get(name) == other.files[name] for name in _SAME_MODEL
    )


def _deliver_patiently(store: ModelStore, version: Version, patience: Patience) -> Published:
    deadline = patience.clock() + patience.total_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return deliver(store, version)
        except TransientServiceError as exc:
            left_s = deadline - patience.clock()
            if left_s <= 0:
                raise
            pause_s = min(pause_s, left_s)
            logger.warning("%s; trying again in %.0f s, for %.0f s", exc, pause_s, left_s)
        if patience.pause(pause_s):
            raise StopRequested(f"stopped while {store.location} was away")
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _with_whereabouts(error: GnnTrainerError, place: str) -> GnnTrainerError:
    kept = f"the model is kept in {place}; `gnn-trainer publish` delivers it"
    match error:
        case ConfigError():
            return ConfigError([*error.problems, kept])
        case StopRequested():
            return StopRequested(f"{error}; {kept}")
        case _:
            return ServiceError(f"{error}; {kept}")
