"""The exchange behind the wire: what it lists, what is known of each symbol at its own time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gnn_trainer.exchange.bars import aggregate, forming, on_grid
from gnn_trainer.exchange.book import OrderBook, make_book
from gnn_trainer.exchange.config import RequestLimits
from gnn_trainer.exchange.query import ApiError, Query
from gnn_trainer.exchange.rows import RowFormat, WrittenRows
from gnn_trainer.exchange.truth import Bars, FundingHistory, Listing, MarketName, MarketTruth
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS

HOUR_MS = INTERVAL_MS["1h"]


@dataclass(frozen=True)
class DayStatistics:
    """The last 24 hours of one symbol, up to now. Prices in quote asset."""

    open: float
    high: float
    low: float
    last: float
    volume: float
    quote_volume: float
    trades: int
    opened_ms: int


class Venue:
    """Answers questions about the market at the current server time; caches written rows."""

    def __init__(
        self, truth: MarketTruth, now_ms: Callable[[], int], limits: RequestLimits
    ) -> None:
        self._truth = truth
        self.now_ms = now_ms
        self.limits = limits
        self._listings = {listing.symbol: listing for listing in truth.listings()}
        self._bars: dict[tuple[MarketName, str], Bars] = {}
        self._rows: dict[tuple[MarketName, str, int], WrittenRows] = {}
        self._funding: dict[str, FundingHistory] = {}

    def listings(self, market: MarketName) -> list[Listing]:
        """All that exchangeInfo knows, dead and announced symbols included."""
        return [
            listing for listing in self._listings.values() if market == "usdm" or listing.on_spot
        ]

    def listing(self, market: MarketName, symbol: str) -> Listing:
        listing = self._listings.get(symbol)
        if listing is None or (market == "spot" and not listing.on_spot):
            raise ApiError(-1121, "Invalid symbol.")
        return listing

    def asked_listings(self, market: MarketName, query: Query) -> list[Listing]:
        """The one listing asked for, or all that trade when no symbol is given."""
        symbol = query.optional("symbol")
        if symbol is not None:
            return [self.listing(market, symbol)]
        return self.trading(market)

    def trading(self, market: MarketName) -> list[Listing]:
        return [listing for listing in self.listings(market) if self.is_trading(market, listing)]

    def is_trading(self, market: MarketName, listing: Listing) -> bool:
        """Neither announced nor dead, and its first bar has begun."""
        is_listed = listing.status_at(self.now_ms()) == "TRADING"
        return is_listed and self.has_traded(market, listing)

    def interval_ms(self, query: Query) -> int:
        """The interval asked for; finer ones than the market has are as unknown as bad ones."""
        length_ms = INTERVAL_MS.get(query.text("interval"))
        if length_ms is None or length_ms % self._truth.interval_ms:
            raise ApiError(-1120, "Invalid interval.")
        return length_ms

    def kline_page(
        self, market: MarketName, query: Query, *, limit: int, listing: Listing
    ) -> bytes:
        """The JSON array of klines that a query asks for."""
        length_ms, window, now_ms = self.interval_ms(query), query.window(), self.now_ms()
        row_format = RowFormat.of(market, listing, length_ms)
        bars = self.bars(market, listing)
        key = (market, listing.symbol, length_ms)
        if key not in self._rows:
            self._rows[key] = WrittenRows(aggregate(bars, length_ms), row_format)
        newest = row_format.write(self._forming(market, listing, length_ms))
        return self._rows[key].page(window, limit, now_ms, newest[0] if newest else None)

    def bars(self, market: MarketName, listing: Listing) -> Bars:
        """All bars of one market, later ones than now included.

        Spot stops its dead symbols, futures carry them on; only spot closes for maintenance.
        """
        key = (market, listing.symbol)
        if key not in self._bars:
            bars = self._truth.bars(listing.symbol)
            if market == "spot":
                outage = self._truth.spot_outage
                is_open = (bars.open_time < outage.start) | (bars.open_time >= outage.stop)
                if listing.delisted_ms is not None:
                    is_open &= bars.open_time < listing.delisted_ms
                bars = bars.take(is_open)
            self._bars[key] = bars
        return self._bars[key]

    def _forming(self, market: MarketName, listing: Listing, length_ms: int) -> Bars:
        bars = self.bars(market, listing)
        row = forming(bars, self.now_ms(), self._truth.interval_ms, length_ms)
        return on_grid(row, listing)

    def funding(self, listing: Listing) -> tuple[FundingHistory, int]:
        """Settlements of a symbol, and how many of them are settled by now."""
        if listing.symbol not in self._funding:
            self._funding[listing.symbol] = self._truth.funding(listing.symbol)
        history = self._funding[listing.symbol]
        return history, int(np.searchsorted(history.time, self.now_ms(), side="right"))

    def mark_price_at(self, listing: Listing, time_ms: int) -> float:
        """Price when the bar of `time_ms` opened; NaN before the first bar."""
        bars = self.bars("usdm", listing)
        row = bars.index_at(time_ms)
        return float(bars.open[row]) if row >= 0 else math.nan

    def has_traded(self, market: MarketName, listing: Listing) -> bool:
        return self.bars(market, listing).index_at(self.now_ms()) >= 0

    def day(self, market: MarketName, listing: Listing) -> DayStatistics:
        """Statistics of a symbol that `has_traded`."""
        now_ms, bars = self.now_ms(), self.bars(market, listing)
        stop = bars.index_at(now_ms) + 1
        first = min(bars.index_at(now_ms - DAY_MS) + 1, stop - 1)
        closed = bars.take(slice(first, stop - 1))
        newest = self._forming(market, listing, self._truth.interval_ms)
        newest = newest if len(newest) else bars.take(slice(stop - 1, stop))
        return DayStatistics(
            open=float(bars.open[first]),
            high=float(max(closed.high.max(initial=0.0), newest.high[0])),
            low=float(min(closed.low.min(initial=math.inf), newest.low[0])),
            last=float(newest.close[0]),
            volume=float(closed.volume.sum() + newest.volume[0]),
            quote_volume=float(closed.quote_volume.sum() + newest.quote_volume[0]),
            trades=int(closed.trades.sum() + newest.trades[0]),
            opened_ms=int(bars.open_time[first]),
        )

    def book(self, market: MarketName, listing: Listing) -> OrderBook:
        """The order book at this second."""
        day = self.day(market, listing)
        hours = max(1.0, (self.now_ms() - day.opened_ms) / HOUR_MS)
        return make_book(
            listing, day.last, day.volume / hours, self.now_ms() // 1000, self._truth.seed
        )
