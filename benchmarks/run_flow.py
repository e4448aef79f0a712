"""One run of the training flow, measured from outside: time, CPU time and memory by stage."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
START, END = "start-up", "ending"  # what is before the first task and after the last
_PLANNED = " symbols of "  # in the line that ends the planning of a run
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class StageCost:
    """One task, or what comes before the first and after the last of them."""

    name: str
    state: str  # Prefect's word; empty for START and END
    wall_s: float
    cpu_s: float  # of the flow process, all threads
    peak_mb: float  # largest resident set of the flow process while it lasted


@dataclass(frozen=True)
class Measured:
    """What a run cost and what it published."""

    wall_s: float
    cpu_s: float  # Prefect's local server included
    peak_mb: float  # largest resident set of the flow process, without Prefect's server
    stages: tuple[StageCost, ...]
    metrics: dict[str, Any]  # metrics.json of the newest published version

    def stage(self, name: str) -> StageCost:
        return next(stage for stage in self.stages if stage.name == name)


def run_flow(*flags: str, **variables: str) -> Measured:
    """`python flows/train.py FLAGS` with VARIABLES set, from nothing, in a temporary workspace.

    Raises:
        SystemExit: the flow failed; its output is shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        return run_in(Path(folder), flags, variables)


def run_in(workspace: Path, flags: Sequence[str], variables: Mapping[str, str]) -> Measured:
    """The same in a workspace that is kept, so that a second run finds what a first one left."""
    environment = {**os.environ, **variables, "WORKSPACE": str(workspace), "LOG_FORMAT": "json"}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "flows/train.py", *flags],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    with process:
        watch = _Watch(process.pid)
        for line in process.stdout or ():
            output.append(line)
            watch.read(line)
        watch.mark(END, "")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit("".join(output))
    wall_s = time.monotonic() - began
    newest = max(workspace.glob("models/*/*/metrics.json"), key=lambda path: path.stat().st_mtime)
    return Measured(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=max(stage.peak_mb for stage in watch.stages),
        stages=tuple(watch.stages),
        metrics=json.loads(newest.read_text()),
    )


class _Watch:
    """Reads a flow's log as it comes, and its costs from /proc whenever a task has ended."""

    def __init__(self, pid: int) -> None:
        self.stages: list[StageCost] = []
        self._process = Path("/proc", str(pid))
        self._wall_s, self._cpu_s = time.monotonic(), 0.0

    def read(self, line: str) -> None:
        record = _record(line)
        if record.get("logger") != "gnn_trainer.run":
            return
        if "fields" in record:
            self.mark(record["fields"]["name"], record["fields"]["state"])
        elif _PLANNED in record["message"]:
            self.mark(START, "")

    def mark(self, name: str, state: str) -> None:
        """Something has ended; what follows is counted from here."""
        wall_s, cpu_s = time.monotonic(), self._cpu_now_s()
        self.stages.append(
            StageCost(name, state, wall_s - self._wall_s, cpu_s - self._cpu_s, self._peak_mb())
        )
        self._wall_s, self._cpu_s = wall_s, cpu_s

    def _cpu_now_s(self) -> float:
        # proc(5): utime and stime are fields 14 and 15; the second, in brackets, may hold blanks.
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def _peak_mb(self) -> float:
        """Since the last call: the kernel starts it anew. 0 of a process that has ended."""
        lines = (self._process / "status").read_text().splitlines()
        peaks_kb = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        if not peaks_kb:
            return 0.0
        (self._process / "clear_refs").write_text("5")
        return peaks_kb[0] / 1024


def _record(line: str) -> dict[str, Any]:
    """A line of the log; empty if it is something else that the process said."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}
