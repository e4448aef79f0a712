import asyncio
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnn_trainer.adapters.binance_bodies import parse_klines
from gnn_trainer.adapters.binance_market import SPOT, USDM, BinanceMarket
from gnn_trainer.adapters.binance_paging import bars_between, funding_pages, kline_pages
from gnn_trainer.errors import ServiceError
from gnn_trainer.market.listing import SpanRequest
from tests.adapters.scripted_exchange import HOUR_MS, kline


class Rows:
    """Answers like Binance: the oldest rows within inclusive bounds, at most `cap` of them."""

    def __init__(self, times: Sequence[int], cap: int, time_column: str = "open_time") -> None:
        self.times = sorted(times)
        self.cap = cap
        self.time_column = time_column
        self.limits: list[int] = []
        self.lasts: list[int] = []

    async def __call__(self, first_ms: int, last_ms: int, limit: int) -> pl.DataFrame:
        self.limits.append(limit)
        self.lasts.append(last_ms)
        times = [at for at in self.times if first_ms <= at <= last_ms][: min(limit, self.cap)]
        if self.time_column == "open_time":
            return parse_klines([kline(at) for at in times])
        return pl.DataFrame({"funding_time": times}, schema={"funding_time": pl.Int64})


def walk_klines(rows: Rows, start: int, end: int, market: BinanceMarket = USDM) -> list[int]:
    async def collect() -> list[int]:
        span = SpanRequest("X", start, end)
        pages = kline_pages(rows, span, HOUR_MS, market)
        return [at async for page in pages for at in page.rows["open_time"].to_list()]

    return asyncio.run(collect())


def walk_funding(rows: Rows, start: int, end: int) -> list[int]:
    async def collect() -> list[int]:
        pages = funding_pages(rows, SpanRequest("X", start, end))
        return [at async for page in pages for at in page.rows["funding_time"].to_list()]

    return asyncio.run(collect())


@st.composite
def histories(draw: st.DrawFn) -> list[int]:
    """Opens of a listed symbol: any start, gaps, and a stretch that opens off the full hour."""
    first = draw(st.integers(0, 700))
    hours = range(first, first + 1300)
    gaps = draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 600)), max_size=3))
    kept = [h for h in hours if not any(at <= h < at + size for at, size in gaps)]
    odd_from, odd_hours = draw(st.integers(0, 2000)), draw(st.integers(0, 30))
    shift = draw(st.integers(1, HOUR_MS - 1))
    return [h * HOUR_MS + shift * (odd_from <= h < odd_from + odd_hours) for h in kept]


@settings(max_examples=60)
@given(
    history=histories(),
    cap=st.integers(1, 1500),
    start=st.integers(-5, 2000),
    length=st.integers(1, 1600),
    market=st.sampled_from([USDM, SPOT]),
)
def test_pages_together_are_exactly_the_rows_of_the_span(
    history: list[int], cap: int, start: int, length: int, market: BinanceMarket
) -> None:
    cap = max(cap, len(history) // 50)
    first, end = start * HOUR_MS, (start + length) * HOUR_MS
    walked = walk_klines(Rows(history, cap), first, end, market)
    assert walked == [at for at in history if first <= at < end]


@given(
    hours=st.lists(st.integers(0, 30_000), unique=True, max_size=60),
    dense_from=st.integers(0, 30_000),
    jitter=st.integers(0, 17),
    start=st.integers(0, 30_000),
    length=st.integers(1, 10_000),
)
def test_funding_pages_together_are_exactly_the_settlements_of_the_span(
    hours: list[int], dense_from: int, jitter: int, start: int, length: int
) -> None:
    settled = sorted({*hours, *range(dense_from, dense_from + 2300)})
    times = [h * HOUR_MS + jitter * (h % 3 == 0) for h in settled]
    first, end = start * HOUR_MS, (start + length) * HOUR_MS
    walked = walk_funding(Rows(times, 1000, "funding_time"), first, end)
    assert walked == [at for at in times if first <= at < end]


@pytest.mark.parametrize(
    ("market", "bars", "limits"),
    [
        (USDM, 1200, [499, 499, 202]),
        (USDM, 499, [499]),
        (USDM, 598, [499, 99]),
        (USDM, 2, [2]),
        (SPOT, 1200, [1000, 200]),
    ],
)
def test_no_page_asks_for_more_than_is_left_and_none_follows_the_last(
    market: BinanceMarket, bars: int, limits: list[int]
) -> None:
    rows = Rows([h * HOUR_MS for h in range(3000)], cap=1500)
    assert len(walk_klines(rows, 0, bars * HOUR_MS, market)) == bars
    assert rows.limits == limits


@pytest.mark.parametrize(("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2)])
def test_usdm_pages_stay_in_the_cheap_classes(limit: int, weight: int) -> None:
    assert USDM.page_weight(limit) == weight


def test_a_symbol_listed_late_costs_one_page_of_nothing_at_most() -> None:
    rows = Rows([h * HOUR_MS for h in range(5000, 5010)], cap=1500)
    assert len(walk_klines(rows, 0, 5010 * HOUR_MS)) == 10
    assert len(rows.limits) == 1


def test_one_empty_answer_ends_the_walk_of_a_delisted_symbol() -> None:
    rows = Rows([h * HOUR_MS for h in range(10)], cap=1500)
    assert len(walk_klines(rows, 0, 5000 * HOUR_MS)) == 10
    assert len(rows.limits) == 2


def test_a_regular_bar_soon_after_an_irregular_one_is_not_skipped() -> None:
    half_past = [9 * HOUR_MS + 1_695_000, 10 * HOUR_MS + 1_695_000]  # as in 2018-02
    history = [8 * HOUR_MS, *half_past, 11 * HOUR_MS, 12 * HOUR_MS]
    for cap in (1, 2, 3, 1000):
        assert walk_klines(Rows(history, cap), 0, 12 * HOUR_MS, SPOT) == history[:-1]


def test_an_irregular_bar_in_a_span_without_a_full_hour_is_found() -> None:
    at = 9 * HOUR_MS + 1_695_000
    assert walk_klines(Rows([at], 1000), at - 1, at + 1, SPOT) == [at]


def test_the_end_of_a_span_is_not_asked_for() -> None:
    rows = Rows([h * HOUR_MS for h in range(100)], cap=30)
    walk_klines(rows, 0, 90 * HOUR_MS)
    assert set(rows.lasts) == {90 * HOUR_MS - 1}


def test_settlements_right_behind_a_full_funding_page_are_found() -> None:
    times = [h * HOUR_MS for h in range(1003)]
    assert walk_funding(Rows(times, 1000, "funding_time"), 0, 1003 * HOUR_MS) == times


def test_a_server_that_clips_funding_pages_loses_nothing() -> None:
    times = [8 * h * HOUR_MS for h in range(450)]
    assert walk_funding(Rows(times, 200, "funding_time"), 0, 3600 * HOUR_MS) == times


def test_a_short_funding_page_up_to_now_is_not_asked_again() -> None:
    rows = Rows([8 * h * HOUR_MS for h in range(30)], 1000, "funding_time")
    assert len(walk_funding(rows, 0, (8 * 29 + 5) * HOUR_MS)) == 30
    assert len(rows.limits) == 1


def test_a_server_that_ignores_the_bounds_is_an_error_and_no_endless_loop() -> None:
    async def newest(_first: int, _last: int, limit: int) -> pl.DataFrame:
        return parse_klines([kline(h * HOUR_MS) for h in range(9000, 9000 + limit)])

    async def walk() -> None:
        async for _ in kline_pages(newest, SpanRequest("X", 0, HOUR_MS), HOUR_MS, USDM):
            pass

    with pytest.raises(ServiceError, match="asked for rows from 0 to before 3600000"):
        asyncio.run(walk())


@pytest.mark.parametrize(
    ("start", "end", "bars"), [(0, 3, 1), (1, 3, 0), (0, 10, 1), (0, 11, 2), (9, 31, 3)]
)
def test_bars_of_a_span_are_counted_by_their_opens(start: int, end: int, bars: int) -> None:
    assert bars_between(start, end, 10) == bars
