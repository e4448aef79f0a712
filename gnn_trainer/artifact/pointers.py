"""latest.json and champion.json: which version of a model to take.

By themselves pointers only go forward in time. A person may move the champion anywhere, with a
reason; it then remembers the newest version it ever named, so that a publication repeated later
does not undo what the person did.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gnn_trainer.errors import ArtifactError
from gnn_trainer.ports import ModelStore

LATEST, CHAMPION = "latest", "champion"
POINTERS = (LATEST, CHAMPION)
_MOVES_KEPT = 200


class Move(BaseModel):
    """One move of the champion. `action` is `gate` where the evaluation's verdict made it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    previous: str | None
    action: Literal["gate", "promote", "rollback"]
    reason: str
    at: datetime


class Pointer(BaseModel):
    """The contents of a pointer file. Readers need `version` and, to be sure, the hash."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model_name: str
    version: str
    manifest_sha256: str
    newest: str = ""  # the newest version this pointer ever named
    moves: tuple[Move, ...] = ()  # of the champion, newest first

    @property
    def reached(self) -> str:
        """The version that a later one must be newer than."""
        return max(self.version, self.newest)

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode()


def pointer_key(model_name: str, name: str) -> str:
    return f"{model_name}/{name}.json"


def read_pointer(store: ModelStore, model_name: str, name: str) -> Pointer | None:
    """What a pointer says; None if there is none, or if it is damaged."""
    key = pointer_key(model_name, name)
    try:
        return parse_pointer(store.read(key))
    except ArtifactError:
        return None


def parse_pointer(data: bytes | None) -> Pointer | None:
    try:
        return None if data is None else Pointer.model_validate_json(data)
    except ValidationError:
        return None


def advance(store: ModelStore, name: str, pointer: Pointer, move: Move | None = None) -> bool:
    """Point at a version unless the pointer has been as far or further; returns whether it moved.

    Versions sort by time as text. A damaged pointer is replaced.
    """

    def onward(present: Pointer | None) -> Pointer | None:
        if present is not None and pointer.version <= present.reached:
            return None
        return _moved(present, pointer, move)

    return _update(store, name, pointer.model_name, onward)


def place_champion(store: ModelStore, pointer: Pointer, move: Move) -> None:
    """Point the champion at a version, older or newer, because somebody says so."""
    _update(store, CHAMPION, pointer.model_name, lambda present: _moved(present, pointer, move))


def _update(
    store: ModelStore,
    name: str,
    model_name: str,
    change: Callable[[Pointer | None], Pointer | None],
) -> bool:
    def replace(data: bytes | None) -> bytes | None:
        changed = change(parse_pointer(data))
        return None if changed is None else changed.to_json()

    return store.update(pointer_key(model_name, name), replace)


def _moved(present: Pointer | None, target: Pointer, move: Move | None) -> Pointer:
    before, reached = ((), "") if present is None else (present.moves, present.reached)
    previous = None if present is None else present.version
    made = () if move is None else (move.model_copy(update={"previous": previous}),)
    return target.model_copy(
        update={
            "newest": max(reached, target.version),
            "moves": (*made, *before)[:_MOVES_KEPT],
        }
    )
