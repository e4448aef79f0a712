"""The deployment on a process work pool, with a real worker and a real server: every ending."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelling, Pending, Scheduled

from gnn_trainer.exchange.config import GENEROUS_LIMITS, ExchangeConfig
from gnn_trainer.exchange.process import start_exchange
from tests.adapters.kafka_brokers import MockBroker
from tests.deploy.process_pool import (
    ProcessPool,
    process_pool,
    run_of,
    wait_for_process,
    wait_for_state,
)
from tests.flows.laboratory import ENDLESS, SMALL
from tests.flows.service import Service
from tests.flows.subprocesses import TrainProcess, is_training
from tests.flows.test_wire import assert_well_told

CANCELLED, COMPLETED, CRASHED = StateType.CANCELLED, StateType.COMPLETED, StateType.CRASHED


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPool]:
    config = ExchangeConfig(symbols=5, bars=400, limits=GENEROUS_LIMITS, ticking=False)
    folder = tmp_path_factory.mktemp("pool")
    with start_exchange(config) as exchange, process_pool(MockBroker(), exchange, folder) as pool:
        yield pool


@pytest.fixture
def worker(pool: ProcessPool) -> TrainProcess:
    return pool.worker()


@pytest.fixture
def service(pool: ProcessPool, tmp_path: Path) -> Service:
    queue_id = f"q-{uuid4().hex[:8]}"
    return Service(pool.broker, pool.api_url, pool.exchange, tmp_path, queue_id)


def test_a_run_that_a_worker_takes_is_completed(
    pool: ProcessPool, worker: TrainProcess, service: Service
) -> None:
    with service.listening() as stream:
        run_id = pool.new_run(service, SMALL)
        events = stream.until_end()
        run = wait_for_state(run_id, COMPLETED)

    assert_well_told(events, "finished")
    assert service.queue_id in run.name


def test_a_stop_by_kafka_ends_a_workers_run_as_cancelled(
    pool: ProcessPool, worker: TrainProcess, service: Service
) -> None:
    with service.listening() as stream:
        run_id = pool.new_run(service, ENDLESS)
        stream.wait_for(is_training)
        service.command()
        events = stream.until_end()
        run = wait_for_state(run_id, CANCELLED)

    assert_well_told(events, "interrupted")
    assert "version" in events[-1]["extra"]
    assert run.state is not None
    assert run.state.message == "interrupted: stopped by kafka"


def test_a_cancel_in_prefect_ends_a_workers_run_as_cancelled(
    pool: ProcessPool, worker: TrainProcess, service: Service
) -> None:
    with service.listening() as stream:
        run_id = pool.new_run(service, ENDLESS)
        stream.wait_for(is_training)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling())
        events = stream.until_end()
        wait_for_state(run_id, CANCELLED)

    assert_well_told(events, "interrupted")
    assert "stopped by prefect" in events[-1]["message"]
    assert "version" in events[-1]["extra"]


def test_a_killed_run_is_crashed_and_its_retry_goes_on_from_the_checkpoint(
    pool: ProcessPool, worker: TrainProcess, service: Service
) -> None:
    with service.listening() as stream:
        run_id = pool.new_run(service, ENDLESS)
        stream.wait_for(is_training)
        os.kill(wait_for_process(run_id), signal.SIGKILL)
        first = list(stream.until_end())
        wait_for_state(run_id, CRASHED)
        worker.wait_for_line("exited with status code: -9")
        worker.wait_for_line("prefect.flow_runs.worker")  # its last word, which overrules a retry
        with get_client(sync_client=True) as client:  # as Retry in the UI does
            client.set_flow_run_state(run_id, Scheduled(), force=True)
        stream.wait_for(lambda event: event["extra"]["attempt"] == 2 and is_training(event))
        service.command()
        stream.wait_for(lambda event: event["status"] == "interrupted")
        events = stream.until_end()
        wait_for_state(run_id, CANCELLED)

    assert_well_told(first, "error")
    assert [event["extra"]["seq"] for event in events] == list(range(1, len(events) + 1))
    second = events[len(first) :]
    assert {event["extra"]["attempt"] for event in second} == {2}
    assert [event["status"] for event in second if event["finished"]] == ["interrupted"]
    resumed = [event["extra"].get("resumed_epochs") for event in second]
    assert any(resumed), "training began anew"


def test_a_run_outlives_its_worker_and_the_next_worker_takes_the_next_run(
    pool: ProcessPool, worker: TrainProcess, service: Service
) -> None:
    with service.listening() as stream:
        run_id = pool.new_run(service, ENDLESS)
        stream.wait_for(is_training)
        worker.send(signal.SIGKILL)
        worker.wait()
        pool.worker()
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run_id, Cancelling())
        events = stream.until_end()
        wait_for_state(run_id, CANCELLED)
        next_id = pool.new_run(replace(service, queue_id=f"{service.queue_id}-next"), SMALL)
        wait_for_state(next_id, COMPLETED)

    assert_well_told(events, "interrupted")
    assert "version" in events[-1]["extra"]


def test_what_a_pod_executes_ends_with_exit_code_0(pool: ProcessPool, service: Service) -> None:
    # Due tomorrow, or a worker of another test may take it first.
    tomorrow: State[Any] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    run_id = pool.new_run(service, SMALL, tomorrow)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, Pending(), force=True)
    pod = ("-m", "prefect", "flow-run", "execute")
    with (
        service.listening() as stream,
        service.process(*pod, PREFECT__FLOW_RUN_ID=str(run_id)) as process,
    ):
        events = stream.until_end()
        assert process.wait() == 0

    assert_well_told(events, "finished")
    assert run_of(run_id).state_type == COMPLETED
