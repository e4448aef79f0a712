"""The loops of this folder that numba compiles."""

import numpy as np

from gnn_trainer.compiled import compiled

NOT_AVAILABLE, LARGEST = np.float32(np.nan), np.finfo(np.float32).max
EXPONENT, LARGEST_KEY = 0x7FF << 52, 2**63 - 1
MINUS_ZERO = -(2**63)


@compiled
def arrange(  # type: ignore[no-untyped-def]
    x_TFN, valid_TN, is_required_F, x_TNF, mask_TN
):
    """As `arrangement.arrange`."""
    num_bars, num_features, num_symbols = x_TFN.shape
    bar_FN = np.empty((num_features, num_symbols), np.float32)
    for t in range(num_bars):
        for n in range(num_symbols):
            mask_TN[t, n] = valid_TN[t, n]
        for f in range(num_features):
            for n in range(num_symbols):
                known = valid_TN[t, n] & (abs(x_TFN[t, f, n]) <= LARGEST)
                bar_FN[f, n] = x_TFN[t, f, n] if known else NOT_AVAILABLE
                mask_TN[t, n] &= known | ~is_required_F[f]
        for n in range(num_symbols):
            for f in range(num_features):
                x_TNF[t, n, f] = bar_FN[f, n]


@compiled
def make_sortable(key_TN, bits):  # type: ignore[no-untyped-def]
    """Bits of float64 numbers become integers in their order, with the symbol in the last `bits`.

    What is not finite becomes the largest of all.
    """
    num_bars, num_symbols = key_TN.shape
    last = (1 << bits) - 1
    for t in range(num_bars):
        for n in range(num_symbols):
            key = key_TN[t, n]
            key = 0 if key == MINUS_ZERO else key
            ordered = key ^ ((key >> 63) & LARGEST_KEY)
            ordered = LARGEST_KEY if key & EXPONENT == EXPONENT else ordered
            key_TN[t, n] = (ordered & ~last) | n


@compiled
def rank(key_TN, bits, rank_TN):  # type: ignore[no-untyped-def]
    """Fill rank_TN from keys in ascending order; symbols whose keys differ in `bits` only share."""
    num_bars, num_symbols = key_TN.shape
    last = (1 << bits) - 1
    nothing = LARGEST_KEY >> bits
    for t in range(num_bars):
        count = 0
        for n in range(num_symbols):
            count += key_TN[t, n] >> bits != nothing
        top, middle = max(count - 1, 1), 0.5 if count > 1 else 0.0
        first = 0
        for end in range(1, num_symbols + 1):
            if end < num_symbols and key_TN[t, end] >> bits == key_TN[t, first] >> bits:
                continue
            place = (first + end - 1) / 2.0
            shared = np.float32(place / top - middle if first < count else np.nan)
            for tied in range(first, end):
                rank_TN[t, key_TN[t, tied] & last] = shared
            first = end
