"""One fit by several processes: torchrun starts and watches them, this one listens.

They are children, so that a fit shares its steps wherever a run runs, and everything else of a run
happens once. A process that dies takes the others along, and not this one. The end of their input
tells them that nobody waits for them any more, however this process ends.
"""

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter
from pydantic_core import to_json

from gnn_trainer import errors
from gnn_trainer.errors import ConfigError, GnnTrainerError, ProcessLost, StopRequested
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.machine import settle_process, usable_cores
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.training.checkpoint import completed_epochs

if TYPE_CHECKING:
    from gnn_trainer.training.fit import FitPlan

logger = logging.getLogger(__name__)

Said = dict[str, dict[str, Any]]  # one message: its kind, and its fields
POLL_S = 0.1
END_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Job:
    """What the processes are to fit, and the checkpoint that is to hold it in the end."""

    graph: GraphSequence
    split: Split
    plan: "FitPlan"
    checkpoint: Path
    identity: str

    def write(self, folder: Path) -> None:
        """As files that `rank.read_job` reads: arrays by themselves, so that they can be mapped."""
        rest: dict[str, object] = {}
        for part in (self.graph, self.split):
            for field in fields(part):
                value = getattr(part, field.name)
                if isinstance(value, np.ndarray):
                    np.save(folder / field.name, value, allow_pickle=False)
                else:
                    rest[field.name] = value
        job = {
            "graph": rest,
            "plan": self.plan,
            "checkpoint": str(self.checkpoint.resolve()),
            "identity": self.identity,
        }
        (folder / "job.json").write_bytes(to_json(job))


def fit_in_processes(
    job: Job, folder: Path, on_progress: ProgressListener, should_stop: Callable[[], bool]
) -> None:
    """Fit until the checkpoint is that of a finished fit; `folder` is for the processes' use.

    Raises:
        ConfigError: more processes than GPUs.
        StopRequested: `should_stop` said yes.
        ProcessLost: a process ended without a word.
        GnnTrainerError: what a process ran into.
    """
    plan = job.plan
    gpus = torch.cuda.device_count() if plan.fit.device != "cpu" else 0
    if gpus and plan.fit.processes > gpus:
        raise ConfigError(
            f"fit.processes {plan.fit.processes} are more than the {gpus} GPUs of this machine; "
            "use as many, or fit.device cpu"
        )
    job.write(folder)
    epoch = completed_epochs(job.checkpoint, job.identity)
    command = _command(plan.fit.processes, folder)
    with closing(_said_by(command, plan.fit.processes, should_stop)) as told:
        for said in told:
            if said is None:
                raise StopRequested(f"stopped in epoch {epoch + 1} of {plan.epochs}")
            if failure := said.get("failure"):
                raise _error(**failure)
            progress = TypeAdapter(Progress).validate_python(said["progress"])
            epoch = int(progress.done)
            on_progress(progress)


def _command(processes: int, folder: Path) -> list[str]:
    torchrun = (sys.executable, "-m", "torch.distributed.run")
    here = ("--standalone", "--local-addr", "127.0.0.1", "--shutdown-timeout", "5")
    ranks = ("--nproc-per-node", str(processes), "-m", "gnn_trainer.training.rank")
    return [*torchrun, *here, *ranks, str(folder)]


def _said_by(
    command: list[str], processes: int, should_stop: Callable[[], bool]
) -> Generator[Said | None]:
    """What the processes tell, until all have ended; None when they should stop."""
    environ = os.environ | {"OMP_NUM_THREADS": str(max(1, usable_cores() // processes))}
    settle_process(environ)
    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # or Ctrl-C would end them before this process can say a word
    ) as torchrun:
        assert torchrun.stdout is not None
        try:
            for line in _lines(torchrun.stdout):
                if line is not None:
                    yield from _told(line)
                elif should_stop():
                    yield None
        finally:
            code = _end(torchrun)
    if code != 0:
        raise ProcessLost(
            f"one of the {processes} processes that share the fitting ended with torchrun's code "
            f"{code}, its last words are above; short of memory? Run again: the fit goes on from "
            "its checkpoint"
        )


def _lines(output: IO[bytes]) -> Iterator[bytes | None]:
    """Lines until the output ends; None every now and then."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            yield None
            if selector.select(POLL_S):
                piece = os.read(output.fileno(), 1 << 16)
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                yield from lines


def _told(line: bytes) -> Iterator[Said]:
    try:
        yield json.loads(line)
    except ValueError:  # a library's own output
        logger.info("%s", line.decode(errors="replace"))


def _end(torchrun: subprocess.Popen[bytes]) -> int:
    assert torchrun.stdin is not None
    torchrun.stdin.close()
    try:
        return torchrun.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(torchrun.pid, signal.SIGKILL)
        return torchrun.wait()


def _error(kind: str, message: str) -> GnnTrainerError:
    error: GnnTrainerError = getattr(errors, kind)(message)
    return error
