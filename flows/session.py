"""One run as the outside sees it: who it is, what it tells, and who asked it to stop.

A session is opened before anything that can fail or take time, and closed after everything, so
that every run that began also ends in the eyes of whoever follows its events. No Prefect here:
the command opens it before Prefect is imported.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from flows.signals import CTRL_C, SIGTERM
from gnn_trainer.cli import INTERRUPTED, SUCCESS
from gnn_trainer.control import StopController
from gnn_trainer.errors import StopRequested
from gnn_trainer.progress import Progress
from gnn_trainer.settings import Settings, private_texts
from gnn_trainer.telemetry.commands import Command
from gnn_trainer.telemetry.events import Identity

if TYPE_CHECKING:
    from gnn_trainer.ports import EventSink
    from gnn_trainer.telemetry.journal import Journal
    from gnn_trainer.telemetry.reporter import Reporter

logger = logging.getLogger("gnn_trainer.session")

KAFKA = "kafka"
TERMINATED = 143
DELIVERY_TIMEOUT_S = 5.0  # of events that are still on their way at the end
_EXIT_CODES = {SIGTERM: TERMINATED, CTRL_C: INTERRUPTED}
_EARLY_COMMANDS_MS = 2_000  # sent while the process was being started, by clocks that differ
_PROCESS_BEGAN_MS = time.time_ns() // 1_000_000

_open: ContextVar["Session | None"] = ContextVar("session", default=None)


class Session:
    """Shared by everything in one run. A context manager that tells the ending nobody told."""

    def __init__(self, settings: Settings, stop: StopController, reporter: "Reporter") -> None:
        self.settings = settings
        self.stop = stop
        self.reporter = reporter
        self.stage = "starting"
        self.comes_again = False  # another attempt follows, so this one has no ending

    def enter(self, stage: str, message: str) -> None:
        """A stage begins.

        Raises:
            StopRequested: it shall not.
        """
        self.stop.check()
        self.stage = stage
        self.reporter.loading(stage, message, 0.0)

    def on_progress(self, progress: Progress, /) -> None:
        """A ProgressListener; what a stage calls its steps becomes the message."""
        self.reporter.loading(self.stage, progress.stage, progress.fraction, **progress.fields)

    @property
    def exit_code(self) -> int:
        """Of a run that was stopped: 0 if by command, so that nobody starts it again."""
        return _EXIT_CODES.get(self.stop.source, SUCCESS)

    def obey(self, command: Command) -> None:
        """Do what came by Kafka and is addressed to us; in the listener's thread."""
        if command.name == "stop":
            self.stop.request(KAFKA, command.reason)
        elif command.name == "ping":
            self.reporter.pong(command.sent_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.comes_again:
            self._end(error)
        delivery = self.reporter.close(DELIVERY_TIMEOUT_S)
        line = f"events: {delivery.sent} delivered, {delivery.undelivered} not delivered"
        logger.log(logging.WARNING if delivery.undelivered else logging.INFO, line)
        Console().print(line)

    def _end(self, error: BaseException | None) -> None:
        """Has no effect where the ending was told already."""
        if self.stop.is_requested or isinstance(error, StopRequested | KeyboardInterrupt):
            self.reporter.interrupted(f"stopped by {self.stop.source or CTRL_C}")
        elif error is not None:
            self.reporter.error(type(error).__name__, str(error))


def open_now() -> Session | None:
    """The session of the command or flow that this code runs in."""
    return _open.get()


@contextmanager
def open_session(settings: Settings, stop: StopController, attempt: int = 1) -> Iterator[Session]:
    """Tell `started`, and listen for commands, until the end. `attempt` is Prefect's count."""
    from gnn_trainer.telemetry.journal import open_journal  # on use: it brings polars

    journal = open_journal(settings.workspace, settings.queue_id, time.time())
    with Session(settings, stop, make_reporter(settings, journal, attempt)) as session:
        session.reporter.started(f"{settings.type} {settings.symbol}")
        token = _open.set(session)
        try:
            with _listening(session):
                yield session
        finally:
            _open.reset(token)


def make_reporter(
    settings: Settings, journal: "Journal", attempt: int = 1, *, same_attempt: bool = False
) -> "Reporter":
    """A reporter to the topic of events, or to the file that stands in for it."""
    from gnn_trainer.telemetry.reporter import Reporter

    return Reporter(
        identity_of(settings),
        _event_sink(settings),
        journal,
        private_texts=private_texts(settings),
        attempt=attempt,
        same_attempt=same_attempt,
    )


def identity_of(settings: Settings) -> Identity:
    return Identity(
        settings.queue_id, settings.symbol, settings.type, settings.telemetry_producer_id
    )


def _event_sink(settings: Settings) -> "EventSink":
    if settings.kafka is None:
        from gnn_trainer.adapters.jsonl import JsonlSink

        return JsonlSink(settings.workspace / "events.jsonl")
    from gnn_trainer.adapters.kafka_sink import KafkaSink

    return KafkaSink(settings.kafka, settings.queue_events_topic)


@contextmanager
def _listening(session: Session) -> Iterator[None]:
    """Obey the control topic, where there is one, from shortly before this process began.

    Not from before the end of an earlier run of the same queue_id: a stop then was for that one.
    """
    settings = session.settings
    if settings.kafka is None:
        yield
        return
    from gnn_trainer.adapters.kafka_control import KafkaControl

    since_ms = _PROCESS_BEGAN_MS - _EARLY_COMMANDS_MS
    if (previous_end_s := session.reporter.previous_end_s) is not None:
        since_ms = max(since_ms, int(previous_end_s * 1000))
    with KafkaControl(
        settings.kafka,
        settings.queue_control_topic,
        identity_of(settings),
        since_ms,
        session.obey,
    ):
        yield
