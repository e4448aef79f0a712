"""The link to Kafka: how to be let in, what its refusals mean, and whether it works at all."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from gnn_trainer.errors import ServiceError
from gnn_trainer.services import KafkaSettings

logger = logging.getLogger(__name__)

_REMEDIES = {
    KafkaError._AUTHENTICATION: "the broker does not let this user in; check KAFKA_USER, "
    "KAFKA_PASSWORD and KAFKA_SASL_MECHANISM",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the broker does not let this user in; check "
    "KAFKA_USER, KAFKA_PASSWORD and KAFKA_SASL_MECHANISM",
    KafkaError._SSL: "TLS failed; check that CA_PATH is the authority that signed the broker's "
    "certificate, and that the certificate names the host in KAFKA_BOOTSTRAP_SERVERS",
    KafkaError._RESOLVE: "the host is unknown; check KAFKA_BOOTSTRAP_SERVERS",
    KafkaError._TRANSPORT: "no connection; check KAFKA_BOOTSTRAP_SERVERS, whether the broker is "
    "up, and whether it wants TLS (CA_PATH) or a user (KAFKA_USER)",
    KafkaError._INVALID_ARG: "the settings cannot work; check that CA_PATH is a readable PEM file",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "this user may not use the topic; grant it access",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "this user may not use the cluster; grant it access",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic does not exist; create it",
    KafkaError._UNKNOWN_TOPIC: "the topic does not exist; create it",
}
# Consequences of another trouble that was told before them.
_VAGUE = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)
_FINAL = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._SSL,
    KafkaError._RESOLVE,
)
_LOOK_EVERY_S = 0.5


def connection(kafka: KafkaSettings) -> dict[str, str | int]:
    """librdkafka's settings of the link. User: SASL; CA file: TLS; both, one or neither."""
    link: dict[str, str | int] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": _protocol(kafka),
        "reconnect.backoff.ms": 500,  # at 100, the default, one that is away takes 1 % of a core
        "reconnect.backoff.max.ms": 2_000,
        "log_level": 0,  # errors come through the callback, once each instead of by the hundred
    }
    if kafka.ca_path is not None:
        link["ssl.ca.location"] = str(kafka.ca_path)
    if kafka.user is not None and kafka.password is not None:
        link["sasl.mechanism"] = kafka.sasl_mechanism
        link["sasl.username"] = kafka.user
        link["sasl.password"] = kafka.password.get_secret_value()
    return link


def _protocol(kafka: KafkaSettings) -> str:
    security = "SSL" if kafka.ca_path is not None else "PLAINTEXT"
    return security if kafka.user is None else f"SASL_{security}"


def explain(error: KafkaError) -> str:
    """The trouble and its remedy in one line; without the address, which may not be said."""
    return f"{error.name().lstrip('_')}: {_REMEDIES.get(error.code(), 'see the broker')}"


class Troubles:
    """Logs each kind of trouble once until the link works again. For use by any thread."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._told: set[int] = set()

    def tell(self, error: KafkaError) -> None:
        """An error_cb of librdkafka."""
        with self._lock:
            if error.code() in self._told or (error.code() in _VAGUE and self._told):
                return
            self._told.add(error.code())
        logger.warning("%s: Kafka: %s; trying on", self._what, explain(error))

    def over(self) -> None:
        """The link works."""
        with self._lock:
            was_broken = bool(self._told)
            self._told.clear()
        if was_broken:
            logger.info("%s: Kafka works again", self._what)


def _metadata(client: Producer, seen: list[KafkaError], timeout_s: float) -> Any:
    """What the broker knows; a refusal that no patience will change ends the waiting."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return client.list_topics(timeout=min(timeout_s, _LOOK_EVERY_S))
        except KafkaException as exc:
            client.poll(0)  # the callbacks know the cause, the exception only that there was one
            error = _most_telling([*seen, exc.args[0]])
            if error.code() in _FINAL or time.monotonic() > give_up_at:
                raise ServiceError(f"Kafka: {explain(error)}") from exc


def _most_telling(errors: Sequence[KafkaError]) -> KafkaError:
    """A cause rather than its consequences, which may come first: a lost connection, a timeout."""
    for consequences in ((*_VAGUE, KafkaError._TRANSPORT), _VAGUE):
        for error in errors:
            if error.code() not in consequences:
                return error
    return errors[-1]


def probe_kafka(kafka: KafkaSettings, topics: tuple[str, ...], timeout_s: float = 5.0) -> str:
    """What there is, in one line for people.

    Raises:
        ServiceError: the broker cannot be used; the message says what to check.
    """
    seen: list[KafkaError] = []
    try:
        client = Producer({**connection(kafka), "error_cb": seen.append})
    except KafkaException as exc:
        raise ServiceError(f"Kafka: {explain(exc.args[0])}") from exc
    metadata = _metadata(client, seen, timeout_s)
    found = []
    for topic in topics:
        known = metadata.topics.get(topic)
        if known is not None and known.error is not None:
            raise ServiceError(f"Kafka: topic {topic}: {explain(known.error)}")
        partitions = f"{len(known.partitions)} partition(s)" if known else "not there yet"
        found.append(f"{topic}: {partitions}")
    return f"{len(metadata.brokers)} broker(s), {_protocol(kafka)}; {', '.join(found)}"
