"""Contestants measured in turns, so that a busy moment of the machine hits all of them alike.

Figures are CPU seconds of the whole process, threads included (the gate), and wall seconds (for
information), both medians over the rounds. Memory is measured in a fresh process per contestant.
"""

import ctypes
import gc
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 5
STEADY = 1.5  # slowest over fastest round of one contestant; beyond it nobody is judged


@dataclass(frozen=True)
class Contestant:
    """`prepare` makes the data and everything else that is not measured, and returns the work.

    It must be picklable: a function of a module, or a `functools.partial` of one.
    """

    name: str
    prepare: Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class Cost:
    """What one contestant's work took."""

    cpu_s: float
    wall_s: float
    spread: float  # slowest CPU time over the fastest

    @property
    def is_steady(self) -> bool:
        return self.spread <= STEADY


def in_turns(contestants: Sequence[Contestant], rounds: int = ROUNDS) -> dict[str, Cost]:
    """Costs by name: one unmeasured turn each to warm up, then `rounds` rounds of one turn each."""
    works = {contestant.name: contestant.prepare() for contestant in contestants}
    cpu_s: dict[str, list[float]] = {name: [] for name in works}
    wall_s: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for name, work in works.items():
            cpu_began, wall_began = time.process_time(), time.perf_counter()
            work()
            cpu_s[name].append(time.process_time() - cpu_began)
            wall_s[name].append(time.perf_counter() - wall_began)
    gc.enable()
    return {
        name: Cost(
            statistics.median(cpu_s[name]),
            statistics.median(wall_s[name]),
            max(cpu_s[name]) / min(cpu_s[name]),
        )
        for name in works
    }


def children_cpu_s() -> float:
    """CPU seconds of all processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_growth_mb(contestant: Contestant) -> float:
    """Most memory that the work holds above what `prepare` left, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_growth_mb, (contestant,))


def _peak_growth_mb(contestant: Contestant) -> float:
    work = contestant.prepare()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or the work would live on what the preparation left
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    before_kb = _status_kb("VmRSS")
    work()
    return (_status_kb("VmHWM") - before_kb) / 1024


def _status_kb(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1])


def beside(rival: Cost, ours: Cost) -> str:
    """The wall times, and how far CPU times spread; beyond 1.5 nobody is judged."""
    wall = f"wall {rival.wall_s:.2f} s to {ours.wall_s:.2f} s"
    return (
        f"{wall}, {rival.wall_s / ours.wall_s:.1f}x; spread {rival.spread:.2f}, {ours.spread:.2f}"
    )
