"""What every EventSink owes, whatever is behind it, and when what is behind it goes away."""

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnn_trainer.adapters.jsonl import JsonlSink
from gnn_trainer.adapters.kafka_sink import KafkaSink
from gnn_trainer.ports import EventSink
from tests.adapters.kafka_brokers import DEADLINE_S, Broker, Gate, MockBroker, real_broker


class Place(ABC):
    """Where events end up, and a way to take it away and give it back."""

    sink: EventSink

    @abstractmethod
    def stored(self, count: int) -> list[int]: ...

    @abstractmethod
    def take_away(self) -> None: ...

    @abstractmethod
    def give_back(self) -> None: ...


class KafkaPlace(Place):
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic = f"gnn-trainer-test-{secrets.token_hex(6)}"
        self._gate = Gate(self._broker)
        self._gate.open()
        self.sink = KafkaSink(self._gate.settings, self._topic)

    def stored(self, count: int) -> list[int]:
        messages = self._broker.read(self._topic, count)
        assert {key for key, _ in messages} <= {b"queue-1"}
        return [message["number"] for _, message in messages]

    def take_away(self) -> None:
        self._gate.shut()

    def give_back(self) -> None:
        self._gate.open()


class FilePlace(Place):
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "workspace"
        self._path = self._folder / "events.jsonl"
        self._away = folder / "away"
        self.sink = JsonlSink(self._path)

    def stored(self, count: int) -> list[int]:
        lines = self._path.read_text().splitlines()[:count]
        return [int(line.removeprefix('{"number": ').removesuffix("}")) for line in lines]

    def take_away(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._away)
        self._folder.write_text("a file in the way")

    def give_back(self) -> None:
        self._folder.unlink()
        if self._away.exists():
            self._away.rename(self._folder)


@pytest.fixture(params=["jsonl", "kafka", "real kafka"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place: Place
    if request.param == "jsonl":
        place = FilePlace(tmp_path)
    elif request.param == "kafka":
        place = KafkaPlace(MockBroker())
    elif (broker := real_broker()) is not None:
        place = KafkaPlace(broker)
    else:
        pytest.skip("no Kafka to test against; set GNN_TRAINER_TEST_KAFKA to its host:port")
    yield place
    place.sink.close()


class Sender:
    """Sends numbered events and resends, in order, what comes back, as the outbox does."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self.outcomes: list[tuple[int, bool]] = []

    def send(self, number: int) -> None:
        self._sink.send(
            "queue-1",
            b'{"number": %d}' % number,
            lambda arrived: self.outcomes.append((number, arrived)),
        )

    def deliver(self, count: int) -> None:
        """Until `count` events arrived, or the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        resent = 0
        while len(self.arrived) < count and time.monotonic() < deadline:
            back = [number for number, arrived in self.outcomes if not arrived]
            for number in back[resent:]:
                self.send(number)
            resent = len(back)
            self._sink.flush(0.1)

    @property
    def arrived(self) -> list[int]:
        return [number for number, arrived in self.outcomes if arrived]


def test_events_arrive_in_order_and_each_outcome_is_told_once(place: Place) -> None:
    sender = Sender(place.sink)
    for number in range(20):
        sender.send(number)
    sender.deliver(20)
    assert sender.arrived == list(range(20))
    assert place.sink.flush(0.0) == 0
    assert place.stored(20) == list(range(20))


def test_what_is_away_delays_nobody_and_gets_everything_when_it_is_back(place: Place) -> None:
    sender = Sender(place.sink)
    sender.send(0)
    sender.deliver(1)
    place.take_away()
    began = time.monotonic()
    for number in (1, 2, 3):
        sender.send(number)
    still_open = place.sink.flush(0.2)
    assert time.monotonic() - began < 2.0
    assert still_open + sum(not arrived for _, arrived in sender.outcomes) == 3
    place.give_back()
    sender.deliver(4)
    assert sender.arrived == [0, 1, 2, 3]
    assert place.stored(4) == [0, 1, 2, 3]


def test_what_was_never_there_is_no_error(place: Place) -> None:
    place.take_away()
    sender = Sender(place.sink)
    sender.send(0)
    place.sink.flush(0.1)
    began = time.monotonic()
    place.sink.close()
    assert time.monotonic() - began < 1.0
    assert sender.outcomes == [(0, False)]


def test_a_closed_sink_is_quiet(place: Place) -> None:
    place.sink.close()
    place.sink.close()
    assert place.sink.flush(0.0) == 0
