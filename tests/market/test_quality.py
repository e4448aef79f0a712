"""Each defect is dropped, counted under its own name, and nothing sound is touched."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.market.quality import CandleDefects, clean_candles
from tests.market.market_tables import HOUR, JANUARY, candles, changed

NO_DEFECTS = CandleDefects(rows=10, unclosed=0, misaligned=0, impossible=0, duplicates=0)
END = JANUARY + 10 * HOUR


def test_sound_bars_pass_untouched() -> None:
    clean, defects = clean_candles(candles(), HOUR, END)
    assert clean.equals(candles())
    assert defects == NO_DEFECTS


@pytest.mark.parametrize(
    "values",
    [
        {"close": 0.0},
        {"open": -1.0},
        {"low": math.nan},
        {"high": math.inf},
        {"high": 1.0},
        {"low": 1e6},
        {"low": None},
        {"volume": -1.0},
        {"quote_volume": math.nan},
        {"trades": -1},
        {"taker_buy_volume": math.inf},
    ],
    ids=str,
)
def test_a_row_that_cannot_be_is_dropped(values: dict[str, float | None]) -> None:
    clean, defects = clean_candles(changed(candles(), 4, **values), HOUR, END)
    assert defects == CandleDefects(10, unclosed=0, misaligned=0, impossible=1, duplicates=0)
    assert clean.equals(pl.concat([candles()[:4], candles()[5:]]))


def test_a_bar_without_volume_is_data() -> None:
    quiet = {name: 0.0 for name in candles().columns if name.endswith("volume")}
    clean, _ = clean_candles(changed(candles(), 4, trades=0, **quiet), HOUR, END)
    assert clean.height == 10


def test_the_forming_bar_and_bars_of_the_future_are_not_closed() -> None:
    clean, defects = clean_candles(candles(), HOUR, JANUARY + 8 * HOUR - 1)
    assert defects.unclosed == 3
    assert clean["open_time"].max() == JANUARY + 6 * HOUR


def test_bars_that_open_off_the_grid_are_misaligned() -> None:
    late = candles(start=JANUARY + 28 * 60_000 + 15_000)  # after the outage of 2018-02-09
    clean, defects = clean_candles(late, HOUR, END + HOUR)
    assert clean.is_empty()
    assert defects.misaligned == 10


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_duplicates_and_gaps_are_counted_whatever_the_order(rows: list[int]) -> None:
    clean, defects = clean_candles(candles()[rows], HOUR, END)
    assert defects.duplicates == len(rows) - len(set(rows))
    assert clean.equals(candles()[sorted(set(rows))])


def test_of_two_versions_of_a_bar_the_later_row_is_kept() -> None:
    newer = candles(seed=2)[3:4]
    clean, _ = clean_candles(pl.concat([candles(), newer]), HOUR, END)
    assert clean[3].equals(newer)
