"""Runs the registry over a frame."""

import mmap
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from gnn_trainer.errors import StopRequested
from gnn_trainer.features.arrangement import arrange
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame, Float32Array
from gnn_trainer.features.ingredients import Ingredients
from gnn_trainer.features.registry import FEATURES, feature_names, longest_lookback
from gnn_trainer.market.durable import storage_errors
from gnn_trainer.market.frame import BoolArray, MarketFrame

BLOCK_BARS = 2048  # makes light of the overlap; intermediate results still fit the cache
_IS_REQUIRED_F = np.array([not feature.is_optional for feature in FEATURES])


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
    blocks = _blocks(frame, config, should_stop)
    if folder is None or not mask_TN.size:  # nothing cannot be mapped
        x_TNF = _joined(blocks, frame.valid_TN, mask_TN)
    else:
        x_TNF = _filed(blocks, frame.valid_TN, mask_TN, folder)
    return FeatureFrame(
        symbols=frame.symbols,
        interval_ms=frame.interval_ms,
        open_time_T=frame.open_time_T,
        names=feature_names(),
        x_TNF=x_TNF,
        mask_TN=mask_TN,
    )


def _blocks(
    frame: MarketFrame, config: FeatureConfig, should_stop: Callable[[], bool]
) -> Iterator[tuple[slice, Float32Array]]:
    """One stretch of bars after the other, and its features [T, F, N], good until the next ones.

    They are not finite where not available.
    """
    lookback = longest_lookback(config)
    step = max(BLOCK_BARS, 2 * lookback)
    room_TFN = np.empty(
        (min(step, frame.num_bars), len(FEATURES), frame.num_symbols), dtype=np.float32
    )
    for start in range(0, frame.num_bars, step):
        if should_stop():
            raise StopRequested(f"stopped at bar {start} of {frame.num_bars}")
        first, stop = max(0, start - lookback), min(start + step, frame.num_bars)
        x_TFN = room_TFN[: stop - start]
        ingredients = Ingredients(frame.bars(first, stop), config)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for place, feature in enumerate(FEATURES):
                x_TFN[:, place] = feature.compute(ingredients)[start - first :]
        yield slice(start, stop), x_TFN


def _joined(
    blocks: Iterable[tuple[slice, Float32Array]], valid_TN: BoolArray, mask_TN: BoolArray
) -> Float32Array:
    x_TNF = np.empty((*valid_TN.shape, len(FEATURES)), np.float32)
    for bars, x_TFN in blocks:
        arrange(x_TFN, valid_TN[bars], _IS_REQUIRED_F, x_TNF[bars], mask_TN[bars])
    return x_TNF


def _filed(
    blocks: Iterable[tuple[slice, Float32Array]],
    valid_TN: BoolArray,
    mask_TN: BoolArray,
    folder: Path,
) -> Float32Array:
    with storage_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        for bars, x_TFN in blocks:
            x_TNF = np.empty((len(x_TFN), valid_TN.shape[1], len(FEATURES)), np.float32)
            arrange(x_TFN, valid_TN[bars], _IS_REQUIRED_F, x_TNF, mask_TN[bars])
            file.write(x_TNF.data)
        file.flush()
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.ndarray((*valid_TN.shape, len(FEATURES)), np.float32, content)
