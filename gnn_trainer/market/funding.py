"""Settled funding rates of one perpetual contract as a table, and their join onto bars."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from gnn_trainer.market.frame import FloatArray, IntArray

FUNDING_SCHEMA: dict[str, pl.DataType] = {
    "funding_time": pl.Int64(),  # unix ms UTC as the exchange sent it, some ms after the minute
    "rate": pl.Float64(),  # fraction of notional paid by longs to shorts at that time
    "mark_price": pl.Float64(),  # quote currency; null in the early years and in archives
}
MINUTE_MS = 60_000
LONGEST_FUNDING_INTERVAL_MS = 8 * 60 * MINUTE_MS  # 8h, 4h or 1h, per symbol, and it changes
FUNDING_MAX_AGE_MS = 3 * LONGEST_FUNDING_INTERVAL_MS  # an older rate says nothing about now


@dataclass(frozen=True)
class FundingSchedule:
    """When one contract settles, as the exchange says now: at `next_ms`, every `interval_ms`."""

    next_ms: int
    interval_ms: int

    def settlements(self, start_ms: int, end_ms: int) -> list[int]:
        """Times in [start_ms, end_ms), before and after the next one, if it was always so."""
        first = start_ms + (self.next_ms - start_ms) % self.interval_ms
        return list(range(first, end_ms, self.interval_ms))


def empty_funding() -> pl.DataFrame:
    """A funding table without rows."""
    return pl.DataFrame(schema=FUNDING_SCHEMA)


def settlement_minute() -> pl.Expr:
    """`funding_time` rounded to the minute, the key of a settlement.

    The exchange stamps settlements 0..17 ms after the hour, and the same one with another jitter
    when asked through another door (REST, archives).
    """
    return (pl.col("funding_time") + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS


def funding_as_of(funding: pl.DataFrame, close_time_T: IntArray) -> tuple[FloatArray, FloatArray]:
    """Last rate settled at or before each close: (rate_T, time_T in unix ms).

    NaN before the first settlement and where the last one is older than FUNDING_MAX_AGE_MS. The
    next rate, although published in advance, is never used: it moves until it is settled.
    """
    if funding.is_empty():
        return np.full(len(close_time_T), np.nan), np.full(len(close_time_T), np.nan)
    table = (
        funding.drop_nulls("rate")
        .select(settlement_minute().alias("time"), "rate")
        .sort("time", maintain_order=True)
    )
    time_S = np.concatenate([[np.nan], table["time"].cast(pl.Float64).to_numpy()])
    rate_S = np.concatenate([[np.nan], table["rate"].to_numpy()])
    settled_T = np.searchsorted(time_S[1:], close_time_T, side="right")
    fresh_T = close_time_T - time_S[settled_T] <= FUNDING_MAX_AGE_MS
    return np.where(fresh_T, rate_S[settled_T], np.nan), np.where(
        fresh_T, time_S[settled_T], np.nan
    )
