"""The flow as a whole, by stage: `python -m benchmarks.flow [--small]`.

The default run from nothing, the same run again, and a run one day later where spans move once a
week. Run again, every task is `Cached`, so what is left is Prefect, imports and the check of what
is stored. At full size runs of 30 epochs on 100 and 500 symbols as well, which take long.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.capacity import run_of
from benchmarks.figures import Figure, main
from benchmarks.run_flow import END, REPOSITORY, START, Measured, run_in
from benchmarks.side_by_side import children_cpu_s
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.generated import GeneratedMarket

STEP_DAYS = 7  # the generated market's last day is not the last of a step


def lines(small: bool) -> list[Figure]:
    figures = [*start_up(), *quickstart(), *a_day_later(20)]
    if not small:
        figures += capacity(100, 180, within_s=300, within_mb=3 * 1024)
        figures += a_day_later(100)
        figures += capacity(500, 90, within_s=900, within_mb=8 * 1024)
    return figures


def start_up(rounds: int = 5) -> list[Figure]:
    """What a command takes that does nothing."""
    found = [
        ("start-up: flows/train.py --help", ("flows/train.py", "--help"), 2.0),
        ("start-up: import gnn_trainer", ("-c", "import gnn_trainer"), 0.3),
    ]
    return [_answering(what, arguments, limit_s, rounds) for what, arguments, limit_s in found]


def _answering(what: str, arguments: Sequence[str], limit_s: float, rounds: int) -> Figure:
    walls, cpus = [], []
    for _ in range(rounds):
        began, before_s = time.monotonic(), children_cpu_s()
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.monotonic() - began)
        cpus.append(children_cpu_s() - before_s)
    note = f"{statistics.median(cpus):.2f} CPU s"
    wall_s = statistics.median(walls)
    return Figure(what, wall_s, "s", floor=limit_s, more_is_better=False, note=note)


def quickstart() -> list[Figure]:
    """From nothing, and again in the same workspace."""
    with tempfile.TemporaryDirectory() as folder:
        first = run_in(Path(folder), (), {})
        again = run_in(Path(folder), (), {})
    return [
        Figure(
            "flow: quickstart, from nothing",
            first.wall_s,
            "s",
            floor=90,
            more_is_better=False,
            note=_costs(first),
        ),
        *_by_stage("quickstart", first),
        Figure("flow: quickstart, every task cached", again.wall_s, "s", note=_costs(again)),
        Figure(
            "flow: cached run, of the first's CPU time",
            100 * again.cpu_s / first.cpu_s,
            "%",
            note="what Prefect, imports and checks of what is stored take at the most",
        ),
    ]


def a_day_later(symbols: int) -> list[Figure]:
    """A run, and another one with one new day of bars, in one workspace and within one step."""
    flags = (f"--symbols=top:{symbols}", "--time-range=175d", f"--split.step-days={STEP_DAYS}")
    variables = {"SIMULATED_SYMBOLS": str(symbols)}
    market = GeneratedMarket(ExchangeConfig(symbols=symbols))
    tomorrow = datetime.fromtimestamp(market.now_ms / 1000, UTC) + timedelta(days=1)
    with tempfile.TemporaryDirectory() as folder:
        first = run_in(Path(folder), flags, variables)
        later = run_in(Path(folder), flags, {**variables, "SIMULATED_NOW": tomorrow.isoformat()})
    what = f"{symbols} symbols, one new day of bars"
    return [
        Figure(
            f"flow: {what}, of the first run's time",
            100 * later.wall_s / first.wall_s,
            "%",
            floor=25,
            more_is_better=False,
            note=f"{100 * later.cpu_s / first.cpu_s:.0f} % of its CPU time; {_costs(later)}",
        ),
        *_by_stage(what, later),
    ]


def capacity(symbols: int, days: int, *, within_s: float, within_mb: float) -> list[Figure]:
    """A whole run of 30 epochs on a larger market."""
    found = run_of(symbols, days)
    what = f"{symbols} symbols x {days} days of 1h, 30 epochs"
    limit = partial(Figure, more_is_better=False)
    return [
        limit(f"flow: {what}", found.wall_s, "s", floor=within_s, note=_costs(found)),
        limit(f"flow: {what}, memory", found.peak_mb, "MB", floor=within_mb),
        *_by_stage(what, found),
    ]


def _by_stage(what: str, found: Measured) -> list[Figure]:
    """Every stage that takes a noticeable share, and what is outside of all of them."""
    return [
        Figure(
            f"  {what}: {stage.name}",
            stage.cpu_s,
            "CPU s",
            note=f"{stage.wall_s:.1f} s, peak {stage.peak_mb:,.0f} MB",
        )
        for stage in found.stages
        if stage.name in (START, END) or stage.cpu_s > 0.01 * found.cpu_s
    ]


def _costs(found: Measured) -> str:
    return f"{found.cpu_s:.0f} CPU s with Prefect's server, peak {found.peak_mb:,.0f} MB without"


if __name__ == "__main__":
    main(lines)
