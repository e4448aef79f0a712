"""What a benchmark found, line by line, and the table it is shown in.

Every benchmark is a module with `main(lines)`, where `lines(small)` measures and returns figures:

    python -m benchmarks.NAME            at full size
    python -m benchmarks.NAME --small    in a minute or two
    python -m benchmarks                 all of them, small, in one table (`make bench`)
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One figure. `floor` is what must hold, `goal` where we are going; either may be absent."""

    what: str  # e.g. "training, 100 symbols: node-steps per CPU-second over the PyG loader"
    value: float
    unit: str  # "x" for ratios, otherwise "s", "MB", "%", "/s" ...
    floor: float | None = None
    goal: float | None = None
    more_is_better: bool = True
    note: str = ""  # spread, sizes, wall times

    @property
    def verdict(self) -> str:
        if self.floor is None:
            return ""
        if not self._reaches(self.floor):
            return "BELOW" if self.more_is_better else "ABOVE"
        return "goal" if self.goal is not None and self._reaches(self.goal) else "ok"

    def _reaches(self, mark: float) -> bool:
        return self.value >= mark if self.more_is_better else self.value <= mark


def main(lines: Callable[[bool], Sequence[Figure]]) -> None:
    """The command line of one benchmark."""
    parser = argparse.ArgumentParser(description="Measure and show.")
    parser.add_argument("--small", action="store_true", help="smaller sizes, a minute or two")
    parser.add_argument("--json", action="store_true", help="one JSON object per figure")
    options = parser.parse_args()
    figures = lines(options.small)
    if options.json:
        for figure in figures:
            print(json.dumps(asdict(figure)))
    else:
        show(figures)


def show(figures: Sequence[Figure]) -> None:
    """A table of figures on standard output."""
    table = Table("what", "figure", "", "floor", "goal", "", "note", box=None)
    for figure in figures:
        marks = ("" if mark is None else f"{mark:g}" for mark in (figure.floor, figure.goal))
        value = f"{figure.value:.3g}"
        table.add_row(figure.what, value, figure.unit, *marks, figure.verdict, figure.note)
    Console(width=180).print(table)
