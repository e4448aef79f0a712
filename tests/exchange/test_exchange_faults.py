"""Faults, one by one, as a client sees them."""

import json

import aiohttp
import httpx
import pytest
from binance.exceptions import BinanceAPIException

from gnn_trainer.exchange.faults import Fault, FaultKind
from gnn_trainer.exchange.process import RunningExchange
from tests.exchange.asking import ask, get

KLINES = "/fapi/v1/klines"
BTC = {"symbol": "BTCUSDT", "interval": "1h"}


def faulty(exchange: RunningExchange, kind: FaultKind) -> httpx.Response:
    exchange.faults.add(Fault(kind, KLINES))
    return get(exchange, KLINES, **BTC)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (FaultKind.RESTRICTED_451, 451, 0),
        (FaultKind.UNAVAILABLE_503, 503, -1001),
        (FaultKind.RATE_LIMITED_429, 429, -1003),
        (FaultKind.NO_RETRY_AFTER_429, 429, -1003),
        (FaultKind.BANNED_418, 418, -1003),
        (FaultKind.UNKNOWN_SYMBOL_400, 400, -1121),
        (FaultKind.ERROR_200, 200, -1000),
    ],
)
def test_an_error_answer_has_its_status_and_code(
    exchange: RunningExchange, kind: FaultKind, status: int, code: int
) -> None:
    response = faulty(exchange, kind)
    assert response.status_code == status
    assert response.json()["code"] == code
    waits = kind in (FaultKind.RATE_LIMITED_429, FaultKind.BANNED_418)
    assert ("Retry-After" in response.headers) == waits


@pytest.mark.parametrize(("kind", "status"), [(FaultKind.HTML_403, 403), (FaultKind.HTML_200, 200)])
def test_a_web_page_comes_instead_of_json(
    exchange: RunningExchange, kind: FaultKind, status: int
) -> None:
    response = faulty(exchange, kind)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_the_library_sees_code_0_in_a_web_page(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.HTML_403, KLINES))
    with pytest.raises(BinanceAPIException) as caught:
        ask(exchange, lambda client: client.futures_klines(**BTC))
    assert (caught.value.status_code, caught.value.code) == (403, 0)


def test_json_of_another_shape_comes_as_if_it_were_right(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.WRONG_SHAPE, KLINES))
    rows = ask(exchange, lambda client: client.futures_klines(**BTC))
    assert rows == [{"unexpected": True}]


def test_the_library_refuses_json_announced_as_text(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.PLAIN_TEXT, KLINES))
    assert len(get(exchange, KLINES, **BTC).json()) == 500
    with pytest.raises(aiohttp.ContentTypeError):
        ask(exchange, lambda client: client.futures_klines(**BTC))


def test_truncated_json_comes_whole_as_http_and_broken_as_json(exchange: RunningExchange) -> None:
    response = faulty(exchange, FaultKind.TRUNCATED)
    assert response.status_code == 200
    assert response.text.startswith("[[")
    with pytest.raises(json.JSONDecodeError):
        response.json()


@pytest.mark.parametrize("kind", [FaultKind.DROPPED, FaultKind.CUT_OFF])
def test_a_connection_breaks_off(exchange: RunningExchange, kind: FaultKind) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        faulty(exchange, kind)
    exchange.faults.clear()
    assert get(exchange, KLINES, **BTC).status_code == 200


def test_a_slow_answer_outlasts_the_patience_of_a_client(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.SLOW, KLINES, delay_s=30.0))
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(exchange.url + KLINES, params=BTC, timeout=0.05)


def test_a_slow_answer_is_the_right_one(exchange: RunningExchange) -> None:
    right = get(exchange, KLINES, **BTC).json()
    exchange.faults.add(Fault(FaultKind.SLOW, KLINES, delay_s=0.01))
    assert get(exchange, KLINES, **BTC).json() == right


def test_a_fault_lasts_for_its_times_and_then_passes(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.UNAVAILABLE_503, KLINES, after=1, times=2))
    statuses = [get(exchange, KLINES, **BTC).status_code for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]


def test_a_fault_keeps_to_its_path_and_symbol(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.UNAVAILABLE_503, KLINES, symbol="ETHUSDT"))
    assert get(exchange, KLINES, **BTC).status_code == 200
    assert get(exchange, KLINES, symbol="ETHUSDT", interval="1h").status_code == 503
    assert get(exchange, "/fapi/v1/depth", symbol="ETHUSDT").status_code == 200


def test_faults_added_one_after_another_happen_in_turn(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.UNAVAILABLE_503, times=1))
    exchange.faults.add(Fault(FaultKind.RATE_LIMITED_429, times=1))
    assert [get(exchange, KLINES, **BTC).status_code for _ in range(3)] == [503, 429, 200]


def test_every_request_is_remembered_with_its_status(exchange: RunningExchange) -> None:
    exchange.faults.add(Fault(FaultKind.UNAVAILABLE_503, KLINES, times=1))
    exchange.faults.add(Fault(FaultKind.DROPPED, KLINES, after=1, times=1))
    get(exchange, KLINES, **BTC)
    get(exchange, KLINES, **BTC)
    with pytest.raises(httpx.RemoteProtocolError):
        get(exchange, KLINES, **BTC)
    get(exchange, "/fapi/v1/ping")
    assert [request.status for request in exchange.requests.seen(KLINES)] == [503, 200, 0]
    assert exchange.requests.seen(KLINES)[0].query["symbol"] == "BTCUSDT"
    assert exchange.requests.counts() == {KLINES: 3, "/fapi/v1/ping": 1}
    exchange.requests.clear()
    assert exchange.requests.seen() == []
