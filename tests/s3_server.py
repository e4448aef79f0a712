"""A real S3 server on loopback: moto behind a door that a test may lock, slow or confuse.

Requests are served one at a time, so conditional writes are as atomic as a real server's.
"""

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pydantic import SecretStr
from werkzeug.serving import WSGIRequestHandler, make_server

from gnn_trainer.services import MinioSettings

ACCESS_KEY, SECRET_KEY = "the-access-key", "the-secret-key"
Door = Callable[[WSGIEnvironment], "tuple[int, str] | None"]
"""From a request to the (HTTP status, S3 code) that refuses it; None lets it in."""


class S3Server:
    """`url`, every request line seen, and the `door`, which a test may replace at any time."""

    def __init__(self) -> None:
        self.door: Door = let_in
        self.requests: list[str] = []
        self.url = ""
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        refused = self.door(environ)
        if refused is None:
            return self._moto(environ, start_response)
        status, code = refused
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
        start_response(f"{status} Refused", [("Content-Type", "application/xml")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def settings(self, bucket: str | None = None, **changes: Any) -> MinioSettings:
        """The way into a bucket of its own, which is not there yet."""
        return MinioSettings(
            endpoint=self.url,
            access_key=SecretStr(ACCESS_KEY),
            secret_key=SecretStr(SECRET_KEY),
            bucket=bucket or f"bucket-{secrets.token_hex(6)}",
            **changes,
        )


def let_in(environ: WSGIEnvironment) -> None:
    return None


def refuse(status: int, code: str, *, method: str = "", key: str = "") -> Door:
    """A door that refuses requests of one method (all if blank) whose path contains `key`."""

    def door(environ: WSGIEnvironment) -> tuple[int, str] | None:
        wanted = method in ("", environ["REQUEST_METHOD"]) and key in environ["PATH_INFO"]
        return (status, code) if wanted else None

    return door


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def s3_server(tls: tuple[Path, Path] | None = None) -> Iterator[S3Server]:
    """Serve until the block ends; `tls` is (certificate, key), both PEM."""
    app = S3Server()
    context = None if tls is None else (str(tls[0]), str(tls[1]))
    server = make_server(
        "127.0.0.1", 0, app, threaded=False, request_handler=_Quiet, ssl_context=context
    )
    app.url = f"{'http' if tls is None else 'https'}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def real_minio() -> MinioSettings | None:
    """A new bucket on the MinIO that GNN_TRAINER_TEST_MINIO_* name; None if they do not."""
    url = os.environ.get("GNN_TRAINER_TEST_MINIO_URL")
    if not url:
        return None
    return MinioSettings(
        endpoint=url,
        access_key=SecretStr(os.environ["GNN_TRAINER_TEST_MINIO_ACCESS_KEY"]),
        secret_key=SecretStr(os.environ["GNN_TRAINER_TEST_MINIO_SECRET_KEY"]),
        bucket=f"gnn-trainer-test-{secrets.token_hex(6)}",
    )
