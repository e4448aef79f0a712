"""A prepared graph in a file: Parquet, JSON or JSON Lines, in the shapes of docs/data.md."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from gnn_trainer.errors import ConfigError
from gnn_trainer.ports import Extent, RelationSource

_LINES = (".jsonl", ".ndjson")


class RelationsFile(RelationSource):
    """Documents are the rows of a table, the items of a JSON list, or one snapshot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def extent(self) -> Extent:
        """Errors as for `documents`."""
        count = sum(1 for _ in self.documents())
        return Extent(count, hashlib.sha256(self._path.read_bytes()).hexdigest())

    def documents(self) -> Iterator[object]:
        """Everything in the file.

        Raises:
            ConfigError: the file is not what its name says, or cannot be read.
        """
        try:
            yield from _read(self._path)
        except (OSError, ValueError, pl.exceptions.PolarsError) as exc:
            raise ConfigError(
                f"RELATIONS_FILE {self.name} cannot be read: {exc}; expected Parquet (.parquet), "
                "JSON Lines (.jsonl, .ndjson) or else JSON"
            ) from exc


def _read(path: Path) -> Iterator[object]:
    if path.suffix == ".parquet":
        for row in pl.read_parquet(path).iter_rows(named=True):
            yield {name: value for name, value in row.items() if value is not None}
        return
    text = path.read_text(encoding="utf-8")
    if path.suffix in _LINES:
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
        return
    content = json.loads(text)
    if isinstance(content, list):
        yield from content
    else:
        yield content
