"""One run of the training flow in a workspace of its own, measured from outside."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Measured:
    """What a run cost and what it published."""

    wall_s: float
    peak_mb: float  # largest resident set of the flow process, without Prefect's server
    metrics: dict[str, Any]  # metrics.json of the published version


def run_flow(*flags: str, **variables: str) -> Measured:
    """`python flows/train.py FLAGS` with VARIABLES set, from nothing, in a temporary workspace.

    Raises:
        SystemExit: the flow failed; its output is shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **variables, "WORKSPACE": folder}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "flows/train.py", *flags],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with process:
            output = process.stdout.read() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(output)
        wall_s = time.monotonic() - began
        (published,) = Path(folder, "models").glob("*/*/metrics.json")
        return Measured(wall_s, usage.ru_maxrss / 1024, json.loads(published.read_text()))
