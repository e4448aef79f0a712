"""The store gives back what was put in, newest version of each bar, and knows what it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnn_trainer.errors import ConfigError, DataError
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.history import REFETCHED_BARS, History
from gnn_trainer.market.listing import SpanRequest
from tests.market.market_tables import HOUR, JANUARY, candles, funding

SOURCE, SYMBOL = "binance-usdm", "BTCUSDT"
FEBRUARY = JANUARY + 31 * 24 * HOUR
per_example = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
slices = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=6
)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history")


def store(history: History, table: pl.DataFrame, symbol: str = SYMBOL) -> None:
    history.upsert_klines(SOURCE, "1h", symbol, table)


def stored(history: History, start: int = 0, end: int = JANUARY * 2) -> pl.DataFrame:
    return history.read_klines(SOURCE, "1h", SYMBOL, start, end)


def missing(history: History, start: int, end: int) -> list[tuple[int, int]]:
    requests = history.missing_klines(SOURCE, "1h", [SYMBOL], start, end)
    assert all(request.symbol == SYMBOL for request in requests)
    return [(request.start_ms, request.end_ms) for request in requests]


@given(slices)
@per_example
def test_any_sequence_of_upserts_leaves_the_last_version_of_every_bar(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int, int]]
) -> None:
    history = History(tmp_path_factory.mktemp("history"))
    expected: dict[int, tuple[object, ...]] = {}
    for first, count, version in pieces:  # two months: the slices cross the border
        start = FEBRUARY + (first - 30) * HOUR
        table = candles(start=start, count=count, seed=version)
        store(history, table)
        expected |= {row[0]: row for row in table.iter_rows()}
    assert stored(history).rows() == [expected[time] for time in sorted(expected)]


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(0, 40))
@per_example
def test_missing_spans_are_the_complement_of_what_is_stored(
    tmp_path_factory: pytest.TempPathFactory, hours: set[int], first: int, count: int
) -> None:
    history = History(tmp_path_factory.mktemp("history"))
    everything = candles(start=FEBRUARY, count=41)
    store(history, everything[sorted(hours)])
    asked = range(first, first + count)
    start, end = FEBRUARY + first * HOUR, FEBRUARY + (first + count) * HOUR
    found = {
        (time - FEBRUARY) // HOUR
        for span in missing(history, start, end)
        for time in range(*span, HOUR)
    }
    lacking = set(asked) - hours
    again = set()  # the newest stored bars, when something after them is asked for
    if asked and asked[-1] not in hours:
        tail = max([hour for hour in asked if hour in hours], default=first - 1) + 1
        again = set(range(max(first, tail - REFETCHED_BARS), tail))
    assert found == lacking | again


def test_one_file_is_kept_per_symbol_and_utc_month(history: History) -> None:
    store(history, candles(start=FEBRUARY - 2 * HOUR, count=4))
    folder = history.root / "klines" / SOURCE / "1h" / SYMBOL
    assert sorted(path.name for path in folder.glob("*.parquet")) == [
        "2025-01.parquet",
        "2025-02.parquet",
    ]
    assert dict(pl.read_parquet_schema(folder / "2025-01.parquet")) == CANDLE_SCHEMA


def test_reading_takes_the_start_and_leaves_the_end(history: History) -> None:
    store(history, candles(count=10))
    found = stored(history, JANUARY + 2 * HOUR, JANUARY + 5 * HOUR)
    assert found["open_time"].to_list() == [JANUARY + hour * HOUR for hour in (2, 3, 4)]


def test_nothing_stored_reads_as_a_table_without_rows(history: History) -> None:
    assert stored(history).is_empty()
    assert dict(stored(history).schema) == CANDLE_SCHEMA
    assert not history.root.exists()


def test_storing_the_same_bars_again_leaves_the_files_untouched(history: History) -> None:
    store(history, candles())
    (path,) = history.root.rglob("*.parquet")
    before = path.stat().st_ino
    store(history, candles())
    assert path.stat().st_ino == before
    store(history, candles(seed=2))
    assert path.stat().st_ino != before


def test_a_half_formed_last_bar_is_asked_for_again_and_replaced(history: History) -> None:
    final = candles(count=12)
    half_formed = final[:10].with_columns(
        pl.when(pl.col("open_time") == final["open_time"][9])
        .then(pl.col("volume") / 3)
        .otherwise(pl.col("volume"))
        .alias("volume")
    )
    store(history, half_formed)
    (span,) = missing(history, JANUARY, JANUARY + 12 * HOUR)
    store(history, final.filter(pl.col("open_time").is_between(*span, closed="left")))
    assert stored(history).equals(final)


def test_a_span_that_is_stored_to_its_end_asks_for_nothing(history: History) -> None:
    store(history, candles(count=10))
    assert missing(history, JANUARY, JANUARY + 10 * HOUR) == []
    assert missing(history, JANUARY, JANUARY + 11 * HOUR - 1) == []  # the next bar is not closed


def test_bars_off_the_grid_do_not_count_as_stored(history: History) -> None:
    store(history, candles(start=JANUARY + 28 * 60_000, count=3))
    span = (JANUARY, JANUARY + 3 * HOUR)
    assert missing(history, *span) == [span]


def test_a_hole_and_the_time_before_the_first_bar_are_asked_for_once(history: History) -> None:
    table = candles(start=JANUARY + 5 * HOUR, count=10)
    store(history, pl.concat([table[:3], table[6:]]))
    start, end = JANUARY, JANUARY + 15 * HOUR
    holes = [(JANUARY, JANUARY + 5 * HOUR), (JANUARY + 8 * HOUR, JANUARY + 11 * HOUR)]
    assert missing(history, start, end) == holes
    history.confirm_klines(SOURCE, "1h", [SpanRequest(SYMBOL, *hole) for hole in holes])
    assert missing(history, start, end) == []
    assert missing(history, start - 2 * HOUR, end) == [(start - 2 * HOUR, start)]


def test_a_dead_symbol_is_asked_for_its_newest_bars_only(history: History) -> None:
    store(history, candles(count=10))
    end = JANUARY + 100 * HOUR
    history.confirm_klines(SOURCE, "1h", [SpanRequest(SYMBOL, JANUARY, end)])
    again = (end - REFETCHED_BARS * HOUR, end + HOUR)
    assert missing(history, JANUARY, end + HOUR) == [again]


def test_bars_that_fill_a_known_gap_end_it(history: History) -> None:
    span = SpanRequest(SYMBOL, JANUARY, JANUARY + 10 * HOUR)
    history.confirm_klines(SOURCE, "1h", [span])
    store(history, candles(count=10))
    history.confirm_klines(SOURCE, "1h", [span])
    (path,) = history.root.rglob("*.parquet")
    path.unlink()
    assert missing(history, span.start_ms, span.end_ms) == [(span.start_ms, span.end_ms)]


def test_an_unreadable_note_costs_only_asking_again(history: History) -> None:
    store(history, candles(start=JANUARY + HOUR, count=2))
    span = SpanRequest(SYMBOL, JANUARY, JANUARY + 3 * HOUR)
    history.confirm_klines(SOURCE, "1h", [span])
    (note,) = history.root.rglob("note.json")
    note.write_text('{"known_gaps": 7}')
    assert missing(history, span.start_ms, span.end_ms) == [(JANUARY, JANUARY + HOUR)]


def test_bars_delivered_twice_in_one_page_are_counted_once_stored(history: History) -> None:
    table = candles(count=10)
    store(history, pl.concat([table, table[3:5]]))
    store(history, table)  # overlap of two fetches is no defect
    counted = history.duplicated_klines(SOURCE, "1h", SYMBOL, JANUARY, JANUARY + 4 * HOUR)
    assert counted == 1
    assert stored(history).equals(table)


def test_microseconds_are_refused_with_the_value(history: History) -> None:
    table = candles(count=1).with_columns(pl.col("open_time") * 1000)
    with pytest.raises(DataError, match=str(JANUARY * 1000)):
        store(history, table)


def test_symbols_that_are_not_ascii_keep_their_name_on_disk(history: History) -> None:
    store(history, candles(count=2), symbol="币安人生USDT")
    assert (history.root / "klines" / SOURCE / "1h" / "币安人生USDT").is_dir()
    found = history.read_klines(SOURCE, "1h", "币安人生USDT", JANUARY, JANUARY + 2 * HOUR)
    assert found.height == 2


@pytest.mark.parametrize("symbol", ["../escape", "", "..", ".hidden"])
def test_a_symbol_cannot_lead_out_of_the_store(history: History, symbol: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a folder"):
        store(history, candles(), symbol=symbol)


def test_a_truncated_file_is_named_and_once_deleted_fetched_again(history: History) -> None:
    store(history, candles(start=FEBRUARY - 24 * HOUR, count=48))
    path = next(history.root.rglob("2025-02.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"2025-02\.parquet is not a whole Parquet file"):
        stored(history)
    path.unlink()
    start, end = FEBRUARY - 24 * HOUR, FEBRUARY + 24 * HOUR
    again = (FEBRUARY - REFETCHED_BARS * HOUR, end)
    assert missing(history, start, end) == [again]


def test_leftovers_of_a_killed_writer_are_ignored_and_removed(history: History) -> None:
    store(history, candles(count=5))
    (path,) = history.root.rglob("*.parquet")
    leftover = path.with_name(f".{path.name}.4242.tmp")
    leftover.write_bytes(b"half of a file")
    assert stored(history).height == 5
    store(history, candles(count=6))
    assert stored(history).height == 6
    assert not leftover.exists()


def deliver_and_fail(history: History, table: pl.DataFrame) -> None:
    with history.kline_pages(SOURCE, "1h") as pages:
        for start in range(0, table.height, 2):
            pages(SYMBOL, table[start : start + 2])
        raise ConnectionError


def test_pages_are_all_stored_when_the_fetch_fails_in_between(history: History) -> None:
    table = candles(count=90)
    with pytest.raises(ConnectionError):
        deliver_and_fail(history, table)
    assert stored(history).equals(table)


def test_only_a_bounded_number_of_pages_waits_in_memory(history: History) -> None:
    table = candles(count=300)
    pages = history.kline_pages(SOURCE, "1h")
    for row in range(300):
        history_symbol = SYMBOL if row % 2 else f"S{row}USDT"
        pages(history_symbol, table[row])
    on_disk = sum(pl.read_parquet(path).height for path in history.root.rglob("*.parquet"))
    assert on_disk >= 300 - 64


def test_two_processes_that_write_one_month_lose_nothing(history: History) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.market.market_tables import candles;"
        "from gnn_trainer.market.history import History;"
        "history, first = History(Path(sys.argv[1])), int(sys.argv[2]);"
        "[history.upsert_klines('binance-usdm', '1h', 'BTCUSDT',"
        " candles(count=60)[row]) for row in range(first, 60, 2)]"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writers = [
        subprocess.Popen([sys.executable, "-c", program, history.root, first], env=environment)
        for first in ("0", "1")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert stored(history).equals(candles(count=60))


def test_one_settlement_with_another_jitter_is_the_same_settlement(history: History) -> None:
    history.upsert_funding(SOURCE, SYMBOL, funding((JANUARY + 3, 0.1), (JANUARY + 8 * HOUR, 0.2)))
    history.upsert_funding(SOURCE, SYMBOL, funding((JANUARY + 17, 0.3)))
    found = history.read_funding(SOURCE, SYMBOL, JANUARY, JANUARY + 9 * HOUR)
    assert found.select("funding_time", "rate").rows() == [
        (JANUARY + 17, 0.3),
        (JANUARY + 8 * HOUR, 0.2),
    ]


def test_funding_is_asked_for_until_confirmed_and_then_only_its_tail(history: History) -> None:
    end = JANUARY + 20 * HOUR
    request = SpanRequest(SYMBOL, JANUARY, end)
    assert history.missing_funding(SOURCE, [SYMBOL], JANUARY, end) == [request]
    settled = funding(*((JANUARY + hour * HOUR + 5, 1e-4) for hour in (4, 12)))
    history.upsert_funding(SOURCE, SYMBOL, settled)
    history.confirm_funding(SOURCE, [request])
    assert history.missing_funding(SOURCE, [SYMBOL], JANUARY, end) == []
    later = history.missing_funding(SOURCE, [SYMBOL], JANUARY, end + HOUR)
    assert later == [SpanRequest(SYMBOL, end - 8 * HOUR, end + HOUR)]


def test_a_funding_hole_longer_than_any_interval_is_asked_for(history: History) -> None:
    hours = (0, 8, 24, 32)
    history.upsert_funding(
        SOURCE, SYMBOL, funding(*((JANUARY + hour * HOUR, 1e-4) for hour in hours))
    )
    (hole,) = history.missing_funding(SOURCE, [SYMBOL], JANUARY, JANUARY + 32 * HOUR)
    assert hole.start_ms <= JANUARY + 8 * HOUR + 60_000
    assert hole.end_ms == JANUARY + 24 * HOUR
