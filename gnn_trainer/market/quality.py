"""Which rows are bars: rules for single rows of one symbol's table, and for bars in a frame.

No rule looks ahead: whether bar t counts depends on bars up to t and on the listing only, so a
frame cut at t masks the same bars as a longer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray, MarketFrame
from gnn_trainer.market.listing import SymbolListing

FROZEN_AFTER_BARS = 24  # bars without any trade in a row; from the next on the symbol is frozen
SUSPICIOUS_FACTOR = 5.0  # open against the close before it: redenomination or a reused ticker

_PRICES = ("open", "high", "low", "close")
_AMOUNTS = tuple(name for name in CANDLE_SCHEMA if name not in ("open_time", *_PRICES))


@dataclass(frozen=True)
class CandleDefects:
    """How many of `rows` were dropped, each for the first reason that applies."""

    rows: int
    unclosed: int
    misaligned: int
    impossible: int
    duplicates: int


def clean_candles(
    table: pl.DataFrame, interval_ms: int, closed_before_ms: int
) -> tuple[pl.DataFrame, CandleDefects]:
    """The closed, aligned, possible bars of one symbol in time order, each open time once.

    Of duplicates the last row is kept. Impossible: a price that is not a positive number, a high
    or low that does not bound open and close, a volume or count that is negative or not a number.
    """
    time_B = table["open_time"].to_numpy()
    unclosed_B = time_B + interval_ms > closed_before_ms
    aligned_B = time_B % interval_ms == 0
    possible_B = _possible_rows(table)
    good_B = ~unclosed_B & aligned_B & possible_B
    kept = table if good_B.all() else table.filter(good_B)
    unique = _unique_in_order(kept)
    return unique, CandleDefects(
        rows=table.height,
        unclosed=int(unclosed_B.sum()),
        misaligned=int((~unclosed_B & ~aligned_B).sum()),
        impossible=int((~unclosed_B & aligned_B & ~possible_B).sum()),
        duplicates=kept.height - unique.height,
    )


def frozen_bars(frame: MarketFrame) -> BoolArray:
    """Bars of a symbol that has not traded for more than FROZEN_AFTER_BARS bars, [T, N].

    A delisted contract keeps sending flat bars without trades for months. A few such bars are
    honest data of an illiquid symbol and stay.
    """
    idle_TN = (
        frame.valid_TN
        & (frame.volume_TN == 0)
        & (frame.trades_TN == 0)
        & (frame.high_TN == frame.low_TN)
    )
    row_T1 = np.arange(1, frame.num_bars + 1)[:, None]
    last_alive_TN = np.maximum.accumulate(np.where(idle_TN, 0, row_T1), axis=0)
    frozen_TN: BoolArray = idle_TN & (row_T1 - last_alive_TN > FROZEN_AFTER_BARS)
    return frozen_TN


def price_jumps(frame: MarketFrame) -> BoolArray:
    """Bars that open SUSPICIOUS_FACTOR times above or below the symbol's last close, [T, N].

    Between two bars a market cannot move so far, a redenomination (x1000) or another coin under
    the same ticker does. A crash inside one bar is not flagged: it happened.
    """
    previous_TN = _last_valid(frame.close_TN, frame.valid_TN)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor_TN = np.abs(np.log(frame.open_TN / previous_TN))
    jumps_TN: BoolArray = frame.valid_TN & (factor_TN > np.log(SUSPICIOUS_FACTOR))
    return jumps_TN


def unlisted_bars(
    symbols: Sequence[str],
    open_time_T: IntArray,
    interval_ms: int,
    listings: Sequence[SymbolListing],
) -> BoolArray:
    """Bars that ended before their symbol's listing or after its delisting, [T, N].

    Symbols that `listings` does not name, and dates it does not know, exclude nothing.
    """
    by_symbol = {listing.symbol: listing for listing in listings}
    outside_TN = np.zeros((len(open_time_T), len(symbols)), dtype=np.bool_)
    end_T = open_time_T + interval_ms
    for column, symbol in enumerate(symbols):
        listing = by_symbol.get(symbol)
        if listing and listing.listed_ms is not None:
            outside_TN[:, column] |= end_T <= listing.listed_ms
        if listing and listing.delisted_ms is not None:
            outside_TN[:, column] |= end_T > listing.delisted_ms
    return outside_TN


def _possible_rows(table: pl.DataFrame) -> BoolArray:
    prices_BK = table.select(_PRICES).to_numpy()
    amounts_BK = table.select(_AMOUNTS).to_numpy()
    open_B, high_B, low_B, close_B = prices_BK.T
    possible_B: BoolArray = (
        np.isfinite(prices_BK).all(axis=1)
        & np.isfinite(amounts_BK).all(axis=1)
        & (prices_BK > 0).all(axis=1)
        & (amounts_BK >= 0).all(axis=1)
        & (high_B >= np.maximum(open_B, close_B))
        & (low_B <= np.minimum(open_B, close_B))
    )
    return possible_B


def _unique_in_order(table: pl.DataFrame) -> pl.DataFrame:
    if (np.diff(table["open_time"].to_numpy()) > 0).all():
        return table  # as it comes from the store
    return table.unique("open_time", keep="last", maintain_order=True).sort("open_time")


def _last_valid(values_TN: FloatArray, valid_TN: BoolArray) -> FloatArray:
    """For every bar the value of the last valid bar before it; NaN where there is none."""
    row_T1 = np.arange(len(values_TN))[:, None]
    newest_TN = np.maximum.accumulate(np.where(valid_TN, row_T1, -1), axis=0)
    before_TN = np.vstack([np.full((1, values_TN.shape[1]), -1), newest_TN[:-1]])
    found_TN = np.take_along_axis(values_TN, np.maximum(before_TN, 0), axis=0)
    return np.where(before_TN >= 0, found_TN, np.nan)
