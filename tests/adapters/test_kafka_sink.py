"""A run's events on a real wire, with a broker that comes and goes."""

import time
from pathlib import Path

from gnn_trainer.adapters.kafka_sink import KafkaSink
from gnn_trainer.ports import EventSink
from gnn_trainer.services import KafkaSettings
from gnn_trainer.telemetry.journal import open_journal
from gnn_trainer.telemetry.reporter import Delivery, Reporter
from tests.adapters.kafka_brokers import DEADLINE_S, Gate, MockBroker
from tests.telemetry.recorder import IDENTITY

TOPIC = "queue-events"


def reporter(folder: Path, kafka: KafkaSettings) -> Reporter:
    sink: EventSink = KafkaSink(kafka, TOPIC)
    return Reporter(IDENTITY, sink, open_journal(folder, IDENTITY.queue_id, time.time()))


def sequence(broker: MockBroker, count: int) -> list[tuple[int, str]]:
    return [(event["extra"]["seq"], event["status"]) for _, event in broker.read(TOPIC, count)]


def test_a_broker_that_goes_and_comes_back_in_mid_run_misses_nothing(tmp_path: Path) -> None:
    broker = MockBroker()
    gate = Gate(broker)
    gate.open()
    run = reporter(tmp_path, gate.settings)
    run.started("")
    assert sequence(broker, 1) == [(1, "started")]
    gate.shut()
    run.loading("training", "unheard for now")
    run.pong(1)
    run.finished("")
    gate.open()
    delivery = run.close(DEADLINE_S)
    assert delivery.undelivered == 0
    told = sequence(broker, delivery.sent)
    assert [seq for seq, _ in told] == list(range(1, delivery.sent + 1))
    assert told[-1][1] == "finished"


def test_what_one_attempt_could_not_deliver_comes_with_the_next(tmp_path: Path) -> None:
    broker = MockBroker()
    gate = Gate(broker)
    killed = reporter(tmp_path, gate.settings)
    killed.started("")
    assert killed.close(timeout_s=0.2) == Delivery(sent=0, undelivered=1)
    gate.open()
    run = reporter(tmp_path, gate.settings)
    run.error("DataError", "too few bars")
    assert run.close(DEADLINE_S) == Delivery(sent=3, undelivered=0)
    assert sequence(broker, 3) == [(1, "started"), (2, "started"), (3, "error")]


def test_settings_that_cannot_work_cost_the_events_and_nothing_else(tmp_path: Path) -> None:
    no_certificate = KafkaSettings(bootstrap_servers="127.0.0.1:9", ca_path=Path(__file__))
    run = reporter(tmp_path, no_certificate)
    run.finished("")
    assert run.close(timeout_s=0.2) == Delivery(sent=0, undelivered=2)


def test_the_end_of_a_run_without_a_broker_is_not_late(tmp_path: Path) -> None:
    run = reporter(tmp_path, KafkaSettings(bootstrap_servers="127.0.0.1:9"))
    run.interrupted("")
    began = time.monotonic()
    assert run.close(timeout_s=0.5).undelivered == 2
    assert time.monotonic() - began < 3.0
