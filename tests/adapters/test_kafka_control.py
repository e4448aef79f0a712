"""Hearing commands: early ones, late ones, those for others, and garbage."""

import logging
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from gnn_trainer.adapters.kafka_control import KafkaControl
from gnn_trainer.services import KafkaSettings
from gnn_trainer.telemetry.commands import Command
from tests.adapters.kafka_brokers import DEADLINE_S, PARTITIONS, Gate, MockBroker
from tests.telemetry.recorder import IDENTITY

TOPIC = "queue-control"
STOP = {"command": "stop", "queue_id": IDENTITY.queue_id}
PING = {"command": "ping", "queue_id": "*"}
Listen = Callable[..., "queue.Queue[Command]"]


@pytest.fixture
def broker() -> MockBroker:
    return MockBroker()


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Opens a listener; its commands come out of the queue."""
    with ExitStack() as stack:

        def open_listener(
            kafka: KafkaSettings, producer: str = IDENTITY.producer, since_ms: int | None = None
        ) -> "queue.Queue[Command]":
            heard: queue.Queue[Command] = queue.Queue()
            since_ms = since_ms if since_ms is not None else now_ms() - 5_000
            identity = replace(IDENTITY, producer=producer)
            stack.enter_context(KafkaControl(kafka, TOPIC, identity, since_ms, heard.put))
            return heard

        yield open_listener


def now_ms() -> int:
    return int(time.time() * 1000)


def ping(sent_at: int) -> dict[str, Any]:
    return PING | {"sent_at": sent_at}


def next_of(heard: "queue.Queue[Command]") -> Command:
    return heard.get(timeout=DEADLINE_S)


def test_a_stop_sent_before_anybody_listened_counts(broker: MockBroker, listen: Listen) -> None:
    broker.put(TOPIC, STOP | {"reason": "changed my mind"}, partition=2)
    assert next_of(listen(broker.settings)) == Command("stop", None, "changed my mind")


def test_commands_come_from_every_partition(broker: MockBroker, listen: Listen) -> None:
    broker.put(TOPIC, ping(0))
    heard = listen(broker.settings)
    assert next_of(heard).sent_at == 0
    for partition in range(PARTITIONS):
        broker.put(TOPIC, ping(partition), partition=partition)
    assert {next_of(heard).sent_at for _ in range(PARTITIONS)} == set(range(PARTITIONS))


def test_a_topic_that_comes_later_is_found(broker: MockBroker, listen: Listen) -> None:
    heard = listen(broker.settings)
    assert heard.empty()
    broker.put(TOPIC, STOP)
    assert next_of(heard).name == "stop"


def test_old_commands_and_those_for_others_are_passed_over(
    broker: MockBroker, listen: Listen
) -> None:
    since_ms = now_ms() - 60_000
    broker.put(TOPIC, STOP, timestamp_ms=since_ms - 1)
    broker.put(TOPIC, STOP | {"queue_id": "queue-2"})
    broker.put(TOPIC, STOP | {"target": "loader"})
    broker.put(TOPIC, ping(1), timestamp_ms=since_ms)
    heard = listen(broker.settings, since_ms=since_ms)
    assert next_of(heard) == Command("ping", 1, "")
    assert heard.empty()


def test_only_the_end_of_a_long_topic_is_read(broker: MockBroker, listen: Listen) -> None:
    for number in range(120):
        broker.put(TOPIC, ping(number), timestamp_ms=now_ms() - 60_000)
    broker.put(TOPIC, ping(120))
    assert next_of(listen(broker.settings)).sent_at == 120


def test_garbage_is_skipped_and_told_once(
    broker: MockBroker, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for garbage in (b"\xff", None, b"", [1], "stop", {"command": 1}, {"command": "stop"}):
        broker.put(TOPIC, garbage)
    broker.put(TOPIC, STOP)
    assert next_of(listen(broker.settings)).name == "stop"
    assert [line for line in caplog.messages if "no command" in line] == caplog.messages
    assert len(caplog.messages) == 1


def test_two_workers_of_one_queue_both_hear_a_stop(broker: MockBroker, listen: Listen) -> None:
    first, second = listen(broker.settings), listen(broker.settings)
    third = listen(broker.settings, producer="gnn-trainer__other")
    broker.put(TOPIC, STOP)
    assert [next_of(heard).name for heard in (first, second, third)] == ["stop"] * 3


def test_a_telemetry_id_means_one_of_them(broker: MockBroker, listen: Listen) -> None:
    ours, other = listen(broker.settings), listen(broker.settings, producer="gnn-trainer__other")
    broker.put(TOPIC, STOP | {"telemetry_id": "gnn-trainer__other"})
    broker.put(TOPIC, PING)
    assert next_of(ours).name == "ping"
    assert next_of(other).name == "stop"


def test_a_broker_that_comes_later_is_waited_for(broker: MockBroker, listen: Listen) -> None:
    gate = Gate(broker)
    broker.put(TOPIC, STOP)
    heard = listen(gate.settings)
    gate.open()
    assert next_of(heard).name == "stop"


def test_a_broker_that_went_away_and_came_back_is_heard_again(
    broker: MockBroker, listen: Listen
) -> None:
    gate = Gate(broker)
    gate.open()
    broker.put(TOPIC, ping(1))
    heard = listen(gate.settings)
    assert next_of(heard).sent_at == 1
    gate.shut()
    broker.put(TOPIC, ping(2))
    gate.open()
    assert next_of(heard).sent_at == 2


def test_listening_to_nobody_ends_at_once_and_quietly(listen: Listen) -> None:
    control = KafkaControl(
        KafkaSettings(bootstrap_servers="127.0.0.1:9"), TOPIC, IDENTITY, 0, lambda _: None
    )
    with control:
        began = time.monotonic()
    assert time.monotonic() - began < 5.0
