"""Binance's JSON bodies as tables and values. Pure functions; sources are the REST docs.

Prices, quantities and rates come as strings, times and counts as numbers; times are milliseconds.
A body of another shape raises ServiceError saying what was expected; the caller adds which call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gnn_trainer.errors import ServiceError
from gnn_trainer.market.book import BOOK_LEVELS
from gnn_trainer.market.candles import CANDLE_SCHEMA, empty_candles
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.market.listing import SymbolListing

Json = Any  # what json.loads gives; judged here and nowhere else

HOUR_MS = INTERVAL_MS["1h"]
KLINE_ITEMS = 12
_KLINE_COLUMNS = {  # position in a kline array; 6 is the close time, 11 unused
    "open_time": 0,
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "trades": 8,
    "taker_buy_volume": 9,
    "taker_buy_quote_volume": 10,
}
NO_DELIVERY_MS = 4_133_404_800_000  # 2100-12-25, what a perpetual carries as deliveryDate
_INTERVAL_S = {"SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86_400.0}


@dataclass(frozen=True)
class WeightLimit:
    """REQUEST_WEIGHT of exchangeInfo.rateLimits."""

    limit: int
    window_s: float


def parse_server_time(body: Json) -> int:
    """Unix ms of the exchange's clock."""
    return int(_field(body, "serverTime", int))


def parse_klines(body: Json) -> pl.DataFrame:
    """Kline arrays as a table of CANDLE_SCHEMA, in the order they came."""
    cells = _text_cells(_rows(body, "klines"), KLINE_ITEMS, "kline")
    if not len(cells):
        return empty_candles()
    return pl.DataFrame(
        {
            column: _numbers(cells[:, position], CANDLE_SCHEMA[column], f"kline {column}")
            for column, position in _KLINE_COLUMNS.items()
        }
    )


def parse_funding(body: Json) -> pl.DataFrame:
    """Funding rows as FUNDING_SCHEMA plus `is_regular` (false for special settlements).

    `rateType` exists since 2026; rows without it are regular. `markPrice` is "" in early years.
    """
    rows = _rows(body, "funding rates")
    times = [_field(row, "fundingTime", int) for row in rows]
    rates = np.array([_field(row, "fundingRate", str) for row in rows], dtype=str)
    marks = np.array([row.get("markPrice") or "nan" for row in rows], dtype=str)
    return pl.DataFrame(
        {
            "funding_time": pl.Series(times, dtype=pl.Int64),
            "rate": _numbers(rates, pl.Float64(), "fundingRate"),
            "mark_price": _numbers(marks, pl.Float64(), "markPrice").fill_nan(None),
            "is_regular": pl.Series(
                [row.get("rateType", "Regular") == "Regular" for row in rows], dtype=pl.Boolean
            ),
        }
    )


def parse_next_settlements(body: Json) -> dict[str, int]:
    """Unix ms of the next settlement by symbol, of contracts that pay funding: others have 0."""
    rows = _rows(body, "premium indices")
    times = {_field(row, "symbol", str): _field(row, "nextFundingTime", int) for row in rows}
    return {symbol: next_ms for symbol, next_ms in times.items() if next_ms > 0}


def parse_funding_intervals(body: Json) -> dict[str, int]:
    """Milliseconds between settlements by symbol, where they are not the usual ones."""
    return {
        _field(row, "symbol", str): _field(row, "fundingIntervalHours", int) * HOUR_MS
        for row in _rows(body, "funding intervals")
    }


def parse_book(body: Json, symbol: str, asked_ms: int) -> dict[str, Json]:
    """One snapshot as a row of BOOK_SCHEMA, cut to BOOK_LEVELS.

    Its time is `E`, when the exchange gave it out; spot sends none, so `asked_ms` stands in.
    """
    bid_prices, bid_quantities = _levels(body, "bids")
    ask_prices, ask_quantities = _levels(body, "asks")
    return {
        "symbol": symbol,
        "time": _field(body, "E", int) if "E" in body else asked_ms,
        "bid_prices": bid_prices,
        "bid_quantities": bid_quantities,
        "ask_prices": ask_prices,
        "ask_quantities": ask_quantities,
    }


def parse_listings(body: Json) -> list[SymbolListing]:
    """The symbols of exchangeInfo, dead ones included."""
    return [_listing(entry) for entry in _rows(_field(body, "symbols", list), "symbols")]


def parse_weight_limit(body: Json) -> WeightLimit | None:
    """The request-weight limit of exchangeInfo, or None where it names none."""
    for entry in _rows(_field(body, "rateLimits", list), "rateLimits"):
        if entry.get("rateLimitType") == "REQUEST_WEIGHT" and entry.get("interval") in _INTERVAL_S:
            window_s = _INTERVAL_S[entry["interval"]] * _field(entry, "intervalNum", int)
            return WeightLimit(limit=_field(entry, "limit", int), window_s=window_s)
    return None


def parse_quote_volumes(body: Json) -> dict[str, float]:
    """Quote volume of the last 24 hours by symbol."""
    rows = _rows(body, "tickers")
    volumes = np.array([_field(row, "quoteVolume", str) for row in rows], dtype=str)
    values = _numbers(volumes, pl.Float64(), "quoteVolume")
    return dict(zip((_field(row, "symbol", str) for row in rows), values.to_list(), strict=True))


def _listing(entry: Json) -> SymbolListing:
    delivery_ms = entry.get("deliveryDate", NO_DELIVERY_MS)
    return SymbolListing(
        symbol=_field(entry, "symbol", str),
        base_asset=_field(entry, "baseAsset", str),
        quote_asset=_field(entry, "quoteAsset", str),
        status=_field(entry, "status", str),
        contract_type=entry.get("contractType", "SPOT"),
        listed_ms=entry.get("onboardDate"),
        delisted_ms=None if delivery_ms >= NO_DELIVERY_MS else delivery_ms,
    )


def _levels(body: Json, side: str) -> tuple[list[float], list[float]]:
    levels = _rows(_field(body, side, list), side)[:BOOK_LEVELS]
    cells = _text_cells(levels, 2, side)
    prices = _numbers(cells[:, 0], pl.Float64(), f"{side} price")
    return prices.to_list(), _numbers(cells[:, 1], pl.Float64(), f"{side} quantity").to_list()


def _rows(body: Json, what: str) -> list[Json]:
    """Some error answers come with status 200 and an object where a list belongs."""
    if not isinstance(body, list):
        raise ServiceError(f"expected a list of {what}, got {str(body)[:200]!r}")
    return body


def _text_cells(rows: Sequence[Json], width: int, what: str) -> npt.NDArray[np.str_]:
    """Rows of numbers and strings as one array of text, [rows, width]."""
    if not rows:
        return np.empty((0, width), dtype=np.str_)
    try:
        cells = np.array(rows, dtype=np.str_)
    except ValueError as exc:
        raise ServiceError(f"expected {what} rows of {width} items each: {exc}") from exc
    if cells.ndim != 2 or cells.shape[1] != width:
        raise ServiceError(f"expected {what} rows of {width} items, got shape {cells.shape}")
    return cells


def _numbers(texts: npt.NDArray[np.str_], dtype: pl.DataType, what: str) -> pl.Series:
    kind = np.int64 if dtype == pl.Int64() else np.float64
    try:
        return pl.Series(texts.astype(kind), dtype=dtype)
    except (ValueError, OverflowError) as exc:
        raise ServiceError(f"expected numbers as {what}: {exc}") from exc


def _field(body: Json, name: str, kind: type) -> Json:
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ServiceError(
            f"expected {name!r} to be {kind.__name__}, got {value!r} in {str(body)[:200]!r}"
        )
    return value
