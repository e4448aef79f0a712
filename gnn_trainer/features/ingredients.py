"""Quantities that several features share, each computed once per frame when first asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.returns import log_returns, residual_returns
from gnn_trainer.market.frame import BoolArray, FloatArray, MarketFrame
from gnn_trainer.market.prices import log_prices
from gnn_trainer.market.rolling import window_mean, window_rms, window_sum

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Ingredients:
    """A frame seen through the windows of a config. Everything at t is from bars <= t."""

    frame: MarketFrame
    config: FeatureConfig

    def mean(self, x_TN: FloatArray, window: int) -> FloatArray:
        """Trailing mean; NaN below the configured share of valid bars."""
        return window_mean(x_TN, window, self.config.min_valid_share)

    def rms(self, x_TN: FloatArray, window: int) -> FloatArray:
        """Trailing root mean square, likewise; NaN where it is 0: nothing is scaled by 0."""
        rms_TN = window_rms(x_TN, window, self.config.min_valid_share)
        rms_TN[rms_TN == 0.0] = np.nan
        return rms_TN

    def where_valid(self, x_TN: FloatArray) -> FloatArray:
        return np.where(self.frame.valid_TN, x_TN, np.nan)

    @cached_property
    def log_close_TN(self) -> FloatArray:
        return log_prices(self.frame.close_TN, self.frame.valid_TN)

    @cached_property
    def return_TN(self) -> FloatArray:
        return log_returns(self.frame)

    @cached_property
    def residual_TN(self) -> FloatArray:
        return residual_returns(self.return_TN, self.config.beta_window)

    @cached_property
    def volatility_TN(self) -> FloatArray:
        """Of one-bar returns over the medium window."""
        return self.rms(self.return_TN, self.config.medium_window)

    @cached_property
    def residual_volatility_TN(self) -> FloatArray:
        return self.rms(self.residual_TN, self.config.medium_window)

    @cached_property
    def scaled_residual_TN(self) -> FloatArray:
        return self.residual_TN / self.residual_volatility_TN

    @cached_property
    def volume_TN(self) -> FloatArray:
        return self.where_valid(self.frame.volume_TN)

    @cached_property
    def trades_TN(self) -> FloatArray:
        return self.where_valid(self.frame.trades_TN)

    @cached_property
    def long_volume_TN(self) -> FloatArray:
        return self.mean(self.volume_TN, self.config.long_window)

    @cached_property
    def taker_buy_TN(self) -> FloatArray:
        """Volume bought by takers; NaN where the source does not record it.

        Such sources send zeros. A medium window without one taker buy is taken for that.
        """
        bought_TN = self.where_valid(self.frame.taker_buy_volume_TN)
        return np.where(window_sum(bought_TN, self.config.medium_window) > 0.0, bought_TN, np.nan)

    @cached_property
    def funding_known_TN(self) -> BoolArray:
        """Whether a rate was settled at or before the close, and not too long ago."""
        close_T1 = self.frame.close_time_T[:, None]
        age_ms_TN = close_T1 - self.frame.funding_time_TN
        return np.isfinite(self.frame.funding_rate_TN) & (
            age_ms_TN <= self.config.max_funding_age_hours * HOUR_MS
        )

    @cached_property
    def funding_bps_TN(self) -> FloatArray:
        return np.where(self.funding_known_TN, 1e4 * self.frame.funding_rate_TN, np.nan)

    def book_TN(self, level: int) -> FloatArray:
        """One of `market.frame.BOOK_FIELDS`, by its place there."""
        return self.where_valid(self.frame.book_TNK[..., level])
