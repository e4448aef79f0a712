"""Showing progress: bars on a terminal, a log line every few seconds elsewhere, and a Prefect
artifact while training. Each is a `progress.ProgressListener`: told often, it shows the newest.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from gnn_trainer.progress import Progress, ProgressListener

logger = logging.getLogger("gnn_trainer.progress")

LOG_EVERY_S = 5.0
PUSH_EVERY_S = 1.5


@cache
def terminal() -> Console:
    """Where progress and errors go: standard error, so that the summary can be piped."""
    return Console(stderr=True)


@contextmanager
def shown_progress(console: Console, *, as_lines: bool = False) -> Iterator[ProgressListener]:
    """Bars if the console is a terminal and nobody wants lines; else log lines."""
    if as_lines or not console.is_terminal:
        yield LogLines()
        return
    columns = (TextColumn("{task.description:<14}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Bars(*columns, TimeElapsedColumn(), console=console) as bars:
        yield TerminalBars(bars)


@contextmanager
def tamed_prefect(console: Console) -> Iterator[None]:
    """Make Prefect's log lines fit for a person who waits in front of a command: on a terminal only
    warnings are left, and they do not tear progress bars apart.
    """
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, PrefectConsoleHandler)]
    before = [(handler, handler.console, handler.level) for handler in handlers]
    for handler in handlers:
        if console.is_terminal:
            handler.console = console
            handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler, own_console, level in before:
            handler.console = own_console
            handler.setLevel(level)


class TerminalBars:
    """One bar per stage."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._rows: dict[str, TaskID] = {}

    def __call__(self, progress: Progress, /) -> None:
        row = self._rows.get(progress.stage)
        if row is None:
            row = self._bars.add_task(progress.stage, note="")
            self._rows[progress.stage] = row
        self._bars.update(
            row, completed=progress.done, total=progress.total, note=describe(progress)
        )


class LogLines:
    """A line per stage when it has done something, every LOG_EVERY_S after that, and at its end.

    A stage that goes from nothing to everything in less than LOG_EVERY_S has no lines: its end
    is told by others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s: dict[str, float] = {}  # by stage
        self._spoken: set[str] = set()
        self._finished: set[str] = set()

    def __call__(self, progress: Progress, /) -> None:
        now, stage = self._clock(), progress.stage
        is_whole = progress.done >= progress.total
        if stage not in self._last_s and (is_whole or not progress.done):
            self._last_s[stage] = now
        is_due = now - self._last_s.get(stage, -LOG_EVERY_S) >= LOG_EVERY_S
        is_end = is_whole and stage in self._spoken - self._finished
        if is_due or is_end:
            self._last_s[stage] = now
            self._spoken.add(stage)
            if is_whole:
                self._finished.add(stage)
            logger.info(
                "%s %.0f %%: %s",
                stage,
                100 * progress.fraction,
                describe(progress),
                extra={"fields": {"stage": stage, **progress.fields}},
            )


def describe(progress: Progress) -> str:
    """`epoch 3, loss 0.91, eta_s 12`: the figures in the order they were given."""
    return ", ".join(f"{name} {_short(value)}" for name, value in progress.fields.items())


def _short(value: float | int | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.4g}"


class TrainingArtifact:
    """A Prefect progress artifact, updated in the background so that no epoch waits for the API."""

    def __init__(self, key: str, push_every_s: float = PUSH_EVERY_S) -> None:
        self._key = key
        self._push_every_s = push_every_s
        self._newest: Progress | None = None
        self._is_whole = False
        self._done = threading.Event()
        context = contextvars.copy_context()  # the thread must know the run and the API's address
        self._thread = threading.Thread(target=context.run, args=(self._push,), daemon=True)

    def __call__(self, progress: Progress, /) -> None:
        self._newest = progress

    def __enter__(self) -> "TrainingArtifact":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_whole = kind is None  # also where training stopped early
        self._done.set()
        self._thread.join()

    def _push(self) -> None:
        try:
            self._push_until_done()
        except httpx.HTTPError as exc:
            logger.warning("no more training progress in Prefect's UI: %s", exc)

    def _push_until_done(self) -> None:
        artifact = create_progress_artifact(0.0, key=self._key, description="training")
        assert isinstance(artifact, UUID)  # not a coroutine: this thread has no event loop
        pushed: Progress | None = None
        is_last = False
        while not is_last:
            is_last = self._done.wait(self._push_every_s)
            newest = self._newest
            if newest is not None and (newest is not pushed or is_last):
                share = 1.0 if is_last and self._is_whole else newest.fraction
                update_progress_artifact(artifact, 100 * share, description=describe(newest))
                pushed = newest


@contextmanager
def training_artifact(key: str, also: ProgressListener) -> Iterator[ProgressListener]:
    """Tell both the artifact and another listener."""
    with TrainingArtifact(key) as artifact:
        yield both(artifact, also)


def both(one: ProgressListener, other: ProgressListener) -> ProgressListener:
    """One listener that tells two."""

    def tell_both(progress: Progress, /) -> None:
        one(progress)
        other(progress)

    return tell_both
