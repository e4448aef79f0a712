"""Trailing windows over wide arrays [T, N], time on the first axis, skipping what is not finite.

Window sums are built by doubling (sums of 1, 2, 4, ... bars, put together to the window's length)
instead of differences of a running total: nothing cancels, no old outlier leaves a residue, and the
value at t is the same to the last bit whatever came before the window or comes after t.
"""

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import FloatArray

Number = TypeVar("Number", np.float64, np.int32)
CountArray = npt.NDArray[np.int32]


def lagged(x_TN: FloatArray, bars: int) -> FloatArray:
    """x as it was `bars` bars ago; NaN in the first `bars` rows."""
    shifted_TN = np.full_like(x_TN, np.nan)
    if bars < len(x_TN):
        shifted_TN[bars:] = x_TN[: len(x_TN) - bars]
    return shifted_TN


def window_sum(x_TN: FloatArray, window: int) -> FloatArray:
    """Sum of the finite values among the last `window` bars; 0 where there is none."""
    return _doubled_sum(np.where(np.isfinite(x_TN), x_TN, 0.0), window)


def window_count(x_TN: FloatArray, window: int) -> CountArray:
    """How many of the last `window` bars hold a finite value."""
    return _doubled_sum(np.isfinite(x_TN).astype(np.int32), window)


def window_mean(x_TN: FloatArray, window: int, min_share: float) -> FloatArray:
    """Mean of the finite values; NaN where fewer than `min_share` of the window's bars have one.

    Bars before the first row count as missing.
    """
    count_TN = window_count(x_TN, window)
    least = max(1, math.ceil(min_share * window))
    mean_TN = window_sum(x_TN, window)
    mean_TN /= np.maximum(count_TN, 1)
    mean_TN[count_TN < least] = np.nan
    return mean_TN


def window_rms(x_TN: FloatArray, window: int, min_share: float) -> FloatArray:
    """Root mean square: the volatility of returns whose mean is negligible over one bar."""
    return np.sqrt(window_mean(x_TN * x_TN, window, min_share))


def _doubled_sum(x_TN: npt.NDArray[Number], window: int) -> npt.NDArray[Number]:
    """Overwrites x_TN, which becomes the sums of the power of two reached last."""
    num_bars = len(x_TN)
    total_TN = np.zeros_like(x_TN)
    covered, size = 0, 1
    while size <= window and covered < num_bars:
        if window & size:
            total_TN[covered:] += x_TN[: num_bars - covered]
            covered += size
        x_TN[size:] += x_TN[:-size]
        size *= 2
    return total_TN
