"""What Prefect knows of our own run: whether somebody cancels it, and who is in charge of it."""

import contextvars
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect._internal.control_listener import get_intent
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from flows.signals import SIGTERM
from gnn_trainer.control import StopController
from gnn_trainer.settings import process_environment

logger = logging.getLogger("gnn_trainer.watch")

PREFECT = "prefect"
POLL_S = 1.0
CANCELLED = frozenset({StateType.CANCELLING, StateType.CANCELLED})
_LEAVE_TIMEOUT_S = 2.0


def is_supervised() -> bool:
    """Whether a runner (worker, `serve`, `prefect flow-run execute`) started this process.

    It then owns the signals: it must see its own SIGTERM acknowledged by Prefect's handler.
    """
    return process_environment().get("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS") == "false"


def has_orders() -> bool:
    """Whether the runner said what its SIGTERM is for; the run's next state is then its affair."""
    return get_intent() is not None


def comes_again() -> bool:
    """Whether the runner ends this attempt because the run goes on elsewhere (an eviction)."""
    return get_intent() in ("reschedule", "relinquish")


def signal_source() -> str:
    """Who stands behind a SIGTERM: a cancel in Prefect if the runner says so."""
    return PREFECT if get_intent() == "cancel" else SIGTERM


def own_run() -> FlowRun:
    """The flow run that this code runs in, as it was when this attempt began."""
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run


def name_run(name: str, *tags: str) -> None:
    """What people find this run by, beside the tags that it has already."""
    with get_client(sync_client=True) as client:
        run_id = own_run().id
        has = client.read_flow_run(run_id).tags
        client.update_flow_run(run_id, name=name, tags={*has, *tags})


@contextmanager
def obeying_prefect(stop: StopController) -> Iterator[None]:
    """A cancel of our own run, pressed in the UI, is a request to stop."""
    with following(own_run().id, stop):
        yield


@contextmanager
def following(
    run_id: UUID, stop: StopController, ends: frozenset[StateType] = CANCELLED
) -> Iterator[None]:
    """Look at a run's state every POLL_S; one of `ends` is a request to stop."""
    done = threading.Event()
    context = contextvars.copy_context()  # the thread must know the API's address
    watch = threading.Thread(
        target=context.run, args=(_watch, run_id, stop, done, ends), name="prefect", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join(_LEAVE_TIMEOUT_S)  # longer only while the API does not answer


def _watch(
    run_id: UUID, stop: StopController, done: threading.Event, ends: frozenset[StateType]
) -> None:
    is_silent = False
    with get_client(sync_client=True) as client:
        while not done.wait(POLL_S):
            try:
                state = client.read_flow_run(run_id).state
            except (httpx.HTTPError, ObjectNotFound) as exc:
                if not is_silent:
                    logger.warning("a cancel in Prefect may go unnoticed: %s", type(exc).__name__)
                is_silent = True
                continue
            is_silent = False
            if state is not None and state.type in ends:
                stop.request(PREFECT, f"{state.name} in Prefect")
                return
