"""One short name for the content of a frame, for caches and manifests."""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import MarketFrame


def frame_fingerprint(frame: MarketFrame) -> str:
    """SHA-256 (hex) over symbols, times and values: the same in every process and memory layout."""
    digest = hashlib.sha256(repr((frame.symbols, frame.interval_ms)).encode())
    for field in fields(frame):
        array = getattr(frame, field.name)
        if isinstance(array, np.ndarray):
            digest.update(f"{field.name} {array.dtype.str} {array.shape}".encode())
            digest.update(_canonical(array).tobytes())
    return digest.hexdigest()


def _canonical(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """C order, little-endian, one bit pattern for NaN and one for zero."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if plain.dtype.kind == "f":
        plain = np.where(np.isnan(plain), np.nan, plain + 0.0)
    return plain
