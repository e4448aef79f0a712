"""Starting and stopping: in this process, and as a command of its own."""

import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.__main__ import main
from gnn_trainer.exchange.config import EVERY_ADDRESS, LOOPBACK, ExchangeConfig
from gnn_trainer.exchange.process import start_exchange
from tests.exchange.asking import SMALL, get


def test_an_exchange_that_was_closed_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with start_exchange(SMALL) as exchange:
        assert get(exchange, "/fapi/v1/ping").status_code == 200
        url = exchange.url
    assert set(threading.enumerate()) == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/fapi/v1/ping")
    exchange.close()


def test_closing_does_not_wait_for_open_connections() -> None:
    with httpx.Client() as client, start_exchange(SMALL) as exchange:
        assert client.get(exchange.url + "/api/v3/ping").status_code == 200


def test_two_exchanges_run_side_by_side() -> None:
    other = SMALL.model_copy(update={"seed": 99})
    with start_exchange(SMALL) as one, start_exchange(other) as two:
        query = {"symbol": "BTCUSDT", "interval": "1h"}
        assert one.url != two.url
        first, second = (get(e, "/fapi/v1/klines", **query).json() for e in (one, two))
        assert first != second


def test_a_taken_port_is_a_configuration_error() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on {LOOPBACK}:{port}"):
            start_exchange(SMALL.model_copy(update={"port": port}))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more than one loopback address")
def test_only_this_machine_gets_in_unless_told_otherwise() -> None:
    elsewhere = "127.0.0.2"  # another address of this machine
    with start_exchange(SMALL) as exchange, pytest.raises(httpx.ConnectError):
        httpx.get(exchange.url.replace(LOOPBACK, elsewhere) + "/fapi/v1/ping")
    everywhere = SMALL.model_copy(update={"host": EVERY_ADDRESS})
    with start_exchange(everywhere) as exchange:
        for url in (exchange.url, exchange.url.replace(LOOPBACK, elsewhere)):
            assert httpx.get(url + "/fapi/v1/ping").status_code == 200


def test_server_time_starts_where_it_is_set_and_goes_on() -> None:
    config = ExchangeConfig(symbols=4, bars=100, ticking=True)
    with start_exchange(config) as exchange:
        market = exchange.oracle
        assert market is not None
        started = exchange.now_ms
        assert market.now_ms <= started < market.now_ms + 60_000
        while exchange.now_ms == started:
            pass
        assert exchange.now_ms > started


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "gnn_trainer.exchange", "--symbols", "4", "--bars", "200"]
    command += ["--now", "2025-01-05T00:30", "--fault", "unavailable_503:/fapi/v1/ping:1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        statuses = [httpx.get(url + "/fapi/v1/ping").status_code for _ in range(2)]
        time_ms = httpx.get(url + "/fapi/v1/time").json()["serverTime"]
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert statuses == [503, 200]
    assert 1_736_037_000_000 <= time_ms < 1_736_037_000_000 + 60_000
    assert "best possible RankIC" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--interval", "7m"],
        ["--symbols", "2"],
        ["--strength", "1.5"],
        ["--now", "yesterday"],
        ["--now", "2024-01-01"],
        ["--fault", "earthquake"],
        ["--fault", "slow:/fapi:often"],
        ["--replay", "nothing.parquet"],
        ["--host", "192.0.2.1"],
    ],
)
def test_a_configuration_that_cannot_work_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert arguments[1] in capsys.readouterr().err
