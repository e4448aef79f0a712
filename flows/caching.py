"""When is work the same work: cache keys, and tasks whose results are kept by them.

A key names the task and hashes three things: what the task was asked for, the source text of the
rooms that do the work, and the versions of the libraries they stand on. The text is hashed, not a
version constant that somebody must remember to raise; docs/decisions.md weighs the two.
"""

import hashlib
import json
import logging
import random
from collections.abc import Callable
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.states import Cancelled
from prefect.transactions import get_transaction
from pydantic_core import to_jsonable_python

import gnn_trainer
from flows.session import open_now
from gnn_trainer.errors import GnnTrainerError, StopRequested

logger = logging.getLogger("gnn_trainer.tasks")

P = ParamSpec("P")
R = TypeVar("R")

FETCHING = ("market", "adapters")
RELATIONS = ("adapters", "collecting.py", "graph")
FEATURES = ("market", "features", "compiled.py")
GRAPH = (*FEATURES, "graph")
_CALIBRATION = tuple(f"evaluation/{name}.py" for name in ("calibration", "metrics", "novelty"))
TRAINING = (*GRAPH, "model", "training", *_CALIBRATION, "artifact/bundle.py")
EVALUATION = (*TRAINING, "evaluation", "artifact/standing.py", "artifact/trials.py")
PUBLISHING = (*EVALUATION, "report", "artifact")

_LIBRARIES = (
    "lightgbm",
    "numba",
    "numpy",
    "polars",
    "scikit-learn",
    "statsmodels",
    "torch",
    "torch-geometric",
)
_TRANSIENT_RETRIES = 3
_BACKOFF_S = 1.0  # waits 1, 2, 4 s, half as much again at most: an adapter has retried before


def cached_task(
    run_name: str,
    *,
    rooms: tuple[str, ...],
    by: Callable[..., object],
    retried: bool = False,
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A Prefect task whose result, a small pydantic reference, is kept as JSON in the workspace.

    `by` takes the task's parameters and returns what the result depends on besides the code in
    `rooms`. `retried` tasks run again after errors that call themselves transient. A task that
    is stopped, also between two tries, ends as Cancelled, and is not cached.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        def key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
            return cache_key(function.__name__, rooms, by(**parameters))

        make = task(
            task_run_name=run_name,
            cache_policy=CacheKeyFnPolicy(cache_key_fn=key),
            persist_result=True,
            result_serializer="json",
            retries=_TRANSIENT_RETRIES if retried else 0,
            retry_condition_fn=is_worth_a_retry,
        )
        return make(_cancelled_by_stop(function))

    return decorate


def _cancelled_by_stop(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def task_function(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _pause_before_retry()
            return function(*args, **kwargs)
        except StopRequested as exc:
            # Prefect takes a returned state for the task's own, and would keep it as a result.
            if (transaction := get_transaction()) is not None:
                transaction.write_on_commit = False
            return cast(R, Cancelled(message=str(exc)))

    return task_function


def _pause_before_retry() -> None:
    """Back off before another try. Not by Prefect's own delay, which no stop would cut short."""
    context, session = TaskRunContext.get(), open_now()
    failures = 0 if context is None else context.task_run.run_count - 1
    if failures > 0 and session is not None:
        pause_s = _BACKOFF_S * 2 ** (failures - 1) * random.uniform(1.0, 1.5)
        logger.info("trying %s again in %.0f s", session.stage, pause_s)
        session.stop.wait(pause_s)
        session.stop.check()


def cache_key(task_name: str, rooms: tuple[str, ...], asked_for: object) -> str:
    """`<task>-<32 hex>`: a file name that says whose result it holds."""
    text = json.dumps([code_version(rooms), to_jsonable_python(asked_for)], sort_keys=True)
    return f"{task_name}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@cache
def code_version(rooms: tuple[str, ...]) -> str:
    """sha256 over the source files of some rooms of the package and the library versions."""
    package = Path(gnn_trainer.__file__).parent
    digest = hashlib.sha256("".join(f"{name} {_version_of(name)}" for name in _LIBRARIES).encode())
    for room in rooms:
        sources = sorted(_sources(package / room)) or [package / room]
        for source in sources:
            digest.update(f"{source.relative_to(package)}\0".encode() + source.read_bytes())
    return digest.hexdigest()


def _version_of(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # numba: without it, the same comes out of plainer code
        return "absent"


def _sources(room: Path) -> list[Path]:
    """Everything that is written by hand in a room: code and templates."""
    return [path for kind in ("*.py", "*.html", "*.css") for path in room.rglob(kind)]


def is_worth_a_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Only errors of our own tree that say so; Prefect hands us the failed state."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, GnnTrainerError) and error.is_transient
