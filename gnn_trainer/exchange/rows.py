"""Kline rows as text, written once per symbol and interval and then only cut into pages."""

from dataclasses import dataclass

import numpy as np

from gnn_trainer.exchange.query import TimeWindow
from gnn_trainer.exchange.truth import Bars, Listing, MarketName
from gnn_trainer.market.frame import IntArray

SPOT_DECIMALS = 8
_END_OF_TIME_MS = 1 << 62


@dataclass(frozen=True)
class RowFormat:
    """How the numbers of one symbol are written: prices and sizes are strings with decimals."""

    interval_ms: int
    price_decimals: int
    quantity_decimals: int
    quote_volume_decimals: int

    @classmethod
    def of(cls, market: MarketName, listing: Listing, interval_ms: int) -> "RowFormat":
        if market == "spot":
            return cls(interval_ms, SPOT_DECIMALS, SPOT_DECIMALS, SPOT_DECIMALS)
        return cls(
            interval_ms,
            listing.price_decimals,
            listing.quantity_decimals,
            listing.quote_volume_decimals,
        )

    def write(self, bars: Bars) -> list[str]:
        """One JSON array of 12 items per bar."""
        price, quantity, quote = (
            f'"%.{decimals}f"'
            for decimals in (
                self.price_decimals,
                self.quantity_decimals,
                self.quote_volume_decimals,
            )
        )
        template = (
            f'[%d,{price},{price},{price},{price},{quantity},%d,{quote},%d,{quantity},{quote},"0"]'
        )
        columns = (
            bars.open_time,
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            bars.open_time + self.interval_ms - 1,
            bars.quote_volume,
            bars.trades,
            bars.taker_buy_volume,
            bars.taker_buy_quote_volume,
        )
        return [template % row for row in zip(*(c.tolist() for c in columns), strict=True)]


class WrittenRows:
    """All rows of one symbol and interval as one text with the position of each row in it."""

    def __init__(self, bars: Bars, row_format: RowFormat) -> None:
        self.open_time: IntArray = bars.open_time
        self._interval_ms = row_format.interval_ms
        rows = row_format.write(bars)
        self._text = ",".join(rows).encode()
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        self._start = np.concatenate([[0], np.cumsum(lengths + 1)])

    def page(self, window: TimeWindow, limit: int, now_ms: int, forming: str | None) -> bytes:
        """A JSON array of at most `limit` closed rows and, last, the one still forming."""
        open_ms = now_ms // self._interval_ms * self._interval_ms
        num_closed = int(np.searchsorted(self.open_time, open_ms))
        start_ms = window.start_ms or 0
        end_ms = _END_OF_TIME_MS if window.end_ms is None else window.end_ms
        first, stop = (
            int(np.searchsorted(self.open_time[:num_closed], bound))
            for bound in (start_ms, end_ms + 1)
        )
        wants_forming = forming is not None and start_ms <= open_ms <= end_ms
        rows = window.rows(first, stop + wants_forming, limit)
        closed = self._cut(rows.start, min(rows.stop, stop))
        if forming is None or not wants_forming or rows.stop <= stop:
            return b"[" + closed + b"]"
        return b"[" + closed + (b"," if closed else b"") + forming.encode() + b"]"

    def _cut(self, first: int, stop: int) -> bytes:
        if stop <= first:
            return b""
        return self._text[self._start[first] : self._start[stop] - 1]
