import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.adapters.binance_bodies import (
    WeightLimit,
    parse_book,
    parse_funding,
    parse_klines,
    parse_listings,
    parse_quote_volumes,
    parse_server_time,
    parse_weight_limit,
)
from gnn_trainer.errors import ServiceError
from gnn_trainer.market.book import BOOK_LEVELS, BOOK_SCHEMA
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import FUNDING_SCHEMA
from tests.adapters.scripted_exchange import kline

prices = st.decimals(0, 10**9, places=8).map(str)


@pytest.fixture
def recorded(recorded_data: Path) -> Path:
    return recorded_data / "rest_samples"


def body(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def recorded_names(pattern: str) -> list[str]:
    """Known at collection, so that a missing file is a failure and not an absent test."""
    return {
        "klines": [
            "klines_spot_1h_20200131.json",
            "klines_spot_BTCUSDT_5m_20250819_reconstructed.json",
            "klines_um_BTCUSDT_1m_20260915.json",
            "klines_um_FTTBUSD_1d_after_delisting.json",
        ],
        "depth": [
            "depth_spot_BLZETH_limit1000_20211012T002834Z.json",
            "depth_spot_NKNUSDT_limit1000_20211012T002832Z.json",
            "depth_um_AKROUSDT_limit1000_20210722T222541Z.json",
            "depth_um_BTCUSDT_limit5_20260915.json",
            "depth_um_BTCUSDT_top2_20260802.json",
        ],
    }[pattern]


@pytest.mark.parametrize("name", recorded_names("klines"))
def test_recorded_klines_become_candles(recorded: Path, name: str) -> None:
    rows = body(recorded, name)
    table = parse_klines(rows)
    assert table.schema == pl.Schema(CANDLE_SCHEMA)
    assert table["open_time"].to_list() == [row[0] for row in rows]
    assert table["close"].to_list() == [float(row[4]) for row in rows]
    assert table["quote_volume"].to_list() == [float(row[7]) for row in rows]
    assert table["trades"].to_list() == [row[8] for row in rows]
    assert table["taker_buy_quote_volume"].to_list() == [float(row[10]) for row in rows]


@pytest.mark.parametrize("name", recorded_names("depth"))
def test_recorded_books_are_cut_to_the_best_levels(recorded: Path, name: str) -> None:
    book = body(recorded, name)
    table = pl.DataFrame([parse_book(book, "X", asked_ms=77)], schema=BOOK_SCHEMA, orient="row")
    row = table.row(0, named=True)
    assert row["bid_prices"] == [float(price) for price, _ in book["bids"][:BOOK_LEVELS]]
    assert row["ask_quantities"] == [float(quantity) for _, quantity in book["asks"][:BOOK_LEVELS]]
    assert row["time"] == book.get("E", 77)


def test_recorded_funding_keeps_the_jitter_of_its_times(recorded: Path) -> None:
    table = parse_funding(body(recorded, "fundingRate_um_BTCUSDT_20260915.json"))
    assert table.drop("is_regular").schema == pl.Schema(FUNDING_SCHEMA)
    assert table["funding_time"].to_list() == [1789430400000, 1789459200005]
    assert table["rate"].to_list() == [0.00003563, 0.00006188]
    assert table["mark_price"].to_list() == [78178.3, 76907.97183333]
    assert table["is_regular"].all()


def test_funding_of_early_years_has_no_mark_price(recorded: Path) -> None:
    table = parse_funding(body(recorded, "fundingRate_um_BTCUSDT_first_record.json"))
    assert table["mark_price"].to_list() == [None]
    assert table["is_regular"].to_list() == [True]


def test_an_empty_mark_price_is_null() -> None:
    row = {"fundingTime": 1, "fundingRate": "0.1"}
    table = parse_funding([{**row, "markPrice": ""}, row, {**row, "markPrice": "2"}])
    assert table["mark_price"].to_list() == [None, None, 2.0]


def test_special_settlements_are_marked() -> None:
    row = {"fundingTime": 1, "fundingRate": "0.1", "markPrice": "5"}
    table = parse_funding([{**row, "rateType": "Regular"}, {**row, "rateType": "Special"}, row])
    assert table["is_regular"].to_list() == [True, False, True]


def test_the_recorded_error_envelope_with_status_200_is_no_list(recorded: Path) -> None:
    envelope = body(recorded, "error_um_200_envelope_fundingRate_limit1001.json")
    with pytest.raises(ServiceError, match=r"list of funding rates.*illegal params"):
        parse_funding(envelope)
    with pytest.raises(ServiceError, match="list of klines"):
        parse_klines(envelope)


def test_recorded_usdm_listings_tell_dates_and_status(recorded: Path) -> None:
    info = body(recorded, "exchangeInfo_um_20210722_full.json")
    listings = {listing.symbol: listing for listing in parse_listings(info)}
    assert len(listings) == len(info["symbols"])
    btc = listings["BTCUSDT"]
    assert (btc.base_asset, btc.quote_asset, btc.contract_type) == ("BTC", "USDT", "PERPETUAL")
    assert btc.listed_ms == 1569398400000
    assert btc.delisted_ms is None
    quarterly = [x for x in listings.values() if x.contract_type == "CURRENT_QUARTER"]
    assert quarterly
    assert all(listing.delisted_ms is not None for listing in quarterly)
    assert parse_weight_limit(info) == WeightLimit(2400, 60.0)


def test_recorded_spot_listings_keep_the_dead(recorded: Path) -> None:
    info = body(recorded, "exchangeInfo_spot_20211012_excerpt.json")
    listings = parse_listings(info)
    assert {listing.status for listing in listings} >= {"TRADING", "BREAK"}
    assert {listing.contract_type for listing in listings} == {"SPOT"}
    assert all(listing.listed_ms is None for listing in listings)
    assert parse_weight_limit(info) == WeightLimit(1200, 60.0)


def test_the_newest_recorded_exchange_info_parses(recorded: Path) -> None:
    info = body(recorded, "exchangeInfo_um_20260915_excerpt.json")
    assert [listing.symbol for listing in parse_listings(info)] == ["BTCUSDT"]
    assert parse_weight_limit(info) == WeightLimit(2400, 60.0)


def test_recorded_server_time(recorded: Path) -> None:
    assert parse_server_time(body(recorded, "time_um_20260915.json")) == 1789478299014


def test_limits_are_found_for_any_window_and_may_be_missing() -> None:
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "SECOND", "intervalNum": 10}
    orders = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1}
    assert parse_weight_limit({"rateLimits": [orders, {**limit, "limit": 50}]}) == WeightLimit(
        50, 10.0
    )
    assert parse_weight_limit({"rateLimits": [orders]}) is None


def test_volumes_are_read_by_symbol_in_any_script() -> None:
    tickers = [
        {"symbol": "BTCUSDT", "quoteVolume": "12.5"},
        {"symbol": "币安人生USDT", "quoteVolume": "1e3"},
    ]
    assert parse_quote_volumes(tickers) == {"BTCUSDT": 12.5, "币安人生USDT": 1000.0}


@given(st.lists(st.tuples(st.integers(0, 2**53), st.lists(prices, min_size=8, max_size=8))))
def test_every_number_a_kline_can_hold_survives(rows: list[tuple[int, list[str]]]) -> None:
    bars: list[list[object]] = [
        [at, *texts[:5], at + 1, texts[5], at % 1000, texts[6], texts[7], "0"] for at, texts in rows
    ]
    table = parse_klines(bars)
    assert table.schema == pl.Schema(CANDLE_SCHEMA)
    expected = [
        (at, *map(float, texts[:6]), at % 1000, *map(float, texts[6:])) for at, texts in rows
    ]
    assert table.rows() == expected


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([kline(0), kline(1)[:-1]], id="a short row among whole ones"),
        pytest.param([kline(0)[:-1]], id="only short rows"),
        pytest.param([[*kline(0), "1"]], id="long row"),
        pytest.param([[*kline(0)[:4], "n/a", *kline(0)[5:]]], id="text for a price"),
        pytest.param([[*kline(0)[:4], None, *kline(0)[5:]]], id="null for a price"),
        pytest.param([[*kline(0)[:4], True, *kline(0)[5:]]], id="true for a price"),
        pytest.param([[*kline(0)[:4], ["1"], *kline(0)[5:]]], id="list for a price"),
        pytest.param([["", *kline(0)[1:]]], id="empty open time"),
        pytest.param([["9" * 30, *kline(0)[1:]]], id="open time beyond 64 bits"),
        pytest.param([{"openTime": 0}], id="objects"),
        pytest.param(["abc"], id="texts"),
        pytest.param([[]], id="empty row"),
        pytest.param({"code": 0}, id="no list"),
        pytest.param(None, id="null"),
    ],
)
def test_klines_of_another_shape_are_refused(rows: Any) -> None:
    with pytest.raises(ServiceError, match="expected"):
        parse_klines(rows)


@pytest.mark.parametrize(
    "row",
    [
        {"fundingRate": "0.1"},
        {"fundingTime": "soon", "fundingRate": "0.1"},
        {"fundingTime": True, "fundingRate": "0.1"},
        {"fundingTime": 1, "fundingRate": ""},
        {"fundingTime": 1, "fundingRate": "0.1", "markPrice": "?"},
        "text",
    ],
)
def test_funding_rows_of_another_shape_are_refused(row: Any) -> None:
    with pytest.raises(ServiceError, match="expected"):
        parse_funding([row])


@pytest.mark.parametrize(
    "book",
    [{}, [], {"bids": []}, {"bids": [["1"]], "asks": []}, {"bids": [["1", "x"]], "asks": []}],
)
def test_books_of_another_shape_are_refused(book: Any) -> None:
    with pytest.raises(ServiceError, match="expected"):
        parse_book(book, "X", asked_ms=0)


@pytest.mark.parametrize("info", [{}, {"symbols": [{"symbol": "X"}]}, {"symbols": {}}, []])
def test_listings_of_another_shape_are_refused(info: Any) -> None:
    with pytest.raises(ServiceError, match="expected"):
        parse_listings(info)


def test_an_empty_book_stays_a_row() -> None:
    row = parse_book({"bids": [], "asks": []}, "X", asked_ms=5)
    assert (row["bid_prices"], row["ask_quantities"], row["time"]) == ([], [], 5)


def test_a_book_has_the_time_it_was_given_out() -> None:
    assert parse_book({"E": 9, "T": 3, "bids": [], "asks": []}, "X", asked_ms=5)["time"] == 9


def test_prices_written_as_nan_stay_visible_to_the_quality_check() -> None:
    row = kline(0)
    row[4] = "NaN"
    assert math.isnan(parse_klines([row])["close"][0])
