"""Brokers for tests: librdkafka's own mock cluster, a gate before one, and one that lets nobody in.

The mock cluster speaks the true protocol, keeps what it is sent and gives each topic four
partitions.
"""

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

from confluent_kafka import Consumer, Producer, TopicPartition

from gnn_trainer.services import KafkaSettings

DEADLINE_S = 15.0
PARTITIONS = 4


class Broker:
    """One broker, at the address by which it calls itself."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.settings = KafkaSettings(bootstrap_servers=f"{host}:{port}")

    def put(
        self, topic: str, value: object, *, partition: int = 0, timestamp_ms: int | None = None
    ) -> None:
        """Store one message: bytes as they are, None as null, anything else as JSON."""
        body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
        producer = Producer(self._client())
        producer.produce(topic, body, partition=partition, timestamp=timestamp_ms or 0)
        assert producer.flush(DEADLINE_S) == 0

    def read(self, topic: str, count: int) -> list[tuple[bytes, dict[str, Any]]]:
        """The first `count` messages, key and JSON, in the order in which each partition has
        them; fewer if they do not come in time."""
        consumer = Consumer({**self._client(), "group.id": "reader"})
        consumer.assign([TopicPartition(topic, at, 0) for at in range(PARTITIONS)])
        found = []
        for message in consumer.consume(count, timeout=DEADLINE_S):
            assert message.error() is None
            found.append((message.key() or b"", json.loads(message.value() or b"")))
        consumer.close()
        return found

    def _client(self) -> dict[str, Any]:
        return {"bootstrap.servers": f"{self.host}:{self.port}", "log_level": 0}


class MockBroker(Broker):
    """A running mock cluster of one broker."""

    def __init__(self) -> None:
        self._cluster = Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "replaced", "log_level": 0}
        )
        (broker,) = self._cluster.list_topics(timeout=DEADLINE_S).brokers.values()
        super().__init__(str(broker.host), int(broker.port))


def real_broker() -> Broker | None:
    """The one at GNN_TRAINER_TEST_KAFKA, whose new topics have as many partitions as the mock's;
    None if that names none."""
    host, _, port = os.environ.get("GNN_TRAINER_TEST_KAFKA", "").partition(":")
    return Broker(host, int(port)) if port else None


class Gate:
    """Stands before a broker and can be shut: connections break, and new ones are refused."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._listener: socket.socket | None = None
        self._links: list[socket.socket] = []
        self._lock = threading.Lock()
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            self.port = reserved.getsockname()[1]
        self.settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{self.port}")

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        _in_background(self._accept, self._listener)

    def shut(self) -> None:
        with self._lock:
            for link in [self._listener, *self._links]:
                if link is not None:
                    _hang_up(link)
            self._listener = None
            self._links.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection((self._broker.host, self._broker.port))
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    _hang_up(client)
                    _hang_up(server)
                    return
                self._links += [client, server]
            _in_background(self._pass_on, client, server, lambda data: data)
            _in_background(self._pass_on, server, client, self._name_the_gate)

    def _pass_on(
        self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(change(data))
        _hang_up(source)
        _hang_up(target)

    def _name_the_gate(self, data: bytes) -> bytes:
        """Metadata says host and port of the broker; clients shall come to the gate."""
        host = self._broker.host.encode()
        theirs, ours = (host + struct.pack(">i", port) for port in (self._broker.port, self.port))
        return data.replace(theirs, ours)


class Doorkeeper:
    """A broker that asks for a password and finds it wrong. Remembers what it was offered."""

    def __init__(self, listener: socket.socket) -> None:
        self.mechanisms: list[str] = []
        self.users: list[bytes] = []
        self._listener = listener
        host, port = listener.getsockname()
        self.address = f"{host}:{port}"

    def serve(self) -> None:
        while self._listener.fileno() >= 0:
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue  # a handshake that failed, or the end
            with client, client.makefile("rb") as requests, suppress(OSError):
                while self._answer(client, requests):
                    pass

    def _answer(self, client: socket.socket, requests: BinaryIO) -> bool:
        head = requests.read(4)
        if len(head) < 4:
            return False
        request = requests.read(struct.unpack(">i", head)[0])
        api, version, correlation = struct.unpack(">hhi", request[:8])
        body = request[10 + struct.unpack(">h", request[8:10])[0] :]
        reply = struct.pack(">i", correlation) + self._reply(api, version, body)
        client.sendall(struct.pack(">i", len(reply)) + reply)
        return True

    def _reply(self, api: int, version: int, body: bytes) -> bytes:
        api_versions, sasl_handshake, sasl_authenticate = 18, 17, 36
        if api == api_versions:
            known = [(api_versions, 0, 0), (sasl_handshake, 0, 1), (sasl_authenticate, 0, 0)]
            listed = b"".join(struct.pack(">hhh", *row) for row in [*known, (0, 0, 7), (3, 0, 4)])
            return struct.pack(">hi", 35 if version else 0, len(known) + 2) + listed
        if api == sasl_handshake:
            self.mechanisms.append(body[2:].decode())
            offered = b"".join(
                struct.pack(">h", len(name)) + name
                for name in (b"SCRAM-SHA-512", b"SCRAM-SHA-256", b"PLAIN")
            )
            return struct.pack(">hi", 0, 3) + offered
        self.users.append(body[4:])
        text = b"Authentication failed"
        return struct.pack(">hh", 58, len(text)) + text + struct.pack(">i", 0)


@contextmanager
def doorkeeper(tls: ssl.SSLContext | None = None) -> Iterator[Doorkeeper]:
    """One that runs, behind TLS if a context is given."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        if tls is not None:
            listener = stack.enter_context(tls.wrap_socket(listener, server_side=True))
        keeper = Doorkeeper(listener)
        stack.callback(_hang_up, listener)
        _in_background(keeper.serve)
        yield keeper


def _in_background(work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _hang_up(link: socket.socket) -> None:
    with suppress(OSError):  # it never was connected, or is not any more
        link.shutdown(socket.SHUT_RDWR)
    link.close()
