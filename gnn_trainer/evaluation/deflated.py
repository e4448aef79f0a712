"""How much of the best of several trials is luck.

Whoever tries N models and shows the best one shows the largest of N random numbers at least. The
deflated Sharpe ratio (Bailey & Lopez de Prado 2014, "The Deflated Sharpe Ratio", Journal of
Portfolio Management 40(5)) asks for more than that.
"""

import math

import numpy as np
from scipy.stats import kurtosis, norm, skew

from gnn_trainer.market.frame import FloatArray

EULER_GAMMA = float(np.euler_gamma)


def expected_luck(trials: int) -> float:
    """Expected largest of `trials` standard normal numbers, eq. 1 of the paper; 0 for one trial."""
    if trials < 2:
        return 0.0
    high, higher = norm.ppf(1.0 - 1.0 / trials), norm.ppf(1.0 - 1.0 / (trials * math.e))
    return float((1.0 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(return_T: FloatArray, trials: int) -> float:
    """Probability that the true Sharpe ratio is above zero, after `trials` trials.

    `return_T` are returns by bar, any unit. Eq. 2 of the paper, with one simplification: the
    Sharpe ratios of the trials are taken to scatter as those of worthless strategies would, with
    the standard error of this one. NaN where the returns do not vary or are fewer than three.
    """
    spread = float(return_T.std(ddof=1)) if len(return_T) > 2 else 0.0
    if not spread > 0.0:
        return float("nan")
    sharpe = float(return_T.mean()) / spread
    tails = 1.0 - float(skew(return_T)) * sharpe
    tails += (float(kurtosis(return_T, fisher=False)) - 1.0) / 4.0 * sharpe**2
    error = math.sqrt(max(tails, 1e-12) / (len(return_T) - 1))
    return float(norm.cdf(sharpe / error - expected_luck(trials)))


def deflated_skill(mean: float, low: float, high: float, trials: int, confidence: float) -> float:
    """The same question of a mean with its two-sided interval of `confidence`.

    The interval, from a block bootstrap, already knows how neighbouring bars hang together.
    """
    error = (high - low) / (2.0 * float(norm.ppf(0.5 + confidence / 2.0)))
    if not error > 0.0:
        return float("nan")
    return float(norm.cdf(mean / error - expected_luck(trials)))
