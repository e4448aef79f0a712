"""Events to a Kafka topic, in order, each once, without anybody waiting."""

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from gnn_trainer.adapters.kafka import Troubles, connection
from gnn_trainer.ports import EventSink
from gnn_trainer.services import KafkaSettings

OnOutcome = Callable[[bool], None]


class KafkaSink(EventSink):
    """Used by one thread; the network belongs to librdkafka's own.

    An event that cannot be delivered now stays with librdkafka, which tries on for ever. What it
    gives up for good, or after a fatal error of its own, is given back.
    """

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._topic = topic
        self._troubles = Troubles("telemetry")
        self._settings = connection(kafka) | {
            "enable.idempotence": True,  # and so acks=all, and no event twice or out of order
            "acks": "all",
            "message.timeout.ms": 0,  # never given up for its age
            "linger.ms": 0,
            "retry.backoff.max.ms": 1_000,
        }
        self._producer: Producer | None = None
        self._is_broken = False

    def send(self, key: str, value: bytes, on_outcome: OnOutcome) -> None:
        def on_delivery(error: KafkaError | None, _: Message) -> None:
            if error is None:
                self._troubles.over()
            else:
                self._on_error(error)
            on_outcome(error is None)

        try:
            self._open().produce(self._topic, value, key.encode(), on_delivery=on_delivery)
        except BufferError:
            on_outcome(False)
        except KafkaException as exc:
            self._on_error(exc.args[0])
            on_outcome(False)

    def flush(self, timeout_s: float) -> int:
        return 0 if self._producer is None else self._producer.flush(timeout_s)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(0.0)
            self._producer = None

    def _open(self) -> Producer:
        """The producer; a new one if there is none yet or the last one broke."""
        if self._is_broken:
            self._is_broken = False
            self.close()
        if self._producer is None:
            self._producer = Producer({**self._settings, "error_cb": self._on_error})
        return self._producer

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return
        self._is_broken = self._is_broken or error.fatal()
        self._troubles.tell(error)
