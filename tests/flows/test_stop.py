"""Everybody who may stop a run, in every stage, and what is left of it."""

import json
import signal
import time

from prefect.client.orchestration import get_client
from prefect.states import Cancelling

from gnn_trainer.artifact import load_model
from gnn_trainer.exchange.faults import Fault, FaultKind
from tests.flows.service import ENDLESS, Service
from tests.flows.subprocesses import is_training
from tests.flows.test_wire import assert_well_told


def test_a_stop_in_training_keeps_the_best_model_as_an_interrupted_version(
    service: Service,
) -> None:
    with service.listening() as stream, service.run(*ENDLESS) as run:
        told = stream.wait_for(is_training)
        service.command(queue_id="somebody-else")
        service.command(target="another-service")
        service.command("ping", sent_at="after those")
        stream.wait_for(lambda event: event["extra"].get("pong") == "after those")
        began = time.monotonic()
        service.command()
        events = stream.until_end()
        assert run.wait() == 0
        assert time.monotonic() - began < 15.0

    assert_well_told(events, "interrupted")
    assert told["extra"]["stage"] == "train_model"
    assert told["extra"]["epochs"] == 100_000
    assert {"loss", "val_rank_ic", "eta_s", "progress"} <= set(told["extra"])
    extra = events[-1]["extra"]
    assert extra["promoted"] is False
    assert extra["stage"] == "train_model"
    manifest = load_model(str(service.models / extra["version"])).manifest
    assert manifest.outcome == "interrupted"
    assert not (service.models / "latest.json").exists()
    assert not (service.models / "champion.json").exists()
    assert len(service.checkpoints) == 1
    assert list((service.folder / "workspace" / "results").glob("train_model-*")) == []
    assert service.flow_run().state_name == "Cancelled"


def test_a_stop_sent_before_the_listener_was_up_counts(service: Service) -> None:
    service.command()
    with service.listening() as stream, service.run(*ENDLESS) as run:
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "interrupted")


def test_a_stop_for_everybody_ends_a_run_that_waits_for_the_exchange(service: Service) -> None:
    service.exchange.faults.add(Fault(FaultKind.RATE_LIMITED_429, path="klines"))
    with service.listening() as stream, service.run() as run:
        stream.wait_for(lambda event: event["extra"]["stage"] == "fetch_klines")
        service.command(queue_id="*")
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "interrupted")
    assert "no model yet" in events[-1]["message"]
    assert service.flow_run().state_name == "Cancelled"


def test_sigterm_in_training_ends_as_cancelled_and_143(service: Service) -> None:
    with service.listening() as stream, service.run(*ENDLESS) as run:
        stream.wait_for(is_training)
        run.send(signal.SIGTERM)
        events = stream.until_end()
        assert run.wait() == 143

    assert_well_told(events, "interrupted")
    assert "version" in events[-1]["extra"]
    assert service.flow_run().state_name == "Cancelled"


def test_ctrl_c_ends_as_cancelled_and_130_and_without_kafka_events_are_in_a_file(
    service: Service,
) -> None:
    with service.run(*ENDLESS, KAFKA_BOOTSTRAP_SERVERS="") as run:
        run.wait_for_line("training 0 %")
        run.send_to_group(signal.SIGINT)
        assert run.wait() == 130

    lines = (service.folder / "workspace" / "events.jsonl").read_text().splitlines()
    assert_well_told([json.loads(line) for line in lines], "interrupted")
    assert service.flow_run().state_name == "Cancelled"


def test_sigterm_while_fetching_ends_at_the_next_request(service: Service) -> None:
    service.exchange.faults.add(Fault(FaultKind.UNAVAILABLE_503, path="klines"))
    with service.listening() as stream, service.run() as run:
        stream.wait_for(lambda event: event["extra"]["stage"] == "fetch_klines")
        run.send(signal.SIGTERM)
        events = stream.until_end()
        assert run.wait() == 143

    assert_well_told(events, "interrupted")
    assert service.flow_run().state_name == "Cancelled"


def test_sigterm_before_the_flow_begins_is_told(service: Service) -> None:
    with service.listening() as stream, service.run() as run:
        stream.wait_for(lambda event: event["status"] == "started")
        run.send(signal.SIGTERM)
        events = stream.until_end()
        assert run.wait() == 143

    assert_well_told(events, "interrupted")


def test_a_cancel_in_prefect_does_the_same_as_a_stop(service: Service) -> None:
    with service.listening() as stream, service.run(*ENDLESS) as run:
        stream.wait_for(is_training)
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(service.flow_run().id, Cancelling())
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "interrupted")
    assert "prefect" in events[-1]["message"]
    assert service.flow_run().state_name == "Cancelled"
