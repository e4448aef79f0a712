"""What a run with default settings needs, by symbols and bars: `python -m benchmarks.capacity`.

Generated markets; fetching costs next to nothing, since the exchange is on the same machine.
"""

from rich.console import Console
from rich.table import Table

from benchmarks.run_flow import run_flow

SIZES = ((20, 90), (20, 180), (50, 90), (100, 90))  # symbols, days of 1h bars


def main() -> None:
    table = Table("symbols", "bars", "wall s", "peak MB", box=None)
    for symbols, days in SIZES:
        found = run_flow(
            f"--symbols=top:{symbols}",
            f"--time-range={days}d",
            SIMULATED_SYMBOLS=str(symbols),
        )
        bars = f"{24 * days:,}"
        table.add_row(str(symbols), bars, f"{found.wall_s:.0f}", f"{found.peak_mb:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
