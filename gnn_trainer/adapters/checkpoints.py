"""Checkpoints beside the models, so that a run resumes on another machine."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from gnn_trainer.adapters.keys import as_segment
from gnn_trainer.errors import ArtifactError, GnnTrainerError
from gnn_trainer.market.durable import write_whole, writing_in
from gnn_trainer.ports import ModelStore

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"


class CheckpointMirror:
    """Copies of a run's checkpoint files under `checkpoints/<queue_id>/` of a store.

    `put` returns at once: a thread copies, and of files that come faster than they can be sent
    the newest is sent. A store that is away costs a warning, never the training. A context
    manager; leaving it waits for the copy under way, `close_timeout_s` at most.
    """

    def __init__(self, store: ModelStore, queue_id: str, *, close_timeout_s: float = 10.0) -> None:
        self._store = store
        self._folder = f"{FOLDER}/{as_segment(queue_id)}"
        self._close_timeout_s = close_timeout_s
        self._changed = threading.Condition()
        self._waiting: tuple[str, bytes] | None = None
        self._sending = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def fetch(self, path: Path, epochs_in: Callable[[Path], int]) -> bool:
        """Replace the checkpoint at `path` by its copy if that has come further.

        `epochs_in` counts the completed epochs of a checkpoint file, 0 for one that is absent or
        of no use. Returns whether `path` was replaced.
        """
        candidate = path.with_name(f"{path.name}.fetched")
        try:
            data = self._store.read(self._key(path))
            with writing_in(path.parent):
                write_whole(candidate, data)
                if epochs_in(candidate) <= epochs_in(path):
                    return False
                candidate.replace(path)
        except ArtifactError:
            return False  # there is none: the usual beginning
        except GnnTrainerError as exc:
            logger.warning("no checkpoint can be fetched: %s", exc)
            return False
        finally:
            candidate.unlink(missing_ok=True)
        logger.info("resuming from the checkpoint in %s", self._store.location)
        return True

    def put(self, path: Path) -> None:
        """Copy a checkpoint as it is now, in the background."""
        data = path.read_bytes()
        with self._changed:
            self._waiting = (self._key(path), data)
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is left to copy; returns whether that came in time."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def remove(self) -> None:
        """Take away every copy of this run: its model is published."""
        with self._changed:
            self._waiting = None
        self.flush(self._close_timeout_s)
        try:
            for key in self._store.keys(f"{self._folder}/"):
                self._store.remove(key)
        except GnnTrainerError as exc:
            logger.warning("checkpoints remain in %s: %s", self._store.location, exc)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(self._close_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _key(self, path: Path) -> str:
        return f"{self._folder}/{as_segment(path.name)}"

    def _is_idle(self) -> bool:
        return self._waiting is None and not self._sending

    def _work(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._store.put_bytes(*item)
            except GnnTrainerError as exc:
                logger.warning("the checkpoint was not copied: %s", exc)
            with self._changed:
                self._sending = False
                self._changed.notify_all()

    def _next(self) -> tuple[str, bytes] | None:
        """The newest checkpoint to send; waits for one, None when closed and all is sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            item, self._waiting = self._waiting, None
            self._sending = item is not None
            return item
