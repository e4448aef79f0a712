"""The other USD-M endpoints: books, funding, exchangeInfo, tickers."""

import json
from pathlib import Path
from typing import Any

import pytest

from gnn_trainer.exchange.process import RunningExchange
from tests.exchange.asking import HOUR_MS, ask, get, refusal

EIGHT_HOURS_MS = 8 * HOUR_MS


def test_ping_and_time(standing_exchange: RunningExchange) -> None:
    assert get(standing_exchange, "/fapi/v1/ping").json() == {}
    assert get(standing_exchange, "/fapi/v1/time").json() == {
        "serverTime": standing_exchange.now_ms
    }


def same_shape(ours: Any, recorded: Any) -> bool:
    """Same keys, same JSON types, to any depth; lists are compared by their first item."""
    if isinstance(recorded, dict):
        return (
            isinstance(ours, dict)
            and ours.keys() == recorded.keys()
            and all(same_shape(ours[key], recorded[key]) for key in recorded)
        )
    if isinstance(recorded, list) and recorded and isinstance(ours, list) and ours:
        return same_shape(ours[0], recorded[0])
    return type(ours) is type(recorded)


@pytest.mark.parametrize(
    ("sample", "path", "query"),
    [
        ("depth_um_BTCUSDT_limit5_20260915", "depth", {"symbol": "BTCUSDT", "limit": 5}),
        ("bookTicker_um_BTCUSDT_20260915", "ticker/bookTicker", {"symbol": "BTCUSDT"}),
        ("fundingRate_um_BTCUSDT_20260915", "fundingRate", {"symbol": "BTCUSDT", "limit": 2}),
        ("fundingInfo_um_20260915_excerpt", "fundingInfo", {}),
        ("premiumIndex_um_BTCUSDT_20260915", "premiumIndex", {"symbol": "BTCUSDT"}),
        ("openInterest_um_BTCUSDT_20260915", "openInterest", {"symbol": "BTCUSDT"}),
        ("time_um_20260915", "time", {}),
        ("error_um_400_-4108", "openInterest", {"symbol": "FTTUSDT"}),
        ("error_um_400_-4021_depth_limit3", "depth", {"symbol": "BTCUSDT", "limit": 3}),
        ("error_um_200_envelope_fundingRate_limit1001", "fundingRate", {"limit": 1001}),
    ],
)
def test_an_answer_has_the_shape_of_the_recorded_one(
    standing_exchange: RunningExchange,
    recorded_data: Path,
    sample: str,
    path: str,
    query: dict[str, str | int],
) -> None:
    recorded = json.loads((recorded_data / "rest_samples" / f"{sample}.json").read_text())
    response = get(standing_exchange, f"/fapi/v1/{path}", **query)
    assert response.headers["Content-Type"].startswith("application/json")
    assert same_shape(response.json(), recorded), response.text
    if sample.startswith("error"):
        assert response.json() == recorded


def test_exchange_info_has_the_fields_of_the_recorded_one(
    standing_exchange: RunningExchange, recorded_data: Path
) -> None:
    path = recorded_data / "rest_samples" / "exchangeInfo_um_20260915_excerpt.json"
    recorded = json.loads(path.read_text())
    ours = get(standing_exchange, "/fapi/v1/exchangeInfo").json()
    assert ours.keys() == recorded.keys()
    assert ours["symbols"][0].keys() == recorded["symbols"][0].keys()
    assert ours["rateLimits"][0].keys() == recorded["rateLimits"][0].keys()


def test_exchange_info_ignores_the_symbol_and_lists_the_dead_and_the_announced(
    standing_exchange: RunningExchange,
) -> None:
    info = get(standing_exchange, "/fapi/v1/exchangeInfo", symbol="BTCUSDT").json()
    rows = {row["symbol"]: row for row in info["symbols"]}
    assert rows["FTTUSDT"]["status"] == "SETTLING"
    assert rows["FTTUSDT"]["deliveryDate"] < standing_exchange.now_ms
    assert rows["SOONUSDT"]["status"] == "PENDING_TRADING"
    assert rows["SOONUSDT"]["contractType"] == ""
    assert rows["BTCUSDT"]["deliveryDate"] == 4_133_404_800_000
    kinds = {(row["contractType"], row["quoteAsset"]) for row in info["symbols"]}
    assert {("CURRENT_QUARTER", "USDT"), ("PERPETUAL", "USDC")} <= kinds
    assert ("TRADIFI_PERPETUAL", "USDT") in kinds


def test_a_delisting_shows_only_once_it_is_announced(exchange: RunningExchange) -> None:
    info = get(exchange, "/fapi/v1/exchangeInfo").json()
    quarterly = next(r for r in info["symbols"] if r["contractType"] == "CURRENT_QUARTER")
    assert quarterly["symbol"].startswith("BTCUSDT_")
    exchange.clock.advance(quarterly["deliveryDate"] - exchange.now_ms)
    info = get(exchange, "/fapi/v1/exchangeInfo").json()
    assert {r["symbol"]: r["status"] for r in info["symbols"]}[quarterly["symbol"]] == "SETTLING"


@pytest.mark.parametrize("limit", [5, 10, 20, 50, 100, 500, 1000])
def test_a_book_is_sorted_on_the_tick_and_not_crossed(
    standing_exchange: RunningExchange, limit: int
) -> None:
    for symbol in ("BTCUSDT", "DOGEUSDT"):
        book = get(standing_exchange, "/fapi/v1/depth", symbol=symbol, limit=limit).json()
        bids, asks = ([float(p) for p, _ in book[side]] for side in ("bids", "asks"))
        assert len(bids) == len(asks) == limit
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert 0 < asks[0] - bids[0] < 0.002 * asks[0]
        assert all(float(quantity) > 0 for _, quantity in book["bids"] + book["asks"])
        newest = get(standing_exchange, "/fapi/v1/klines", symbol=symbol, interval="1h", limit=1)
        assert bids[0] == pytest.approx(float(newest.json()[0][4]), rel=0.002)


def test_a_thin_book_is_shorter_than_asked_for(standing_exchange: RunningExchange) -> None:
    book = get(standing_exchange, "/fapi/v1/depth", symbol="币安人生USDT", limit=100).json()
    assert len(book["bids"]) == len(book["asks"]) == 37


@pytest.mark.parametrize(
    ("limit", "code"), [(1, -4021), (3, -4021), (999, -4021), (1001, -1130), (1500, -1130)]
)
def test_only_some_depth_limits_are_known(
    standing_exchange: RunningExchange, limit: int, code: int
) -> None:
    answer = refusal(standing_exchange, "/fapi/v1/depth", symbol="BTCUSDT", limit=limit)
    assert answer == (400, code)


@pytest.mark.parametrize("symbol", ["FTTUSDT", "SOONUSDT"])
@pytest.mark.parametrize("path", ["depth", "openInterest", "premiumIndex", "ticker/bookTicker"])
def test_what_does_not_trade_has_no_book(
    standing_exchange: RunningExchange, symbol: str, path: str
) -> None:
    assert refusal(standing_exchange, f"/fapi/v1/{path}", symbol=symbol) == (400, -4108)


def funding(exchange: RunningExchange, **query: str | int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = get(exchange, "/fapi/v1/fundingRate", **query).json()
    return rows


def test_funding_without_a_window_gives_at_most_200_rows_whatever_the_limit(
    standing_exchange: RunningExchange,
) -> None:
    """Of 251 settlements: every four hours, 0 to 1000."""
    newest = funding(standing_exchange, symbol="DOGEUSDT", limit=1000)
    assert len(newest) == 200
    assert len(funding(standing_exchange, symbol="DOGEUSDT")) == 100
    assert len(funding(standing_exchange, symbol="DOGEUSDT", limit=1000, startTime=0)) == 251
    everything = funding(standing_exchange, symbol="DOGEUSDT", limit=1000, endTime=10**14)
    assert everything[-200:] == newest


def test_funding_bounds_are_inclusive_and_nothing_unsettled_comes(
    standing_exchange: RunningExchange,
) -> None:
    rows = funding(standing_exchange, symbol="BTCUSDT", startTime=0, limit=1000)
    times = [row["fundingTime"] for row in rows]
    assert times == sorted(times)
    assert times[-1] <= standing_exchange.now_ms < times[-1] + EIGHT_HOURS_MS + 20
    between = funding(standing_exchange, symbol="BTCUSDT", startTime=times[3], endTime=times[5])
    assert between == rows[3:6]
    assert funding(standing_exchange, symbol="BTCUSDT", startTime=times[3], limit=1) == rows[3:4]
    assert funding(standing_exchange, symbol="BTCUSDT", endTime=times[3], limit=1) == rows[3:4]


def test_funding_of_all_symbols_comes_mixed_in_order_of_time(
    standing_exchange: RunningExchange,
) -> None:
    rows = funding(standing_exchange, startTime=0, limit=1000)
    assert len({row["symbol"] for row in rows}) > 5
    assert [row["fundingTime"] for row in rows] == sorted(row["fundingTime"] for row in rows)


def test_a_funding_limit_above_1000_is_refused_with_status_200(
    standing_exchange: RunningExchange,
) -> None:
    answer = ask(standing_exchange, lambda c: c.futures_funding_rate(symbol="BTCUSDT", limit=1001))
    assert answer["status"] == "ERROR"  # python-binance takes it for data


def test_funding_info_names_only_the_adjusted_symbols(standing_exchange: RunningExchange) -> None:
    rows = get(standing_exchange, "/fapi/v1/fundingInfo", symbol="BTCUSDT").json()
    assert {row["symbol"]: row["fundingIntervalHours"] for row in rows} == {"DOGEUSDT": 4}


def test_a_top_list_by_volume_needs_the_listings_to_be_right(
    standing_exchange: RunningExchange,
) -> None:
    tickers = get(standing_exchange, "/fapi/v1/ticker/24hr").json()
    by_volume = sorted(tickers, key=lambda row: -float(row["quoteVolume"]))
    loudest = {row["symbol"] for row in by_volume[:6]}
    assert {"ETHUSDC", "USDCUSDT", "XAUUSDT"} < loudest
    assert any("_" in symbol for symbol in loudest)
    assert "FTTUSDT" not in {row["symbol"] for row in tickers}


def test_the_day_ticker_sums_up_the_last_24_hours(standing_exchange: RunningExchange) -> None:
    ticker = get(standing_exchange, "/fapi/v1/ticker/24hr", symbol="ETHUSDT").json()
    rows = get(
        standing_exchange, "/fapi/v1/klines", symbol="ETHUSDT", interval="1h", limit=24
    ).json()
    assert float(ticker["lastPrice"]) == float(rows[-1][4])
    assert float(ticker["openPrice"]) == float(rows[0][1])
    assert float(ticker["highPrice"]) == max(float(row[2]) for row in rows)
    assert float(ticker["lowPrice"]) == min(float(row[3]) for row in rows)
    assert float(ticker["volume"]) == pytest.approx(sum(float(row[5]) for row in rows))
    assert ticker["count"] == sum(row[8] for row in rows)


def test_without_a_symbol_come_all_that_trade(standing_exchange: RunningExchange) -> None:
    premium = get(standing_exchange, "/fapi/v1/premiumIndex").json()
    best = get(standing_exchange, "/fapi/v1/ticker/bookTicker").json()
    names = {row["symbol"] for row in premium}
    assert names == {row["symbol"] for row in best}
    assert {"BTCUSDT", "币安人生USDT"} <= names
    assert not {"FTTUSDT", "SOONUSDT"} & names


def test_premium_index_announces_the_next_settlement(standing_exchange: RunningExchange) -> None:
    row = get(standing_exchange, "/fapi/v1/premiumIndex", symbol="BTCUSDT").json()
    now_ms = standing_exchange.now_ms
    assert row["nextFundingTime"] % EIGHT_HOURS_MS == 0
    assert now_ms < row["nextFundingTime"] <= now_ms + EIGHT_HOURS_MS
    settled = funding(standing_exchange, symbol="BTCUSDT", limit=1)[0]
    assert row["lastFundingRate"] == settled["fundingRate"]


def test_an_unknown_path_is_no_endpoint(standing_exchange: RunningExchange) -> None:
    assert refusal(standing_exchange, "/fapi/v1/nothing") == (404, -5000)
