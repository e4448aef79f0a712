"""Shares of a step make the step, and processes that share a fit end with the same network."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from gnn_trainer.errors import ConfigError, ProcessLost, StopRequested, TrainingDiverged
from gnn_trainer.progress import Progress
from gnn_trainer.training import processes
from gnn_trainer.training.fit import FitPlan, _Session, fit
from gnn_trainer.training.samples import widened
from gnn_trainer.training.team import Team
from gnn_trainer.training.trained import TrainedModel
from tests.planted import PlantedMarket, planted_market, small_plan


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    return planted_market(strength=0.5)


def ignore(progress: Progress, /) -> None:
    """Nobody is watching."""


def shared(plan: FitPlan, size: int = 2) -> FitPlan:
    return replace(plan, fit=plan.fit.model_copy(update={"processes": size}))


class Apart(Team):
    """One process of a team whose sums are never made: its gradients are of its share."""

    def add_up(self, loss: torch.Tensor, parameters: object) -> torch.Tensor:
        return loss


def gradients(
    market: PlantedMarket, team: Team, bars: tuple[int, int], step_bars: int
) -> list[torch.Tensor]:
    """Of one step on these bars, dropout included."""
    session = _Session(market.graph, market.split, small_plan(), lambda: False, team)
    session.step_bars = step_bars
    state = session.start()
    session.network.train()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        session._step(state, *bars)
    return [part.grad for part in session.network.parameters() if part.grad is not None]


@pytest.mark.parametrize(
    ("size", "bars", "step_bars"),
    [(3, (100, 164), 1), (3, (100, 102), 1), (2, (0, 21), 64), (1, (535, 540), 64)],
    ids=["uneven", "fewer bars than processes", "fixed shapes", "fixed shapes at the end"],
)
def test_gradients_of_shares_add_up_to_those_of_the_step(
    market: PlantedMarket,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    bars: tuple[int, int],
    step_bars: int,
) -> None:
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda parameters, norm: None)
    whole = gradients(market, Team(), bars, 1)
    shares = [gradients(market, Apart(rank, size), bars, step_bars) for rank in range(size)]
    for expected, *parts in zip(whole, *shares, strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(sum(parts), expected, rtol=0, atol=1e-5 * scale + 1e-8)


def test_shares_are_disjoint_and_leave_nothing_out() -> None:
    shares = [Team(rank, 3).share_of(10, 15) for rank in range(3)]
    assert [bar for share in shares for bar in range(*share)] == list(range(10, 15))


def test_bars_are_added_inside_the_span_only() -> None:
    assert widened(10, 15, 8, (0, 100)) == (10, 18)
    assert widened(95, 100, 8, (0, 100)) == (92, 100)
    assert widened(2, 4, 8, (2, 6)) == (2, 6)
    assert widened(100, 100, 1, (0, 100)) == (99, 100)


def test_two_processes_carry_on_to_the_network_of_one(
    market: PlantedMarket, tmp_path: Path
) -> None:
    plan, checkpoint = small_plan(epochs=3), tmp_path / "fit.safetensors"
    alone = fit(market.graph, market.split, plan, on_progress=ignore)
    heard: list[Progress] = []
    with pytest.raises(StopRequested):
        fit(
            market.graph,
            market.split,
            plan,
            on_progress=heard.append,
            checkpoint=checkpoint,
            identity="a",
            should_stop=lambda: bool(heard),
        )

    together = fit(
        market.graph,
        market.split,
        shared(plan),
        on_progress=heard.append,
        checkpoint=checkpoint,
        identity="a",
    )

    assert [progress.done for progress in heard] == [1, 2, 3]
    assert together.best_epoch == alone.best_epoch
    np.testing.assert_allclose(
        [entry.loss for entry in together.history],
        [entry.loss for entry in alone.history],
        rtol=1e-5,
    )
    for one, other in zip(compared(together), compared(alone), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def compared(model: TrainedModel) -> list[torch.Tensor]:
    """All weights but the rank outputs' offset, which no loss depends on: it follows rounding."""
    state = model.network.state_dict()
    for name in state:
        if name.endswith(("own.bias", "plain.bias")):
            state[name] = state[name][1:]
    return list(state.values())


def test_a_process_that_is_killed_ends_the_fit_and_the_others(market: PlantedMarket) -> None:
    torchrun: list[psutil.Process] = []

    def kill_one() -> bool:
        if not torchrun:
            torchrun.extend(psutil.Process().children())
        ranks = [rank for started in torchrun for rank in children(started)]
        if len(ranks) == 2:
            ranks[1].kill()
        return False

    with pytest.raises(ProcessLost, match="one of the 2 processes"):
        fit(
            market.graph,
            market.split,
            shared(small_plan()),
            on_progress=ignore,
            should_stop=kill_one,
        )
    assert not any(process.is_running() for process in torchrun)


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = process.children()
    except psutil.NoSuchProcess:
        return []
    return found


def test_what_is_no_message_is_passed_over() -> None:
    program = "print('a library speaks'); print('{\"progress\": {}}')"
    said = processes._said_by([sys.executable, "-c", program], 2, lambda: False)
    assert list(said) == [{"progress": {}}]


def test_a_failure_of_a_process_is_raised_as_its_own_kind() -> None:
    error = processes._error(kind="TrainingDiverged", message="loss nan")
    assert isinstance(error, TrainingDiverged)
    assert str(error) == "loss nan"


@pytest.mark.parametrize("ending", ["sys.stdin.read()", "threading.Event().wait()"])
def test_a_stop_ends_processes_whether_they_hear_it_or_not(
    ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "Event" in ending:
        monkeypatch.setattr(processes, "END_TIMEOUT_S", 0.05)
    program = f"import sys, threading; {ending}"
    asking = processes._said_by([sys.executable, "-c", program], 2, lambda: True)
    assert next(asking) is None
    asking.close()
    assert not psutil.Process().children()


def test_more_processes_than_gpus_are_refused(
    market: PlantedMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    plan = shared(small_plan())
    plan = replace(plan, fit=plan.fit.model_copy(update={"device": "auto"}))
    with pytest.raises(ConfigError, match=r"fit.processes 2 are more than the 1 GPUs"):
        fit(market.graph, market.split, plan, on_progress=ignore)
