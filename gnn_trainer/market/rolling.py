"""Trailing windows over wide arrays [T, N], time on the first axis, skipping what is not finite.

Window sums are built by doubling (sums of 1, 2, 4, ... bars, put together to the window's length)
instead of differences of a running total: nothing cancels, no old outlier leaves a residue, and the
value at t is the same to the last bit whatever came before the window or comes after t. Errors grow
with the logarithm of the window only, so float32 is good to about 1e-6 of a window's mean size.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import BoolArray, FloatArray

Float = TypeVar("Float", np.float32, np.float64)
Number = TypeVar("Number", np.float32, np.float64, np.int16, np.int32)
CountArray = npt.NDArray[np.int32]
LONGEST_WINDOW = 2**15 - 1  # of `KnownBars`, which counts in 16 bits


class KnownBars:
    """The bars at which a series is known, for the means of every series known at the same bars."""

    def __init__(self, known_TN: BoolArray, min_share: float) -> None:
        self.known_TN = known_TN
        self._unknown_TN = ~known_TN
        self._min_share = min_share
        self._weights: dict[int, npt.NDArray[np.float32]] = {}

    def filled(self, x_TN: npt.NDArray[Float]) -> npt.NDArray[Float]:
        """A copy with 0 where x is not known."""
        filled_TN = x_TN.copy()
        filled_TN[self._unknown_TN] = 0.0
        return filled_TN

    def count(self, window: int) -> npt.NDArray[np.int16]:
        """How many of the last `window` bars are known."""
        assert window <= LONGEST_WINDOW
        (count_TN,) = _doubled_sums(self.known_TN.astype(np.int16), (window,))
        return count_TN

    def weights(self, windows: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """What turns a window's sum into its mean; NaN where too few of its bars are known."""
        new = [window for window in windows if window not in self._weights]
        assert max(new, default=0) <= LONGEST_WINDOW
        counts = _doubled_sums(self.known_TN.astype(np.int16), new) if new else []
        for window, count_TN in zip(new, counts, strict=True):
            with np.errstate(divide="ignore"):
                weight_TN = np.divide(np.float32(1.0), count_TN, dtype=np.float32)
            weight_TN[count_TN < _least(window, self._min_share)] = np.nan
            self._weights[window] = weight_TN
        return [self._weights[window] for window in windows]

    def sum(self, x_TN: npt.NDArray[Float], window: int) -> npt.NDArray[Float]:
        """Trailing sum of what is known; 0 where nothing is."""
        (sum_TN,) = _doubled_sums(self.filled(x_TN), (window,))
        return sum_TN

    def means(self, x_TN: npt.NDArray[Float], windows: Sequence[int]) -> list[npt.NDArray[Float]]:
        """Trailing means over each window; NaN where too few of its bars are known."""
        sums = _doubled_sums(self.filled(x_TN), windows)
        weights = self.weights(windows)
        return [sum_TN * weight_TN for sum_TN, weight_TN in zip(sums, weights, strict=True)]


def lagged(x_TN: npt.NDArray[Float], bars: int) -> npt.NDArray[Float]:
    """x as it was `bars` bars ago; NaN in the first `bars` rows."""
    shifted_TN = np.empty_like(x_TN)
    shifted_TN[:bars] = np.nan
    if bars < len(x_TN):
        shifted_TN[bars:] = x_TN[: len(x_TN) - bars]
    return shifted_TN


def window_sum(x_TN: npt.NDArray[Float], window: int) -> npt.NDArray[Float]:
    """Sum of the finite values among the last `window` bars; 0 where there is none."""
    filled_TN = x_TN.copy()
    filled_TN[~np.isfinite(x_TN)] = 0.0
    (sum_TN,) = _doubled_sums(filled_TN, (window,))
    return sum_TN


def window_count(x_TN: FloatArray, window: int) -> CountArray:
    """How many of the last `window` bars hold a finite value."""
    (count_TN,) = _doubled_sums(np.isfinite(x_TN).astype(np.int32), (window,))
    return count_TN


def window_mean(x_TN: FloatArray, window: int, min_share: float) -> FloatArray:
    """Mean of the finite values; NaN where fewer than `min_share` of the window's bars have one.

    Bars before the first row count as missing.
    """
    count_TN = window_count(x_TN, window)
    mean_TN = window_sum(x_TN, window)
    mean_TN /= np.maximum(count_TN, 1)
    mean_TN[count_TN < _least(window, min_share)] = np.nan
    return mean_TN


def window_rms(x_TN: FloatArray, window: int, min_share: float) -> FloatArray:
    """Root mean square: the volatility of returns whose mean is negligible over one bar."""
    return np.sqrt(window_mean(x_TN * x_TN, window, min_share))


def _least(window: int, min_share: float) -> int:
    return max(1, math.ceil(min_share * window))


def _doubled_sums(x_TN: npt.NDArray[Number], windows: Sequence[int]) -> list[npt.NDArray[Number]]:
    """Sums over each of the windows, which share the sums of 1, 2, 4, ... bars.

    A sum over a single bar is x_TN itself.
    """
    totals: list[npt.NDArray[Number] | None] = [None] * len(windows)
    power_TN, size = x_TN, 1
    while True:
        for place, window in enumerate(windows):
            if window & size:
                total_TN, covered = totals[place], window & (size - 1)
                totals[place] = (
                    power_TN if total_TN is None else _joined(total_TN, power_TN, covered)
                )
        if 2 * size > max(windows):
            return [total_TN for total_TN in totals if total_TN is not None]
        power_TN = _joined(power_TN, power_TN, size)
        size *= 2


def _joined(
    newer_TN: npt.NDArray[Number], older_TN: npt.NDArray[Number], bars: int
) -> npt.NDArray[Number]:
    """Sums over the last `bars` bars, and over what came before those, as one sum."""
    if bars >= len(newer_TN):
        return newer_TN
    joined_TN = np.empty_like(newer_TN)
    joined_TN[:bars] = newer_TN[:bars]
    np.add(newer_TN[bars:], older_TN[:-bars], out=joined_TN[bars:])
    return joined_TN
