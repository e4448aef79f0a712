"""One symbol's candles as a table. Every source of candles delivers exactly these columns."""

import polars as pl

CANDLE_SCHEMA: dict[str, pl.DataType] = {
    "open_time": pl.Int64(),  # unix ms UTC; also the key of a bar
    "open": pl.Float64(),  # prices in quote currency
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),  # base asset
    "quote_volume": pl.Float64(),  # quote currency
    "trades": pl.Int64(),  # count
    "taker_buy_volume": pl.Float64(),  # base asset
    "taker_buy_quote_volume": pl.Float64(),  # quote currency
}


def empty_candles() -> pl.DataFrame:
    """A candle table without rows."""
    return pl.DataFrame(schema=CANDLE_SCHEMA)
