"""All benchmarks at small size, each in a process of its own, in one table: `make bench`."""

import json
import subprocess
import sys
import time

from benchmarks.figures import Figure, show

BENCHMARKS = ("features", "graph", "training", "inference", "fetch", "flow", "telemetry")


def main() -> None:
    figures: list[Figure] = []
    for name in BENCHMARKS:
        began = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", "--small", "--json"]
        output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
        found = [Figure(**json.loads(line)) for line in output.splitlines()]
        figures += found
        seconds = time.monotonic() - began
        print(f"{name}: {len(found)} figures in {seconds:.0f} s", file=sys.stderr, flush=True)
    show(figures)


if __name__ == "__main__":
    main()
