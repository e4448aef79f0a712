"""Who fits the folds of a walk-forward: WALK_FORWARD_RUNNER, and how each is started and stopped.

One way to stop for all of them: a walk that is asked to stop says so in the state of its own flow
run, and every fold, wherever it is, looks at that state.
"""

import contextvars
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import Task, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import TaskRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.folds import FoldAnswer, FoldOrder, judge_fold
from flows.parcels import store_of
from flows.run import Run
from flows.watch import POLL_S, comes_again, own_run
from gnn_trainer.control import StopController
from gnn_trainer.errors import ConfigError, ServiceError, StopRequested
from gnn_trainer.machine import THREAD_VARIABLES, usable_cores
from gnn_trainer.services import WalkForwardSettings

logger = logging.getLogger("gnn_trainer.runners")

AnyRunner = TaskRunner[Any]  # of futures of its own kind
FoldTask = Task[[FoldOrder], FoldAnswer]
ELSEWHERE = ("dask", "ray", "deployments")  # may be on machines that share no workspace


def fold_task(run: Run) -> FoldTask:
    """What is submitted for each fold. Results are kept where the other tasks' are."""
    results = (run.settings.workspace / "results").resolve()
    if run.settings.walk_forward.runner == "deployments":
        return _order_fold(run)
    return judge_fold.with_options(result_storage=results)


def make_runner(settings: WalkForwardSettings, folds: int) -> AnyRunner:
    """The task runner that the settings name, not started yet.

    Raises:
        ConfigError: it is not installed.
    """
    workers = min(folds, settings.workers or usable_cores())
    match settings.runner:
        case "threads":
            return ThreadPoolTaskRunner(max_workers=1)
        case "processes":
            return ProcessPoolTaskRunner(
                max_workers=workers, initializer=_be_a_worker, initargs=(workers,)
            )
        case "deployments":
            return ThreadPoolTaskRunner(max_workers=folds)  # each waits for a flow run
        case "dask":
            return _dask(settings.address, workers)
        case "ray":
            return _ray(settings.address, workers)


def _be_a_worker(workers: int) -> None:
    """Share the threads that the walk may have, and leave Ctrl-C, which a terminal sends to us all,
    to the walk."""
    for name in THREAD_VARIABLES:
        outermost, *nested = os.environ[name].split(",")
        os.environ[name] = ",".join((str(max(1, int(outermost) // workers)), *nested))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _dask(address: str | None, workers: int) -> AnyRunner:
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as exc:
        raise ConfigError(_not_installed("dask", exc)) from exc
    here = {"n_workers": workers, "threads_per_worker": 1}
    runner: AnyRunner = DaskTaskRunner(
        address=address, cluster_kwargs=None if address is not None else here
    )
    return runner


def _ray(address: str | None, workers: int) -> AnyRunner:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as exc:
        raise ConfigError(_not_installed("ray", exc)) from exc
    here = {"num_cpus": workers, "include_dashboard": False}
    runner: AnyRunner = RayTaskRunner(
        address=address, init_kwargs=None if address is not None else here
    )
    return runner


def _not_installed(runner: str, error: ImportError) -> str:
    return (
        f"WALK_FORWARD_RUNNER={runner} needs a package that is not installed ({error.name}); "
        f"install gnn-trainer[{runner}], or choose threads or processes"
    )


@contextmanager
def travelling_light() -> Iterator[None]:
    """Take the parameters of this task out of its context, which is sent along with every fold:
    the run among them holds connections."""
    context = TaskRunContext.get()
    assert context is not None
    with context.model_copy(update={"parameters": {}}):
        yield


@contextmanager
def passing_on(stop: StopController) -> Iterator[None]:
    """While this lasts, a stop of the walk becomes the state of its flow run, for every fold.

    Not where the runner ends this attempt because the walk goes on elsewhere: Prefect has given
    the run its next state by then.
    """
    over = threading.Event()
    context = contextvars.copy_context()  # the thread must know the API's address
    run_id = own_run().id

    def watch() -> None:
        while not over.is_set():
            if not stop.wait(POLL_S):
                continue
            if not comes_again():
                with get_client(sync_client=True) as client:
                    _cancel(client, run_id)
            return

    thread = threading.Thread(target=context.run, args=(watch,), name="passing on", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cancel(client: SyncPrefectClient, run_id: Any) -> None:
    try:
        client.set_flow_run_state(run_id, Cancelling(message="asked to stop"))
    except (httpx.HTTPError, ObjectNotFound) as exc:
        logger.warning("folds elsewhere may go on: %s", type(exc).__name__)


def _order_fold(run: Run) -> FoldTask:
    """A task that has a fold done by a flow run of the deployment, and waits for it."""
    deployment, stop = run.settings.walk_forward.deployment, run.session.stop

    @task(task_run_name="{order.name}", persist_result=False)
    def order_fold(order: FoldOrder) -> FoldAnswer:
        with get_client(sync_client=True) as client:
            flow_run = _ordered(client, order, deployment)
            flow_run = _finished(client, flow_run, stop)
        stop.check()
        if flow_run.state is None or not flow_run.state.is_completed():
            raise ServiceError(
                f"{order.name} ended as {flow_run.state_name} in the flow run {flow_run.name}; "
                "its log says why"
            )
        return FoldAnswer.model_validate_json(store_of(run.settings).read(order.answer_key))

    return order_fold


def _ordered(client: SyncPrefectClient, order: FoldOrder, deployment: str) -> FlowRun:
    """The fold's flow run; the same one for a walk that was evicted and comes again.

    Raises:
        ConfigError: there is no such deployment.
    """
    try:
        found = client.read_deployment_by_name(deployment)
    except ObjectNotFound as exc:
        raise ConfigError(
            f"Prefect knows no deployment {deployment!r}; deploy flows/fold.py:fold, or name "
            "another one in WALK_FORWARD_DEPLOYMENT"
        ) from exc
    return client.create_flow_run_from_deployment(
        found.id,
        parameters={"order": order.model_dump(mode="json")},
        name=f"{order.config.model_name} {order.name}",
        tags=[order.config.model_name],
        idempotency_key=order.answer_key,
    )


def _finished(client: SyncPrefectClient, flow_run: FlowRun, stop: StopController) -> FlowRun:
    """Wait for the end of a flow run, and cancel it when the walk stops: it may not have begun."""
    never = threading.Event()
    is_cancelled = False
    while flow_run.state is None or not flow_run.state.is_final():
        if stop.is_requested and comes_again():
            raise StopRequested("the walk goes on elsewhere, and so does this fold")
        if stop.is_requested and not is_cancelled:
            _cancel(client, flow_run.id)
            is_cancelled = True
        never.wait(POLL_S)
        flow_run = client.read_flow_run(flow_run.id)
    return flow_run
