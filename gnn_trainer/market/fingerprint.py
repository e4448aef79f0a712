"""One short name for the content of a frame, for caches and manifests."""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import MarketFrame

_ROWS = 4096


def frame_fingerprint(frame: MarketFrame) -> str:
    """SHA-256 (hex) over symbols, times and values: the same in every process and memory layout."""
    digest = hashlib.sha256(repr((frame.symbols, frame.interval_ms)).encode())
    for field in fields(frame):
        array = getattr(frame, field.name)
        if isinstance(array, np.ndarray):
            digest.update(f"{field.name} {array.dtype.str} {array.shape}".encode())
            for first in range(0, len(array), _ROWS):  # a plane of a year is 400 MB
                digest.update(_canonical(array[first : first + _ROWS]).tobytes())
    return digest.hexdigest()


def _canonical(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """C order, little-endian, one bit pattern for NaN and one for zero."""
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if plain.dtype.kind == "f":
        plain = np.where(np.isnan(plain), np.nan, plain + 0.0)
    return plain
