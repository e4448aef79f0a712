"""A broker that asks for a SCRAM-SHA-512 password (RFC 5802), right or wrong, before it serves.

librdkafka's mock cluster knows no SASL, so this stands before one: it speaks the login itself and
passes everything after it on.
"""

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from tests.adapters.kafka_brokers import MockBroker

_API_VERSIONS, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 17, 36
_UNSUPPORTED_VERSION, _SASL_AUTHENTICATION_FAILED = 35, 58
_ITERATIONS = 4096


class SaslBroker:
    """`address` to connect to; counts the logins that succeeded and those that did not."""

    def __init__(self, broker: MockBroker, listener: socket.socket, users: dict[str, str]) -> None:
        self.welcomed: list[str] = []
        self.refused: list[str] = []
        self._users = users
        self._broker = broker
        self._listener = listener
        self._host, self._port = listener.getsockname()
        self.address = f"{self._host}:{self._port}"

    def serve(self) -> None:
        while self._listener.fileno() >= 0:
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue  # a handshake that failed, or the end
            threading.Thread(target=self._attend, args=(client,), daemon=True).start()

    def _attend(self, client: socket.socket) -> None:
        backend = socket.create_connection((self._broker.host, self._broker.port))
        with closing(client), closing(backend), suppress(OSError):
            if self._log_in(client, backend):
                threading.Thread(target=self._answers, args=(backend, client), daemon=True).start()
                while data := client.recv(65_536):
                    backend.sendall(data)

    def _answers(self, backend: socket.socket, client: socket.socket) -> None:
        """What the cluster says; its metadata shall lead clients back to us."""
        host = self._broker.host.encode()
        theirs, ours = (host + struct.pack(">i", port) for port in (self._broker.port, self._port))
        with suppress(OSError):
            while data := backend.recv(65_536):
                client.sendall(data.replace(theirs, ours))

    def _log_in(self, client: socket.socket, backend: socket.socket) -> bool:
        scram = ScramServer(self._users)
        while request := _read_frame(client):
            api, version, correlation = struct.unpack(">hhi", request[:8])
            body = request[10 + max(0, struct.unpack(">h", request[8:10])[0]) :]
            if api == _API_VERSIONS:
                answer = self._api_versions(version, request, backend)
            elif api == _SASL_HANDSHAKE:
                answer = struct.pack(">hi", 0, 1) + _text(b"SCRAM-SHA-512")
            elif api == _SASL_AUTHENTICATE:
                reply = scram.answer(body[4:])
                if reply is None:
                    self.refused.append(scram.user)
                    failed = struct.pack(">h", _SASL_AUTHENTICATION_FAILED)
                    _send_frame(client, correlation, failed + _text(b"wrong") + _bytes(b""))
                    return False
                answer = struct.pack(">hh", 0, -1) + _bytes(reply)
            else:
                return False  # a real broker hangs up on strangers
            _send_frame(client, correlation, answer)
            if scram.is_done:
                self.welcomed.append(scram.user)
                return True
        return False

    def _api_versions(self, version: int, request: bytes, backend: socket.socket) -> bytes:
        """The cluster's own, and what belongs to logging in."""
        if version > 0:
            return struct.pack(">hi", _UNSUPPORTED_VERSION, 0)
        backend.sendall(struct.pack(">i", len(request)) + request)
        error, count = struct.unpack(">hi", (known := _read_frame(backend)[4:])[:6])
        sasl = struct.pack(">hhhhhh", _SASL_HANDSHAKE, 0, 1, _SASL_AUTHENTICATE, 0, 0)
        return struct.pack(">hi", error, count + 2) + known[6 : 6 + 6 * count] + sasl


class ScramServer:
    """The server's half of one SCRAM-SHA-512 login."""

    def __init__(self, users: dict[str, str]) -> None:
        self._users = users
        self._salt = secrets.token_bytes(16)
        self._exchanged = b""
        self._nonce = b""
        self.user = ""
        self.is_done = False

    def answer(self, message: bytes) -> bytes | None:
        """To the client's first or final message; None refuses it."""
        return self._challenge(message) if not self._exchanged else self._verdict(message)

    def _challenge(self, message: bytes) -> bytes:
        bare = message.removeprefix(b"n,,")
        fields = _fields(bare)
        self.user = fields[b"n"].decode()
        self._nonce = fields[b"r"] + secrets.token_hex(8).encode()
        salt = base64.b64encode(self._salt)
        challenge = b"r=%b,s=%b,i=%d" % (self._nonce, salt, _ITERATIONS)
        self._exchanged = bare + b"," + challenge
        return challenge

    def _verdict(self, message: bytes) -> bytes | None:
        fields = _fields(message)
        signed = self._exchanged + b"," + message[: message.rindex(b",p=")]
        password = self._users.get(self.user, "").encode()
        salted = hashlib.pbkdf2_hmac("sha512", password, self._salt, _ITERATIONS)
        client_key = hmac.digest(salted, b"Client Key", "sha512")
        stored_key = hashlib.sha512(client_key).digest()
        signature = hmac.digest(stored_key, signed, "sha512")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if fields[b"r"] != self._nonce or base64.b64decode(fields[b"p"]) != proof:
            return None
        self.is_done = True
        server_key = hmac.digest(salted, b"Server Key", "sha512")
        return b"v=" + base64.b64encode(hmac.digest(server_key, signed, "sha512"))


@contextmanager
def sasl_broker(
    broker: MockBroker, users: dict[str, str], tls: ssl.SSLContext | None = None
) -> Iterator[SaslBroker]:
    """Serve until the block ends, behind TLS if a context is given."""
    listener = socket.create_server(("127.0.0.1", 0))
    if tls is not None:
        listener = tls.wrap_socket(listener, server_side=True)
    with closing(listener):
        running = SaslBroker(broker, listener, users)
        threading.Thread(target=running.serve, daemon=True).start()
        yield running
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _fields(message: bytes) -> dict[bytes, bytes]:
    return {part[:1]: part[2:] for part in message.split(b",")}


def _text(value: bytes) -> bytes:
    return struct.pack(">h", len(value)) + value


def _bytes(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def _read_frame(link: socket.socket) -> bytes:
    """One request or response without its length; empty at the end."""
    (size,) = struct.unpack(">i", _read(link, 4) or b"\0\0\0\0")
    return _read(link, size)


def _read(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data


def _send_frame(link: socket.socket, correlation: int, body: bytes) -> None:
    link.sendall(struct.pack(">ii", len(body) + 4, correlation) + body)
