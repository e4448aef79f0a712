"""What a run tells on the wire, from its start to its one ending."""

import re
from itertools import pairwise

import pytest

from gnn_trainer.artifact import load_model
from gnn_trainer.telemetry.events import Event as Schema
from tests.flows.service import Service
from tests.flows.subprocesses import Event

TOP_LEVEL = {
    "queue_id",
    "symbol",
    "type",
    "status",
    "message",
    "finished",
    "producer",
    "timestamp",
    "extra",
}


def assert_well_told(events: list[Event], ending: str) -> None:
    """First started, then loading, then exactly one ending; numbered, spaced, of one shape."""
    statuses = [event["status"] for event in events]
    assert statuses == ["started", *["loading"] * (len(events) - 2), ending]
    assert [event["finished"] for event in events] == [False] * (len(events) - 1) + [True]
    assert [event["extra"]["seq"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert set(event) == TOP_LEVEL
        Schema.model_validate(event)
    assert all(b["timestamp"] - a["timestamp"] > 0.999 for a, b in pairwise(events))


def test_a_good_run_tells_its_stages_its_epochs_and_where_the_model_is(service: Service) -> None:
    with service.listening() as stream, service.run(TYPE="nightly") as run:
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "finished")
    extra = events[-1]["extra"]
    assert {"bucket", "prefix", "version", "manifest_sha256", "promoted", "rank_ic"} <= set(extra)
    assert load_model(str(service.models / "latest")).manifest.version == extra["version"]
    assert {event["type"] for event in events} == {"nightly"}
    assert re.search(r"events: \d+ delivered, 0 not delivered", run.text)
    found = service.flow_run()
    assert found.state_name == "Completed"
    assert service.queue_id in found.name
    assert "small" in found.name
    assert {service.queue_id, "small"} <= set(found.tags)
    assert service.checkpoints == []


@pytest.mark.parametrize(
    ("flags", "variables", "said"),
    [
        (("--interval", "7m"), {}, "7m"),
        ((), {"MINIO_ENDPOINT": "minio:9000"}, "MINIO_ACCESS_KEY"),
        (("--no-such-flag", "1"), {}, "--no-such-flag"),
        (("--symbols", "NOSUCHUSDT"), {}, "NOSUCHUSDT"),
    ],
)
def test_a_bad_configuration_is_told_where_kafka_is_configured_well(
    service: Service, flags: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    with service.listening() as stream, service.run(*flags, **variables) as run:
        events = stream.until_end()
        assert run.wait() == 2

    assert events[-1]["status"] == "error"
    assert said in events[-1]["message"]
    assert events[-1]["extra"]["error_type"] in ("ConfigProblems", "ConfigError")
    assert [event["status"] for event in events if event["finished"]] == ["error"]


def test_a_failure_in_a_task_is_told_after_prefect_knows_it(service: Service) -> None:
    with service.listening() as stream, service.run("--time-range", "2d") as run:
        events = stream.until_end()
        assert run.wait() == 1

    assert_well_told(events, "error")
    assert events[-1]["extra"]["error_type"] == "DataError"
    assert events[-1]["extra"]["stage"] == "assemble_graph"
    assert service.flow_run().state_name == "Failed"


def test_a_run_without_a_broker_says_how_many_events_were_not_delivered(service: Service) -> None:
    with service.run("--interval", "7m", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9") as run:
        assert run.wait() == 2

    assert re.search(r"events: 0 delivered, [1-9]\d* not delivered", run.text)
