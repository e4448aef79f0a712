"""Prices on the scale on which returns are differences."""

import numpy as np

from gnn_trainer.market.frame import BoolArray, FloatArray


def log_prices(price_TN: FloatArray, valid_TN: BoolArray) -> FloatArray:
    """Natural log; NaN where the bar is invalid or the price is not a finite positive number."""
    is_price_TN = valid_TN & (price_TN > 0.0) & np.isfinite(price_TN)
    return np.log(np.where(is_price_TN, price_TN, np.nan))
