"""From features computed one after the other to rows of one symbol at one bar.

There is a plain form in numpy, which is the reference, and one whose loops numba compiled: a bar at
a time, which stays in the cache, where numpy makes six passes over a block. Without numba the plain
form runs.
"""

import numpy as np

from gnn_trainer.compiled import numba_is_there
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.market.frame import BoolArray


def arrange(
    x_TFN: Float32Array,
    valid_TN: BoolArray,
    is_required_F: BoolArray,
    x_TNF: Float32Array,
    mask_TN: BoolArray,
) -> None:
    """Fill x_TNF, NaN where not available, and mask_TN: valid, and no required feature missing.

    Not available are all features of an invalid bar and whatever is not finite. x_TFN is spoilt.
    """
    if numba_is_there():
        from gnn_trainer.features import kernels

        kernels.arrange(x_TFN, valid_TN, is_required_F, x_TNF, mask_TN)
    else:
        arrange_plain(x_TFN, valid_TN, is_required_F, x_TNF, mask_TN)


def arrange_plain(
    x_TFN: Float32Array,
    valid_TN: BoolArray,
    is_required_F: BoolArray,
    x_TNF: Float32Array,
    mask_TN: BoolArray,
) -> None:
    """`arrange` in numpy."""
    known_TFN = np.isfinite(x_TFN)
    known_TFN &= valid_TN[:, None]
    x_TFN[~known_TFN] = np.nan
    x_TNF[...] = x_TFN.transpose(0, 2, 1)
    mask_TN[...] = valid_TN & known_TFN[:, is_required_F].all(axis=1)
