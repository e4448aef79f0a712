"""A Prefect server, a process work pool with our deployment, and workers: all real processes."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from gnn_trainer.config import TrainConfig
from gnn_trainer.exchange.process import RunningExchange
from tests.adapters.kafka_brokers import MockBroker
from tests.flows.service import Service
from tests.flows.subprocesses import DEADLINE_S, ROOT, TrainProcess

POOL = "processes"
DEPLOYMENT = "train/train"
_POLL_S = 0.1


@dataclass
class ProcessPool:
    """Makes runs of the deployment `train`, and workers that take them. A context manager."""

    api_url: str
    broker: MockBroker
    exchange: RunningExchange
    folder: Path
    runs: list[UUID] = field(default_factory=list)
    _worker: TrainProcess | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    def worker(self) -> TrainProcess:
        """`prefect worker start`; the same one until it was killed."""
        if self._worker is None or not self._worker.is_alive:
            start = ("worker", "start", "--pool", POOL, "--type", "process")
            process = self._prefect(*start, PREFECT_WORKER_QUERY_SECONDS="1")
            self._worker = self._opened.enter_context(process)
            self._worker.wait_for_line("started!")
        return self._worker

    def new_run(
        self, service: Service, config: dict[str, Any], state: State[Any] | None = None
    ) -> UUID:
        """A run of the deployment as a person or a schedule makes one, with a queue_id.

        Without a `state` it is due now, and any worker takes it.
        """
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(
                client.read_deployment_by_name(DEPLOYMENT).id,
                parameters={"config": TrainConfig.model_validate(config).model_dump(mode="json")},
                job_variables={"env": service.environ},
                state=state,
            )
        self.runs.append(run.id)
        return run.id

    def deploy(self) -> None:
        """As for Kubernetes, with another work pool and the folder where the code is here."""
        plan = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        plan["pull"] = [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        ]
        file = self.folder / "prefect.yaml"
        file.write_text(yaml.safe_dump(plan))
        self._command("work-pool", "create", POOL, "--type", "process")
        self._command("deploy", "--prefect-file", str(file), "--name", "train", "--pool", POOL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left of workers and runs; each is a process group of its own."""
        self._opened.close()
        for run in map(run_of, self.runs):
            if run.infrastructure_pid:
                with suppress(ProcessLookupError):
                    os.killpg(int(run.infrastructure_pid), signal.SIGKILL)

    def _command(self, *arguments: str) -> None:
        with self._prefect(*arguments, GNN_TRAINER_IMAGE="unused") as command:
            code = command.wait()
        assert code == 0, command.text

    def _prefect(self, *arguments: str, **variables: str) -> TrainProcess:
        environ = {"PREFECT_API_URL": self.api_url, "PREFECT_HOME": str(self.folder)}
        return TrainProcess(ROOT, environ | variables, "-m", "prefect", *arguments)


@contextmanager
def process_pool(
    broker: MockBroker, exchange: RunningExchange, folder: Path
) -> Iterator[ProcessPool]:
    """A pool that has the deployment and no worker yet, on a server of its own."""
    with (
        serving(folder) as api_url,
        temporary_settings({PREFECT_API_URL: api_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
        ProcessPool(api_url, broker, exchange, folder) as pool,
    ):
        pool.deploy()
        yield pool


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`prefect server start`; yields the address of its API when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    api_url = f"http://127.0.0.1:{port}/api"
    variables = {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    start = ("-m", "prefect", "server", "start", "--port", str(port))
    with TrainProcess(folder, variables, *start) as server:
        try:
            with temporary_settings({PREFECT_API_URL: api_url}):
                _wait_until(_answers, lambda: server.text)
            yield api_url
        finally:
            server.send_to_group(signal.SIGKILL)  # it serves in a child process


def run_of(run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def wait_for_state(run_id: UUID, wanted: StateType) -> FlowRun:
    """The run as soon as it is in that state."""
    _wait_until(lambda: run_of(run_id).state_type == wanted, lambda: f"{run_of(run_id).state!r}")
    return run_of(run_id)


def wait_for_process(run_id: UUID) -> int:
    """The process of a run, as soon as the worker has told Prefect which one it is."""
    _wait_until(
        lambda: run_of(run_id).infrastructure_pid is not None, lambda: "no worker took the run"
    )
    return int(str(run_of(run_id).infrastructure_pid))


def _answers() -> bool:
    with get_client(sync_client=True) as client:
        return client.api_healthcheck() is None


def _wait_until(is_so: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(_POLL_S)
