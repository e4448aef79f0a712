"""Arithmetic on bars: longer intervals, and the bar that is still forming."""

import numpy as np

from gnn_trainer.exchange.truth import Bars, Listing
from gnn_trainer.market.frame import FloatArray


def quantise(values: FloatArray, decimals: int) -> FloatArray:
    """Nearest number with so many decimals, exactly the double its decimal text parses to."""
    return np.asarray(np.rint(values * 10.0**decimals) / 10.0**decimals, dtype=np.float64)


def aggregate(bars: Bars, interval_ms: int) -> Bars:
    """Bars of an interval at least as long, aligned to the epoch; a hole leaves no row behind."""
    if len(bars) == 0:
        return bars
    bucket = bars.open_time // interval_ms
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    last = np.append(first[1:], len(bars)) - 1
    return Bars(
        open_time=bucket[first] * interval_ms,
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
        quote_volume=np.add.reduceat(bars.quote_volume, first),
        trades=np.add.reduceat(bars.trades, first),
        taker_buy_volume=np.add.reduceat(bars.taker_buy_volume, first),
        taker_buy_quote_volume=np.add.reduceat(bars.taker_buy_quote_volume, first),
        complete=np.logical_and.reduceat(bars.complete, first),
    )


def forming(bars: Bars, now_ms: int, base_ms: int, interval_ms: int) -> Bars:
    """The bar that is open at `now_ms`, as one row; no row where the market has none.

    The base bar in progress goes from its open towards its close in step with time, its range and
    its volume grow likewise, so that polling shows a bar being formed and then its final values.
    """
    first = bars.index_at(now_ms // interval_ms * interval_ms - 1) + 1
    seen = bars.take(slice(first, bars.index_at(now_ms) + 1))
    if len(seen) == 0:
        return seen
    progress = np.ones(len(seen))
    if seen.complete[-1]:
        progress[-1] = min(1.0, (now_ms - int(seen.open_time[-1])) / base_ms)
    return aggregate(_part_of(seen, progress), interval_ms)


def on_grid(bars: Bars, listing: Listing) -> Bars:
    """Prices on the tick, quantities on the step, as trading leaves them."""
    tick, step, quote = (
        listing.tick_decimals,
        listing.quantity_decimals,
        listing.quote_volume_decimals,
    )
    return Bars(
        open_time=bars.open_time,
        open=quantise(bars.open, tick),
        high=quantise(bars.high, tick),
        low=quantise(bars.low, tick),
        close=quantise(bars.close, tick),
        volume=quantise(bars.volume, step),
        quote_volume=quantise(bars.quote_volume, quote),
        trades=bars.trades,
        taker_buy_volume=quantise(bars.taker_buy_volume, step),
        taker_buy_quote_volume=quantise(bars.taker_buy_quote_volume, quote),
        complete=bars.complete,
    )


def _part_of(bars: Bars, progress: FloatArray) -> Bars:
    """Bars of which only the first `progress` (0..1) has been traded."""
    close = bars.open + progress * (bars.close - bars.open)
    high = bars.open + progress * (bars.high - bars.open)
    low = bars.open + progress * (bars.low - bars.open)
    return Bars(
        open_time=bars.open_time,
        open=bars.open,
        high=np.maximum(high, close),
        low=np.minimum(low, close),
        close=close,
        volume=progress * bars.volume,
        quote_volume=progress * bars.quote_volume,
        trades=(progress * bars.trades).astype(np.int64),
        taker_buy_volume=progress * bars.taker_buy_volume,
        taker_buy_quote_volume=progress * bars.taker_buy_quote_volume,
        complete=bars.complete,
    )
