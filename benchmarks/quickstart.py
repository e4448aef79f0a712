"""Time and memory of the main job from nothing.

python -m benchmarks.quickstart
"""

from rich.console import Console
from rich.table import Table

from benchmarks.run_flow import run_flow


def main() -> None:
    first = run_flow()
    table = Table("run", "wall s", "peak MB", box=None)
    table.add_row("default market from nothing", f"{first.wall_s:.0f}", f"{first.peak_mb:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
