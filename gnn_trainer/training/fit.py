"""Fitting an ensemble: one pass through the training span per epoch, the best epoch kept."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from gnn_trainer.errors import DataError, StopRequested, TrainingDiverged
from gnn_trainer.features.scaler import Scaler, fit_scaler
from gnn_trainer.graph.edges import COMOVEMENT
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.labels import LabelConfig, fit_class_threshold
from gnn_trainer.market.splits import Split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.training.checkpoint import FitState, load_checkpoint, save_checkpoint
from gnn_trainer.training.config import FitConfig
from gnn_trainer.training.inference import run_network
from gnn_trainer.training.processes import Job, fit_in_processes
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import (
    BookDropout,
    InputTensors,
    TargetTensors,
    most_refreshes,
    shuffled_chunks,
    span_of,
    widened,
)
from gnn_trainer.training.start import start_plain
from gnn_trainer.training.step import take_step
from gnn_trainer.training.team import ALONE, Team
from gnn_trainer.training.trained import EpochRecord, TrainedModel

logger = logging.getLogger(__name__)

WARMUP_SHARE = 0.02  # of all steps; short, for the start is a good one
MIN_GAIN = 1e-4  # of validation RankIC that counts as better


@dataclass(frozen=True)
class FitPlan:
    """How to fit: everything but the data."""

    model: ModelConfig
    fit: FitConfig
    labels: LabelConfig
    epochs: int
    learning_rate: float
    seed: int
    use_graph: bool = True


def fit(
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    *,
    on_progress: ProgressListener,
    checkpoint: Path | None = None,
    identity: str = "",
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedModel:
    """Fit on the training span, stop on the validation span; the test span is not looked at.

    With `plan.fit.processes` above one, processes of their own share every step. A `checkpoint`
    written by a fit of the same `identity` is carried on from; the final weights are then those of
    an uninterrupted fit, bit for bit on CPU. `should_stop` is asked before every batch; the
    checkpoint then holds the last whole epoch, for `best_so_far`.

    Raises:
        TrainingDiverged: the loss is not finite.
        DataError: no usable row in the training or validation span.
        StopRequested: `should_stop` said yes.
        ConfigError: more processes than GPUs.
        ProcessLost: one of the processes ended without a word.
    """
    if plan.fit.processes == 1:
        return fit_in_team(
            graph,
            split,
            plan,
            ALONE,
            on_progress=on_progress,
            checkpoint=checkpoint,
            identity=identity,
            should_stop=should_stop,
            clock=clock,
        )
    with TemporaryDirectory(prefix="gnn-trainer-fit-") as folder:
        path = checkpoint or Path(folder) / "fit.safetensors"
        fit_in_processes(
            Job(graph, split, plan, path, identity), Path(folder), on_progress, should_stop
        )
        model = best_so_far(graph, split, plan, checkpoint=path, identity=identity)
    assert model is not None
    return model


def fit_in_team(
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    team: Team,
    *,
    on_progress: ProgressListener,
    checkpoint: Path | None = None,
    identity: str = "",
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> TrainedModel:
    """`fit` as one of the processes of a team; the first one alone writes and tells."""
    session = _Session(graph, split, plan, should_stop, team)
    state = session.start()
    if checkpoint and load_checkpoint(checkpoint, state, identity):
        logger.info("carrying on after epoch %d of %s", state.epoch, checkpoint.name)
    team.follow_first([*state.network.state_dict().values(), *state.average.values()])
    while state.epoch < plan.epochs and not _has_stalled(state, plan.fit.patience):
        began = clock()
        loss = session.train_epoch(state)
        val_rank_ic = session.validate(state)
        state.history.append(EpochRecord(state.epoch + 1, loss, val_rank_ic, clock() - began))
        if state.best_epoch == 0 or val_rank_ic > _best(state) + MIN_GAIN:
            state.best_epoch = state.epoch
            state.best = {name: value.clone() for name, value in state.average.items()}
        if team.rank == 0:
            if checkpoint:
                save_checkpoint(checkpoint, state, identity)
            on_progress(_progress(state, plan))
    return session.finish(state)


def best_so_far(
    graph: GraphSequence, split: Split, plan: FitPlan, *, checkpoint: Path, identity: str
) -> TrainedModel | None:
    """The best epoch of a fit that was cut short; None without a checkpoint of this identity."""
    session = _Session(graph, split, plan)
    state = session.blank()
    return session.finish(state) if load_checkpoint(checkpoint, state, identity) else None


class _Session:
    """Data on the device and the functions of one epoch."""

    def __init__(
        self,
        graph: GraphSequence,
        split: Split,
        plan: FitPlan,
        should_stop: Callable[[], bool] = lambda: False,
        team: Team = ALONE,
    ) -> None:
        self.graph, self.split, self.plan = graph, split, plan
        self.should_stop, self.team = should_stop, team
        self.device = choose_device(plan.fit.device)
        self.reduced = is_reduced(plan.fit.precision, self.device)
        train_TN = graph.mask_TN & split.train_T[:, None]
        self.scaler: Scaler = fit_scaler(graph.x_TNF, train_TN)
        self.threshold = fit_class_threshold(graph.labels, split.train_T, plan.labels)
        with self._generators():
            torch.manual_seed(plan.seed)
            self.network = Ensemble(
                plan.model,
                num_features=len(graph.feature_names),
                num_edge_attrs=graph.num_edge_attrs,
                use_graph=plan.use_graph,
                members=plan.fit.members,
            ).to(self.device)
        self.network.listen_to(
            [_index(graph.feature_names, name) for name in graph.edge_readings],
            _index(graph.edge_names, COMOVEMENT),
        )
        fixed = wants_fixed_shapes(self.device)
        self.step_bars = min(plan.fit.batch_bars, graph.num_bars) if fixed else 1
        self.inputs = InputTensors(
            graph,
            self.scaler,
            self.network.history_bars,
            self.device,
            most_refreshes(graph, team.longest_share(self.step_bars)) if fixed else 1,
        )
        self.hide_books = BookDropout(
            graph, self.scaler, plan.fit.book_dropout, self.network.history_bars, self.device
        )
        self.targets = TargetTensors(graph, self.threshold, plan.labels, self.device)
        self.train_T = torch.from_numpy(split.train_T).to(self.device)
        for name, rows_T in (("training", split.train_T), ("validation", split.validation_T)):
            if not self.targets.any_in(0, graph.num_bars, rows_T):
                raise DataError(
                    f"no usable row in the {name} span of {int(rows_T.sum())} bars; "
                    "check the data report for masked bars"
                )

    def start(self) -> FitState:
        start_plain(self.network, self.inputs, self.targets, self.train_T)
        return self.blank()

    def blank(self) -> FitState:
        """A state without history around the network as it is."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.plan.learning_rate,
            weight_decay=self.plan.fit.weight_decay,
            fused=True,
        )
        average = _copy(self.network)
        return FitState(self.network, optimizer, average, best=average, history=[])

    def train_epoch(self, state: FitState) -> float:
        """One pass over the training span in shuffled chunks; the mean loss.

        Losses are looked at when all steps have been given to the device, so it never waits.
        """
        plan = self.plan
        rng = np.random.default_rng((plan.seed, state.epoch))
        chunks = [
            (start, stop)
            for start, stop in shuffled_chunks(self.split.train_T, plan.fit.batch_bars, rng)
            if self.targets.any_in(start, stop, self.split.train_T)
        ]
        losses = []
        with self._generators():
            torch.manual_seed(int(rng.integers(2**31)))
            self.hide_books.draw(rng)
            self.network.train()
            for index, (start, stop) in enumerate(chunks):
                if self.should_stop():
                    raise StopRequested(f"stopped in epoch {state.epoch + 1} of {plan.epochs}")
                share = (state.epoch + index / len(chunks)) / plan.epochs
                _set_rate(state.optimizer, plan.learning_rate * rate_factor(share))
                losses.append(self._step(state, start, stop))
        return self._mean_of(losses, state)

    def _step(self, state: FitState, start: int, stop: int) -> Tensor:
        span, mine = span_of(self.split.train_T), self.team.share_of(start, stop)
        whole = widened(start, stop, self.step_bars, span)
        share = widened(*mine, self.team.longest_share(self.step_bars), span)
        inputs = self.inputs.chunk(*share)
        inputs = replace(inputs, x_TNF=self.hide_books(inputs.x_TNF, share[0]))
        targets = self.targets.chunk(*share, self.train_T, counted=mine)
        loss = take_step(
            self.network,
            state.optimizer,
            inputs,
            targets,
            clip_norm=self.plan.fit.clip_norm,
            reduced=self.reduced,
            known_SN=self.targets.chunk(*whole, self.train_T, counted=(start, stop)).known_CN,
            team=self.team,
        )
        state.step += 1
        _average_into(state.average, self.network, self.plan.fit.ema_decay, state.step)
        return loss / len(self.network.members)

    def _mean_of(self, losses: list[Tensor], state: FitState) -> float:
        values = torch.stack(losses).cpu()
        lost = (~values.isfinite()).nonzero().flatten()
        if len(lost):
            first = int(lost[0])
            raise TrainingDiverged(
                f"loss {float(values[first])} at epoch {state.epoch + 1}, "
                f"step {state.step - len(values) + first + 1}; "
                "expected a finite number; lower LEARNING_RATE or change SEED"
            )
        return float(values.mean())

    def validate(self, state: FitState) -> float:
        """RankIC of the averaged weights on the validation span, the first process's for all."""
        skill = torch.zeros((), dtype=torch.float64, device=self.device)
        if self.team.rank == 0:
            skill.fill_(self._rank_ic(state))
        self.team.follow_first([skill])
        return float(skill)

    def _rank_ic(self, state: FitState) -> float:
        weights = _copy(self.network)
        self.network.load_state_dict(state.average)
        rows = np.flatnonzero(self.split.validation_T)
        start, stop = int(rows[0]), int(rows[-1]) + 1
        rank_CN, _, _ = run_network(self.network, self.inputs, start, stop)
        self.network.load_state_dict(weights)
        known = self.targets.usable_TN[start:stop].cpu().numpy()
        known = known & self.split.validation_T[start:stop, None]
        return mean_rank_ic(rank_CN, self.graph.ret_TN[start:stop], known)

    def _generators(self) -> AbstractContextManager[None]:
        """In it, torch's generators may be seeded; behind it they are as they were."""
        return torch.random.fork_rng(
            [torch.cuda.current_device()] if self.device.type == "cuda" else []
        )

    def finish(self, state: FitState) -> TrainedModel:
        self.network.load_state_dict(state.best)
        self.network.eval()
        return TrainedModel(
            network=self.network,
            scaler=self.scaler,
            class_threshold=self.threshold,
            feature_names=self.graph.feature_names,
            edge_names=self.graph.edge_names,
            model_config=self.plan.model,
            label_config=self.plan.labels,
            history=tuple(state.history),
            best_epoch=state.best_epoch,
            seed=self.plan.seed,
        )


def is_reduced(precision: str, device: torch.device) -> bool:
    """Whether to multiply in bfloat16. `auto` does on CUDA only: docs/experiments.md has what it
    is worth on a CPU."""
    return precision == "bf16" or (precision == "auto" and device.type == "cuda")


def wants_fixed_shapes(device: torch.device) -> bool:
    """Whether every step is to have the same shapes, at the price of bars that do not count: a
    GPU can repeat what it has recorded then (CUDA graphs). To a CPU the short chunk at the end of a
    span is less work, and nothing else."""
    return device.type == "cuda"


def choose_device(wanted: str) -> torch.device:
    """`auto` takes CUDA when there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def rate_factor(share_done: float) -> float:
    """Share of the full learning rate: linear warm-up, then half a cosine down to zero."""
    if share_done < WARMUP_SHARE:
        return max(share_done, 1e-3) / WARMUP_SHARE
    return 0.5 * (1.0 + math.cos(math.pi * (share_done - WARMUP_SHARE) / (1.0 - WARMUP_SHARE)))


def without_graph(plan: FitPlan) -> FitPlan:
    """The same plan for the network with its graph layers left out."""
    return replace(plan, use_graph=False)


def _index(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def _average_into(average: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, step / (step + 10))  # start from the weights, not from their beginning
    for name, value in network.state_dict().items():
        average[name].lerp_(value, 1.0 - decay)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _best(state: FitState) -> float:
    return state.history[state.best_epoch - 1].val_rank_ic


def _has_stalled(state: FitState, patience: int) -> bool:
    return state.epoch - state.best_epoch >= patience


def _progress(state: FitState, plan: FitPlan) -> Progress:
    newest = state.history[-1]
    seconds = sum(entry.seconds for entry in state.history) / len(state.history)
    return Progress(
        stage="training" if plan.use_graph else "baseline without graph",
        done=newest.epoch,
        total=plan.epochs,
        fields={
            "epoch": newest.epoch,
            "epochs": plan.epochs,
            "loss": newest.loss,
            "val_rank_ic": newest.val_rank_ic,
            "eta_s": seconds * (plan.epochs - newest.epoch),
        },
    )
