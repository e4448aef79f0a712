"""What must outlive a killed process: the last number used, and the events not yet delivered.

One small file per run under `<WORKSPACE>/telemetry/`, replaced whole at each event. A lock tells a
living run from a killed one, so two workers with one queue_id keep a file each.
"""

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gnn_trainer.errors import GnnTrainerError
from gnn_trainer.market.durable import storage_errors, write_whole

logger = logging.getLogger(__name__)

_KEPT_S = 7 * 86_400
_MOST_WORKERS = 64  # that share a workspace and a queue_id


class Record(BaseModel):
    """The file's content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_id: str
    attempt: int = Field(ge=1)
    seq: int = Field(ge=0)  # of the newest event
    timestamp: float  # of the newest event, unix seconds
    ended: bool  # whether that was an ending
    undelivered: tuple[str, ...]  # whole events, oldest first

    @property
    def is_abandoned(self) -> bool:
        """Of a run that was killed: it began and never ended."""
        return self.seq > 0 and not self.ended


class Journal:
    """The record of one run. `past` is what an earlier run of the same queue_id left.

    Without a file (the folder cannot be written) everything works but the surviving.
    """

    def __init__(self, queue_id: str, path: Path | None, lock: int | None) -> None:
        self.queue_id = queue_id
        self.past = _read(path, queue_id)
        self._path = path
        self._lock = lock

    def save(
        self, *, attempt: int, seq: int, timestamp: float, ended: bool, undelivered: Sequence[str]
    ) -> None:
        """Remember this in place of what was; a disk that refuses is logged once."""
        if self._path is None:
            return
        record = Record(
            queue_id=self.queue_id,
            attempt=attempt,
            seq=seq,
            timestamp=timestamp,
            ended=ended,
            undelivered=tuple(undelivered),
        )
        try:
            write_whole(self._path, record.model_dump_json().encode())
        except GnnTrainerError as exc:
            logger.warning("telemetry goes on without surviving a kill: %s", exc)
            self._path = None

    def close(self) -> None:
        """Let the next run of this queue_id have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_journal(workspace: Path, queue_id: str, now: float) -> Journal:
    """The journal of a killed run of this queue_id if there is one, else a free one."""
    try:
        with storage_errors(workspace):
            _folder(workspace).mkdir(parents=True, exist_ok=True)
            _forget_old(_folder(workspace), now)
            free = list(_free_journals(workspace, queue_id))
    except GnnTrainerError as exc:
        logger.warning("telemetry will not survive a kill: %s", exc)
        return Journal(queue_id, None, None)
    chosen = next((journal for journal in free if journal.past and journal.past.is_abandoned), None)
    chosen = chosen or next(iter(free), Journal(queue_id, None, None))
    for journal in free:
        if journal is not chosen:
            journal.close()
    return chosen


def _free_journals(workspace: Path, queue_id: str) -> Iterator[Journal]:
    """Every journal of this queue_id that no living run holds, up to the first new one."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "_", queue_id)[:60]
    digest = hashlib.sha256(queue_id.encode()).hexdigest()[:12]
    for worker in range(_MOST_WORKERS):
        path = _folder(workspace) / f"{readable}-{digest}-{worker}.json"
        is_new = not path.exists()
        lock = _try_lock(path)
        if lock is not None:
            yield Journal(queue_id, path, lock)
            if is_new:
                return


def _folder(workspace: Path) -> Path:
    return workspace / "telemetry"


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock of this journal, or None while another run does."""
    name = path.with_suffix(".lock")
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if name.exists() and os.path.samestat(os.fstat(descriptor), name.stat()):
            return descriptor
        os.close(descriptor)  # removed between our opening and our locking


def _forget_old(folder: Path, now: float) -> None:
    old = [path for path in folder.glob("*.json") if now - path.stat().st_mtime > _KEPT_S]
    for path in old:
        if (lock := _try_lock(path)) is not None:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)
            os.close(lock)


def _read(path: Path | None, queue_id: str) -> Record | None:
    if path is None:
        return None
    try:
        record = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        logger.warning("%s is damaged; counting events from 1", path.name)
        return None
    return record if record.queue_id == queue_id else None
