"""What tasks hand to each other: frozen dataclasses of arrays, stored under their own hash.

A dataset is one safetensors file: the numpy fields are tensors, every other field is JSON in the
header. Its name is its sha256, so equal content is stored once, a reference can be checked, and
nothing is ever overwritten.

Arrays go to the file and come back without a copy in memory: what is read is a private map of the
file, of which the system keeps in memory what is in use and there is room for.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

from gnn_trainer.errors import DataError
from gnn_trainer.market.durable import write_whole, writing_in

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)

_HEADER = "fields"
_KINDS = {
    "BOOL": "?", "I8": "i1", "U8": "u1", "I32": "i4", "I64": "i8", "F32": "f4", "F64": "f8",
}  # of safetensors, as numpy calls them  # fmt: skip
_NAMES = {np.dtype(kind): name for name, kind in _KINDS.items()}
KEPT_PER_KIND = 8


class DatasetRef(BaseModel):
    """Says where a dataset is and what it holds; small enough to be a task's cached result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str  # path below the store's folder
    fingerprint: str  # sha256 of the file
    rows: int


class DatasetStore:
    """Datasets in one folder, a subfolder per type."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, dataset: "DataclassInstance", *, rows: int) -> DatasetRef:
        """Store a flat frozen dataclass of numpy arrays and JSON-ready values.

        Raises:
            ConfigError, ServiceError: the folder cannot be written, the disk is full.
        """
        return self._put(type(dataset).__name__, _pieces(dataset), rows)

    def put_bytes(self, kind: str, data: bytes, *, rows: int = 0) -> DatasetRef:
        """Store anything that is bytes already; errors as for `put`."""
        return self._put(kind, [data], rows)

    def _put(self, kind: str, pieces: Sequence[bytes | memoryview], rows: int) -> DatasetRef:
        fingerprint = _fingerprint(pieces)
        ref = DatasetRef(uri=f"{kind}/{fingerprint}", fingerprint=fingerprint, rows=rows)
        path = self._folder / ref.uri
        with writing_in(path.parent):
            if not self.holds(ref):
                write_whole(path, *pieces)
        return ref

    def get(self, ref: DatasetRef, kind: "type[T]") -> "T":
        """The dataset as it was put. Writing to its arrays does not change what is stored.

        Raises:
            DataError: it is gone, or not what was stored.
        """
        path = self._verified(ref)
        types = get_type_hints(kind)
        values, header = _mapped(path)
        others = json.loads(header)
        for name, value in others.items():
            values[name] = TypeAdapter(types[name]).validate_python(value)
        return kind(**values)

    def get_bytes(self, ref: DatasetRef) -> bytes:
        """What `put_bytes` stored; errors as for `get`."""
        return self._verified(ref).read_bytes()

    def _verified(self, ref: DatasetRef) -> Path:
        path = self._folder / ref.uri
        if not self.holds(ref):
            raise DataError(f"{path} is gone or altered; run again to make it anew")
        os.utime(path)  # used just now: the last to be forgotten
        return path

    def holds(self, ref: DatasetRef) -> bool:
        """Whether the dataset is there, whole and unaltered."""
        try:
            with (self._folder / ref.uri).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == ref.fingerprint
        except FileNotFoundError:
            return False

    def forget_old(self, keep: int = KEPT_PER_KIND) -> None:
        """Remove all but the `keep` datasets of each type that were used last."""
        for folder in filter(Path.is_dir, self._folder.glob("*")):
            files = (path for path in folder.iterdir() if not path.name.startswith("."))
            for path in sorted(files, key=lambda path: path.stat().st_mtime)[:-keep]:
                path.unlink(missing_ok=True)


def _pieces(dataset: "DataclassInstance") -> list[bytes | memoryview]:
    values = {field.name: getattr(dataset, field.name) for field in fields(dataset)}
    arrays = {
        name: np.ascontiguousarray(value)
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    }
    others = {name: value for name, value in values.items() if name not in arrays}
    return _as_safetensors(arrays, json.dumps(to_jsonable_python(others), sort_keys=True))


def _as_safetensors(arrays: Mapping[str, np.ndarray], header: str) -> list[bytes | memoryview]:
    """The file in pieces: its head, then the arrays, those of the widest numbers first."""
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    head: dict[str, object] = {"__metadata__": {_HEADER: header}}
    end = 0
    for name, array in ordered:
        begin, end = end, end + array.nbytes
        dtype = _NAMES[array.dtype]
        head[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)  # so that numbers lie where processors like them to
    data = (array.reshape(-1).view(np.uint8).data for _, array in ordered)
    return [len(text).to_bytes(8, "little"), text, *data]


def _mapped(path: Path) -> tuple[dict[str, Any], str]:
    """The arrays of a file by name, and what `_as_safetensors` took as its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(length))
        header: str = head.pop("__metadata__")[_HEADER]
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays = {
        name: np.ndarray(
            tensor["shape"],
            _KINDS[tensor["dtype"]],
            content,
            offset=8 + length + tensor["data_offsets"][0],
        )
        for name, tensor in head.items()
    }
    return arrays, header


def fingerprint(dataset: "DataclassInstance") -> str:
    """The `DatasetRef.fingerprint` it would have if it were put."""
    return _fingerprint(_pieces(dataset))


def _fingerprint(pieces: Sequence[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def tables_fingerprint(tables: Mapping[str, pl.DataFrame]) -> str:
    """sha256 over names, schemas and rows; the same however the tables are cut into chunks."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(f"{name} {tables[name].schema}".encode())
        digest.update(tables[name].hash_rows().to_numpy().tobytes())
    return digest.hexdigest()
