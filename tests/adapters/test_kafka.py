"""The link to Kafka: its security settings, and the words for each way it can be refused."""

import logging
import ssl
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from gnn_trainer.adapters.kafka import Troubles, connection, explain, probe_kafka
from gnn_trainer.errors import ServiceError
from gnn_trainer.services import KafkaSettings
from tests.adapters.kafka_brokers import MockBroker, doorkeeper
from tests.adapters.sasl_broker import sasl_broker
from tests.certificates import make_certificate

PASSWORD = "hush-hush"


def settings(
    servers: str = "broker:9092", *, user: bool = False, ca: Path | None = None
) -> KafkaSettings:
    if not user:
        return KafkaSettings(bootstrap_servers=servers, ca_path=ca)
    return KafkaSettings(
        bootstrap_servers=servers, user="worker", password=SecretStr(PASSWORD), ca_path=ca
    )


@pytest.mark.parametrize(
    ("user", "tls", "protocol"),
    [
        (True, True, "SASL_SSL"),
        (True, False, "SASL_PLAINTEXT"),
        (False, True, "SSL"),
        (False, False, "PLAINTEXT"),
    ],
)
def test_user_and_ca_file_choose_the_protocol(user: bool, tls: bool, protocol: str) -> None:
    ca = Path(__file__) if tls else None
    link = connection(settings(user=user, ca=ca))
    assert link["security.protocol"] == protocol
    assert link.get("ssl.ca.location") == (str(ca) if tls else None)
    wanted = ("SCRAM-SHA-512", "worker", PASSWORD) if user else (None, None, None)
    assert tuple(link.get(f"sasl.{x}") for x in ("mechanism", "username", "password")) == wanted


def test_a_broker_that_answers_is_described() -> None:
    broker = MockBroker()
    broker.put("events", b"")
    found = probe_kafka(broker.settings, ("events", "control"))
    assert "1 broker(s), PLAINTEXT" in found
    assert "events: 4 partition(s)" in found
    assert "control: not there yet" in found


@pytest.mark.parametrize(
    ("servers", "words"),
    [("no-such-host.invalid:9092", "host is unknown"), ("127.0.0.1:9", "no connection")],
)
def test_a_broker_that_is_not_there_is_told_from_an_unknown_host(servers: str, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        probe_kafka(settings(servers), (), timeout_s=1.0)


def test_a_wrong_password_is_recognised_and_not_repeated() -> None:
    with doorkeeper() as keeper:
        with pytest.raises(ServiceError, match="check KAFKA_USER, KAFKA_PASSWORD") as caught:
            probe_kafka(settings(keeper.address, user=True), (), timeout_s=2.0)
        assert PASSWORD not in str(caught.value)
    assert set(keeper.mechanisms) == {"SCRAM-SHA-512"}
    assert b"n=worker," in keeper.users[0]


def test_a_wrong_ca_is_recognised(tmp_path: Path) -> None:
    theirs, key = make_certificate(tmp_path, "theirs")
    ours, _ = make_certificate(tmp_path, "ours")
    with (
        doorkeeper(server_context(theirs, key)) as keeper,
        pytest.raises(ServiceError, match="check that CA_PATH is the authority"),
    ):
        probe_kafka(settings(keeper.address, user=True, ca=ours), (), timeout_s=2.0)
    assert keeper.mechanisms == []


def test_the_right_ca_opens_the_way_to_the_password(tmp_path: Path) -> None:
    theirs, key = make_certificate(tmp_path, "theirs")
    with (
        doorkeeper(server_context(theirs, key)) as keeper,
        pytest.raises(ServiceError, match="check KAFKA_USER, KAFKA_PASSWORD"),
    ):
        probe_kafka(settings(keeper.address, user=True, ca=theirs), (), timeout_s=2.0)


def test_the_right_password_behind_tls_is_let_in(tmp_path: Path) -> None:
    ca, key = make_certificate(tmp_path)
    broker = MockBroker()
    with sasl_broker(broker, {"worker": PASSWORD}, server_context(ca, key)) as guarded:
        found = probe_kafka(settings(guarded.address, user=True, ca=ca), (), timeout_s=5.0)

    assert "SASL_SSL" in found
    assert set(guarded.welcomed) == {"worker"}
    assert guarded.refused == []


def test_a_ca_file_that_is_none_is_recognised() -> None:
    with pytest.raises(ServiceError, match="CA_PATH"):
        probe_kafka(settings(ca=Path(__file__)), (), timeout_s=1.0)


def test_a_trouble_is_told_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    troubles = Troubles("telemetry")
    for _ in range(3):
        troubles.tell(KafkaError(KafkaError._TRANSPORT))
        troubles.tell(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert len(caplog.messages) == 1
    troubles.over()
    troubles.over()
    assert len(caplog.messages) == 2
    troubles.tell(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.messages) == 3


def test_an_explanation_leaves_the_address_out() -> None:
    error = KafkaError(KafkaError._RESOLVE, "broker.internal:9092: Failed to resolve")
    assert "internal" not in explain(error)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
