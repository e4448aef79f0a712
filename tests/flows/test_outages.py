"""Whole runs whose neighbours are away, refuse, or come back; and workers that share a name."""

import re
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnn_trainer.adapters.s3 import S3Store
from gnn_trainer.artifact import load_model
from gnn_trainer.exchange.faults import Fault, FaultKind
from tests.adapters.arango_server import DATABASE, PASSWORD, USER, running_arango
from tests.adapters.kafka_brokers import Gate
from tests.adapters.sasl_broker import sasl_broker
from tests.certificates import make_certificate
from tests.flows.service import ENDLESS, Service
from tests.flows.subprocesses import is_training
from tests.flows.test_wire import assert_well_told
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, let_in, refuse, s3_server

LONG = ("--epochs", "300", "--fit.patience", "300")


@pytest.fixture
def minio(service: Service) -> Iterator[S3Server]:
    """The bucket of the runs; away once its door is locked."""
    with s3_server() as server:
        service.variables |= {
            "MINIO_ENDPOINT": server.url,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": SECRET_KEY,
            "MINIO_BUCKET_NAME": service.queue_id,
        }
        yield server


def test_one_stop_ends_two_workers_of_one_queue_id(service: Service) -> None:
    def second(event: dict[str, object]) -> bool:
        return event["producer"] == "second"

    with (
        service.listening() as stream,
        service.run(*ENDLESS, TELEMETRY_PRODUCER_ID="first") as one,
        service.run(
            *ENDLESS, TELEMETRY_PRODUCER_ID="second", WORKSPACE=str(service.folder / "other")
        ) as two,
    ):
        stream.wait_for(lambda event: is_training(event) and not second(event))
        stream.wait_for(lambda event: is_training(event) and second(event))
        service.command()
        assert (one.wait(), two.wait()) == (0, 0)
        stream.wait_for(lambda event: event["finished"] and not second(event))
        stream.wait_for(lambda event: event["finished"] and second(event))

    assert_well_told([event for event in stream.events if second(event)], "interrupted")
    assert_well_told([event for event in stream.events if not second(event)], "interrupted")


def test_a_broker_that_is_gone_for_a_while_costs_no_event(service: Service) -> None:
    gate = Gate(service.broker)
    gate.open()
    brokers = {"KAFKA_BOOTSTRAP_SERVERS": gate.settings.bootstrap_servers}
    with service.listening() as stream, service.run(*ENDLESS, **brokers) as run:
        stream.wait_for(is_training)
        gate.shut()
        for _ in range(2):
            run.wait_for_line("training 0 %")  # training goes on, and says so every few seconds
        gate.open()
        service.command()
        events = stream.until_end()
        assert run.wait() == 0
    gate.shut()

    assert_well_told(events, "interrupted")
    assert ", 0 not delivered" in run.text


def test_a_broker_that_stays_away_is_told_in_numbers(service: Service) -> None:
    gate = Gate(service.broker)
    gate.open()
    brokers = {"KAFKA_BOOTSTRAP_SERVERS": gate.settings.bootstrap_servers}
    with service.listening() as stream, service.run(*ENDLESS, **brokers) as run:
        stream.wait_for(is_training)
        gate.shut()
        run.wait_for_line("training 0 %")
        run.send(signal.SIGTERM)
        assert run.wait() == 143

    assert re.search(r"events: \d+ delivered, [1-9]\d* not delivered", run.text)
    assert len(list(service.models.glob("*/manifest.json"))) == 1


def test_a_run_with_the_password_and_ca_of_a_closed_broker_tells_and_obeys(
    service: Service, tmp_path: Path
) -> None:
    ca, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, key)
    with sasl_broker(service.broker, {"worker": "hush-hush"}, tls) as guarded:
        service.variables |= {
            "KAFKA_BOOTSTRAP_SERVERS": guarded.address,
            "KAFKA_USER_CONSUMER": "worker",
            "KAFKA_PASSWORD_CONSUMER": "hush-hush",
            "CA_PATH": str(ca),
        }
        with service.listening() as stream, service.run(*ENDLESS) as run:
            stream.wait_for(is_training)
            service.command()
            events = stream.until_end()
            assert run.wait() == 0

    assert_well_told(events, "interrupted")
    assert ", 0 not delivered" in run.text
    assert guarded.refused == []


def test_a_wrong_password_is_said_and_does_not_stop_training(service: Service) -> None:
    with sasl_broker(service.broker, {"worker": "hush-hush"}) as guarded:
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": guarded.address,
            "KAFKA_USER": "worker",
            "KAFKA_PASSWORD": "not-that-one",
        }
        with service.run(**variables) as run:
            assert run.wait() == 0

    assert set(guarded.refused) == {"worker"}
    assert "check KAFKA_USER, KAFKA_PASSWORD" in run.text
    assert "not-that-one" not in run.text
    assert re.search(r"events: 0 delivered, [1-9]\d* not delivered", run.text)


def test_a_bucket_that_refuses_for_a_while_only_delays_the_model(
    service: Service, minio: S3Server
) -> None:
    minio.door = refuse(503, "SlowDown", method="PUT", key="/small/")
    with service.listening() as stream, service.run() as run:
        run.wait_for_line("trying again in 2 s")
        minio.door = let_in
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "finished")
    store = S3Store(minio.settings(service.queue_id))
    assert store.exists(f"{events[-1]['extra']['prefix']}/manifest.json")


def test_a_model_that_found_no_bucket_is_published_later(service: Service, minio: S3Server) -> None:
    minio.door = refuse(403, "AccessDenied", method="PUT", key="/small/")
    with service.listening() as stream, service.run() as run:
        events = stream.until_end()
        assert run.wait() == 2
    assert_well_told(events, "error")
    assert "gnn-trainer publish" in events[-1]["message"]

    minio.door = let_in
    with service.process("-c", "from gnn_trainer.cli import main; main()", "publish") as publish:
        assert publish.wait() == 0

    store = S3Store(minio.settings(service.queue_id))
    versions = {key.split("/")[1] for key in store.keys("small/") if key.endswith("manifest.json")}
    assert len(versions) == 1
    assert store.exists("small/latest.json")


def test_sigterm_while_uploading_leaves_no_half_version(service: Service, minio: S3Server) -> None:
    minio.door = refuse(503, "SlowDown", method="PUT", key="/small/")
    with service.listening() as stream, service.run() as run:
        stream.wait_for(lambda event: event["extra"]["stage"] == "upload_model")
        run.send(signal.SIGTERM)
        events = stream.until_end()
        assert run.wait() == 143

    assert_well_told(events, "interrupted")
    store = S3Store(minio.settings(service.queue_id))
    assert [key for key in store.keys("small/") if key.endswith(".json")] == []
    assert "gnn-trainer publish" in events[-1]["message"]
    assert service.flow_run().state_name == "Cancelled"


def test_sigterm_while_fitting_baselines_keeps_the_trained_model(service: Service) -> None:
    with service.listening() as stream, service.run(*LONG) as run:
        stream.wait_for(lambda event: event["extra"]["stage"] == "fit_baselines")
        run.send(signal.SIGTERM)
        events = stream.until_end()
        assert run.wait() == 143

    assert_well_told(events, "interrupted")
    manifest = load_model(str(service.models / events[-1]["extra"]["version"])).manifest
    assert manifest.outcome == "interrupted"
    assert service.flow_run().state_name == "Cancelled"


def test_a_stop_ends_the_wait_for_a_prepared_graph(service: Service) -> None:
    with running_arango() as arango:
        service.variables |= {
            "ARANGO_URL": arango.url,
            "ARANGO_DB": DATABASE,
            "ARANGO_USER": USER,
            "ARANGO_PASSWORD": PASSWORD,
            "GRAPH_COLLECTION_NAME": "never-there",
        }
        with service.listening() as stream, service.run() as run:
            stream.wait_for(lambda event: event["extra"].get("state") == "nothing there yet")
            service.command()
            events = stream.until_end()
            assert run.wait() == 0

    assert_well_told(events, "interrupted")
    assert events[-1]["extra"]["stage"] == "load_relations"
    assert service.flow_run().state_name == "Cancelled"


def test_an_exchange_that_says_slow_down_is_waited_for(service: Service) -> None:
    service.exchange.faults.add(Fault(FaultKind.RATE_LIMITED_429, path="klines", times=2))
    with service.listening() as stream, service.run() as run:
        events = stream.until_end()
        assert run.wait() == 0

    assert_well_told(events, "finished")


def test_a_ban_ends_the_run_with_the_time_it_ends_itself(service: Service) -> None:
    service.exchange.faults.add(Fault(FaultKind.BANNED_418, path="klines"))
    with service.listening() as stream, service.run() as run:
        events = stream.until_end()
        assert run.wait() == 1

    assert_well_told(events, "error")
    assert events[-1]["extra"]["error_type"] == "ServiceBanned"
    assert "banned until 20" in events[-1]["message"]
    assert service.flow_run().state_name == "Failed"
