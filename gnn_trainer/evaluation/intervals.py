"""How sure a mean over bars is: bars hang together, so they are drawn in blocks."""

from dataclasses import dataclass

import numpy as np

from gnn_trainer.market.frame import FloatArray

BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95
_DRAWN_AT_ONCE = 4_000_000  # numbers of one matrix of block sums, to bound memory


@dataclass(frozen=True)
class Interval:
    """A mean over bars and its bootstrap confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """RankIC of the model less that of a rival, paired by bar."""

    interval: Interval
    t: float  # Newey-West; of two forecasts this is the test of Diebold and Mariano (1995)


def bootstrap_mean(values_T: FloatArray, block: int, seed: int) -> Interval:
    """Mean with a circular block bootstrap interval (Politis & Romano 1992).

    Blocks of `block` consecutive bars are drawn together because neighbouring bars, and
    overlapping labels above all, are not independent. NaN without bars.
    """
    count = len(values_T)
    if count == 0:
        nan = float("nan")
        return Interval(nan, nan, nan)
    block = min(block, count)
    wrapped = np.concatenate((values_T, values_T[: block - 1]))
    block_sums = np.convolve(wrapped, np.ones(block), mode="valid")
    rng = np.random.default_rng(seed)
    num_blocks = -(-count // block)
    at_once = max(1, _DRAWN_AT_ONCE // num_blocks)
    means = np.concatenate(
        [
            block_sums[
                rng.integers(count, size=(min(at_once, BOOTSTRAP_DRAWS - done), num_blocks))
            ].mean(axis=1)
            for done in range(0, BOOTSTRAP_DRAWS, at_once)
        ]
    )
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means / block, (tail, 1.0 - tail))
    return Interval(float(values_T.mean()), float(low), float(high))


def block_length(num_bars: int, horizon: int) -> int:
    """Bars drawn together: at least two horizons, growing slowly with the sample."""
    return max(2 * horizon, round(float(np.cbrt(num_bars))))


def newey_west_t(values_T: FloatArray, horizon: int) -> float:
    """t statistic of the mean with the standard error of Newey & West (1987).

    Lags as they suggest in 1994, 4 (T / 100)^(2/9), or those that overlapping labels share, if
    more. 0 where the values do not vary or are too few.
    """
    count = len(values_T)
    lags = max(horizon - 1, int(4.0 * (count / 100.0) ** (2.0 / 9.0)))
    if count <= lags + 1 or not np.ptp(values_T) > 0.0:
        return 0.0
    from statsmodels.regression.linear_model import OLS  # on use, because it brings pandas

    fitted = OLS(values_T, np.ones(count)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    return float(fitted.tvalues[0])


def compare(model_T: FloatArray, rival_T: FloatArray, horizon: int, seed: int) -> Difference:
    """Of two series over the same bars."""
    gain_T = model_T - rival_T
    interval = bootstrap_mean(gain_T, block_length(len(gain_T), horizon), seed)
    return Difference(interval, newey_west_t(gain_T, horizon))
