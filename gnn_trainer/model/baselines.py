"""What the network must beat: plain scores made from the same features on the same bars."""

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge

from gnn_trainer.market.frame import BoolArray, FloatArray

RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)


def zero_score(num_bars: int, num_symbols: int) -> FloatArray:
    """No opinion: the expected return of every symbol is zero."""
    return np.zeros((num_bars, num_symbols))


def persistence_score(past_ret_TN: FloatArray) -> FloatArray:
    """What moved will go on moving: the log return of the bar just closed, 0 where unknown."""
    return np.nan_to_num(past_ret_TN)


def ridge_scores(
    x_TNF: npt.NDArray[np.float32], target_TN: FloatArray, rows_TN: BoolArray
) -> dict[float, FloatArray]:
    """Ridge regression of the target on a symbol's own features, one score per penalty.

    `rows_TN` marks the training rows; features are scaled. The caller picks the penalty on the
    validation span.
    """
    x, y = x_TNF[rows_TN], target_TN[rows_TN]
    everywhere = x_TNF.reshape(-1, x_TNF.shape[-1])
    return {
        penalty: Ridge(alpha=penalty).fit(x, y).predict(everywhere).reshape(rows_TN.shape)
        for penalty in RIDGE_PENALTIES
    }
