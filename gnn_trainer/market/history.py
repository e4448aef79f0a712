"""Everything ever collected from a market, on disk: candles, funding rates, order books.

    <root>/klines/<source>/<interval>/<symbol>/<YYYY-MM>.parquet    note.json
    <root>/funding/<source>/<symbol>/<YYYY-MM>.parquet              note.json
    <root>/books/<source>/<YYYY-MM-DD>.parquet

`source` is `MarketSource.name`. Months and days are UTC. Rows are kept as they were delivered; what
is wrong with them is counted and masked when a frame is made of them (`assembly`), so a better rule
needs no new download. Only closed bars may be stored: ask for spans that end at the exchange's
last close. To fill a span:

    requests = history.missing_klines(source.name, interval, symbols, start_ms, end_ms)
    with history.kline_pages(source.name, interval) as on_page:
        (dropped,) = source.fetch([KlineFetch(requests, interval, on_page)], on_progress)
    history.confirm_klines(
        source.name, interval, [request for request in requests if request.symbol not in dropped]
    )

Every call may raise ConfigError or ServiceError when the disk refuses, and DataError when a stored
file is broken.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import polars as pl

from gnn_trainer.errors import ConfigError
from gnn_trainer.market.book import BOOK_SCHEMA
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import (
    FUNDING_SCHEMA,
    LONGEST_FUNDING_INTERVAL_MS,
    MINUTE_MS,
    settlement_minute,
)
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.market.pages import PageBuffer
from gnn_trainer.market.partitions import Partitioning, read, upsert
from gnn_trainer.market.series import Series

REFETCHED_BARS = 2  # stored bars asked for again whenever newer ones are

_KLINES = Partitioning(CANDLE_SCHEMA, "open_time", "%Y-%m", (pl.col("open_time"),))
_FUNDING = Partitioning(FUNDING_SCHEMA, "funding_time", "%Y-%m", (settlement_minute(),))
_BOOKS = Partitioning(BOOK_SCHEMA, "time", "%Y-%m-%d", (pl.col("symbol"), pl.col("time")))


class History:
    """The store under `root`. Safe to use from several processes and threads at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def upsert_klines(self, source: str, interval: str, symbol: str, table: pl.DataFrame) -> None:
        """Store closed bars (CANDLE_SCHEMA); a bar stored before is replaced."""
        self._klines(source, interval, symbol).upsert(table)

    def kline_pages(self, source: str, interval: str) -> PageBuffer:
        """A sink for the pages of a fetch, to be used in a `with` block."""
        return PageBuffer(lambda symbol, rows: self.upsert_klines(source, interval, symbol, rows))

    def read_klines(
        self, source: str, interval: str, symbol: str, start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        """Bars with start_ms <= open_time < end_ms, ascending, each open_time once."""
        return self._klines(source, interval, symbol).read(start_ms, end_ms)

    def missing_klines(
        self, source: str, interval: str, symbols: Sequence[str], start_ms: int, end_ms: int
    ) -> list[SpanRequest]:
        """What must be asked for to have all whole bars of the span.

        When the span reaches past the newest stored bar, the last `REFETCHED_BARS` come again.
        """
        return _requests(
            symbols, lambda symbol: self._klines(source, interval, symbol), start_ms, end_ms
        )

    def confirm_klines(self, source: str, interval: str, requests: Iterable[SpanRequest]) -> None:
        """Note that `requests` were answered in full: holes left in them are not asked again."""
        _confirm(requests, lambda symbol: self._klines(source, interval, symbol))

    def duplicated_klines(
        self, source: str, interval: str, symbol: str, start_ms: int, end_ms: int
    ) -> int:
        """How many bars of the span were delivered more than once in one delivery."""
        times = self._klines(source, interval, symbol).note().duplicated
        return sum(start_ms <= time < end_ms for time in times)

    def upsert_funding(self, source: str, symbol: str, table: pl.DataFrame) -> None:
        """Store settled rates (FUNDING_SCHEMA); of two in the same minute the newer row wins."""
        self._funding(source, symbol).upsert(table)

    def funding_pages(self, source: str) -> PageBuffer:
        """A sink for the pages of a fetch, to be used in a `with` block."""
        return PageBuffer(lambda symbol, rows: self.upsert_funding(source, symbol, rows))

    def read_funding(self, source: str, symbol: str, start_ms: int, end_ms: int) -> pl.DataFrame:
        """Settlements with start_ms <= funding_time < end_ms, ascending."""
        return self._funding(source, symbol).read(start_ms, end_ms)

    def missing_funding(
        self, source: str, symbols: Sequence[str], start_ms: int, end_ms: int
    ) -> list[SpanRequest]:
        """What must be asked for to have every settlement of the span.

        Rates have no grid, so a span counts as answered only once confirmed or between stored
        settlements at most eight hours apart: confirm every few symbols.
        """
        return _requests(symbols, lambda symbol: self._funding(source, symbol), start_ms, end_ms)

    def confirm_funding(self, source: str, requests: Iterable[SpanRequest]) -> None:
        """Note that `requests` were answered in full."""
        _confirm(requests, lambda symbol: self._funding(source, symbol))

    def append_books(self, source: str, table: pl.DataFrame) -> None:
        """Record order-book snapshots (BOOK_SCHEMA); the same snapshot twice is kept once."""
        upsert(_BOOKS, self.root / "books" / _folder_name(source), table)

    def read_books(
        self, source: str, symbols: Sequence[str], start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        """Snapshots of `symbols` with start_ms <= time < end_ms, ascending."""
        books = read(_BOOKS, self.root / "books" / _folder_name(source), start_ms, end_ms)
        return books.filter(pl.col("symbol").is_in(list(symbols)))

    def _klines(self, source: str, interval: str, symbol: str) -> Series:
        step = interval_ms(interval)
        folder = self.root / "klines" / _folder_name(source) / interval / _folder_name(symbol)
        return Series(folder, _KLINES, step, step, overlap_ms=REFETCHED_BARS * step)

    def _funding(self, source: str, symbol: str) -> Series:
        folder = self.root / "funding" / _folder_name(source) / _folder_name(symbol)
        longest = LONGEST_FUNDING_INTERVAL_MS
        return Series(folder, _FUNDING, MINUTE_MS, longest, overlap_ms=longest)


def _requests(
    symbols: Sequence[str], series_of: Callable[[str], Series], start_ms: int, end_ms: int
) -> list[SpanRequest]:
    return [
        SpanRequest(symbol, *span)
        for symbol in symbols
        for span in series_of(symbol).missing(start_ms, end_ms)
    ]


def _confirm(requests: Iterable[SpanRequest], series_of: Callable[[str], Series]) -> None:
    spans = defaultdict(list)
    for request in requests:
        spans[request.symbol].append((request.start_ms, request.end_ms))
    for symbol, answered in spans.items():
        series_of(symbol).confirm(answered)


def _folder_name(name: str) -> str:
    """`name` itself: symbols may be Chinese and stay so, but none may lead out of the store."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ConfigError(f"{name!r} cannot name a folder; expected a symbol such as BTCUSDT")
    return name
