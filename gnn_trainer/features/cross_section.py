"""Statistics over the symbols of one bar; each row stands alone. NaN is left out."""

import numpy as np
import numpy.typing as npt

from gnn_trainer.compiled import numba_is_there
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.market.frame import BoolArray, FloatArray

_MISSING = np.iinfo(np.int64).max  # sorts behind every number


def row_sum(x_TN: FloatArray) -> FloatArray:
    """Sum over symbols, [T, 1], of numbers all of which are finite."""
    # np.sum takes five times as long over the short last axis
    sum_T: FloatArray = np.einsum("tn->t", x_TN)
    return sum_T[:, None]


def row_count(known_TN: BoolArray) -> FloatArray:
    """How many symbols are known, [T, 1]."""
    return row_sum(known_TN.astype(np.float64))


def row_mean(x_TN: FloatArray) -> FloatArray:
    """Mean over symbols, [T, 1]; NaN where no symbol has a value."""
    known_TN = np.isfinite(x_TN)
    count_T1 = row_count(known_TN)
    total_T1 = row_sum(_filled(x_TN, known_TN))
    return np.where(count_T1 > 0, total_T1 / np.maximum(count_T1, 1), np.nan)


def row_deviation(x_TN: FloatArray) -> FloatArray:
    """Standard deviation over symbols, [T, 1]; NaN where fewer than two symbols have a value."""
    known_TN = np.isfinite(x_TN)
    count_T1 = np.maximum(row_count(known_TN), 1)
    deviation_TN = _filled(x_TN, known_TN)
    deviation_TN -= row_sum(deviation_TN) / count_T1
    deviation_TN[~known_TN] = 0.0
    deviation_TN *= deviation_TN
    return np.where(count_T1 > 1, np.sqrt(row_sum(deviation_TN) / count_T1), np.nan)


def row_rank(x_TN: FloatArray | Float32Array) -> Float32Array:
    """Rank among the symbols of the bar, from -0.5 (lowest) to 0.5 (highest); ties share theirs.

    0 where the symbol is alone; NaN stays NaN. Numbers that agree in all but the last bits, as many
    as it takes to count the symbols (2e-14 of them at 100), are ties.
    """
    if not numba_is_there():
        return row_rank_plain(x_TN)
    from gnn_trainer.features import kernels

    key_TN = x_TN.astype(np.float64).view(np.int64)
    bits = _bits_of_a_symbol(x_TN)
    kernels.make_sortable(key_TN, bits)
    key_TN.sort(axis=1)
    rank_TN = np.empty(x_TN.shape, np.float32)
    kernels.rank(key_TN, bits, rank_TN)
    return rank_TN


def row_rank_plain(x_TN: FloatArray | Float32Array) -> Float32Array:
    """`row_rank` in numpy."""
    num_symbols = x_TN.shape[1]
    known_TN = np.isfinite(x_TN)
    # A symbol's place among the others is found by sorting integers, which numpy does many symbols
    # at a time: first numbers with the symbol in their last bits, then symbols with their place.
    bits = _bits_of_a_symbol(x_TN)
    last = (1 << bits) - 1
    key_TN = _sortable(x_TN)
    key_TN[~known_TN] = _MISSING
    key_TN &= ~last
    key_TN |= np.arange(num_symbols)
    key_TN.sort(axis=1)
    place_TN = (key_TN & last).astype(np.int32)
    place_TN <<= bits
    place_TN |= np.arange(num_symbols, dtype=np.int32)
    place_TN.sort(axis=1)
    place_TN &= last
    count_T1 = known_TN.sum(axis=1, keepdims=True, dtype=np.int32)
    rank_TN: Float32Array = place_TN.astype(np.float32)
    key_TN >>= bits
    is_tie_TN = key_TN[:, 1:] == key_TN[:, :-1]
    is_tie_TN &= np.arange(1, num_symbols) < count_T1
    tied_T = np.flatnonzero(is_tie_TN.any(axis=1))
    rank_TN[tied_T] = _with_shared_places(place_TN[tied_T], is_tie_TN[tied_T])
    top_T1 = count_T1 - 1
    rank_TN /= np.maximum(top_T1, 1).astype(np.float32)
    rank_TN -= np.where(top_T1 > 0, np.float32(0.5), np.float32(0.0))
    rank_TN[~known_TN] = np.nan
    return rank_TN


def _bits_of_a_symbol(x_TN: FloatArray | Float32Array) -> int:
    num_symbols: int = x_TN.shape[1]
    return max(1, (num_symbols - 1).bit_length())


def _sortable(x_TN: FloatArray | Float32Array) -> npt.NDArray[np.int64]:
    """Integers in the order of the numbers; -0.0 is 0.0."""
    bits_TN = (x_TN.astype(np.float64) + 0.0).view(np.int64)
    ordered_TN: npt.NDArray[np.int64] = bits_TN ^ ((bits_TN >> 63) & np.iinfo(np.int64).max)
    return ordered_TN


def _with_shared_places(place_TN: npt.NDArray[np.int32], is_tie_TN: BoolArray) -> Float32Array:
    """Places of which those of a run of ties become their mean; ties [T, N - 1] are by place."""
    num_bars, num_symbols = place_TN.shape
    position_TN = np.broadcast_to(np.arange(num_symbols), place_TN.shape)
    apart_TN = np.ones((num_bars, num_symbols + 1), np.bool_)
    apart_TN[:, 1:-1] = ~is_tie_TN
    first_TN = np.maximum.accumulate(np.where(apart_TN[:, :-1], position_TN, 0), axis=1)
    end_TN = np.where(apart_TN[:, 1:], position_TN, num_symbols)
    last_TN = np.minimum.accumulate(end_TN[:, ::-1], axis=1)[:, ::-1]
    shared_TN = ((first_TN + last_TN) / 2).astype(np.float32)
    return np.take_along_axis(shared_TN, place_TN, axis=1)


def _filled(x_TN: FloatArray, known_TN: BoolArray) -> FloatArray:
    filled_TN = x_TN.copy()
    filled_TN[~known_TN] = 0.0
    return filled_TN
