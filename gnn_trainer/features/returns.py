"""Returns, and what is left of them without the market's common move."""

import numpy as np

from gnn_trainer.features.cross_section import row_count, row_sum
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.market.frame import FloatArray, MarketFrame
from gnn_trainer.market.prices import log_prices
from gnn_trainer.market.rolling import KnownBars, lagged

PRIOR_BARS = np.float32(20)  # how many bars of beta 1 the estimate starts from


def log_returns(frame: MarketFrame) -> FloatArray:
    """Log return close to close, r_TN. NaN where this bar or the one before it is invalid."""
    return returns_of(log_prices(frame.close_TN, frame.valid_TN))


def returns_of(log_close_TN: FloatArray) -> FloatArray:
    """`log_returns` of prices that are logarithms already."""
    return_TN = np.full_like(log_close_TN, np.nan)
    np.subtract(log_close_TN[1:], log_close_TN[:-1], out=return_TN[1:])
    return return_TN


def peer_returns(r_TN: FloatArray, bars: KnownBars) -> FloatArray:
    """Mean return of all the other symbols at the same bar; 0 where no other has one.

    A symbol is left out of its own market, or its shocks would hide in it when symbols are few.
    """
    filled_TN = bars.filled(r_TN)
    others_TN = row_count(bars.known_TN) - bars.known_TN
    mean_TN = row_sum(filled_TN) - filled_TN
    mean_TN /= np.maximum(others_TN, 1)
    return mean_TN


def market_betas(
    r_TN: Float32Array, m_TN: Float32Array, bars: KnownBars, window: int
) -> Float32Array:
    """Beta of each symbol to its market m_TN over the `window` bars before t (t not included).

    Least squares through the origin, drawn towards 1 with the weight of `PRIOR_BARS` bars; 1 where
    nothing is known yet.
    """
    covariance_TN = bars.sum(r_TN * m_TN, window)
    variance_TN = bars.sum(m_TN * m_TN, window)
    prior_TN = variance_TN * (PRIOR_BARS / np.maximum(bars.count(window), 1).astype(np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        beta_TN = lagged((covariance_TN + prior_TN) / (variance_TN + prior_TN), 1)
    beta_TN[~np.isfinite(beta_TN)] = 1.0
    return beta_TN


def residual_returns(r_TN: FloatArray, bars: KnownBars, window: int) -> Float32Array:
    """Return without the market mode, e = r - beta * m, with `peer_returns` as the market.

    Unit: natural log. Causal: e at t uses returns of bars <= t. NaN stays NaN.
    """
    market_TN = peer_returns(r_TN, bars).astype(np.float32)
    return_TN = r_TN.astype(np.float32)
    return return_TN - market_betas(return_TN, market_TN, bars, window) * market_TN
