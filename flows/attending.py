"""What surrounds the work of a flow run: its session, everybody who may stop it, and its state."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.states import Cancelled
from rich.console import Console

from flows.session import Session, make_reporter, open_now, open_session
from flows.signals import obeying_signals
from flows.watch import (
    comes_again,
    has_orders,
    is_supervised,
    obeying_prefect,
    own_run,
    signal_source,
)
from gnn_trainer.control import StopController
from gnn_trainer.environment import ConfigProblems
from gnn_trainer.errors import StopRequested
from gnn_trainer.settings import (
    GENERATED_QUEUE_ID,
    Settings,
    process_environment,
    read_settings,
    read_telemetry_settings,
)
from gnn_trainer.telemetry.journal import open_journal
from gnn_trainer.telemetry.reporter import Reporter


@contextmanager
def attended() -> Iterator[Session]:
    """The session of this flow run, which from here on can be stopped by anybody who may.

    A stop ends the block quietly: the flow goes on behind it and returns `cancelled(session)`.
    Where a runner ordered the end, its signal is raised again, as the runner expects.
    """
    with ExitStack() as stack:
        session = open_now()
        if session is None:
            flow_run = own_run()
            opening = open_session(settings_of(flow_run.id), StopController(), flow_run.run_count)
            session = stack.enter_context(opening)
        if is_supervised():
            logging.getLogger("prefect.flow_runs").addFilter(_is_news)
            Console.on_broken_pipe = _go_on_unheard  # type: ignore[method-assign]
        else:
            stack.enter_context(obeying_signals(session.stop))
        stack.enter_context(obeying_prefect(session.stop))
        try:
            yield session
        except StopRequested:
            if has_orders():
                raise TerminationSignal(signal=signal.SIGTERM) from None
        except TerminationSignal:
            session.stop.request(signal_source())
            session.comes_again = comes_again()
            if has_orders():
                raise


def _is_news(record: logging.LogRecord) -> bool:
    """Not Prefect's surprise, with traceback, at the Cancelled that we returned ourselves."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledRun))


def _go_on_unheard(self: Console) -> None:
    """The worker that read our output was killed; rich would end the process, and so the run."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def cancelled(session: Session) -> State[Any]:
    """What a stopped flow returns, so that Prefect shows it as Cancelled."""
    return Cancelled(message=f"interrupted: stopped by {session.stop.source}")


def settings_of(run_id: UUID) -> Settings:
    """Settings of a flow run that no command started: what is not given follows from its id.

    Where the configuration is bad but its telemetry is good, these are the settings that can tell.

    Raises:
        ConfigProblems: not even that much is good.
    """
    settings, problems = read_settings(process_environment())
    settings = settings or read_telemetry_settings(process_environment())
    if settings is None:
        raise ConfigProblems(problems)
    if "queue_id" in settings.model_fields_set:
        return settings
    # The same in every attempt and in the hooks below.
    return settings.model_copy(update={"queue_id": f"{GENERATED_QUEUE_ID}{run_id.hex[:8]}"})


def tell_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook: the ending of a run whose process was killed because it was to be cancelled."""
    with _for_the_dead(flow_run) as reporter:
        if reporter is not None:
            reporter.interrupted("cancelled in Prefect")


def tell_crash(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook: the ending of a run whose process is gone and that nobody will start again."""
    with _for_the_dead(flow_run) as reporter:
        if reporter is not None:
            reporter.error("Crashed", state.message or "the process of the run is gone")


@contextmanager
def _for_the_dead(flow_run: FlowRun) -> Iterator[Reporter | None]:
    """Tells the ending of a run that cannot tell it any more; None where it was told.

    What it had told is known from its journal, if the workspace is shared. Without one it had
    told nothing that we know of: its infrastructure failed before it began, or took the
    workspace with it.
    """
    if open_now() is not None:
        yield None  # alive: these hooks run in its own process, and its session tells
        return
    settings = settings_of(flow_run.id)
    journal = open_journal(settings.workspace, settings.queue_id, time.time())
    if journal.past is not None and not journal.past.is_abandoned:
        journal.close()
        yield None
        return
    reporter = make_reporter(settings, journal, same_attempt=journal.past is not None)
    try:
        yield reporter
    finally:
        reporter.close()
