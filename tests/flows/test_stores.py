"""The flow's client of MinIO, made through prefect_aws without a registered block."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.stores import minio_client, prepare_store
from gnn_trainer.adapters.s3 import S3Store
from gnn_trainer.adapters.s3_client import connect
from gnn_trainer.errors import ConfigError
from tests.certificates import make_certificate
from tests.s3_server import S3Server, refuse, s3_server


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server() as serving:
        yield serving


def test_the_flow_writes_what_everybody_else_reads(server: S3Server) -> None:
    minio = server.settings()
    store = S3Store(minio, minio_client)
    prepare_store(store)
    store.put_bytes("m/file", b"from the flow")
    assert S3Store(minio, connect).read("m/file") == b"from the flow"


def test_both_clients_are_made_on_the_same_terms(server: S3Server) -> None:
    minio = server.settings(region="eu-west-1")
    ours, prefects = connect(minio).meta, minio_client(minio).meta
    assert prefects.endpoint_url == ours.endpoint_url
    assert prefects.region_name == ours.region_name == "eu-west-1"
    for term in ("signature_version", "s3", "retries", "connect_timeout", "read_timeout"):
        assert getattr(prefects.config, term) == getattr(ours.config, term)


def test_a_store_that_is_away_does_not_keep_a_run_from_starting(
    server: S3Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.door = refuse(503, "SlowDown")
    prepare_store(S3Store(server.settings(), minio_client))
    assert "training goes on" in caplog.text


def test_a_store_that_refuses_does(server: S3Server) -> None:
    server.door = refuse(403, "InvalidAccessKeyId")
    with pytest.raises(ConfigError, match="MINIO_ACCESS_KEY"):
        prepare_store(S3Store(server.settings(), minio_client))


def test_a_ca_of_our_own_is_trusted(tmp_path: Path) -> None:
    certificates = make_certificate(tmp_path)
    with s3_server(certificates) as server:
        store = S3Store(server.settings(ca_path=certificates[0]), minio_client)
        store.put_bytes("m/file", b"sealed")
        assert store.read("m/file") == b"sealed"
