"""Quantities that several features share, each computed once per frame when first asked for.

Prices become returns in float64; what follows is float32, in which a window's sum is good to 1e-6.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.features.returns import residual_returns, returns_of
from gnn_trainer.market.frame import BoolArray, FloatArray, MarketFrame
from gnn_trainer.market.prices import log_prices
from gnn_trainer.market.rolling import Float, KnownBars, window_sum

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Ingredients:
    """A frame seen through the windows of a config. Everything at t is from bars <= t."""

    frame: MarketFrame
    config: FeatureConfig
    _known: list[KnownBars] = field(default_factory=list)

    def means(self, x_TN: npt.NDArray[Float], *windows: int) -> list[npt.NDArray[Float]]:
        """Trailing means; NaN below the configured share of valid bars."""
        return self.known_bars(np.isfinite(x_TN)).means(x_TN, windows)

    def mean(self, x_TN: npt.NDArray[Float], window: int) -> npt.NDArray[Float]:
        (mean_TN,) = self.means(x_TN, window)
        return mean_TN

    def known_bars(self, known_TN: BoolArray) -> KnownBars:
        """The same object for the same bars, so that they are counted once."""
        for bars in self._known:
            if np.array_equal(bars.known_TN, known_TN):
                return bars
        self._known.append(KnownBars(known_TN, self.config.min_valid_share))
        return self._known[-1]

    def where_valid(self, x_TN: FloatArray) -> Float32Array:
        valid_TN = x_TN.astype(np.float32)
        valid_TN[~self.frame.valid_TN] = np.nan
        return valid_TN

    @cached_property
    def log_close_TN(self) -> FloatArray:
        return log_prices(self.frame.close_TN, self.frame.valid_TN)

    @cached_property
    def return_TN(self) -> FloatArray:
        """In float64, for statistics over the symbols of a bar."""
        return returns_of(self.log_close_TN)

    @cached_property
    def short_return_TN(self) -> Float32Array:
        return self.return_TN.astype(np.float32)

    @cached_property
    def squared_returns(self) -> list[Float32Array]:
        """Mean square of one-bar returns over the short, medium and long window."""
        c = self.config
        square_TN = self.short_return_TN * self.short_return_TN
        return self.means(square_TN, c.short_window, c.medium_window, c.long_window)

    @cached_property
    def residual_TN(self) -> Float32Array:
        bars = self.known_bars(np.isfinite(self.return_TN))
        return residual_returns(self.return_TN, bars, self.config.beta_window)

    @cached_property
    def squared_residual_TN(self) -> Float32Array:
        return self.residual_TN * self.residual_TN

    @cached_property
    def volatility_TN(self) -> Float32Array:
        """Of one-bar returns over the medium window."""
        return root(self.squared_returns[1])

    @cached_property
    def residual_volatility_TN(self) -> Float32Array:
        return root(self.mean(self.squared_residual_TN, self.config.medium_window))

    @cached_property
    def scaled_residual_TN(self) -> Float32Array:
        return self.residual_TN / self.residual_volatility_TN

    @cached_property
    def volume_TN(self) -> Float32Array:
        return self.where_valid(self.frame.volume_TN)

    @cached_property
    def volumes(self) -> list[Float32Array]:
        """Mean volume over the short and the long window."""
        return self.means(self.volume_TN, self.config.short_window, self.config.long_window)

    @cached_property
    def taker_buy_TN(self) -> Float32Array:
        """Volume bought by takers; NaN where the source does not record it.

        Such sources send zeros. A medium window without one taker buy is taken for that.
        """
        bought_TN = self.where_valid(self.frame.taker_buy_volume_TN)
        bought_TN[~(window_sum(bought_TN, self.config.medium_window) > 0.0)] = np.nan
        return bought_TN

    @cached_property
    def flows(self) -> list[Float32Array]:
        """What takers bought of the volume, -1..1, over the short and the medium window."""
        windows = self.config.short_window, self.config.medium_window
        traded_TN = self.volume_TN.copy()
        traded_TN[~np.isfinite(self.taker_buy_TN)] = np.nan
        shares = zip(
            self.means(self.taker_buy_TN, *windows), self.means(traded_TN, *windows), strict=True
        )
        return [2.0 * bought_TN / traded_TN - 1.0 for bought_TN, traded_TN in shares]

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
        rate_TN = 1e4 * self.frame.funding_rate_TN
        rate_TN[~self.funding_known_TN] = np.nan
        return rate_TN

    def book_TN(self, level: int) -> Float32Array:
        """One of `market.frame.BOOK_FIELDS`, by its place there."""
        return self.where_valid(self.frame.book_TNK[..., level])


def root(mean_square_TN: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """Root mean square; NaN where it is 0: nothing is scaled by 0."""
    root_TN: npt.NDArray[Float] = np.sqrt(mean_square_TN)
    root_TN[root_TN == 0.0] = np.nan
    return root_TN
