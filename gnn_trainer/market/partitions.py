"""A table kept as one Parquet file per period in one folder, upserted by key: newer rows win."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from gnn_trainer.errors import DataError
from gnn_trainer.market.durable import storage_errors, write_whole, writing_in

# A time outside is in another unit: in seconds these are 1970, in microseconds the year 53000.
_EARLIEST_MS = 1_000_000_000_000  # 2001-09-09
_LATEST_MS = 100_000_000_000_000  # 5138-11-16

_BROKEN = (
    pl.exceptions.ComputeError,
    pl.exceptions.ColumnNotFoundError,
    pl.exceptions.SchemaError,
)


@dataclass(frozen=True)
class Partitioning:
    """How one kind of table is cut into files and which rows are the same row."""

    schema: dict[str, pl.DataType]
    time_column: str
    period: str  # strftime pattern of a file's stem; sorts by time as text
    key: tuple[pl.Expr, ...]


def upsert(kind: Partitioning, folder: Path, rows: pl.DataFrame) -> None:
    """Merge `rows` into the folder's files; of rows with one key the last one given wins.

    Raises:
        DataError: a time is absent or not in milliseconds, or a stored file is broken.
        ConfigError, ServiceError: the disk refuses, see `durable`.
    """
    if rows.is_empty():
        return
    rows = rows.select(pl.col(name).cast(dtype) for name, dtype in kind.schema.items())
    _require_milliseconds(kind, rows)
    with writing_in(folder):
        for stem, part in _by_period(kind, rows):
            _merge_into(kind, folder / f"{stem}.parquet", part)


def has_distinct_ascending_keys(kind: Partitioning, rows: pl.DataFrame) -> bool:
    """Whether rows are in order and none is there twice, told at a glance; only of keys that are
    one number, and never where a key is absent."""
    keys = rows.select(kind.key)
    if keys.width != 1 or not keys.dtypes[0].is_integer() or keys.to_series().null_count():
        return False
    return bool((np.diff(keys.to_series().to_numpy()) > 0).all())


def read(
    kind: Partitioning,
    folder: Path,
    start_ms: int,
    end_ms: int,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Rows with start_ms <= time < end_ms in time order; none when nothing is stored."""
    wanted = list(columns or kind.schema)
    files = _files_between(kind, folder, start_ms, end_ms)
    if not files:
        return pl.DataFrame(schema={name: kind.schema[name] for name in wanted})
    rows = _read_files(files, wanted)
    first, after = np.searchsorted(rows[kind.time_column].to_numpy(), (start_ms, end_ms))
    return rows[first:after]


def _files_between(kind: Partitioning, folder: Path, start_ms: int, end_ms: int) -> list[Path]:
    if end_ms <= start_ms:
        return []
    first, last = (_stem(kind, time_ms) for time_ms in (start_ms, end_ms - 1))
    with storage_errors(folder):
        names = sorted(folder.glob("[0-9]*.parquet")) if folder.is_dir() else []
    return [path for path in names if first <= path.stem <= last]


def _stem(kind: Partitioning, time_ms: int) -> str:
    inside = min(max(time_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(inside / 1000, tz=UTC).strftime(kind.period)


def _by_period(kind: Partitioning, rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Stem of the file and its rows in the order given; oldest file first."""
    times = rows[kind.time_column].to_numpy()
    first, last = (_stem(kind, int(time_ms)) for time_ms in (times.min(), times.max()))
    if first == last:
        return [(first, rows)]
    period = pl.from_epoch(kind.time_column, time_unit="ms").dt.strftime(kind.period)
    parts = rows.with_columns(period.alias("period")).partition_by(
        "period", as_dict=True, include_key=False
    )
    return sorted((stem, part) for (stem,), part in parts.items())


def _merge_into(kind: Partitioning, path: Path, rows: pl.DataFrame) -> None:
    stored = _read_files([path], list(kind.schema)) if path.exists() else rows.clear()
    merged = pl.concat([stored, rows])
    if not has_distinct_ascending_keys(kind, merged):  # spares most of the time of an import
        merged = merged.filter(pl.struct(kind.key).is_last_distinct()).sort(
            kind.time_column, maintain_order=True
        )
    if merged.equals(stored):
        return
    buffer = io.BytesIO()
    # Prices hardly compress: half the size would take four times as long to write, and to read.
    merged.write_parquet(buffer, compression="uncompressed", statistics=False)
    write_whole(path, buffer.getbuffer())


def _read_files(paths: list[Path], columns: list[str]) -> pl.DataFrame:
    try:
        with storage_errors(paths[0].parent):
            return pl.read_parquet(paths, columns=columns)  # one call: twice as fast as a loop
    except _BROKEN as exc:
        if len(paths) == 1:
            raise DataError(
                f"{paths[0]} is not a whole Parquet file of this store ({exc}); delete it and run "
                "again: its rows are then fetched again"
            ) from exc
    return pl.concat([_read_files([path], columns) for path in paths])  # names the broken one


def _require_milliseconds(kind: Partitioning, rows: pl.DataFrame) -> None:
    time = pl.col(kind.time_column)
    sane = time.is_between(_EARLIEST_MS, _LATEST_MS, closed="left")
    wrong = rows.filter(~sane.fill_null(value=False))
    if not wrong.is_empty():
        raise DataError(
            f"{kind.time_column} {wrong[kind.time_column][0]} is not unix milliseconds (expected "
            f"{_EARLIEST_MS} <= time < {_LATEST_MS}; archives of 2025 and later count microseconds)"
        )
