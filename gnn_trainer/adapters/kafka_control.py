"""Listening to the control topic: every instance reads all of it, and nobody's offsets matter."""

import logging
import secrets
import threading
from collections.abc import Callable
from typing import Self

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaException,
    Message,
    TopicPartition,
)

from gnn_trainer.adapters.kafka import Troubles, connection
from gnn_trainer.services import KafkaSettings
from gnn_trainer.telemetry.commands import Command, GarbageCommand, parse_command
from gnn_trainer.telemetry.events import Identity

logger = logging.getLogger(__name__)

_READ_BACK = 100  # messages before the end of a partition; older ones are not of our time
_POLL_S = 0.2
_RETRY_S = 1.0
_ASK_S = 2.0  # how long one question to the broker may take
_REFRESH_POLLS = 25  # between two looks for new partitions: 5 s on a quiet topic


class KafkaControl:
    """A context manager; while it is open, `on_command` is called from its thread.

    Commands stamped before `since_ms` are not for this run. A broker that is away is waited for.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        identity: Identity,
        since_ms: int,
        on_command: Callable[[Command], None],
    ) -> None:
        self._topic = topic
        self._identity = identity
        self._since_ms = since_ms
        self._on_command = on_command
        self._troubles = Troubles("control")
        self._settings = connection(kafka) | {
            # Required, and never joined: partitions are assigned by hand, offsets not stored.
            "group.id": f"{identity.producer}-{secrets.token_hex(4)}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 100,
        }
        self._assigned: dict[int, int] = {}  # partition -> its end when it was assigned
        self._has_seen_garbage = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; takes no longer than a question to the broker."""
        self._closing.set()
        self._thread.join()

    def _listen(self) -> None:
        try:
            consumer = Consumer({**self._settings, "error_cb": self._troubles.tell})
        except KafkaException as exc:
            self._troubles.tell(exc.args[0])
            return
        try:
            while not self._closing.is_set():
                self._assign_new_partitions(consumer)
                self._poll(consumer)
        finally:
            consumer.close()

    def _poll(self, consumer: Consumer) -> None:
        """Read for a while, until it is time to look for new partitions."""
        for _ in range(_REFRESH_POLLS if self._assigned else int(_RETRY_S / _POLL_S)):
            if self._closing.is_set():
                return
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            if error := message.error():
                self._troubles.tell(error)
            else:
                self._troubles.over()
                self._read(message)

    def _assign_new_partitions(self, consumer: Consumer) -> None:
        try:
            known = consumer.list_topics(self._topic, timeout=_ASK_S).topics[self._topic]
            if known.error is not None:
                self._troubles.tell(known.error)
                return
            spans = {
                partition: self._span(consumer, partition)
                for partition in known.partitions
                if partition not in self._assigned
            }
            places = [TopicPartition(self._topic, at, start) for at, (start, _) in spans.items()]
            if places:
                consumer.incremental_assign(places)
                self._assigned |= {partition: end for partition, (_, end) in spans.items()}
        except KafkaException as exc:
            self._troubles.tell(exc.args[0])

    def _span(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        """Where to begin reading, and where the partition ends now.

        Asking by time alone is not enough: it answers "the end" where nothing is that young, and
        a command that comes before the first fetch would be lost.
        """
        place = TopicPartition(self._topic, partition)
        low, high = consumer.get_watermark_offsets(place, timeout=_ASK_S)
        asked = TopicPartition(self._topic, partition, self._since_ms)
        by_time = consumer.offsets_for_times([asked], timeout=_ASK_S)[0].offset
        back = high - _READ_BACK
        return max(low, min(back, by_time) if by_time >= 0 else back), high

    def _read(self, message: Message) -> None:
        if self._is_old(message):
            return
        try:
            command = parse_command(message.value(), self._identity)
        except GarbageCommand as exc:
            if not self._has_seen_garbage:
                logger.warning("control: skipped a message that is no command (%s)", exc)
            self._has_seen_garbage = True
            return
        if command is not None:
            logger.info("control: %s", command.name)
            self._on_command(command)

    def _is_old(self, message: Message) -> bool:
        kind, timestamp_ms = message.timestamp()
        if kind == TIMESTAMP_NOT_AVAILABLE:
            return int(message.offset() or 0) < self._assigned[int(message.partition() or 0)]
        return timestamp_ms < self._since_ms
