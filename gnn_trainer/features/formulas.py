"""How each feature is computed. The formulas in words and their units stand in the registry.

Every function takes the shared ingredients and returns [T, N], or [T, 1] when all symbols share the
value. Infinities are turned into NaN (not available) by `build_features`.
"""

import math

import numpy as np

from gnn_trainer.features.cross_section import row_deviation, row_mean, row_rank
from gnn_trainer.features.ingredients import HOUR_MS, Ingredients
from gnn_trainer.market.frame import BOOK_FIELDS, FloatArray
from gnn_trainer.market.rolling import lagged

FLOOR = 0.01  # added to ratios before their logarithm: a bar without trades stays finite
_SPREAD, _MICROPRICE, _IMBALANCE_5, _IMBALANCE_20, _ = range(len(BOOK_FIELDS))


def residual_lag_0(i: Ingredients) -> FloatArray:
    return i.scaled_residual_TN


def residual_lag_1(i: Ingredients) -> FloatArray:
    return lagged(i.scaled_residual_TN, 1)


def residual_lag_2(i: Ingredients) -> FloatArray:
    return lagged(i.scaled_residual_TN, 2)


def residual_short(i: Ingredients) -> FloatArray:
    mean_TN = i.mean(i.residual_TN, i.config.short_window)
    return mean_TN * math.sqrt(i.config.short_window) / i.residual_volatility_TN


def return_lag_0(i: Ingredients) -> FloatArray:
    return i.return_TN / i.volatility_TN


def return_short(i: Ingredients) -> FloatArray:
    return _scaled_move(i, i.config.short_window)


def return_medium(i: Ingredients) -> FloatArray:
    return _scaled_move(i, i.config.medium_window)


def close_in_range(i: Ingredients) -> FloatArray:
    high_TN, low_TN = i.where_valid(i.frame.high_TN), i.frame.low_TN
    range_TN = high_TN - low_TN
    return np.where(range_TN == 0.0, 0.0, (2.0 * i.frame.close_TN - high_TN - low_TN) / range_TN)


def volatility_fast(i: Ingredients) -> FloatArray:
    fast_TN = i.mean(i.return_TN**2, i.config.short_window)
    return 0.5 * np.log(FLOOR + fast_TN / i.volatility_TN**2)


def volatility_trend(i: Ingredients) -> FloatArray:
    return np.log(i.volatility_TN / i.rms(i.return_TN, i.config.long_window))


def range_surprise(i: Ingredients) -> FloatArray:
    range_TN = np.log(i.where_valid(i.frame.high_TN) / i.frame.low_TN)
    return np.log(FLOOR + range_TN / i.mean(range_TN, i.config.medium_window))


def residual_skew(i: Ingredients) -> FloatArray:
    cube_TN = i.residual_TN * i.residual_TN * i.residual_TN
    return i.mean(cube_TN, i.config.medium_window) / i.residual_volatility_TN**3


def volume_surprise(i: Ingredients) -> FloatArray:
    return np.log(FLOOR + i.volume_TN / i.long_volume_TN)


def volume_trend(i: Ingredients) -> FloatArray:
    recent_TN = i.mean(i.volume_TN, i.config.short_window)
    return np.log(FLOOR + recent_TN / i.long_volume_TN)


def trades_surprise(i: Ingredients) -> FloatArray:
    return np.log(FLOOR + i.trades_TN / i.mean(i.trades_TN, i.config.long_window))


def flow_lag_0(i: Ingredients) -> FloatArray:
    return 2.0 * i.taker_buy_TN / i.volume_TN - 1.0


def flow_short(i: Ingredients) -> FloatArray:
    return _flow(i, i.config.short_window)


def flow_medium(i: Ingredients) -> FloatArray:
    return _flow(i, i.config.medium_window)


def has_book(i: Ingredients) -> FloatArray:
    return np.isfinite(i.frame.book_TNK[..., _IMBALANCE_5]).astype(np.float64)


def book_imbalance_5(i: Ingredients) -> FloatArray:
    return i.book_TN(_IMBALANCE_5)


def book_imbalance_20(i: Ingredients) -> FloatArray:
    return i.book_TN(_IMBALANCE_20)


def book_microprice(i: Ingredients) -> FloatArray:
    return i.book_TN(_MICROPRICE) / i.book_TN(_SPREAD)


def has_funding(i: Ingredients) -> FloatArray:
    return i.funding_known_TN.astype(np.float64)


def funding_rate(i: Ingredients) -> FloatArray:
    return i.funding_bps_TN


def funding_excess(i: Ingredients) -> FloatArray:
    return i.funding_bps_TN - row_mean(i.funding_bps_TN)


def market_return(i: Ingredients) -> FloatArray:
    market_T1 = row_mean(i.return_TN)
    return market_T1 / i.rms(market_T1, i.config.medium_window)


def dispersion_surprise(i: Ingredients) -> FloatArray:
    dispersion_T1 = row_deviation(i.return_TN)
    return np.log(FLOOR + dispersion_T1 / i.mean(dispersion_T1, i.config.medium_window))


def return_rank(i: Ingredients) -> FloatArray:
    return row_rank(i.return_TN)


def volatility_rank(i: Ingredients) -> FloatArray:
    return row_rank(i.volatility_TN)


def hour_sin(i: Ingredients) -> FloatArray:
    return np.sin(_day_angle(i))


def hour_cos(i: Ingredients) -> FloatArray:
    return np.cos(_day_angle(i))


def _scaled_move(i: Ingredients, bars: int) -> FloatArray:
    move_TN = i.log_close_TN - lagged(i.log_close_TN, bars)
    return move_TN / (i.volatility_TN * math.sqrt(bars))


def _flow(i: Ingredients, window: int) -> FloatArray:
    traded_TN = np.where(np.isfinite(i.taker_buy_TN), i.volume_TN, np.nan)
    bought_TN = i.mean(i.taker_buy_TN, window)
    return 2.0 * bought_TN / i.mean(traded_TN, window) - 1.0


def _day_angle(i: Ingredients) -> FloatArray:
    """Time of day of the close in radians, [T, 1]; the last bar of the day closes at 2 pi."""
    day_ms = 24 * HOUR_MS
    close_T1 = (i.frame.open_time_T[:, None] + i.frame.interval_ms) % day_ms
    return 2.0 * np.pi * close_T1 / day_ms
