"""Stored rows become one grid with honest masks, and the report says what became of every row."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from gnn_trainer.errors import DataError
from gnn_trainer.market.assembly import load_frame, require_enough
from gnn_trainer.market.book import BOOK_SCHEMA
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.fingerprint import frame_fingerprint
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.history import History
from gnn_trainer.market.listing import SymbolListing
from gnn_trainer.market.quality import FROZEN_AFTER_BARS
from gnn_trainer.market.report import DataReport, SymbolReport
from tests.market.market_tables import HOUR, JANUARY, candles, changed, funding, idle_candles

SOURCE = "binance-usdm"


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def store(history: History, **tables: pl.DataFrame) -> None:
    for symbol, table in tables.items():
        history.upsert_klines(SOURCE, "1h", symbol, table)


def load(
    history: History, symbols: str, hours: int, *listings: SymbolListing
) -> tuple[MarketFrame, DataReport]:
    end = JANUARY + hours * HOUR
    return load_frame(history, SOURCE, "1h", symbols.split(), JANUARY, end, listings)


def listing(symbol: str, listed_ms: int | None, delisted_ms: int | None) -> SymbolListing:
    return SymbolListing(symbol, "", "USDT", "TRADING", "PERPETUAL", listed_ms, delisted_ms)


def entry(report: DataReport, symbol: str) -> SymbolReport:
    return next(found for found in report.symbols if found.symbol == symbol)


def valid_hours(frame: MarketFrame, symbol: str) -> list[int]:
    times = frame.open_time_T[frame.valid_TN[:, frame.symbols.index(symbol)]]
    return [int(time - JANUARY) // HOUR for time in times]


def assert_masked_bars_have_no_values(frame: MarketFrame) -> None:
    for field in fields(frame):
        values = getattr(frame, field.name)
        if isinstance(values, np.ndarray) and values.dtype == np.float64:
            assert np.isnan(values[~frame.valid_TN]).all(), field.name


def test_a_sound_market_is_a_frame_without_defects(history: History) -> None:
    store(history, A=candles(count=48), B=candles(count=48, seed=2))
    frame, report = load(history, "B A", 48)
    assert frame.symbols == ("B", "A")
    assert frame.valid_TN.all()
    assert (np.diff(frame.open_time_T) == HOUR).all()
    for column, seed in enumerate((2, 1)):
        table = candles(count=48, seed=seed)
        assert np.array_equal(frame.close_TN[:, column], table["close"])
        assert np.array_equal(frame.trades_TN[:, column], table["trades"])
        assert np.array_equal(frame.taker_buy_volume_TN[:, column], table["taker_buy_volume"])
    assert entry(report, "A") == SymbolReport(
        symbol="A",
        rows=48,
        valid_bars=48,
        first_ms=JANUARY,
        last_ms=JANUARY + 47 * HOUR,
        gaps=0,
        missing_bars=0,
        duplicates=0,
        unclosed=0,
        misaligned=0,
        impossible=0,
        outside_listing=0,
        frozen=0,
        jump_times_ms=(),
        funding_rates=0,
        book_snapshots=0,
    )


def test_what_is_absent_everywhere_takes_no_memory_and_is_the_same_data(history: History) -> None:
    store(history, A=candles(count=48), B=candles(count=48, seed=2))
    frame, _ = load(history, "A B", 48)
    absent = ("funding_rate_TN", "funding_time_TN", "book_TNK")
    assert not any(stride for name in absent for stride in getattr(frame, name).strides)
    shape, book_shape = frame.valid_TN.shape, frame.book_TNK.shape
    filled = replace(
        frame,
        funding_rate_TN=np.full(shape, np.nan),
        funding_time_TN=np.full(shape, np.nan),
        book_TNK=np.full(book_shape, np.nan),
    )
    assert frame_fingerprint(filled) == frame_fingerprint(frame)


def test_a_late_listing_is_masked_before_its_first_bar_and_is_no_gap(history: History) -> None:
    store(history, OLD=candles(count=20), NEW=candles(start=JANUARY + 15 * HOUR, count=5))
    frame, report = load(history, "OLD NEW", 20)
    assert valid_hours(frame, "NEW") == [15, 16, 17, 18, 19]
    assert_masked_bars_have_no_values(frame)
    assert entry(report, "NEW").gaps == 0


def test_gaps_are_counted_with_the_bars_they_lack(history: History) -> None:
    table = candles(count=20)
    store(history, A=pl.concat([table[:3], table[5:9], table[10:]]), B=candles(count=20))
    frame, report = load(history, "A B", 20)
    assert (entry(report, "A").gaps, entry(report, "A").missing_bars) == (2, 3)
    assert valid_hours(frame, "A") == [hour for hour in range(20) if hour not in (3, 4, 9)]
    assert report.market_holes == ()


def test_a_hole_of_the_whole_market_is_listed(history: History) -> None:
    table = candles(count=20)
    store(history, A=pl.concat([table[:8], table[11:]]), B=pl.concat([table[:7], table[11:]]))
    frame, report = load(history, "A B", 20)
    assert report.market_holes == ((JANUARY + 8 * HOUR, JANUARY + 11 * HOUR),)
    assert frame.num_bars == 20  # the grid stays regular
    assert not frame.valid_TN[8:11].any()


def test_defects_are_masked_and_counted_by_symbol(history: History) -> None:
    table = changed(candles(count=20), 4, close=-1.0)
    off_grid = candles(start=JANUARY + 28 * 60_000, count=1)
    store(history, A=pl.concat([table, off_grid, table[7:8]]), B=candles(count=20))
    frame, report = load(history, "A B", 20)
    found = entry(report, "A")
    assert (found.impossible, found.misaligned, found.duplicates) == (1, 1, 1)
    assert (found.rows, found.valid_bars, found.missing_bars) == (21, 19, 1)
    assert 4 not in valid_hours(frame, "A")
    assert_masked_bars_have_no_values(frame)


def test_the_forming_bar_is_never_a_row(history: History) -> None:
    store(history, A=candles(count=5))
    end = JANUARY + 5 * HOUR - 1  # the exchange's time: the fifth bar still forms
    frame, report = load_frame(history, SOURCE, "1h", ["A"], JANUARY, end)
    assert valid_hours(frame, "A") == [0, 1, 2, 3]
    assert entry(report, "A").unclosed == 1


def test_a_delisted_contract_is_masked_from_its_delisting_on(history: History) -> None:
    dead = idle_candles(start=JANUARY + 10 * HOUR, count=10, price=1.0)
    store(history, DEAD=pl.concat([candles(count=10), dead]), B=candles(count=20))
    delisted = JANUARY + 10 * HOUR + 30 * 60_000
    frame, report = load(history, "DEAD B", 20, listing("DEAD", None, delisted))
    assert valid_hours(frame, "DEAD") == list(range(10))
    assert entry(report, "DEAD").outside_listing == 10
    assert entry(report, "B").outside_listing == 0


def test_bars_before_the_listing_belong_to_another_coin(history: History) -> None:
    store(history, LUNA=candles(count=20))
    listed = JANUARY + 5 * HOUR + 1
    frame, report = load(history, "LUNA", 20, listing("LUNA", listed, None))
    assert valid_hours(frame, "LUNA") == list(range(5, 20))
    assert entry(report, "LUNA").outside_listing == 5


def test_a_symbol_that_stops_trading_freezes_even_without_a_delisting_date(
    history: History,
) -> None:
    alive = candles(count=20)
    dead = idle_candles(start=JANUARY + 20 * HOUR, count=60, price=alive["close"][-1])
    store(history, DEAD=pl.concat([alive, dead]), B=candles(count=80))
    frame, report = load(history, "DEAD B", 80)
    assert valid_hours(frame, "DEAD") == list(range(20 + FROZEN_AFTER_BARS))
    assert entry(report, "DEAD").frozen == 60 - FROZEN_AFTER_BARS
    assert_masked_bars_have_no_values(frame)


def test_quiet_bars_of_an_illiquid_symbol_are_data(history: History) -> None:
    before, after = candles(count=20), candles(start=JANUARY + 30 * HOUR, count=20)
    quiet = idle_candles(start=JANUARY + 20 * HOUR, count=10, price=100.0)
    store(history, THIN=pl.concat([before, quiet, after]))
    frame, _ = load(history, "THIN", 50)
    assert frame.valid_TN.all()


def test_trading_again_ends_a_freeze(history: History) -> None:
    dead = idle_candles(start=JANUARY + 10 * HOUR, count=40, price=100.0)
    again = candles(start=JANUARY + 50 * HOUR, count=10)
    store(history, A=pl.concat([candles(count=10), dead, again]))
    frame, _ = load(history, "A", 60)
    assert valid_hours(frame, "A")[-10:] == list(range(50, 60))


@pytest.mark.parametrize("factor", [1000.0, 0.001], ids=["up", "down"])
def test_a_redenomination_is_cut_and_reported(history: History, factor: float) -> None:
    old, new = candles(count=10), candles(start=JANUARY + 10 * HOUR, count=10, price=100 * factor)
    store(history, COCOS=pl.concat([old, new]), B=candles(count=20))
    frame, report = load(history, "COCOS B", 20)
    assert valid_hours(frame, "COCOS") == [hour for hour in range(20) if hour != 10]
    assert entry(report, "COCOS").jump_times_ms == (JANUARY + 10 * HOUR,)
    assert entry(report, "B").jump_times_ms == ()


def test_a_reused_ticker_is_cut_where_the_new_coin_begins(history: History) -> None:
    store(
        history,
        LUNA=pl.concat([candles(count=5), candles(start=JANUARY + 12 * HOUR, count=8, price=1.0)]),
        B=candles(count=20),
    )
    frame, report = load(history, "LUNA B", 20)
    assert entry(report, "LUNA").jump_times_ms == (JANUARY + 12 * HOUR,)
    assert valid_hours(frame, "LUNA") == [*range(5), *range(13, 20)]


def test_a_crash_inside_a_bar_is_data(history: History) -> None:
    fallen = candles(start=JANUARY + 10 * HOUR, count=10, price=10.0)
    crash = changed(candles(count=10), 9, close=10.0, low=9.0)
    store(history, A=pl.concat([crash, fallen]))
    frame, report = load(history, "A", 20)
    assert frame.valid_TN.all()
    assert entry(report, "A").jump_times_ms == ()


def test_no_mask_of_the_past_depends_on_the_future(history: History) -> None:
    dead = idle_candles(start=JANUARY + 10 * HOUR, count=40, price=100.0)
    other = candles(start=JANUARY + 50 * HOUR, count=10, price=9_000.0)
    store(history, A=pl.concat([candles(count=10), dead, other]), B=candles(count=60))
    whole, _ = load(history, "A B", 60)
    for hours in (12, 30, 45, 51, 55):
        cut, _ = load(history, "A B", hours)
        assert np.array_equal(cut.valid_TN, whole.valid_TN[:hours])
        assert np.array_equal(cut.close_TN, whole.close_TN[:hours], equal_nan=True)


def test_the_frame_begins_and_ends_where_the_market_does(history: History) -> None:
    store(history, A=candles(start=JANUARY + 5 * HOUR, count=10))
    frame, report = load(history, "A", 100)
    assert frame.num_bars == report.num_bars == 10
    assert (report.start_ms, report.end_ms) == (JANUARY + 5 * HOUR, JANUARY + 15 * HOUR)


def test_a_symbol_without_rows_stays_a_column_and_is_listed(history: History) -> None:
    store(history, A=candles(count=20))
    frame, report = load(history, "A GHOST", 20)
    assert frame.symbols == ("A", "GHOST")
    assert not frame.valid_TN[:, 1].any()
    assert report.short_symbols(20) == {"GHOST": 0}
    assert report.to_dict()["symbols_without_bars"] == ["GHOST"]


def test_the_report_is_ready_for_json(history: History) -> None:
    table = candles(count=20)
    store(history, A=pl.concat([table[:8], table[11:]]))
    _, report = load(history, "A", 20)
    record = json.loads(json.dumps(report.to_dict()))
    assert record["market_holes"] == [[JANUARY + 8 * HOUR, JANUARY + 11 * HOUR]]
    assert record["symbols"][0]["missing_bars"] == 3


def test_funding_is_joined_backward_and_only_where_there_is_a_bar(history: History) -> None:
    store(history, A=candles(count=11), B=candles(count=12))
    history.upsert_funding(SOURCE, "A", funding((JANUARY + 8 * HOUR + 9, 1e-4)))
    history.upsert_funding(SOURCE, "B", funding((JANUARY - HOUR, 2e-4), (JANUARY + 3 * HOUR, 3e-4)))
    frame, report = load(history, "A B", 12)
    assert np.isnan(frame.funding_rate_TN[:8, 0]).all()
    assert frame.funding_rate_TN[8:11, 0].tolist() == [1e-4] * 3
    assert frame.funding_rate_TN[:, 1].tolist() == [2e-4] * 3 + [3e-4] * 9
    assert frame.funding_time_TN[0, 1] == JANUARY - HOUR
    assert [entry(report, symbol).funding_rates for symbol in "AB"] == [1, 2]
    assert_masked_bars_have_no_values(frame)


def test_a_book_of_now_reaches_the_newest_row_and_no_other(history: History) -> None:
    store(history, A=candles(count=12), B=candles(count=12), GONE=candles(count=11))
    prices = {"bid_prices": [[99.0]] * 2, "ask_prices": [[101.0]] * 2}
    sizes = {"bid_quantities": [[1.0]] * 2, "ask_quantities": [[1.0]] * 2}
    keys = {"symbol": ["A", "GONE"], "time": [JANUARY + 12 * HOUR + 60_000] * 2}
    book = pl.DataFrame({**keys, **prices, **sizes}, schema=BOOK_SCHEMA)
    history.append_books(SOURCE, book)
    history.append_books(SOURCE, book)
    frame, report = load(history, "A B GONE", 12)
    has_book_TN = np.isfinite(frame.book_TNK).all(axis=2)
    assert np.argwhere(has_book_TN).tolist() == [[11, 0]]
    assert [found.book_snapshots for found in report.symbols] == [1, 0, 0]


def test_a_span_without_a_whole_bar_is_refused_with_its_numbers(history: History) -> None:
    with pytest.raises(DataError, match=f"no whole 1h bar between {JANUARY} and {JANUARY + 9}"):
        load_frame(history, SOURCE, "1h", ["A"], JANUARY, JANUARY + 9)


def test_too_few_bars_are_refused_with_the_numbers(history: History) -> None:
    store(history, A=candles(count=20), B=candles(count=5))
    frame, _ = load(history, "A B", 20)
    require_enough(frame, minimum_bars=5)
    with pytest.raises(DataError, match=r"too few bars: 1 symbols have at least 6 .* expected 2"):
        require_enough(frame, minimum_bars=6)


def test_a_frame_of_masked_bars_only_is_refused(history: History) -> None:
    frame, _ = load(history, "A B", 20)
    assert frame.valid_TN.shape == (20, 2)
    with pytest.raises(DataError, match="all bars masked: 0 valid among 20 bars x 2 symbols"):
        require_enough(frame, minimum_bars=1)


def test_recorded_candles_of_a_whole_month_come_through_unharmed(
    history: History, recorded_data: Path
) -> None:
    recorded = pl.read_parquet(recorded_data / "spot_5m_5_taker" / "klines.parquet")
    renamed = recorded.rename(
        {"taker_buy_base": "taker_buy_volume", "taker_buy_quote": "taker_buy_quote_volume"}
    )
    tables = renamed.partition_by("symbol", as_dict=True)
    start, stop = recorded["open_time"].min(), recorded["open_time"].max()
    assert isinstance(start, int)
    assert isinstance(stop, int)
    for (symbol,), table in tables.items():
        history.upsert_klines("binance-spot", "5m", symbol, table.select(list(CANDLE_SCHEMA)))
    symbols = sorted(symbol for (symbol,) in tables)
    frame, report = load_frame(history, "binance-spot", "5m", symbols, start, stop + 300_000)
    assert int(frame.valid_TN.sum()) == recorded.height
    assert all(found.impossible == found.misaligned == 0 for found in report.symbols)
