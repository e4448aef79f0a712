"""FeatureFrame: node features of every symbol at every bar."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import BoolArray, IntArray

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureFrame:
    """Features x_TNF of N symbols on T bars, known at the close of each bar.

    `names` labels the F axis. NaN means not available. `mask_TN` is True where the row can be used:
    the bar is valid and every feature that is not optional in the registry is finite.
    """

    symbols: tuple[str, ...]
    interval_ms: int
    open_time_T: IntArray  # unix ms UTC
    names: tuple[str, ...]
    x_TNF: Float32Array
    mask_TN: BoolArray
