"""`--check`: one table of what is set, one of what answers, and an exit code to rely on."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gnn_trainer.check import MISCONFIGURED, READY, UNREADY, check, print_problems
from gnn_trainer.errors import ConfigError

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
