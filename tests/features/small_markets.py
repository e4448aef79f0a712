"""Small random markets with everything a recorded one has: gaps, quiet bars, funding, books."""

from dataclasses import fields, replace
from typing import Any

import numpy as np

from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame

SMALL_WINDOWS = FeatureConfig(short_window=3, medium_window=8, long_window=16, beta_window=20)
HOUR_MS = 3_600_000
FUNDING_HOURS = 8


def small_market(
    num_bars: int = 80, num_symbols: int = 5, *, seed: int = 0, gap_share: float = 0.05
) -> MarketFrame:
    """Hourly bars of a one-factor market. `gap_share` of the bars is missing, NaN throughout."""
    rng = np.random.default_rng(seed)
    shape = (num_bars, num_symbols)
    market_T1 = rng.normal(0.0, 0.01, (num_bars, 1))
    return_TN = market_T1 * rng.uniform(0.5, 1.5, num_symbols) + rng.normal(0.0, 0.01, shape)
    close_TN = rng.uniform(0.1, 1000.0, num_symbols) * np.exp(return_TN.cumsum(axis=0))
    open_TN = close_TN * np.exp(-return_TN + rng.normal(0.0, 1e-4, shape))
    high_TN = np.maximum(open_TN, close_TN) * np.exp(rng.exponential(0.003, shape))
    low_TN = np.minimum(open_TN, close_TN) * np.exp(-rng.exponential(0.003, shape))
    flat_TN = rng.random(shape) < 0.03  # nobody traded away from the close
    high_TN, low_TN = np.where(flat_TN, close_TN, high_TN), np.where(flat_TN, close_TN, low_TN)
    volume_TN = np.where(rng.random(shape) < 0.03, 0.0, np.exp(rng.normal(8.0, 1.0, shape)))
    open_time_T = 1_700_000_000_000 // HOUR_MS * HOUR_MS + HOUR_MS * np.arange(num_bars)
    valid_TN = rng.random(shape) >= gap_share
    funding_rate_TN, funding_time_TN = _funding(open_time_T, num_symbols, rng)
    frame = MarketFrame(
        symbols=tuple(f"S{n}USDT" for n in range(num_symbols)),
        interval_ms=HOUR_MS,
        open_time_T=open_time_T,
        open_TN=open_TN,
        high_TN=high_TN,
        low_TN=low_TN,
        close_TN=close_TN,
        volume_TN=volume_TN,
        quote_volume_TN=volume_TN * close_TN,
        trades_TN=np.ceil(volume_TN / 50.0),
        taker_buy_volume_TN=volume_TN * rng.random(shape),
        valid_TN=valid_TN,
        funding_rate_TN=funding_rate_TN,
        funding_time_TN=funding_time_TN,
        book_TNK=_books(shape, rng),
    )
    return masked(frame, valid_TN)


def masked(frame: MarketFrame, valid_TN: np.ndarray) -> MarketFrame:
    """The frame with only these bars valid; the values of the others become NaN."""
    names = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
    values: dict[str, Any] = {
        f"{name}_TN": np.where(valid_TN, getattr(frame, f"{name}_TN"), np.nan) for name in names
    }
    return replace(frame, valid_TN=valid_TN, **values)


def with_symbols(frame: MarketFrame, order: list[int]) -> MarketFrame:
    """The same market with its symbols in another order."""
    columns: dict[str, Any] = {
        field.name: getattr(frame, field.name)[:, order]
        for field in fields(frame)
        if field.name.split("_")[-1] in ("TN", "TNK")
    }
    return replace(frame, symbols=tuple(frame.symbols[n] for n in order), **columns)


def _funding(
    open_time_T: np.ndarray, num_symbols: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rates settled every 8 hours; none before the tenth bar, and none any more after the 50th."""
    period_ms = FUNDING_HOURS * HOUR_MS
    settled_T = (open_time_T + HOUR_MS - 1) // period_ms * period_ms
    settled_T = np.minimum(settled_T, settled_T[min(50, len(settled_T) - 1)])
    by_period = rng.normal(1e-4, 5e-5, (len(np.unique(settled_T)), num_symbols))
    rate_TN = by_period[np.unique(settled_T, return_inverse=True)[1]]
    time_TN = np.repeat(settled_T[:, None].astype(np.float64), num_symbols, axis=1)
    rate_TN[:10], time_TN[:10] = np.nan, np.nan
    return rate_TN, time_TN


def _books(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Snapshots for a third of the bars."""
    book_TNK = np.stack(
        [
            rng.uniform(0.5, 5.0, shape),  # spread_bps
            rng.uniform(-0.2, 0.2, shape),  # microprice_bps
            rng.uniform(-1.0, 1.0, shape),  # imbalance_5
            rng.uniform(-1.0, 1.0, shape),  # imbalance_20
            rng.normal(12.0, 1.0, shape),  # log_depth
        ],
        axis=-1,
    )
    assert book_TNK.shape[-1] == len(BOOK_FIELDS)
    book_TNK[rng.random(shape) > 1 / 3] = np.nan
    return book_TNK
