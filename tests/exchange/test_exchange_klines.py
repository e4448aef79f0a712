"""Klines over the wire: shapes, window rules, caps, refusals, and the symbols that trap."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.exchange.process import RunningExchange
from tests.exchange.asking import HOUR_MS, ask, get, refusal

UM, SPOT = "/fapi/v1/klines", "/api/v3/klines"


def klines(exchange: RunningExchange, path: str = UM, **query: str | int) -> list[list[Any]]:
    query = {"symbol": "BTCUSDT", "interval": "1h", **query}
    response = get(exchange, path, **query)
    assert response.status_code == 200, response.text
    rows: list[list[Any]] = response.json()
    return rows


def opens(rows: list[list[Any]]) -> list[int]:
    return [row[0] for row in rows]


@pytest.mark.parametrize("path", [UM, SPOT])
def test_a_row_has_the_types_of_a_recorded_one(
    standing_exchange: RunningExchange, path: str, recorded_data: Path
) -> None:
    name = "klines_um_BTCUSDT_1m_20260915" if path == UM else "klines_spot_1h_20200131"
    recorded = json.loads((recorded_data / "rest_samples" / f"{name}.json").read_text())
    row = klines(standing_exchange, path, limit=1)[0]
    assert [type(value) for value in row] == [type(value) for value in recorded[0]]
    assert row[6] == row[0] + HOUR_MS - 1


def test_prices_are_written_with_the_decimals_of_their_symbol_or_eight_on_spot(
    standing_exchange: RunningExchange,
) -> None:
    def decimals(path: str, symbol: str) -> int:
        return len(klines(standing_exchange, path, symbol=symbol, limit=1)[0][1].split(".")[1])

    assert [decimals(UM, symbol) for symbol in ("BTCUSDT", "XRPUSDT", "DOGEUSDT")] == [2, 4, 5]
    assert [decimals(SPOT, symbol) for symbol in ("BTCUSDT", "XRPUSDT", "DOGEUSDT")] == [8, 8, 8]


def test_the_rows_are_the_numbers_of_the_market(standing_exchange: RunningExchange) -> None:
    market = standing_exchange.oracle
    assert market is not None
    candles = market.candles("1h")
    i = market.symbols.index("XRPUSDT")
    rows = klines(standing_exchange, symbol="XRPUSDT", startTime=0, limit=1000)
    assert opens(rows) == candles.open_time_T.tolist()
    for position, values_TN in (
        (1, candles.open_TN),
        (4, candles.close_TN),
        (5, candles.volume_TN),
    ):
        assert [float(row[position]) for row in rows] == values_TN[:, i].tolist()


def test_without_bounds_come_the_newest_rows_and_500_of_them(
    standing_exchange: RunningExchange,
) -> None:
    rows = klines(standing_exchange)
    forming_ms = standing_exchange.now_ms // HOUR_MS * HOUR_MS
    assert opens(rows) == [forming_ms - back * HOUR_MS for back in range(499, -1, -1)]


def test_a_start_counts_from_the_oldest_and_an_end_from_the_newest(
    standing_exchange: RunningExchange,
) -> None:
    newest = standing_exchange.now_ms // HOUR_MS * HOUR_MS
    start, end = newest - 100 * HOUR_MS, newest - 50 * HOUR_MS
    assert opens(klines(standing_exchange, startTime=start, limit=2)) == [start, start + HOUR_MS]
    assert opens(klines(standing_exchange, endTime=end, limit=2)) == [end - HOUR_MS, end]
    both = opens(klines(standing_exchange, startTime=start, endTime=end))
    assert (both[0], both[-1], len(both)) == (start, end, 51)
    both = opens(klines(standing_exchange, startTime=start, endTime=end, limit=3))
    assert both == [start, start + HOUR_MS, start + 2 * HOUR_MS]


def test_bounds_are_inclusive_and_compare_with_the_open_time(
    standing_exchange: RunningExchange,
) -> None:
    start = standing_exchange.now_ms // HOUR_MS * HOUR_MS - 10 * HOUR_MS
    assert opens(klines(standing_exchange, startTime=start, endTime=start)) == [start]
    assert klines(standing_exchange, startTime=start + 1, endTime=start + HOUR_MS - 1) == []


@given(limit=st.integers(1, 1500), back=st.integers(1, 1010))
def test_paging_forward_meets_every_bar_once(
    standing_exchange: RunningExchange, limit: int, back: int
) -> None:
    limit = max(limit, back // 4 + 1)  # a few pages are enough
    newest = standing_exchange.now_ms // HOUR_MS * HOUR_MS
    start, seen = newest - back * HOUR_MS, []
    while page := klines(standing_exchange, startTime=start, limit=limit):
        assert len(page) <= limit
        seen += opens(page)
        start = seen[-1] + HOUR_MS
    first = max(newest - back * HOUR_MS, newest - 1000 * HOUR_MS)
    assert seen == list(range(first, newest + 1, HOUR_MS))


def test_paging_backward_meets_every_bar_once(standing_exchange: RunningExchange) -> None:
    newest = standing_exchange.now_ms // HOUR_MS * HOUR_MS
    end, seen = newest + HOUR_MS, list[int]()
    while page := klines(standing_exchange, endTime=end, limit=499):
        seen = opens(page) + seen
        end = seen[0] - 1
    assert seen == list(range(newest - 1000 * HOUR_MS, newest + 1, HOUR_MS))


def test_the_last_row_is_still_forming_and_then_final(exchange: RunningExchange) -> None:
    market = exchange.oracle
    assert market is not None
    final = market.bars("BTCUSDT")
    row = final.index_at(exchange.now_ms)
    early = klines(exchange, limit=1)[0]
    assert early[0] <= exchange.now_ms <= early[6]
    exchange.clock.advance(30 * 60_000)
    later = klines(exchange, limit=1)[0]
    assert float(early[5]) < float(later[5]) < final.volume[row]
    assert early[8] < later[8] < final.trades[row]
    assert float(later[2]) <= final.high[row]
    assert float(later[3]) >= final.low[row]
    for price in later[1:5]:
        assert float(price) * 10 == pytest.approx(round(float(price) * 10), abs=1e-6)  # the tick
    exchange.clock.advance(HOUR_MS)
    closed, forming = klines(exchange, limit=2)
    assert closed[0] == early[0] == forming[0] - HOUR_MS
    assert [float(value) for value in closed[1:6]] == [
        getattr(final, name)[row] for name in ("open", "high", "low", "close", "volume")
    ]


def test_longer_intervals_are_made_of_the_shorter_ones(
    standing_exchange: RunningExchange,
) -> None:
    hours = klines(standing_exchange, limit=1000, startTime=0)
    days = klines(standing_exchange, interval="1d", limit=1500)
    assert days[-1][6] > standing_exchange.now_ms  # forming
    for day in days[:-1]:
        parts = [row for row in hours if day[0] <= row[0] <= day[6]]
        assert len(parts) == 24
        assert day[1] == parts[0][1]
        assert day[4] == parts[-1][4]
        assert float(day[2]) == max(float(row[2]) for row in parts)
        assert float(day[3]) == min(float(row[3]) for row in parts)
        assert float(day[5]) == pytest.approx(sum(float(row[5]) for row in parts))
        assert day[8] == sum(row[8] for row in parts)


def test_usdm_refuses_a_too_large_page_and_spot_clips_it(
    standing_exchange: RunningExchange,
) -> None:
    query = {"symbol": "BTCUSDT", "interval": "1h"}
    assert refusal(standing_exchange, UM, **query, limit=1501) == (400, -1130)
    assert len(klines(standing_exchange, UM, limit=1500)) == 1001
    assert len(klines(standing_exchange, SPOT, limit=1500)) == 1000 - 3 + 1
    assert len(klines(standing_exchange, SPOT, limit=5000, interval="1h", symbol="XRPUSDT")) == 998


@pytest.mark.parametrize("path", [UM, SPOT])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"symbol": "btcusdt"}, -1121),
        ({"symbol": ""}, -1102),
        ({"interval": ""}, -1102),
        ({"interval": "1H"}, -1120),
        ({"interval": "7m"}, -1120),
        ({"interval": "1m"}, -1120),  # finer than this market is
        ({"limit": 0}, -1130),
        ({"limit": "-5"}, -1100),
        ({"startTime": "1.5e12"}, -1100),
        ({"startTime": 2, "endTime": 1}, -1023),
    ],
)
def test_bad_parameters_are_refused_with_binance_s_codes(
    standing_exchange: RunningExchange, path: str, query: dict[str, str | int], code: int
) -> None:
    whole = {"symbol": "BTCUSDT", "interval": "1h", **query}
    assert refusal(standing_exchange, path, **whole) == (400, code)


def test_a_late_symbol_starts_after_its_onboard_date(standing_exchange: RunningExchange) -> None:
    info = get(standing_exchange, "/fapi/v1/exchangeInfo").json()
    late = next(row for row in info["symbols"] if row["symbol"] == "LAYERUSDT")
    rows = klines(standing_exchange, symbol="LAYERUSDT", startTime=0, limit=1500)
    assert 300 < len(rows) < 500
    assert rows[0][0] > late["onboardDate"]
    assert klines(standing_exchange, symbol="LAYERUSDT", endTime=late["onboardDate"]) == []


def test_a_dead_contract_goes_on_with_flat_bars_and_a_dead_spot_pair_stops(
    standing_exchange: RunningExchange,
) -> None:
    newest = klines(standing_exchange, symbol="FTTUSDT", limit=100)
    assert newest[-1][0] == standing_exchange.now_ms // HOUR_MS * HOUR_MS
    for row in newest:
        assert float(row[5]) == row[8] == 0
        assert len({row[1], row[2], row[3], row[4]}) == 1
    on_spot = klines(standing_exchange, SPOT, symbol="FTTUSDT", startTime=0, limit=1000)
    assert all(float(row[5]) > 0 for row in on_spot)
    assert 600 < len(on_spot) < 720


def test_symbols_need_not_be_ascii(standing_exchange: RunningExchange) -> None:
    response = get(standing_exchange, UM, symbol="币安人生USDT", interval="1h", limit=5)
    assert "%E5%B8%81" in str(response.url)
    assert len(response.json()) == 5
    through_library = ask(
        standing_exchange,
        lambda client: client.futures_klines(symbol="币安人生USDT", interval="1h", limit=5),
    )
    assert through_library == response.json()


def test_an_announced_symbol_has_no_bars(standing_exchange: RunningExchange) -> None:
    assert klines(standing_exchange, symbol="SOONUSDT") == []


def test_spot_maintenance_leaves_a_hole_in_the_whole_market(
    standing_exchange: RunningExchange,
) -> None:
    market = standing_exchange.oracle
    assert market is not None
    hole = list(range(market.spot_outage.start, market.spot_outage.stop, HOUR_MS))
    assert len(hole) == 3
    for symbol in (*market.symbols, "ETHUSDC"):
        on_spot = opens(klines(standing_exchange, SPOT, symbol=symbol, startTime=0, limit=1000))
        on_usdm = opens(klines(standing_exchange, UM, symbol=symbol, startTime=0, limit=1500))
        assert sorted(set(on_usdm) - set(on_spot)) == hole
        assert np.diff(on_usdm).max() == HOUR_MS


def test_the_library_s_own_paging_reads_the_whole_history(
    standing_exchange: RunningExchange,
) -> None:
    start = standing_exchange.now_ms // HOUR_MS * HOUR_MS - 1000 * HOUR_MS
    usdm = ask(standing_exchange, lambda c: c.futures_historical_klines("BTCUSDT", "1h", start))
    spot = ask(standing_exchange, lambda c: c.get_historical_klines("BTCUSDT", "1h", start))
    assert len(set(opens(usdm))) == len(usdm) == 1001
    assert len(set(opens(spot))) == len(spot) == 998
