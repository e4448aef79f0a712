"""Runs the registry over a frame."""

from collections.abc import Callable

import numpy as np

from gnn_trainer.errors import StopRequested
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame, Float32Array
from gnn_trainer.features.ingredients import Ingredients
from gnn_trainer.features.registry import FEATURES, feature_names, longest_lookback
from gnn_trainer.market.frame import BoolArray, MarketFrame

BLOCK_BARS = 1024  # large enough to make light of the overlap, small enough for the cache


def build_features(
    frame: MarketFrame, config: FeatureConfig, should_stop: Callable[[], bool] = lambda: False
) -> FeatureFrame:
    """Features of every symbol at every bar, float32; computed in float64.

    Causal to the last bit: cutting the frame after bar t, or changing what comes later, changes no
    value at or before t. Nor does what lies further back than `longest_lookback`, which is why the
    frame can be walked through in blocks. All features of an invalid bar are NaN.

    Raises:
        StopRequested: `should_stop`, asked before every block, said yes.
    """
    x_TNF = np.empty((frame.num_bars, frame.num_symbols, len(FEATURES)), np.float32)
    mask_TN = np.empty((frame.num_bars, frame.num_symbols), np.bool_)
    lookback = longest_lookback(config)
    step = max(BLOCK_BARS, 2 * lookback)
    for start in range(0, frame.num_bars, step):
        if should_stop():
            raise StopRequested(f"stopped at bar {start} of {frame.num_bars}")
        first, stop = max(0, start - lookback), min(start + step, frame.num_bars)
        block_FTN, block_mask_TN = _compute(frame.bars(first, stop), config)
        x_TNF[start:stop] = block_FTN[:, start - first :].transpose(1, 2, 0)
        mask_TN[start:stop] = block_mask_TN[start - first :]
    return FeatureFrame(
        symbols=frame.symbols,
        interval_ms=frame.interval_ms,
        open_time_T=frame.open_time_T,
        names=feature_names(),
        x_TNF=x_TNF,
        mask_TN=mask_TN,
    )


def _compute(frame: MarketFrame, config: FeatureConfig) -> tuple[Float32Array, BoolArray]:
    """Features [F, T, N], NaN where not available, and the mask [T, N] of usable rows."""
    ingredients = Ingredients(frame, config)
    x_FTN = np.empty((len(FEATURES), frame.num_bars, frame.num_symbols), np.float32)
    mask_TN = frame.valid_TN.copy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for plane_TN, feature in zip(x_FTN, FEATURES, strict=True):
            plane_TN[...] = feature.compute(ingredients)
            plane_TN[~(frame.valid_TN & np.isfinite(plane_TN))] = np.nan
            if not feature.is_optional:
                mask_TN &= np.isfinite(plane_TN)
    return x_FTN, mask_TN
