"""How well an exchange's limits are used, and how fast its archive is read.

    python -m benchmarks.fetch [--small]

The exchange is the simulated one with Binance's own limits. Client and exchange share a clock that
jumps while everybody waits, so minutes of pacing take seconds; each request takes LATENCY_S of it.
The weight counted is what the exchange says it has counted.
"""

import asyncio
import hashlib
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import polars as pl

from benchmarks.figures import Figure, main
from benchmarks.side_by_side import Contestant, in_turns
from benchmarks.virtual_time import ObservedGovernor, VirtualTime
from gnn_trainer.adapters.archive import import_archive
from gnn_trainer.adapters.archive_csv import only_csv, parse_klines
from gnn_trainer.adapters.binance import BinanceSource
from gnn_trainer.adapters.binance_market import USDM
from gnn_trainer.collecting import collect_books, collect_history
from gnn_trainer.exchange.config import TRUE_LIMITS, ExchangeConfig
from gnn_trainer.exchange.process import start_exchange
from gnn_trainer.machine import usable_cores
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.ports import Progress

SYMBOLS, LATENCY_S = 500, 0.1
STEP_MS, MINUTE_MS = INTERVAL_MS["1h"], INTERVAL_MS["1m"]
HOURS_LATER = 3
ARCHIVE_START_MS = 1_704_067_200_000  # 2024-01-01T00:00Z
ARCHIVE_SOURCE = "binance-usdm"


def lines(small: bool) -> list[Figure]:
    return [*pacing(days=90 if small else 180), *archive(symbols=2 if small else 8)]


@dataclass
class WeightWatch:
    """A listener that keeps when weight was last spent."""

    clock: VirtualTime
    began_minute: int
    spent: float = 0
    at_s: float = 0
    minute: int = 0

    def __call__(self, progress: Progress, /) -> None:
        spent = float(progress.fields["weight_used"])
        if spent != self.spent:
            self.spent, self.at_s = spent, self.clock()
            self.minute = self.clock.exchange.now_ms // MINUTE_MS

    def shares(self, governor: ObservedGovernor) -> list[float]:
        """Of the allowed weight, in the whole minutes until then."""
        minutes = range(self.began_minute + 1, self.minute)
        return [governor.used[minute] / governor.weight_limit for minute in minutes]


def pacing(days: int) -> list[Figure]:
    """Candles with their funding and order books of 500 symbols, and what an hour later is due."""
    bars = days * 24
    market = ExchangeConfig(symbols=SYMBOLS, bars=bars, ticking=False, limits=TRUE_LIMITS)
    with tempfile.TemporaryDirectory() as folder, start_exchange(market) as exchange:
        clock = VirtualTime(exchange)
        governor = ObservedGovernor(USDM.weight_limit, clock, LATENCY_S)
        source = BinanceSource(
            "usdm", exchange.url, governor=governor, clock=clock, wait=clock.wait
        )
        history = History(Path(folder))
        symbols = exchange.oracle.symbols if exchange.oracle is not None else ()
        end_ms = exchange.now_ms // STEP_MS * STEP_MS
        start_ms = end_ms - bars * STEP_MS
        watch = WeightWatch(clock, exchange.now_ms // MINUTE_MS)
        with source:
            collect_history(history, source, "1h", symbols, start_ms, end_ms, watch)
            together_s = clock()
            collect_books(history, source, symbols, (end_ms, end_ms + STEP_MS), _ignore)
            books_s = clock() - together_s
            pages = [seen for seen in exchange.requests.seen("klines") if seen.status == 200]
            weight = sum(USDM.page_weight(int(page.query["limit"])) for page in pages)
            shares = watch.shares(governor)
            seen = exchange.requests.seen()
            refused = sum(request.status != 200 for request in seen)
            later = [
                _an_hour_later(clock, history, source, symbols, start_ms)
                for _ in range(HOURS_LATER)
            ]
    sizes = f"{SYMBOLS} symbols, {days} days of 1h, {LATENCY_S:g} s a request"
    return [
        Figure(
            "fetch: share of the allowed weight",
            100 * mean(shares),
            "%",
            floor=85,
            note=f"mean of the whole minutes that candles fill ({len(shares)}); {sizes}",
        ),
        Figure(
            "fetch: most of the allowed weight in a minute",
            100 * max(governor.used.values()) / governor.weight_limit,
            "%",
            floor=100,
            more_is_better=False,
            note=f"{refused} of {len(seen):,} requests refused",
        ),
        Figure(
            "fetch: bars per unit of weight", SYMBOLS * bars / weight, "", note="249.5 at the most"
        ),
        Figure("fetch: candles of 500 symbols", watch.at_s, "s", note=sizes),
        Figure(
            "fetch: candles and funding side by side",
            together_s,
            "s",
            note="500 funding requests in 5 minutes are all that is allowed; 90 % of them are made",
        ),
        Figure("fetch: and their order books", books_s, "s", note="20 levels"),
        Figure(
            "fetch: funding requests an hour later",
            mean(later),
            "",
            more_is_better=False,
            note=f"{', '.join(map(str, later))} in {HOURS_LATER} hours one after the other",
        ),
    ]


def _an_hour_later(
    clock: VirtualTime,
    history: History,
    source: BinanceSource,
    symbols: Sequence[str],
    start_ms: int,
) -> int:
    """Collect what the hour has brought; how many requests of funding's allowance that took."""
    exchange = clock.exchange
    end_ms = (exchange.now_ms // STEP_MS + 1) * STEP_MS
    asyncio.run(clock.wait((end_ms + MINUTE_MS - exchange.now_ms) / 1000))
    exchange.requests.clear()
    collect_history(history, source, "1h", symbols, start_ms, end_ms, _ignore)
    return sum(len(exchange.requests.seen(path)) for path in ("fundingRate", "fundingInfo"))


def _ignore(progress: Progress) -> None:
    """Nobody is watching."""


def archive(symbols: int, months: int = 6) -> list[Figure]:
    """Months of 1m candles from zips on disk, beside what the reading of them alone takes."""
    with tempfile.TemporaryDirectory() as folder:
        mirror = Path(folder, "mirror")
        names = [f"SYM{count}USDT" for count in range(symbols)]
        files = [_month(mirror, name, month) for name in names for month in range(1, months + 1)]
        rows = sum(count for _, count in files)
        paths = [path for path, _ in files]
        contestants = [
            Contestant("import", partial(_importing, mirror, names, months)),
            Contestant("read", partial(_reading, paths)),
            Contestant("unpack", partial(_unpacking, paths)),
        ]
        costs = in_turns(contestants, rounds=3)
    found = costs["import"]
    read, unpack = (rows / costs[name].cpu_s / 1e6 for name in ("read", "unpack"))
    per_core = rows / found.cpu_s / 1e6
    cores = usable_cores()
    return [
        Figure(
            "archive: rows per second of all cores' CPU time",
            cores * per_core,
            "M/s",
            floor=5,
            note=f"{cores} cores; {rows / found.wall_s / 1e6:.2f} M/s of wall time; "
            f"{rows / 1e6:.1f} M rows of 1m",
        ),
        Figure("archive: rows per CPU-second", per_core, "M/s"),
        Figure(
            "archive: share of reading alone",
            100 * per_core / read,
            "%",
            note=f"inflate, SHA-256, CSV to columns: {read:.1f} M rows per CPU-second; "
            f"without the last {unpack:.1f}",
        ),
    ]


def _importing(mirror: Path, names: Sequence[str], months: int) -> Callable[[], None]:
    end_ms = _month_start(months + 1)

    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            import_archive(
                History(Path(folder)),
                ARCHIVE_SOURCE,
                str(mirror),
                names,
                "1m",
                ARCHIVE_START_MS,
                end_ms,
                _ignore,
                wait=time.sleep,
            )

    return work


def _reading(paths: Sequence[Path]) -> Callable[[], None]:
    def work() -> None:
        for path in paths:
            content = path.read_bytes()
            hashlib.sha256(content).hexdigest()
            parse_klines(path.name, content)

    return work


def _unpacking(paths: Sequence[Path]) -> Callable[[], None]:
    def work() -> None:
        for path in paths:
            content = path.read_bytes()
            hashlib.sha256(content).hexdigest()
            only_csv(path.name, content)

    return work


def _month(mirror: Path, symbol: str, month: int) -> tuple[Path, int]:
    """A monthly file of 1m candles with its .CHECKSUM, as the archive has them; and its rows."""
    open_time = np.arange(_month_start(month), _month_start(month + 1), INTERVAL_MS["1m"])
    rng = np.random.default_rng(month)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, len(open_time)))), 2)
    volume = np.round(rng.lognormal(3, 1, len(open_time)), 3)
    table = pl.DataFrame(
        {
            "open_time": open_time,
            "open": np.roll(close, 1),
            "high": close + 0.5,
            "low": close - 0.5,
            "close": close,
            "volume": volume,
            "close_time": open_time + INTERVAL_MS["1m"] - 1,
            "quote_volume": np.round(volume * close, 5),
            "count": rng.integers(1, 900, len(open_time)),
            "taker_buy_volume": np.round(volume / 2, 3),
            "taker_buy_quote_volume": np.round(volume * close / 2, 5),
            "ignore": np.zeros(len(open_time), dtype=np.int64),
        }
    )
    stem = f"{symbol}-1m-2024-{month:02}"
    path = mirror / "data/futures/um/monthly/klines" / symbol / "1m" / f"{stem}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(f"{stem}.csv", table.write_csv())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path, table.height


def _month_start(month: int) -> int:
    """First millisecond of a month of 2024."""
    return int(np.datetime64(f"2024-{month:02}", "ms").astype(np.int64))


if __name__ == "__main__":
    main(lines)
