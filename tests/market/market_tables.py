"""Tables and frames for the tests of this room."""

import numpy as np
import polars as pl

from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import FUNDING_SCHEMA

HOUR = 3_600_000
JANUARY = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def candles(
    *, start: int = JANUARY, count: int = 10, step: int = HOUR, price: float = 100.0, seed: int = 1
) -> pl.DataFrame:
    """`count` sound bars, no two alike."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0, 0.005, count)))
    open_ = np.concatenate([[price], close])[:-1]
    volume = random.uniform(1, 10, count)
    return pl.DataFrame(
        {
            "open_time": start + step * np.arange(count),
            "open": open_,
            "high": np.maximum(open_, close) * 1.001,
            "low": np.minimum(open_, close) * 0.999,
            "close": close,
            "volume": volume,
            "quote_volume": volume * close,
            "trades": random.integers(1, 500, count),
            "taker_buy_volume": volume / 2,
            "taker_buy_quote_volume": volume * close / 2,
        },
        schema=CANDLE_SCHEMA,
    )


def idle_candles(*, start: int, count: int, price: float, step: int = HOUR) -> pl.DataFrame:
    """Flat bars without a trade, as a delisted contract keeps sending them."""
    return candles(start=start, count=count, step=step).with_columns(
        *(pl.lit(price).alias(name) for name in ("open", "high", "low", "close")),
        *(pl.lit(0.0).alias(name) for name in CANDLE_SCHEMA if name.endswith("volume")),
        pl.lit(0, pl.Int64()).alias("trades"),
    )


def changed(table: pl.DataFrame, row: int, **values: float | None) -> pl.DataFrame:
    """`table` with other values in one row."""
    here = pl.int_range(pl.len()) == row
    return table.with_columns(
        pl.when(here).then(pl.lit(value, CANDLE_SCHEMA[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def funding(*rows: tuple[int, float]) -> pl.DataFrame:
    """Settlements (unix ms, rate)."""
    return pl.DataFrame(
        [(time, rate, None) for time, rate in rows], schema=FUNDING_SCHEMA, orient="row"
    )
