"""Brings features to zero mean and unit scale with what the training rows alone tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn_trainer.errors import DataError
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.market.frame import BoolArray

CLIP = 5.0  # scaled values end here: fat tails must not steer the fit
_WINSOR_TAILS = (0.005, 0.995)
_MIN_SHARE = 0.01  # a feature known on less of the training rows counts as absent


@dataclass(frozen=True)
class Scaler:
    """(x - mean) / scale, clipped to +-clip, NaN -> 0.

    `used_F` is False for features that were absent or constant in training: the network could learn
    nothing about them, so they stay 0 whatever they do later (mean 0, scale 1 in that case).
    """

    mean_F: Float32Array
    scale_F: Float32Array
    used_F: BoolArray
    clip: float

    def apply(self, x_TNF: Float32Array) -> Float32Array:
        """Scaled copy of the same shape [..., F], float32, finite."""
        scaled_TNF = (x_TNF - self.mean_F) / self.scale_F
        np.clip(scaled_TNF, -self.clip, self.clip, out=scaled_TNF)
        scaled_TNF[np.isnan(scaled_TNF)] = 0.0
        scaled_TNF *= self.used_F
        return scaled_TNF


def fit_scaler(x_TNF: Float32Array, rows_TN: BoolArray, clip: float = CLIP) -> Scaler:
    """Mean and standard deviation of the values at `rows_TN`, tails of 0.5 % pulled in first.

    Raises:
        DataError: `rows_TN` chooses no row.
    """
    if not rows_TN.any():
        raise DataError("no usable training row (0 rows chosen); widen the time range")
    num_features = x_TNF.shape[-1]
    mean_F = np.zeros(num_features, np.float32)
    scale_F = np.ones(num_features, np.float32)
    used_F = np.zeros(num_features, np.bool_)
    for f in range(num_features):
        values = x_TNF[..., f][rows_TN]
        centre, spread = _centre_and_spread(values)
        if spread > 0.0:
            mean_F[f], scale_F[f], used_F[f] = centre, spread, True
    return Scaler(mean_F=mean_F, scale_F=scale_F, used_F=used_F, clip=clip)


def unused_features(scaler: Scaler, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the features that training could learn nothing about: absent or constant there."""
    return tuple(name for name, used in zip(names, scaler.used_F, strict=True) if not used)


def _centre_and_spread(values: Float32Array) -> tuple[float, float]:
    """Winsorised mean and standard deviation; spread 0 when absent or constant."""
    known: npt.NDArray[np.float64] = values[np.isfinite(values)].astype(np.float64)
    if len(known) < max(2.0, _MIN_SHARE * len(values)):
        return 0.0, 0.0
    winsorised = np.clip(known, *np.quantile(known, _WINSOR_TAILS))
    centre, spread = float(winsorised.mean()), float(winsorised.std())
    return (centre, spread) if spread > 1e-6 * max(1.0, abs(centre)) else (centre, 0.0)
