"""`python flows/train.py` as a process of its own, its log, and the events it sends to Kafka."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Consumer, TopicPartition

from tests.adapters.kafka_brokers import PARTITIONS, MockBroker

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 240.0
EVENTS = "queue-events"
Event = dict[str, Any]


def is_training(event: Event) -> bool:
    return event["extra"]["stage"] == "train_model" and "epoch" in event["extra"]


class TrainProcess:
    """Python in a process group of its own. A context manager that leaves nothing behind."""

    def __init__(self, folder: Path, variables: Mapping[str, str], *arguments: str) -> None:
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**environ, **own, **variables},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_for_line(self, part: str) -> str:
        """The next log line that contains `part`."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"ended without {part!r}:\n" + "".join(self.log)
            if part in line:
                return line

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """As a terminal does on Ctrl-C."""
        os.killpg(self._process.pid, number)

    def wait(self) -> int:
        """The exit code; `text` is complete then."""
        code = self._process.wait(DEADLINE_S)
        self._listener.join(DEADLINE_S)
        return code

    @property
    def text(self) -> str:
        return "".join(self.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.wait()
        sys.stdout.write(self.text)  # shown when the test fails
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            self._lines.put(line)
        self._lines.put(None)


class EventStream:
    """The events of one queue_id on a broker, as they come."""

    def __init__(self, consumer: Consumer, queue_id: str) -> None:
        self._consumer = consumer
        self._queue_id = queue_id
        self.events: list[Event] = []

    def wait_for(self, is_it: Callable[[Event], bool]) -> Event:
        """The first event, old or new, that is the one."""
        deadline = time.monotonic() + DEADLINE_S
        seen = 0
        while time.monotonic() < deadline:
            while seen < len(self.events):
                seen += 1
                if is_it(self.events[seen - 1]):
                    return self.events[seen - 1]
            self._read()
        raise AssertionError(f"not among {self.events}")

    def until_end(self) -> list[Event]:
        """Everything up to the ending, and what came after it."""
        self.wait_for(lambda event: bool(event["finished"]))
        self._read()
        return self.events

    def _read(self) -> None:
        for message in self._consumer.consume(10, timeout=0.3):
            event = json.loads(message.value() or b"")
            if message.error() is None and message.key() == self._queue_id.encode():
                self.events.append(event)


@contextmanager
def listening(broker: MockBroker, queue_id: str) -> Iterator[EventStream]:
    consumer = Consumer(
        {"bootstrap.servers": broker.settings.bootstrap_servers, "group.id": "test", "log_level": 0}
    )
    consumer.list_topics(EVENTS, timeout=DEADLINE_S)
    consumer.assign([TopicPartition(EVENTS, at, 0) for at in range(PARTITIONS)])
    yield EventStream(consumer, queue_id)
    consumer.close()
