"""The CSV files inside archive zips as candle and funding tables.

Header: none in spot klines and old futures klines, one in newer futures files. Times: microseconds
in spot files from 2025-01-01, milliseconds elsewhere. (github.com/binance/binance-public-data)
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

import polars as pl
from isal import isal_zlib

from gnn_trainer.errors import DataError
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import FUNDING_SCHEMA

_KLINE_COLUMNS = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
_FUNDING_COLUMNS = ("funding_time", "interval_hours", "rate")
_DAMAGED: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    struct.error,
    isal_zlib.error,  # type: ignore[assignment]  # a class, whatever its stub says
)
# In a zip, before each file: the lengths of its name and of what follows it (APPNOTE 4.3.7).
_LOCAL_LENGTHS, _LOCAL_LENGTHS_AT = struct.Struct("<HH"), 26
_LONGEST_LINE = 1000  # bytes, several times what twelve numbers take
_MICROSECONDS_FROM = 100_000_000_000_000  # in milliseconds this would be the year 5138


def parse_klines(name: str, archive: bytes) -> pl.DataFrame:
    """Candles of a klines zip. `name` is for error messages.

    Raises:
        DataError: not a zip of one CSV file with twelve columns of numbers.
    """
    return _parse(name, archive, _KLINE_COLUMNS, CANDLE_SCHEMA, "open_time")


def parse_funding(name: str, archive: bytes) -> pl.DataFrame:
    """Settled rates of a fundingRate zip; archives have no mark price.

    Raises:
        DataError: not a zip of one CSV file with three columns of numbers.
    """
    table = _parse(name, archive, _FUNDING_COLUMNS, FUNDING_SCHEMA, "funding_time")
    return table.select(list(FUNDING_SCHEMA))


def _parse(
    name: str,
    archive: bytes,
    columns: Sequence[str],
    schema: dict[str, pl.DataType],
    time_column: str,
) -> pl.DataFrame:
    text = only_csv(name, archive)
    width = text[:_LONGEST_LINE].partition(b"\n")[0].count(b",") + 1
    if width != len(columns):
        raise DataError(
            f"{name} has {width} columns; expected {len(columns)}: {', '.join(columns)}"
        )
    try:
        table = pl.read_csv(
            io.BytesIO(text),
            has_header=False,
            skip_rows=0 if text[:1].isdigit() else 1,
            schema={column: schema.get(column, pl.String()) for column in columns},
            columns=[place for place, column in enumerate(columns) if column in schema],
        )
        return table.select(
            pl.col(column) if column in columns else pl.lit(None, dtype).alias(column)
            for column, dtype in schema.items()
        ).with_columns(_in_milliseconds(time_column))
    except pl.exceptions.PolarsError as exc:
        raise DataError(f"{name} is not a CSV of numbers as expected ({exc})") from exc


def only_csv(name: str, archive: bytes) -> bytes:
    """The one file inside a zip.

    Raises:
        DataError: not a zip, not of one file, or not what the zip's own checksum was made for.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            members = bundle.infolist()
            if len(members) != 1:
                raise DataError(f"{name} holds {len(members)} files; expected one CSV file")
            if members[0].compress_type == zipfile.ZIP_DEFLATED:
                return _inflated(archive, members[0])
            return bundle.read(members[0])
    except _DAMAGED as exc:
        raise DataError(f"{name} is not a zip file ({exc}); download it again") from exc


def _inflated(archive: bytes, member: zipfile.ZipInfo) -> bytes:
    """What `ZipFile.read` gives, in less than half its time."""
    header = member.header_offset
    name_length, extra_length = _LOCAL_LENGTHS.unpack_from(archive, header + _LOCAL_LENGTHS_AT)
    start = header + _LOCAL_LENGTHS_AT + _LOCAL_LENGTHS.size + name_length + extra_length
    packed = memoryview(archive)[start : start + member.compress_size]
    text = isal_zlib.decompress(packed, wbits=-zlib.MAX_WBITS, bufsize=max(1, member.file_size))
    if len(text) != member.file_size or isal_zlib.crc32(text) != member.CRC:
        raise zipfile.BadZipFile(f"{member.filename} is not what its checksum was made for")
    return text


def _in_milliseconds(column: str) -> pl.Expr:
    time = pl.col(column)
    return pl.when(time >= _MICROSECONDS_FROM).then(time // 1000).otherwise(time).alias(column)
