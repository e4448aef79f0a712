"""How each feature is computed. The formulas in words and their units stand in the registry.

Every function takes the shared ingredients and returns [T, N], or [T, 1] when all symbols share the
value, in float64 or float32. Infinities are turned into NaN (not available) by `build_features`.
"""

import math

import numpy as np
import numpy.typing as npt

from gnn_trainer.features.cross_section import row_deviation, row_mean, row_rank
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.features.ingredients import HOUR_MS, Ingredients, root
from gnn_trainer.market.frame import BOOK_FIELDS, FloatArray
from gnn_trainer.market.rolling import Float, lagged, window_mean

FLOOR = 0.01  # added to ratios before their logarithm: a bar without trades stays finite
_SPREAD, _MICROPRICE, _IMBALANCE_5, _IMBALANCE_20, _ = range(len(BOOK_FIELDS))


def residual_lag_0(i: Ingredients) -> FloatArray | Float32Array:
    return i.scaled_residual_TN


def residual_lag_1(i: Ingredients) -> FloatArray | Float32Array:
    return lagged(i.scaled_residual_TN, 1)


def residual_lag_2(i: Ingredients) -> FloatArray | Float32Array:
    return lagged(i.scaled_residual_TN, 2)


def residual_short(i: Ingredients) -> FloatArray | Float32Array:
    mean_TN = i.mean(i.residual_TN, i.config.short_window)
    return mean_TN * math.sqrt(i.config.short_window) / i.residual_volatility_TN


def return_lag_0(i: Ingredients) -> FloatArray | Float32Array:
    return i.short_return_TN / i.volatility_TN


def return_short(i: Ingredients) -> FloatArray | Float32Array:
    return _scaled_move(i, i.config.short_window)


def return_medium(i: Ingredients) -> FloatArray | Float32Array:
    return _scaled_move(i, i.config.medium_window)


def close_in_range(i: Ingredients) -> FloatArray | Float32Array:
    range_TN = i.frame.high_TN - i.frame.low_TN
    place_TN = (2.0 * i.frame.close_TN - i.frame.high_TN - i.frame.low_TN) / range_TN
    place_TN[range_TN == 0.0] = 0.0
    return place_TN


def volatility_fast(i: Ingredients) -> FloatArray | Float32Array:
    fast_TN, _, _ = i.squared_returns
    return 0.5 * _log_ratio(fast_TN, i.volatility_TN * i.volatility_TN)


def volatility_trend(i: Ingredients) -> FloatArray | Float32Array:
    _, _, slow_TN = i.squared_returns
    trend_TN: Float32Array = np.log(i.volatility_TN / root(slow_TN))
    return trend_TN


def range_surprise(i: Ingredients) -> FloatArray | Float32Array:
    range_TN = i.where_valid(np.log(i.frame.high_TN / i.frame.low_TN))
    return _log_ratio(range_TN, i.mean(range_TN, i.config.medium_window))


def residual_skew(i: Ingredients) -> FloatArray | Float32Array:
    skew_TN = i.mean(i.squared_residual_TN * i.residual_TN, i.config.medium_window)
    volatility_TN = i.residual_volatility_TN
    skew_TN /= volatility_TN * volatility_TN * volatility_TN
    return skew_TN


def volume_surprise(i: Ingredients) -> FloatArray | Float32Array:
    _, long_TN = i.volumes
    return _log_ratio(i.volume_TN, long_TN)


def volume_trend(i: Ingredients) -> FloatArray | Float32Array:
    short_TN, long_TN = i.volumes
    return _log_ratio(short_TN, long_TN)


def trades_surprise(i: Ingredients) -> FloatArray | Float32Array:
    trades_TN = i.where_valid(i.frame.trades_TN)
    return _log_ratio(trades_TN, i.mean(trades_TN, i.config.long_window))


def flow_lag_0(i: Ingredients) -> FloatArray | Float32Array:
    return 2.0 * i.taker_buy_TN / i.volume_TN - 1.0


def flow_short(i: Ingredients) -> FloatArray | Float32Array:
    return i.flows[0]


def flow_medium(i: Ingredients) -> FloatArray | Float32Array:
    return i.flows[1]


def has_book(i: Ingredients) -> FloatArray | Float32Array:
    return np.isfinite(i.frame.book_TNK[..., _IMBALANCE_5]).astype(np.float32)


def book_imbalance_5(i: Ingredients) -> FloatArray | Float32Array:
    return i.book_TN(_IMBALANCE_5)


def book_imbalance_20(i: Ingredients) -> FloatArray | Float32Array:
    return i.book_TN(_IMBALANCE_20)


def book_microprice(i: Ingredients) -> FloatArray | Float32Array:
    return i.book_TN(_MICROPRICE) / i.book_TN(_SPREAD)


def has_funding(i: Ingredients) -> FloatArray | Float32Array:
    return i.funding_known_TN.astype(np.float32)


def funding_rate(i: Ingredients) -> FloatArray | Float32Array:
    return i.funding_bps_TN


def funding_excess(i: Ingredients) -> FloatArray | Float32Array:
    return i.funding_bps_TN - row_mean(i.funding_bps_TN)


def market_return(i: Ingredients) -> FloatArray | Float32Array:
    market_T1 = row_mean(i.return_TN)
    mean_square_T1 = window_mean(
        market_T1 * market_T1, i.config.medium_window, i.config.min_valid_share
    )
    return market_T1 / root(mean_square_T1)


def dispersion_surprise(i: Ingredients) -> FloatArray | Float32Array:
    dispersion_T1 = row_deviation(i.return_TN)
    usual_T1 = window_mean(dispersion_T1, i.config.medium_window, i.config.min_valid_share)
    return _log_ratio(dispersion_T1, usual_T1)


def return_rank(i: Ingredients) -> FloatArray | Float32Array:
    return row_rank(i.return_TN)


def volatility_rank(i: Ingredients) -> FloatArray | Float32Array:
    return row_rank(i.volatility_TN)


def hour_sin(i: Ingredients) -> FloatArray | Float32Array:
    return np.sin(_day_angle(i))


def hour_cos(i: Ingredients) -> FloatArray | Float32Array:
    return np.cos(_day_angle(i))


def _scaled_move(i: Ingredients, bars: int) -> FloatArray | Float32Array:
    move_TN = (i.log_close_TN - lagged(i.log_close_TN, bars)).astype(np.float32)
    return move_TN / (i.volatility_TN * math.sqrt(bars))


def _day_angle(i: Ingredients) -> FloatArray | Float32Array:
    """Time of day of the close in radians, [T, 1]; the last bar of the day closes at 2 pi."""
    day_ms = 24 * HOUR_MS
    close_T1 = (i.frame.open_time_T[:, None] + i.frame.interval_ms) % day_ms
    return 2.0 * np.pi * close_T1 / day_ms


def _log_ratio(above_TN: npt.NDArray[Float], below_TN: npt.NDArray[Float]) -> npt.NDArray[Float]:
    ratio_TN = above_TN / below_TN
    ratio_TN += FLOOR
    logarithm_TN: npt.NDArray[Float] = np.log(ratio_TN)
    return logarithm_TN
