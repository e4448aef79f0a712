"""The state of a fit after an epoch, in one safetensors file replaced atomically."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from gnn_trainer.market.durable import storage_errors, write_whole
from gnn_trainer.training.trained import EpochRecord

StateDict = dict[str, Tensor]


@dataclass
class FitState:
    """All that changes while fitting. Random numbers are drawn from (seed, epoch), so no
    generator needs saving; the learning rate follows from the step."""

    network: nn.Module
    optimizer: Optimizer
    average: StateDict  # exponential moving average of the weights
    best: StateDict  # the average at the best epoch so far
    history: list[EpochRecord]
    best_epoch: int = 0
    step: int = 0

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return len(self.history)


def save_checkpoint(path: Path, state: FitState, identity: str) -> None:
    """Put the state into `path` in one step: a checkpoint is whole or absent."""
    tensors = {
        **_prefixed("network", state.network.state_dict()),
        **_prefixed("average", state.average),
        **_prefixed("best", state.best),
        **_prefixed("optimizer", _optimizer_tensors(state.optimizer)),
    }
    record = {
        "identity": identity,
        "best_epoch": state.best_epoch,
        "step": state.step,
        "history": [asdict(entry) for entry in state.history],
    }
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(tensors, metadata={"state": json.dumps(record)}))


def load_checkpoint(path: Path, state: FitState, identity: str) -> bool:
    """Put a checkpoint of the same identity into `state`; False if there is none to use."""
    device = next(state.network.parameters()).device
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError):
        return False
    if record["identity"] != identity:
        return False
    state.network.load_state_dict(_under("network", tensors))
    state.average = _under("average", tensors)
    state.best = _under("best", tensors)
    _restore_optimizer(state.optimizer, _under("optimizer", tensors))
    state.history = [EpochRecord(**entry) for entry in record["history"]]
    state.best_epoch, state.step = record["best_epoch"], record["step"]
    return True


def completed_epochs(path: Path, identity: str) -> int:
    """How far the checkpoint in a file has come; 0 if there is none of this identity."""
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads(file.metadata()["state"])
    except (FileNotFoundError, SafetensorError):
        return 0
    return len(record["history"]) if record["identity"] == identity else 0


def _prefixed(prefix: str, tensors: StateDict) -> StateDict:
    return {f"{prefix}/{name}": value.detach().cpu() for name, value in tensors.items()}


def _under(prefix: str, tensors: StateDict) -> StateDict:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)
    }


def _optimizer_tensors(optimizer: Optimizer) -> StateDict:
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _restore_optimizer(optimizer: Optimizer, tensors: StateDict) -> None:
    saved = optimizer.state_dict()
    saved["state"] = {}
    for key, value in tensors.items():
        index, name = key.split("/")
        saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)
