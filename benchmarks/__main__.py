"""All benchmarks at small size, each in a process of its own, in one table: `make bench`."""

import json
import subprocess
import sys
import time

from benchmarks.figures import Figure, show
from benchmarks.side_by_side import children_cpu_s

BENCHMARKS = (
    "features",
    "graph",
    "training",
    "inference",
    "scaling",
    "fetch",
    "flow",
    "telemetry",
)


def main() -> int:
    """The exit code: 1 when a benchmark broke, whose figures are then lacking."""
    figures: list[Figure] = []
    broken: list[str] = []
    for name in BENCHMARKS:
        began, before_s = time.monotonic(), children_cpu_s()
        command = [sys.executable, "-m", f"benchmarks.{name}", "--small", "--json"]
        done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE)
        if done.returncode:
            broken.append(name)
            continue
        found = [Figure(**json.loads(line)) for line in done.stdout.splitlines()]
        wall_s, cpu_s = time.monotonic() - began, children_cpu_s() - before_s
        line = f"{name}: {len(found)} figures in {wall_s:.0f} s, {cpu_s:.0f} CPU s"
        print(line, file=sys.stderr, flush=True)
        figures += found
    show(figures)
    if broken:
        print(f"broken, see above: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
