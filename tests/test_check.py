"""`--check`: one table of what is set, one of what answers, and an exit code to rely on."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from gnn_trainer.adapters.s3 import S3Store
from gnn_trainer.adapters.s3_client import connect_once
from gnn_trainer.check import MISCONFIGURED, READY, UNREADY, check, print_problems
from gnn_trainer.environment import HIDDEN
from gnn_trainer.errors import ConfigError
from tests.adapters.arango_server import DATABASE, PASSWORD, USER, ArangoServer, running_arango
from tests.adapters.kafka_brokers import MockBroker
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, refuse, s3_server

SMALL = {"SIMULATED_SYMBOLS": "4", "TIME_RANGE": "5d"}


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, file=io.StringIO())


def rows(console: Console, *, word: str) -> str:
    return "\n".join(line for line in console.export_text(clear=False).splitlines() if word in line)


def test_the_simulated_market_is_ready(console: Console, tmp_path: Path) -> None:
    environ = SMALL | {"WORKSPACE": str(tmp_path / "new")}
    assert check(environ, {}, console) == READY
    assert "works" in rows(console, word="workspace")
    market = rows(console, word="exchange time")
    assert "120 bars of 1h" in market
    assert "stands in for MinIO" in console.export_text()


def test_each_setting_says_where_its_value_comes_from(console: Console, tmp_path: Path) -> None:
    environ = {"MODEL_OUTPUT": "theirs", "WORKSPACE": str(tmp_path), "EPOCHS": "5", "MARKET": "x"}
    check(environ, {"epochs": "9", "graph.neighbours": "3"}, console)
    assert "its alias MODEL_OUTPUT" in rows(console, word="theirs")
    assert "flag" in rows(console, word="EPOCHS")
    assert "9" in rows(console, word="EPOCHS")
    assert "flag" in rows(console, word="graph.neighbours")
    assert "environment" in rows(console, word=str(tmp_path))
    assert "not set" in rows(console, word="TIME_RANGE")


def test_a_binance_address_shows_as_the_chosen_source(console: Console) -> None:
    check({"BINANCE_API_URL": "http://127.0.0.1:9", "MARKET": "x"}, {}, console)
    assert "binance" in rows(console, word="MARKET_SOURCE")


def test_no_secret_is_printed(console: Console) -> None:
    environ = {"BINANCE_API_KEY": "hush", "MINIO_SECRET_KEY": "hush", "MINIO_ENDPOINT": "u:hush@h"}
    assert check(environ, {}, console) == MISCONFIGURED
    assert "hush" not in console.export_text()


def test_bad_configuration_is_one_table_and_nothing_is_started(
    console: Console,
    tmp_path: Path,
) -> None:
    environ = {"WORKSPACE": str(tmp_path / "ws"), "EPOCH": "5", "INTERVAL": "7m"}
    assert check(environ, {"seed": "-1"}, console) == MISCONFIGURED
    assert "did you mean EPOCHS?" in rows(console, word="EPOCH ")
    assert "use one of" in rows(console, word="'7m' unknown")
    assert "expected 0 or more" in rows(console, word="--seed")
    assert not (tmp_path / "ws").exists()


def test_an_exchange_that_does_not_answer_fails_the_check(console: Console, tmp_path: Path) -> None:
    environ = {
        "BINANCE_FUTURES_URL": "http://127.0.0.1:9",
        "WORKSPACE": str(tmp_path),
    }
    assert check(environ, {}, console) == UNREADY
    assert "fails" in rows(console, word="127.0.0.1")


def test_a_symbol_that_does_not_exist_fails_the_check(console: Console, tmp_path: Path) -> None:
    environ = SMALL | {"WORKSPACE": str(tmp_path), "SYMBOLS": "NOSUCHUSDT"}
    assert check(environ, {}, console) == UNREADY
    assert "NOSUCHUSDT" in rows(console, word="fails")


@pytest.fixture
def bucket_environ(tmp_path: Path) -> Iterator[tuple[S3Server, dict[str, str]]]:
    with s3_server() as server:
        yield (
            server,
            SMALL
            | {
                "WORKSPACE": str(tmp_path),
                "MINIO_ENDPOINT": server.url,
                "MINIO_ACCESS_KEY": ACCESS_KEY,
                "MINIO_SECRET_KEY": SECRET_KEY,
                "MINIO_BUCKET": server.settings().bucket,
            },
        )


def test_a_bucket_is_looked_at_and_not_made(
    console: Console,
    bucket_environ: tuple[S3Server, dict[str, str]],
) -> None:
    server, environ = bucket_environ
    assert check(environ, {}, console) == READY
    assert "will make bucket" in rows(console, word="minio")
    assert not any(request.startswith("PUT") for request in server.requests)


def test_a_bucket_that_is_there_is_tried_by_writing(
    console: Console,
    bucket_environ: tuple[S3Server, dict[str, str]],
) -> None:
    server, environ = bucket_environ
    store = S3Store(server.settings(environ["MINIO_BUCKET"]), connect_once)
    store.prepare()
    assert check(environ, {}, console) == READY
    assert "writable" in rows(console, word="minio")
    assert store.keys("") == []


def test_a_minio_that_does_not_let_us_in_fails_the_check_without_showing_a_key(
    console: Console,
    bucket_environ: tuple[S3Server, dict[str, str]],
) -> None:
    server, environ = bucket_environ
    server.door = refuse(403, "SignatureDoesNotMatch")
    assert check(environ, {}, console) == UNREADY
    assert "SignatureDoesNotMatch" in rows(console, word="minio")
    shown = rows(console, word="MINIO_ACCESS_KEY") + rows(console, word="MINIO_SECRET_KEY")
    assert HIDDEN in shown
    assert ACCESS_KEY not in console.export_text(clear=False)
    assert SECRET_KEY not in console.export_text()


def test_a_minio_that_is_away_fails_the_check(
    console: Console,
    bucket_environ: tuple[S3Server, dict[str, str]],
) -> None:
    _, environ = bucket_environ
    assert check(environ | {"MINIO_ENDPOINT": "127.0.0.1:9"}, {}, console) == UNREADY
    assert "does not answer" in console.export_text()


@pytest.fixture
def arango() -> Iterator[ArangoServer]:
    with running_arango() as server:
        yield server


def graph_environ(server: ArangoServer, tmp_path: Path, **changes: str) -> dict[str, str]:
    return {
        **SMALL,
        "WORKSPACE": str(tmp_path),
        "ARANGO_URL": server.url,
        "ARANGO_DB": DATABASE,
        "ARANGO_USER": USER,
        "ARANGO_PASSWORD": PASSWORD,
        "GRAPH_COLLECTION_NAME": "graph",
        **changes,
    }


def test_a_prepared_graph_is_counted_and_an_absent_one_may_still_come(
    console: Console, arango: ArangoServer, tmp_path: Path
) -> None:
    assert check(graph_environ(arango, tmp_path), {}, console) == READY
    assert "waits up to 600 s" in rows(console, word="relations")
    arango.collections["graph"] = [{"_key": "1"}, {"_key": "2"}]
    assert check(graph_environ(arango, tmp_path), {}, console) == READY
    assert "2 documents" in rows(console, word="relations")
    assert PASSWORD not in console.export_text()


def test_an_arangodb_that_does_not_let_us_in_fails_the_check(
    console: Console, arango: ArangoServer, tmp_path: Path
) -> None:
    environ = graph_environ(arango, tmp_path, ARANGO_PASSWORD="wrong-one")
    assert check(environ, {}, console) == UNREADY
    assert "ARANGO_PASSWORD" in rows(console, word="fails")
    assert "wrong-one" not in console.export_text()


def test_an_empty_file_of_relations_fails_the_check(console: Console, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text("[]")
    environ = SMALL | {"WORKSPACE": str(tmp_path), "RELATIONS_FILE": str(path)}
    assert check(environ, {}, console) == UNREADY
    assert "nothing there" in rows(console, word="relations")


def test_a_workspace_that_cannot_be_made_fails_the_check(console: Console, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = SMALL | {"WORKSPACE": str(tmp_path / "file" / "ws")}
    assert check(environ, {}, console) == UNREADY
    assert "WORKSPACE cannot be used" in console.export_text()


def test_text_in_brackets_is_printed_as_it_is(console: Console) -> None:
    print_problems(ConfigError("expected [red] or [/blue]"), console)
    assert "expected [red] or [/blue]" in console.export_text()


def test_the_check_leaves_the_folder_it_runs_in_alone(
    console: Console,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    check({"MARKET": "x"}, {}, console)
    assert list(Path().iterdir()) == []


def test_a_broker_that_does_not_answer_fails_the_check(console: Console, tmp_path: Path) -> None:
    environ = SMALL | {"WORKSPACE": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": "nowhere.invalid:9"}
    assert check(environ, {}, console) == UNREADY
    assert "the host is unknown" in rows(console, word="kafka")


def test_a_broker_that_answers_is_described(console: Console, tmp_path: Path) -> None:
    broker = MockBroker()
    servers = broker.settings.bootstrap_servers
    environ = SMALL | {"WORKSPACE": str(tmp_path), "KAFKA_BOOTSTRAP_SERVERS": servers}
    assert check(environ, {}, console) == READY
    assert "1 broker(s)" in rows(console, word="kafka")
