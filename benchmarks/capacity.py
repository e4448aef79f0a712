"""What a run of 30 epochs needs by symbols and bars, stage by stage.

    python -m benchmarks.capacity [SYMBOLSxDAYS ...]

Generated markets of 1h bars from an exchange in the same process that answers at once.
"""

import sys

from rich.console import Console
from rich.table import Table

from benchmarks.run_flow import Measured, run_flow

EPOCHS = 30
SIZES = ("20x180", "100x180", "500x90")


def run_of(symbols: int, days: int, epochs: int = EPOCHS) -> Measured:
    """One run from nothing on a generated market of so many symbols."""
    return run_flow(
        f"--symbols=top:{symbols}",
        f"--time-range={days}d",
        f"--epochs={epochs}",
        SIMULATED_SYMBOLS=str(symbols),
    )


def stages_of(measured: Measured) -> Table:
    """Where time and memory of a run went."""
    table = Table("stage", "", "wall s", "CPU s", "peak MB", box=None)
    for stage in measured.stages:
        costs = (stage.wall_s, stage.cpu_s, stage.peak_mb)
        table.add_row(stage.name, stage.state, *(f"{cost:,.1f}" for cost in costs))
    whole = (measured.wall_s, measured.cpu_s, measured.peak_mb)
    table.add_row("whole run", "", *(f"{cost:,.1f}" for cost in whole))
    return table


def main() -> None:
    for size in sys.argv[1:] or SIZES:
        symbols, days = map(int, size.split("x"))
        console = Console()
        console.print(f"{symbols} symbols, {24 * days:,} bars, {EPOCHS} epochs")
        console.print(stages_of(run_of(symbols, days)))


if __name__ == "__main__":
    main()
