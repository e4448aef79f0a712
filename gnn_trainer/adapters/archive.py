"""Import of Binance's archive files (https://data.binance.vision) into the market history.

The same store and the same checks as for what the exchange's REST interface delivers: nothing is
judged here, only unpacked. Importing twice changes nothing.
"""

import calendar
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from gnn_trainer.adapters.archive_csv import parse_funding, parse_klines
from gnn_trainer.adapters.archive_files import ArchiveFiles, open_archive, read_verified
from gnn_trainer.errors import ConfigError, DataError
from gnn_trainer.machine import usable_cores
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.spans import Span
from gnn_trainer.ports import Progress, ProgressListener, SpanRequest

_DIRECTORIES = {"spot": "data/spot", "usdm": "data/futures/um"}
# A month's file appears on the first Monday after the month; until then there are only daily ones.
_MONTHS_WITHOUT_FILE = 2


@dataclass(frozen=True)
class ArchiveReport:
    """What an import did. `rows` counts the bars and rates read, stored before or not."""

    files: tuple[str, ...]  # paths in the archive, symbol by symbol
    rows: int
    complete: tuple[str, ...]  # `BTCUSDT 2024-01`: candles that were all stored before, not read
    absent: tuple[str, ...]  # likewise: months of which the archive has no candles


def import_archive(
    history: History,
    source: str,
    location: str,
    symbols: Sequence[str],
    interval: str,
    start_ms: int,
    end_ms: int,
    on_progress: ProgressListener,
    *,
    wait: Callable[[float], None] = time.sleep,
) -> ArchiveReport:
    """Fill `history` from the archive at `location`, a base URL or a folder.

    `source` names the market as `MarketSource.name` does and ends in `-usdm` or `-spot`. Whole
    files are stored, so some bars around the span come too; funding rates come along on usdm.
    Several symbols at a time, so `on_progress` and `wait`, called with the seconds before another
    attempt at a file, run in threads of the import.

    Raises:
        ConfigError: unknown market or interval, empty span, no such folder, or access refused.
        DataError: a file does not match its .CHECKSUM or cannot be read; or there is none at all.
        ServiceError: the server fails, or the disk does.
    """
    if end_ms <= start_ms or not symbols:
        raise ConfigError(
            f"nothing to import: {len(symbols)} symbols, {start_ms} to {end_ms} (unix ms); "
            "expected at least one symbol and an end after the start"
        )
    archive, directory = open_archive(location, wait), _directory(source)
    months = _months(start_ms, end_ms)
    tally = _Tally(on_progress, len(symbols) * len(months))
    over = threading.Event()

    def import_symbol(symbol: str) -> _Import:
        job = _Import(history, source, archive, directory, interval)
        for month in months:
            if over.is_set():
                break
            tally.tell(symbol, month)
            tally.count(job.import_month(symbol, month))
        return job

    # Unpacking and parsing release the interpreter, and symbols share no file.
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            jobs = list(pool.map(import_symbol, symbols))
        finally:
            over.set()
    tally.tell_end()
    report = ArchiveReport(
        files=tuple(path for job in jobs for path in job.files),
        rows=tally.rows,
        complete=tuple(name for job in jobs for name in job.complete),
        absent=tuple(name for job in jobs for name in job.absent),
    )
    if not report.files and not report.complete:
        raise DataError(
            f"no archive file in {location} for {', '.join(symbols)}; expected for example "
            f"{jobs[-1].kline_path('monthly', symbols[-1], months[-1].text)} with its .CHECKSUM "
            "beside it"
        )
    return report


@dataclass(frozen=True)
class _Month:
    text: str  # YYYY-MM
    whole: Span  # the month
    asked: Span  # what of it lies in the span of the import
    days: tuple[str, ...]  # YYYY-MM-DD of `asked`
    is_recent: bool


class _Tally:
    """How far all threads have come; `on_progress` is called by one at a time."""

    def __init__(self, on_progress: ProgressListener, months: int) -> None:
        self.rows = 0
        self._on_progress, self._months = on_progress, months
        self._done = 0
        self._lock = threading.Lock()

    def tell(self, symbol: str, month: _Month) -> None:
        with self._lock:
            shown: dict[str, str | int] = {"symbol": symbol, "month": month.text, "rows": self.rows}
            self._on_progress(Progress("import_archive", self._done, self._months, shown))

    def count(self, rows: int) -> None:
        """A month is done."""
        with self._lock:
            self._done += 1
            self.rows += rows

    def tell_end(self) -> None:
        self._on_progress(
            Progress("import_archive", self._months, self._months, {"rows": self.rows})
        )


@dataclass
class _Import:
    """The import of one symbol, with what it has done so far."""

    history: History
    source: str
    archive: ArchiveFiles
    directory: str
    interval: str
    files: list[str] = field(default_factory=list)
    rows: int = 0
    complete: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def import_month(self, symbol: str, month: _Month) -> int:
        """Candles of the month's file, or else of its days' files, and its funding rates; returns
        how many rows were read."""
        before = self.rows
        if self._is_complete(symbol, month.asked):
            self.complete.append(f"{symbol} {month.text}")
        elif not self._import_candles(symbol, month):
            self.absent.append(f"{symbol} {month.text}")
        if self.directory == _DIRECTORIES["usdm"]:
            self._import_funding(symbol, month)
        return self.rows - before

    def kline_path(self, period: str, symbol: str, date: str) -> str:
        name = f"{symbol}-{self.interval}-{date}.zip"
        return f"{self.directory}/{period}/klines/{symbol}/{self.interval}/{name}"

    def _is_complete(self, symbol: str, span: Span) -> bool:
        step = interval_ms(self.interval)
        stored = self.history.read_klines(self.source, self.interval, symbol, *span)
        on_grid = int((stored["open_time"] % step == 0).sum())
        return on_grid >= (span[1] - 1) // step - (span[0] - 1) // step

    def _import_candles(self, symbol: str, month: _Month) -> bool:
        if self._import_klines(symbol, self.kline_path("monthly", symbol, month.text)):
            return True
        if not (self.archive.is_local or month.is_recent):
            return False  # asking for each day of the years before a listing would take hours
        found = [
            self._import_klines(symbol, self.kline_path("daily", symbol, day)) for day in month.days
        ]
        return any(found)

    def _import_klines(self, symbol: str, path: str) -> bool:
        content = read_verified(self.archive, path)
        if content is None:
            return False
        table = parse_klines(path, content)
        self.history.upsert_klines(self.source, self.interval, symbol, table)
        self._imported(path, table.height)
        return True

    def _import_funding(self, symbol: str, month: _Month) -> None:
        path = (
            f"{self.directory}/monthly/fundingRate/{symbol}/{symbol}-fundingRate-{month.text}.zip"
        )
        content = read_verified(self.archive, path)
        if content is None:
            return
        table = parse_funding(path, content)
        self.history.upsert_funding(self.source, symbol, table)
        self.history.confirm_funding(self.source, [SpanRequest(symbol, *month.whole)])
        self._imported(path, table.height)

    def _imported(self, path: str, rows: int) -> None:
        self.files.append(path)
        self.rows += rows


def _directory(source: str) -> str:
    market = source.rpartition("-")[2]
    if market not in _DIRECTORIES:
        raise ConfigError(
            f"the archive has no market {source!r}; use a source that ends in "
            f"{' or '.join(f'-{known}' for known in _DIRECTORIES)}"
        )
    return _DIRECTORIES[market]


def _months(start_ms: int, end_ms: int) -> list[_Month]:
    """Calendar months (UTC) that overlap [start_ms, end_ms), oldest first."""
    last_day = _day(end_ms - 1)
    days_by_month: dict[str, list[date]] = defaultdict(list)
    for offset in range((last_day - _day(start_ms)).days + 1):
        day = _day(start_ms) + timedelta(days=offset)
        days_by_month[f"{day:%Y-%m}"].append(day)
    recent = sorted(days_by_month)[-_MONTHS_WITHOUT_FILE:]
    months = []
    for text, days in days_by_month.items():
        whole = _whole_month(days[0])
        asked = (max(start_ms, whole[0]), min(end_ms, whole[1]))
        texts = tuple(day.isoformat() for day in days)
        months.append(_Month(text, whole, asked, texts, is_recent=text in recent))
    return months


def _whole_month(day: date) -> Span:
    first = day.replace(day=1)
    return _unix_ms(first), _unix_ms((first + timedelta(days=31)).replace(day=1))


def _day(time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).date()


def _unix_ms(day: date) -> int:
    return calendar.timegm(day.timetuple()) * 1000
