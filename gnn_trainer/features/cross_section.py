"""Statistics over the symbols of one bar; each row stands alone. NaN is left out."""

import numpy as np

from gnn_trainer.market.frame import FloatArray


def row_mean(x_TN: FloatArray) -> FloatArray:
    """Mean over symbols, [T, 1]; NaN where no symbol has a value."""
    count_T1 = np.isfinite(x_TN).sum(axis=1, keepdims=True)
    total_T1 = np.nansum(x_TN, axis=1, keepdims=True)
    return np.where(count_T1 > 0, total_T1 / np.maximum(count_T1, 1), np.nan)


def row_deviation(x_TN: FloatArray) -> FloatArray:
    """Standard deviation over symbols, [T, 1]; NaN where fewer than two symbols have a value."""
    count_T1 = np.isfinite(x_TN).sum(axis=1, keepdims=True)
    deviation_TN = x_TN - row_mean(x_TN)
    variance_T1 = np.nansum(deviation_TN**2, axis=1, keepdims=True) / np.maximum(count_T1, 1)
    return np.where(count_T1 > 1, np.sqrt(variance_T1), np.nan)


def row_rank(x_TN: FloatArray) -> FloatArray:
    """Rank among the symbols of the bar, from -0.5 (lowest) to 0.5 (highest); ties share theirs.

    0 where the symbol is alone; NaN stays NaN.
    """
    order_TN = np.argsort(x_TN, axis=1)  # NaN goes last
    sorted_TN = np.take_along_axis(x_TN, order_TN, axis=1)
    place_TN = np.broadcast_to(np.arange(x_TN.shape[1]), x_TN.shape)
    is_first_TN = np.ones(x_TN.shape, np.bool_)
    is_first_TN[:, 1:] = sorted_TN[:, 1:] != sorted_TN[:, :-1]
    is_last_TN = np.ones(x_TN.shape, np.bool_)
    is_last_TN[:, :-1] = is_first_TN[:, 1:]
    first_TN = np.maximum.accumulate(np.where(is_first_TN, place_TN, 0), axis=1)
    last_place_TN = np.where(is_last_TN, place_TN, x_TN.shape[1])
    last_TN = np.minimum.accumulate(last_place_TN[:, ::-1], axis=1)[:, ::-1]
    rank_TN = np.empty_like(x_TN)
    np.put_along_axis(rank_TN, order_TN, (first_TN + last_TN) / 2, axis=1)
    known_TN = np.isfinite(x_TN)
    top_T1 = known_TN.sum(axis=1, keepdims=True) - 1
    rank_TN = rank_TN / np.maximum(top_T1, 1) - 0.5 * (top_T1 > 0)
    return np.where(known_TN, rank_TN, np.nan)
