"""The other spot endpoints: eight decimals everywhere, BREAK for the dead."""

import json
from pathlib import Path

from gnn_trainer.exchange.process import RunningExchange
from tests.exchange.asking import ask, get, refusal


def test_exchange_info_has_the_fields_of_the_recorded_one(
    standing_exchange: RunningExchange, recorded_data: Path
) -> None:
    path = recorded_data / "rest_samples" / "exchangeInfo_spot_20211012_excerpt.json"
    recorded = json.loads(path.read_text())
    ours = get(standing_exchange, "/api/v3/exchangeInfo").json()
    assert ours.keys() == recorded.keys()
    assert ours["symbols"][0].keys() >= recorded["symbols"][0].keys()
    assert recorded["rateLimits"][0]["rateLimitType"] == ours["rateLimits"][0]["rateLimitType"]


def test_the_dead_stay_listed_and_futures_are_not(standing_exchange: RunningExchange) -> None:
    info = ask(standing_exchange, lambda client: client.get_exchange_info())
    status = {row["symbol"]: row["status"] for row in info["symbols"]}
    assert status["BTCUSDT"] == "TRADING"
    assert status["FTTUSDT"] == "BREAK"
    assert not any("_" in symbol for symbol in status)
    assert "XAUUSDT" not in status


def test_exchange_info_can_be_asked_for_some_symbols(standing_exchange: RunningExchange) -> None:
    one = get(standing_exchange, "/api/v3/exchangeInfo", symbol="ETHUSDT").json()["symbols"]
    two = get(standing_exchange, "/api/v3/exchangeInfo", symbols='["ETHUSDT","BTCUSDT"]').json()
    assert [row["symbol"] for row in one] == ["ETHUSDT"]
    assert [row["symbol"] for row in two["symbols"]] == ["ETHUSDT", "BTCUSDT"]
    assert refusal(standing_exchange, "/api/v3/exchangeInfo", symbol="NOPE") == (400, -1121)
    assert refusal(standing_exchange, "/api/v3/exchangeInfo", symbols="[ETH") == (400, -1100)


def test_depth_takes_any_limit_and_has_no_times(standing_exchange: RunningExchange) -> None:
    book = ask(standing_exchange, lambda client: client.get_order_book(symbol="ETHUSDT", limit=7))
    assert book.keys() == {"lastUpdateId", "bids", "asks"}
    assert len(book["bids"]) == len(book["asks"]) == 7
    assert all(len(text.split(".")[1]) == 8 for level in book["bids"] for text in level)
    default = get(standing_exchange, "/api/v3/depth", symbol="ETHUSDT").json()
    clipped = get(standing_exchange, "/api/v3/depth", symbol="ETHUSDT", limit=9000).json()
    assert len(default["bids"]) == 100
    assert len(clipped["bids"]) == 1000
    dead = get(standing_exchange, "/api/v3/depth", symbol="FTTUSDT").json()
    assert dead["bids"] == dead["asks"] == []


def test_tickers_come_for_one_some_or_all(standing_exchange: RunningExchange) -> None:
    one = ask(standing_exchange, lambda client: client.get_ticker(symbol="BTCUSDT"))
    every = ask(standing_exchange, lambda client: client.get_ticker())
    assert one == next(row for row in every if row["symbol"] == "BTCUSDT")
    assert {"prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty"} <= one.keys()
    assert "FTTUSDT" not in {row["symbol"] for row in every}
    best = ask(standing_exchange, lambda client: client.get_orderbook_ticker(symbol="BTCUSDT"))
    assert best["bidPrice"] == one["bidPrice"]
    some = get(standing_exchange, "/api/v3/ticker/bookTicker", symbols='["BTCUSDT"]').json()
    assert some == [best]


def test_the_library_s_start_ping_and_time_work(standing_exchange: RunningExchange) -> None:
    assert ask(standing_exchange, lambda client: client.ping()) == {}
    answer = ask(standing_exchange, lambda client: client.get_server_time())
    assert answer == {"serverTime": standing_exchange.now_ms}
