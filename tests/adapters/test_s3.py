"""What only an object store does: buckets, parts, conditions, refusals, TLS."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import WSGIEnvironment

import pytest

from gnn_trainer.adapters.s3 import PART_BYTES, S3Store
from gnn_trainer.adapters.s3_client import S3Client, connect, connect_once
from gnn_trainer.errors import (
    ArtifactError,
    ConfigError,
    GnnTrainerError,
    ServiceError,
    TransientServiceError,
)
from gnn_trainer.services import MinioSettings
from tests.certificates import make_certificate
from tests.s3_server import (
    ACCESS_KEY,
    SECRET_KEY,
    Door,
    S3Server,
    let_in,
    refuse,
    s3_server,
)


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    running.requests.clear()
    yield running
    running.door = let_in


@pytest.fixture(scope="module")
def client(running: S3Server) -> S3Client:
    """Asks once, so that refusals come at once."""
    return connect_once(running.settings())


@pytest.fixture
def minio(server: S3Server) -> MinioSettings:
    return server.settings()


@pytest.fixture
def store(minio: MinioSettings, client: S3Client) -> S3Store:
    return S3Store(minio, lambda _: client)


def test_making_a_store_asks_nothing(server: S3Server, store: S3Store) -> None:
    assert store.location.startswith("s3://bucket-")
    assert server.requests == []


def test_a_bucket_that_is_absent_is_made_by_the_first_write(store: S3Store) -> None:
    assert not store.bucket_exists()
    store.put_bytes("m/file", b"1")
    assert store.bucket_exists()
    assert store.read("m/file") == b"1"


def test_a_bucket_of_another_region_is_made_there(server: S3Server) -> None:
    minio = server.settings(region="eu-west-1")
    store = S3Store(minio, connect_once)
    store.prepare()
    place = connect_once(minio).get_bucket_location(Bucket=minio.bucket)
    assert place["LocationConstraint"] == "eu-west-1"


def test_a_large_file_goes_up_in_parts_and_a_small_one_does_not(
    store: S3Store,
    minio: MinioSettings,
    client: S3Client,
    tmp_path: Path,
) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * PART_BYTES + 1))
    store.put_file("m/large", tmp_path / "large")
    store.put_bytes("m/small", bytes(PART_BYTES - 1))
    tags = [
        client.head_object(Bucket=minio.bucket, Key=key)["ETag"] for key in ("m/large", "m/small")
    ]
    assert tags[0].endswith('-3"')
    assert "-" not in tags[1]


def test_a_large_file_makes_the_bucket_too(store: S3Store) -> None:
    store.put_bytes("m/large", bytes(PART_BYTES))
    assert len(store.read("m/large")) == PART_BYTES


def test_a_browser_can_show_what_is_for_people(
    store: S3Store,
    minio: MinioSettings,
    client: S3Client,
) -> None:
    for name, kind in (
        ("report.html", "text/html; charset=utf-8"),
        ("metrics.json", "application/json"),
        ("model.safetensors", "application/octet-stream"),
    ):
        store.put_bytes(f"m/{name}", b"")
        head = client.head_object(Bucket=minio.bucket, Key=f"m/{name}")
        assert head["ContentType"] == kind


def test_a_listing_of_several_pages_is_whole(
    server: S3Server,
    store: S3Store,
) -> None:
    def two_by_two(environ: WSGIEnvironment) -> None:
        environ["QUERY_STRING"] += "&max-keys=2"

    names = [f"m/{number}" for number in range(5)]
    for name in names:
        store.put_bytes(name, b"")
    server.door = two_by_two
    server.requests.clear()
    assert store.keys("m/") == names
    assert len(server.requests) == 3


class Meddler:
    """A door that lets another writer in just before the next conditional write."""

    def __init__(self, store: S3Store, content: bytes, *, times: int = 1) -> None:
        self._store, self._content, self._left = store, content, times

    def change(self, held: bytes | None) -> bytes | None:
        """As a writer of `mine` that gives way to nobody."""
        if self._left:
            self._left -= 1
            self._store.put_bytes("m/pointer", self._content + str(self._left).encode())
        return (held or b"") + b"+mine"


@pytest.mark.parametrize("before", [None, b"old"])
def test_an_update_never_overwrites_what_it_has_not_seen(
    store: S3Store,
    before: bytes | None,
) -> None:
    if before is not None:
        store.put_bytes("m/pointer", before)
    assert store.update("m/pointer", Meddler(store, b"other", times=2).change)
    assert store.read("m/pointer") == b"other0+mine"


def test_an_update_that_is_always_outrun_ends(store: S3Store) -> None:
    with pytest.raises(TransientServiceError, match="changed by others"):
        store.update("m/pointer", Meddler(store, b"other", times=10_000).change)


def test_an_update_whose_answer_was_lost_counts_as_made(server: S3Server, store: S3Store) -> None:
    """The write arrives, its answer does not, and the client's repetition is refused."""
    store.put_bytes("m/pointer", b"old")

    def change(held: bytes | None) -> bytes | None:
        store.put_bytes("m/pointer", b"new")
        return b"new"

    assert store.update("m/pointer", change)
    assert store.read("m/pointer") == b"new"


def ignore_conditions(environ: WSGIEnvironment) -> None:
    for name in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"):
        environ.pop(name, None)


def not_implemented(environ: WSGIEnvironment) -> tuple[int, str] | None:
    conditional = {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & set(environ)
    return (501, "NotImplemented") if conditional else None


@pytest.mark.parametrize("door", [ignore_conditions, not_implemented])
def test_a_server_without_conditions_is_written_to_all_the_same(
    server: S3Server,
    store: S3Store,
    door: Door,
) -> None:
    store.put_bytes("m/pointer", b"1")
    server.door = door
    assert store.update("m/pointer", lambda held: (held or b"") + b"2")
    assert store.read("m/pointer") == b"12"


def test_without_conditions_an_older_writer_that_comes_last_is_replaced(
    server: S3Server,
    store: S3Store,
) -> None:
    """Two writers read nothing; the newer writes, then the older, and the newer reads back."""
    server.door = ignore_conditions
    newer_wrote = threading.Event()

    def only_forward(held: bytes | None) -> bytes | None:
        return b"newer" if held is None or held < b"newer" else None

    def door(environ: WSGIEnvironment) -> None:
        ignore_conditions(environ)
        if environ["REQUEST_METHOD"] == "GET" and newer_wrote.is_set():
            newer_wrote.clear()
            server.door = ignore_conditions
            overwrite.put_object(Bucket=bucket, Key="m/pointer", Body=b"a older")
        if environ["REQUEST_METHOD"] == "PUT":
            newer_wrote.set()

    store.prepare()
    bucket = store.location.removeprefix("s3://")
    with s3_server() as other:  # moto's buckets are shared in one process: a second door to them
        overwrite = connect_once(other.settings(bucket))
        server.door = door
        assert store.update("m/pointer", only_forward)
    assert store.read("m/pointer") == b"newer"


REFUSALS = [
    (403, "InvalidAccessKeyId", ConfigError, "MINIO_ACCESS_KEY"),
    (403, "SignatureDoesNotMatch", ConfigError, "MINIO_SECRET_KEY"),
    (403, "AccessDenied", ConfigError, "s3:PutObject"),
    (400, "AuthorizationHeaderMalformed", ConfigError, "MINIO_REGION"),
    (400, "InvalidBucketName", ConfigError, "MINIO_BUCKET_NAME"),
    (403, "RequestTimeTooSkewed", ServiceError, "clock"),
    (400, "SomethingNew", ServiceError, "MINIO_SECURE"),
    (503, "SlowDown", TransientServiceError, "SlowDown"),
    (500, "InternalError", TransientServiceError, "InternalError"),
    (507, "XMinioStorageFull", TransientServiceError, "XMinioStorageFull"),
    (429, "TooManyRequests", TransientServiceError, "429"),
]


@pytest.mark.parametrize(("status", "code", "kind", "says"), REFUSALS)
def test_a_refusal_says_what_to_do_and_whether_to_try_again(
    server: S3Server,
    store: S3Store,
    status: int,
    code: str,
    kind: type[GnnTrainerError],
    says: str,
) -> None:
    server.door = refuse(status, code)
    calls = (
        store.prepare,
        lambda: store.put_bytes("m/file", b""),
        lambda: store.read("m/file"),
        lambda: store.keys("m/"),
        lambda: store.remove("m/file"),
        lambda: store.update("m/file", lambda held: b"x"),
    )
    for call in calls:
        with pytest.raises(GnnTrainerError) as caught:
            call()
        assert type(caught.value) is kind
        assert says in str(caught.value)
        assert store.location.removeprefix("s3://") in str(caught.value)


def test_a_refusal_without_body_is_one_too(server: S3Server, store: S3Store) -> None:
    server.door = refuse(403, "AccessDenied")
    with pytest.raises(ConfigError, match="may not"):
        store.exists("m/file")


def test_a_bucket_that_may_not_be_made_says_so(server: S3Server, store: S3Store) -> None:
    def door(environ: WSGIEnvironment) -> tuple[int, str] | None:
        makes_bucket = environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].count("/") == 1
        return (403, "AccessDenied") if makes_bucket else None

    server.door = door
    with pytest.raises(ConfigError, match="make the bucket, which is absent"):
        store.prepare()


def test_a_bucket_that_may_only_be_read_is_found_out_before_the_work(
    server: S3Server,
    store: S3Store,
) -> None:
    store.prepare()
    server.door = refuse(403, "AccessDenied", method="PUT")
    with pytest.raises(ConfigError, match="cannot write"):
        store.prepare()


def test_a_bucket_that_belongs_to_somebody_else_cannot_be_used(
    server: S3Server,
    store: S3Store,
) -> None:
    server.door = refuse(409, "BucketAlreadyExists", method="PUT")
    with pytest.raises(ConfigError, match="MINIO_BUCKET_NAME"):
        store.prepare()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid:9000"])
def test_a_server_that_is_away_is_worth_another_try(server: S3Server, endpoint: str) -> None:
    minio = server.settings().model_copy(update={"endpoint": endpoint})
    with pytest.raises(TransientServiceError, match="does not answer"):
        S3Store(minio, connect_once).read("m/file")


@contextmanager
def answering(raw: bytes) -> Iterator[str]:
    """The URL of a server that gives the first request these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(raw)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_page_that_is_not_s3_is_told_from_a_store(server: S3Server) -> None:
    page = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<!doctype html><p>nothing"
    with answering(page) as url:
        minio = server.settings().model_copy(update={"endpoint": url})
        with pytest.raises(ServiceError, match="9000"):
            S3Store(minio, connect_once).prepare()


def test_half_an_answer_is_worth_another_try(server: S3Server) -> None:
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "a"\r\n\r\nonly this'
    with answering(half) as url:
        minio = server.settings().model_copy(update={"endpoint": url})
        with pytest.raises(TransientServiceError):
            S3Store(minio, connect_once).read("m/file")


def test_no_message_has_a_key(server: S3Server, store: S3Store) -> None:
    for status, code, *_ in REFUSALS:
        server.door = refuse(status, code)
        with pytest.raises(GnnTrainerError) as caught:
            store.put_bytes("m/file", b"")
        error: BaseException | None = caught.value
        while error is not None:
            assert ACCESS_KEY not in str(error)
            assert SECRET_KEY not in str(error)
            error = error.__cause__


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_server(certificates: tuple[Path, Path]) -> Iterator[S3Server]:
    with s3_server(certificates) as server:
        yield server


def test_a_certificate_of_our_own_ca_is_trusted(
    tls_server: S3Server,
    certificates: tuple[Path, Path],
) -> None:
    store = S3Store(tls_server.settings(ca_path=certificates[0]), connect)
    store.put_bytes("m/file", b"sealed")
    assert store.read("m/file") == b"sealed"


def test_a_certificate_of_an_unknown_ca_is_refused(tls_server: S3Server) -> None:
    with pytest.raises(ConfigError, match="MINIO_CA_PATH"):
        S3Store(tls_server.settings(), connect_once).prepare()


def test_a_server_without_tls_is_recognised(server: S3Server) -> None:
    minio = server.settings().model_copy(update={"endpoint": server.url.replace("http", "https")})
    with pytest.raises(ConfigError, match="MINIO_SECURE=false"):
        S3Store(minio, connect_once).prepare()


def test_a_server_with_tls_is_recognised(tls_server: S3Server) -> None:
    plain = tls_server.url.replace("https", "http")
    minio = tls_server.settings().model_copy(update={"endpoint": plain})
    with pytest.raises(TransientServiceError, match="does not answer"):
        S3Store(minio, connect_once).prepare()


def test_a_key_that_is_absent_is_an_artifact_error_even_without_bucket(store: S3Store) -> None:
    with pytest.raises(ArtifactError, match="m/file"):
        store.read("m/file")
