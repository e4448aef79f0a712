"""One of the processes that fit a network together: `torchrun -m gnn_trainer.training.rank FOLDER`.

`training.processes` starts them, wrote the job into the folder, and reads what they tell.
"""

import json
import os
import sys
import threading
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from pydantic import TypeAdapter
from pydantic_core import to_json

from gnn_trainer.errors import GnnTrainerError
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.machine import settle_process
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import FitPlan, choose_device, fit_in_team
from gnn_trainer.training.processes import Job
from gnn_trainer.training.team import Team

SILENCE = timedelta(minutes=10)  # of another process, after which it is taken for lost


def main(folder: Path) -> None:
    settle_process()
    threading.Thread(target=_leave_when_alone, daemon=True).start()
    job = read_job(folder)
    team = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    device = choose_device(job.plan.fit.device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=SILENCE)
    team.add_up(torch.zeros((), device=device), ()).item()  # all have come so far
    if team.rank == 0:
        for mapped in folder.glob("*.npy"):
            mapped.unlink()  # to be gone with the last of the processes, however they end
    try:
        fit_in_team(
            job.graph,
            job.split,
            job.plan,
            team,
            on_progress=_tell_progress,
            checkpoint=job.checkpoint,
            identity=job.identity,
        )
    except GnnTrainerError as exc:
        _tell({"failure": {"kind": type(exc).__name__, "message": str(exc)}})
        threading.Event().wait()  # for whoever reads that to end all processes
    dist.destroy_process_group()


def read_job(folder: Path) -> Job:
    """What `Job.write` wrote; its arrays are maps of files, which all processes share."""
    written = json.loads((folder / "job.json").read_bytes())

    def arrays(kind: type[GraphSequence | Split]) -> dict[str, Any]:
        files = {field.name: folder / f"{field.name}.npy" for field in fields(kind)}
        return {
            name: np.load(file, mmap_mode="c", allow_pickle=False)
            for name, file in files.items()
            if file.exists()
        }

    graph: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in written["graph"].items()
    }
    return Job(
        graph=GraphSequence(**graph, **arrays(GraphSequence)),
        split=Split(**arrays(Split)),
        plan=TypeAdapter(FitPlan).validate_python(written["plan"]),
        checkpoint=Path(written["checkpoint"]),
        identity=written["identity"],
    )


def _leave_when_alone() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)  # whoever started this process has what it wanted, or is gone


def _tell_progress(progress: Progress, /) -> None:
    _tell({"progress": progress})


def _tell(said: dict[str, object]) -> None:
    sys.stdout.write(to_json(said).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
