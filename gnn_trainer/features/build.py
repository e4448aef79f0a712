"""Runs the registry over a frame."""

import math
import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from gnn_trainer.errors import StopRequested
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame, Float32Array
from gnn_trainer.features.ingredients import Ingredients
from gnn_trainer.features.registry import FEATURES, feature_names, longest_lookback
from gnn_trainer.market.durable import storage_errors
from gnn_trainer.market.frame import BoolArray, MarketFrame

BLOCK_BARS = 2048  # makes light of the overlap; intermediate results still fit the cache


def build_features(
    frame: MarketFrame,
    config: FeatureConfig,
    folder: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FeatureFrame:
    """Features of every symbol at every bar, float32.

    Causal to the last bit: cutting the frame after bar t, or changing what comes later, changes no
    value at or before t. Nor does what lies further back than `longest_lookback`, which is why the
    frame can be walked through in blocks. All features of an invalid bar are NaN.

    With a folder they lie in a nameless file there, a private map of which is returned, and memory
    holds one block of them at a time; the file goes when the features do.

    Raises:
        ConfigError, ServiceError: the folder cannot be written, the disk is full.
        StopRequested: `should_stop`, asked before every block, said yes.
    """
    mask_TN = np.empty((frame.num_bars, frame.num_symbols), np.bool_)
    shape = (*mask_TN.shape, len(FEATURES))
    blocks = _blocks(frame, config, mask_TN, should_stop)
    if folder is None or not math.prod(shape):  # nothing cannot be mapped
        x_TNF = _joined(blocks, shape)
    else:
        x_TNF = _filed(blocks, shape, folder)
    return FeatureFrame(
        symbols=frame.symbols,
        interval_ms=frame.interval_ms,
        open_time_T=frame.open_time_T,
        names=feature_names(),
        x_TNF=x_TNF,
        mask_TN=mask_TN,
    )


def _blocks(
    frame: MarketFrame,
    config: FeatureConfig,
    mask_TN: BoolArray,
    should_stop: Callable[[], bool],
) -> Iterator[Float32Array]:
    """Features [T, N, F] of one stretch of bars after the other, whose masks go to mask_TN."""
    lookback = longest_lookback(config)
    step = max(BLOCK_BARS, 2 * lookback)
    for start in range(0, frame.num_bars, step):
        if should_stop():
            raise StopRequested(f"stopped at bar {start} of {frame.num_bars}")
        first, stop = max(0, start - lookback), min(start + step, frame.num_bars)
        x_FTN, mask_TN[start:stop] = _compute(frame.bars(first, stop), start - first, config)
        yield x_FTN.transpose(1, 2, 0)


def _joined(blocks: Iterable[Float32Array], shape: tuple[int, ...]) -> Float32Array:
    x_TNF = np.empty(shape, np.float32)
    start = 0
    for block_TNF in blocks:
        x_TNF[start : start + len(block_TNF)] = block_TNF
        start += len(block_TNF)
    return x_TNF


def _filed(blocks: Iterable[Float32Array], shape: tuple[int, ...], folder: Path) -> Float32Array:
    with storage_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        for block_TNF in blocks:
            file.write(block_TNF.tobytes())
        file.flush()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.ndarray(shape, np.float32, content)


def _compute(
    frame: MarketFrame, history: int, config: FeatureConfig
) -> tuple[Float32Array, BoolArray]:
    """Features [F, T, N] of the bars after `history`, and the mask [T, N] of usable rows.

    NaN where not available.
    """
    ingredients = Ingredients(frame, config)
    valid_TN = frame.valid_TN[history:]
    x_FTN = np.empty((len(FEATURES), *valid_TN.shape), np.float32)
    mask_TN = valid_TN.copy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for plane_TN, feature in zip(x_FTN, FEATURES, strict=True):
            plane_TN[...] = feature.compute(ingredients)[history:]
            known_TN = np.isfinite(plane_TN)
            known_TN &= valid_TN
            plane_TN[~known_TN] = np.nan
            if not feature.is_optional:
                mask_TN &= known_TN
    return x_FTN, mask_TN
