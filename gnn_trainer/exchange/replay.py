"""Recorded candles behind the exchange: any Parquet file of them, nothing made up but the book."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.clock import utc_text
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.truth import Bars, FundingHistory, Listing
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.intervals import INTERVAL_MS

logger = logging.getLogger(__name__)

REQUIRED_COLUMNS = ("symbol", "open_time", "open", "high", "low", "close", "volume")
_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
_MAX_DECIMALS = 8
_USUAL_FUNDING_HOURS = 8
_NOW_WITHIN_BAR = 7 / 60


class ReplayedMarket:
    """Candles of `config.replay`, and `funding.parquet` beside it if there. Fulfils `MarketTruth`.

    Columns: symbol, open_time (unix ms), open, high, low, close, volume, and when recorded
    quote_volume, trades, taker_buy_base, taker_buy_quote, closed (False: still forming).

    Raises:
        ConfigError: no such file, columns missing, no rows, or no interval Binance knows.
    """

    def __init__(self, config: ExchangeConfig) -> None:
        assert config.replay is not None
        self.seed = config.seed
        self.spot_outage = range(0)  # holes are where they were recorded
        table = _read_candles(config.replay)
        self.interval_ms = _common_interval(table, config.replay)
        self._tables = {
            str(key[0]): rows for key, rows in table.partition_by("symbol", as_dict=True).items()
        }
        self._funding = _read_funding(config.replay.with_name("funding.parquet"))
        self._listings = tuple(
            replace(_listing(name, rows), funding_hours=_hours_between(self.funding(name)))
            for name, rows in self._tables.items()
        )
        newest_ms = int(table["open_time"].to_numpy().max())
        inside_newest_ms = newest_ms + int(_NOW_WITHIN_BAR * self.interval_ms)
        self.now_ms = inside_newest_ms if config.now_ms is None else config.now_ms
        first_ms = int(table["open_time"].to_numpy().min())
        if not first_ms <= self.now_ms <= newest_ms + self.interval_ms:
            raise ConfigError(
                f"now {utc_text(self.now_ms)} is outside the recorded candles; use a time from "
                f"{utc_text(first_ms)} to {utc_text(newest_ms + self.interval_ms)}"
            )

    def listings(self) -> tuple[Listing, ...]:
        return self._listings

    def bars(self, symbol: str) -> Bars:
        rows = self._tables[symbol]

        def column(name: str) -> FloatArray:
            return rows[name].cast(pl.Float64).to_numpy()

        return Bars(
            open_time=rows["open_time"].to_numpy(),
            open=column("open"),
            high=column("high"),
            low=column("low"),
            close=column("close"),
            volume=column("volume"),
            quote_volume=column("quote_volume"),
            trades=rows["trades"].cast(pl.Int64).to_numpy(),
            taker_buy_volume=column("taker_buy_base"),
            taker_buy_quote_volume=column("taker_buy_quote"),
            complete=rows["closed"].to_numpy(),
        )

    def funding(self, symbol: str) -> FundingHistory:
        rows = self._funding.filter(pl.col("symbol") == symbol).sort("funding_time")
        return FundingHistory(
            time=rows["funding_time"].to_numpy(),
            rate=rows["funding_rate"].to_numpy(),
            mark_price=np.full(len(rows), np.nan),
        )


def _read_candles(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise ConfigError(f"replay file {str(path)!r} not found; give a Parquet file of candles")
    try:
        table = pl.read_parquet(path)
    except pl.exceptions.ComputeError as exc:
        raise ConfigError(f"replay file {str(path)!r} is not a Parquet file: {exc}") from exc
    missing = [name for name in REQUIRED_COLUMNS if name not in table.columns]
    if missing or table.is_empty():
        raise ConfigError(
            f"replay file {str(path)!r} has {len(table)} rows and lacks columns {missing}; it "
            f"needs {', '.join(REQUIRED_COLUMNS)}"
        )
    if not table.schema["open_time"].is_integer():
        raise ConfigError(
            f"replay file {str(path)!r} has open_time as {table.schema['open_time']}; expected "
            "unix time in whole milliseconds"
        )
    return _with_neutral_columns(table).sort("symbol", "open_time")


def _with_neutral_columns(table: pl.DataFrame) -> pl.DataFrame:
    """Add what was not recorded; a neutral value says nothing about who bought."""
    typical_price = (pl.col("high") + pl.col("low") + pl.col("close")) / 3
    volume = pl.col("volume").cast(pl.Float64)
    neutral = {
        "quote_volume": volume * typical_price,
        "trades": pl.when(volume > 0).then(1).otherwise(0),
        "taker_buy_base": volume / 2,
        "taker_buy_quote": pl.col("quote_volume").cast(pl.Float64) / 2,
        "closed": pl.lit(True),
    }
    absent = [name for name in neutral if name not in table.columns]
    guessed = [name for name in absent if name != "closed"]
    if guessed:
        logger.warning("replay: %s not recorded; serving neutral values", ", ".join(guessed))
    for name in absent:
        table = table.with_columns(neutral[name].alias(name))
    return table


def _common_interval(table: pl.DataFrame, path: Path) -> int:
    steps = table.select(pl.col("open_time").diff().over("symbol")).to_series().drop_nulls()
    step = int(steps.mode().to_numpy().min()) if len(steps) else None
    if step is None or step not in INTERVAL_MS.values():
        raise ConfigError(
            f"replay file {str(path)!r} has bars {step} ms apart; expected one of Binance's "
            f"intervals, {', '.join(INTERVAL_MS)}"
        )
    return step


def _read_funding(path: Path) -> pl.DataFrame:
    if path.is_file():
        return pl.read_parquet(path)
    return pl.DataFrame(
        schema={"symbol": pl.String, "funding_time": pl.Int64, "funding_rate": pl.Float64}
    )


def _hours_between(funding: FundingHistory) -> int:
    """The last two settlements; 8 where there are not two."""
    if len(funding.time) < 2:
        return _USUAL_FUNDING_HOURS
    return max(1, round(int(funding.time[-1] - funding.time[-2]) / INTERVAL_MS["1h"]))


def _listing(symbol: str, rows: pl.DataFrame) -> Listing:
    """What can be told from the bars: a symbol is listed since its first and still trades."""
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote)), "USDT")
    prices = rows.select("open", "high", "low", "close").to_numpy().ravel()
    return Listing(
        symbol=symbol,
        base_asset=symbol.removesuffix(quote),
        quote_asset=quote,
        tick_decimals=_decimals_of(prices),
        quantity_decimals=_decimals_of(rows["volume"].cast(pl.Float64).to_numpy(), most=3),
        listed_ms=int(rows["open_time"][0]),
    )


def _decimals_of(values: FloatArray, most: int = _MAX_DECIMALS) -> int:
    """Fewest decimals that write every value as it was recorded, at most `most`."""
    for decimals in range(most):
        scaled = values * 10.0**decimals
        if np.allclose(scaled, np.rint(scaled), rtol=1e-12, atol=1e-7):
            return decimals
    return most
