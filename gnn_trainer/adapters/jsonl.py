"""Events in a file of JSON lines: the EventSink of a machine without a broker."""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path

from gnn_trainer.errors import GnnTrainerError
from gnn_trainer.market.durable import storage_errors
from gnn_trainer.ports import EventSink

logger = logging.getLogger(__name__)


class JsonlSink(EventSink):
    """Appends to `path`; several processes may. A disk that refuses gives the event back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_complained = False

    def send(self, key: str, value: bytes, on_outcome: Callable[[bool], None]) -> None:
        try:
            with storage_errors(self._path):
                self._append(value)
        except GnnTrainerError as exc:
            if not self._has_complained:
                logger.warning("events cannot be written: %s", exc)
            self._has_complained = True
            on_outcome(False)
            return
        self._has_complained = False
        on_outcome(True)

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever open: an event is in the file or was given back."""
        return 0

    def close(self) -> None:
        """Nothing is held between events."""

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # a writer was killed, or the disk full, in mid-line
            line += b"\n"
            if os.write(descriptor, line) < len(line):
                os.ftruncate(descriptor, size)
                raise OSError(28, "no space left")
        finally:
            os.close(descriptor)
