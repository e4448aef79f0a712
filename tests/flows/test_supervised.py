"""Runs under Prefect's own supervisor, as a worker's process or a pod of a work pool has it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Cancelling, Pending

from flows.train import train
from gnn_trainer.config import TrainConfig
from tests.flows.laboratory import ENDLESS
from tests.flows.service import Service
from tests.flows.subprocesses import ROOT, TrainProcess, is_training
from tests.flows.test_wire import assert_well_told


def new_run() -> UUID:
    """A run of a deployment, as a schedule or a person makes one."""
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(train)
        deployment = client.create_deployment(
            flow_id, "supervised", path=str(ROOT), entrypoint="flows/train.py:train"
        )
        config = TrainConfig.model_validate(ENDLESS).model_dump(mode="json")
        run = client.create_flow_run_from_deployment(deployment, parameters={"config": config})
        return run.id


@contextmanager
def executing(service: Service, run_id: UUID, **variables: str) -> Iterator[TrainProcess]:
    """What a worker or a pod starts."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Pending(), force=True)
    program = ("-m", "prefect", "flow-run", "execute", str(run_id))
    with service.process(*program, **variables) as process:
        yield process


def state_of(run_id: UUID) -> str:
    with get_client(sync_client=True) as client:
        return str(client.read_flow_run(run_id).state_name)


def child_of(pid: int) -> int:
    """The process in which a supervisor runs the flow."""
    table = subprocess.run(("ps", "-axo", "pid=,ppid="), capture_output=True, text=True, check=True)
    pairs = (line.split() for line in table.stdout.splitlines())
    (child,) = (int(child) for child, parent in pairs if int(parent) == pid)
    return child


def test_a_cancel_in_prefect_ends_a_supervised_run_as_cancelled(service: Service) -> None:
    run_id = new_run()
    with service.listening() as stream, executing(service, run_id) as run:
        stream.wait_for(is_training)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling())
        events = stream.until_end()
        run.wait()

    assert_well_told(events, "interrupted")
    assert "stopped by prefect" in events[-1]["message"]
    assert "version" in events[-1]["extra"]
    assert state_of(run_id) == "Cancelled"


def test_an_evicted_run_has_no_ending_until_its_next_attempt_has_one(service: Service) -> None:
    run_id = new_run()
    evicted = {"PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "reschedule"}
    with service.listening() as stream:
        with executing(service, run_id, **evicted) as run:
            stream.wait_for(is_training)
            run.send(signal.SIGTERM)
            run.wait()
        with executing(service, run_id) as run:
            stream.wait_for(lambda event: event["extra"]["attempt"] == 2 and is_training(event))
            service.command()
            events = stream.until_end()
            run.wait()

    assert [event["status"] for event in events if event["finished"]] == ["interrupted"]
    assert [event["extra"]["seq"] for event in events] == list(range(1, len(events) + 1))
    assert "resuming after epoch" in run.text
    assert "Traceback" not in run.text
    assert state_of(run_id) == "Cancelled"


def test_the_worker_tells_the_ending_of_a_run_whose_process_was_killed(service: Service) -> None:
    run_id = new_run()
    with service.listening() as stream, executing(service, run_id) as run:
        stream.wait_for(is_training)
        os.kill(child_of(run.pid), signal.SIGKILL)
        events = stream.until_end()
        run.wait()

    assert_well_told(events, "error")
    assert state_of(run_id) == "Crashed"
