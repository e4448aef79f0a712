"""Walking a span of time page by page, for any server that keeps Binance's rules.

Bounds of Binance are inclusive and compared with a bar's open time; with both given the oldest
rows come first. A page shorter than its limit proves nothing: a server may clip. So walking ends
only at an empty page or where the next row would lie beyond the span.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import polars as pl

from gnn_trainer.adapters.binance_market import FUNDING_PAGE_ROWS, BinanceMarket
from gnn_trainer.errors import ServiceError
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.market.listing import SpanRequest

LONGEST_FUNDING_MS = INTERVAL_MS["8h"]  # between settlements; symbols have 1h, 4h or 8h

Ask = Callable[[int, int, int], Awaitable[pl.DataFrame]]
"""(first ms, last ms inclusive, limit) -> at most `limit` rows, ascending."""


@dataclass(frozen=True)
class Page:
    """Rows as delivered, and from where the next page continues."""

    rows: pl.DataFrame
    next_ms: int


async def kline_pages(
    ask: Ask, span: SpanRequest, interval_ms: int, market: BinanceMarket
) -> AsyncIterator[Page]:
    """All bars of the span in ascending pages, none twice."""
    cursor = span.start_ms
    while cursor < span.end_ms:
        limit = min(market.page_rows, max(1, bars_between(cursor, span.end_ms, interval_ms)))
        rows = await ask(cursor, span.end_ms - 1, limit)
        rows = _within(rows, "open_time", cursor, span)
        if rows.is_empty():
            return
        last = _last(rows, "open_time")
        # After the outage of 2018-02 spot bars opened at HH:28:15 for a while; the next regular
        # bar then comes earlier than one interval later.
        cursor = last + (interval_ms if last % interval_ms == 0 else 1)
        yield Page(rows, cursor)


async def funding_pages(ask: Ask, span: SpanRequest) -> AsyncIterator[Page]:
    """All settlements of the span in ascending pages, none twice.

    Requests are scarce here (500 in 5 minutes for all symbols), so a short page does end the walk
    when no settlement can be missing behind it.
    """
    cursor = span.start_ms
    while cursor < span.end_ms:
        rows = await ask(cursor, span.end_ms - 1, FUNDING_PAGE_ROWS)
        is_short = rows.height < FUNDING_PAGE_ROWS
        rows = _within(rows, "funding_time", cursor, span)
        if rows.is_empty():
            return
        last = _last(rows, "funding_time")
        cursor = last + 1
        yield Page(rows, cursor)
        if is_short and span.end_ms - last <= LONGEST_FUNDING_MS:
            return


def _within(rows: pl.DataFrame, time: str, cursor: int, span: SpanRequest) -> pl.DataFrame:
    """Rows of the span not delivered yet. A server that only repeats itself is an error."""
    fresh = rows.filter(pl.col(time).is_between(cursor, span.end_ms, closed="left"))
    if fresh.is_empty() and not rows.is_empty():
        raise ServiceError(
            f"{span.symbol}: asked for rows from {cursor} to before {span.end_ms} (unix ms), "
            f"got {rows.height} rows, the last of {_last(rows, time)}"
        )
    return fresh


def _last(rows: pl.DataFrame, time: str) -> int:
    return int(rows[time].to_numpy().max())


def bars_between(start_ms: int, end_ms: int, interval_ms: int) -> int:
    """Regular open times in [start_ms, end_ms)."""
    return -(-end_ms // interval_ms) - -(-start_ms // interval_ms)
