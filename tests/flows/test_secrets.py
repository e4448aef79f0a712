"""What a run is told in confidence stays out of everything it writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gnn_trainer.adapters.s3 import S3Store
from tests.flows.service import Service
from tests.s3_server import S3Server, s3_server

SECRETS = {
    "BINANCE_API_KEY": "key-of-the-exchange-7f3a",
    "BINANCE_API_SECRET": "secret-of-the-exchange-91bc",
    "MINIO_ACCESS_KEY": "access-to-the-models-55de",
    "MINIO_SECRET_KEY": "secret-of-the-models-c0ff",
}


@pytest.fixture
def confided(service: Service) -> Iterator[tuple[Service, S3Server]]:
    with s3_server() as server:
        service.variables |= SECRETS | {
            "MINIO_ENDPOINT": server.url,
            "MINIO_BUCKET_NAME": service.queue_id,
            "MINIO_RETRY_S": "0",
        }
        yield service, server


def written(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below the folders, the Prefect server's database among them."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()


def assert_nothing_tells(places: Iterator[tuple[str, bytes]]) -> None:
    seen = 0
    for place, content in places:
        seen += 1
        for name, secret in SECRETS.items():
            assert secret.encode() not in content, f"{name} in {place}"
    assert seen


def test_a_good_run_writes_no_secret_anywhere(
    confided: tuple[Service, S3Server], server_folder: Path
) -> None:
    service, server = confided
    with service.listening() as stream, service.run() as run:
        events = stream.until_end()
        assert run.wait() == 0

    assert events[-1]["status"] == "finished"
    store = S3Store(server.settings(service.queue_id))
    published = [(key, store.read(key)) for key in store.keys("")]
    told = [("log", run.text.encode()), ("events", str(events).encode())]
    assert_nothing_tells(iter(published + told))
    assert_nothing_tells(written(service.folder, server_folder))


def test_a_run_that_is_refused_writes_no_secret_either(
    confided: tuple[Service, S3Server], server_folder: Path
) -> None:
    service, server = confided
    server.door = lambda environ: (403, "InvalidAccessKeyId")
    with service.listening() as stream, service.run() as run:
        events = stream.until_end()
        assert run.wait() != 0

    assert events[-1]["status"] == "error"
    assert_nothing_tells(iter([("log", run.text.encode()), ("events", str(events).encode())]))
    assert_nothing_tells(written(service.folder, server_folder))
