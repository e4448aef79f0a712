"""A fit that is stopped between two batches."""

from pathlib import Path

import pytest
import torch

from gnn_trainer.errors import StopRequested
from gnn_trainer.progress import Progress
from gnn_trainer.training.checkpoint import completed_epochs
from gnn_trainer.training.fit import best_so_far, fit
from gnn_trainer.training.trained import TrainedModel
from tests.planted import PlantedMarket, planted_market, small_plan


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    return planted_market(strength=0.5)


def ignore(progress: Progress) -> None:
    """Nobody is watching."""


def same(one: TrainedModel, other: TrainedModel) -> bool:
    weights = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


class StopInEpoch:
    """Asks to stop one batch into an epoch, counted from 1."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._done = 0
        self._asked = 0

    def on_progress(self, progress: Progress, /) -> None:
        self._done = int(progress.done)

    def __call__(self) -> bool:
        self._asked += self._done == self._epoch - 1
        return self._asked > 1


def stopped_fit(market: PlantedMarket, checkpoint: Path, epoch: int) -> None:
    stop = StopInEpoch(epoch)
    with pytest.raises(StopRequested, match=f"epoch {epoch} of 4"):
        fit(
            market.graph,
            market.split,
            small_plan(epochs=4),
            on_progress=stop.on_progress,
            checkpoint=checkpoint,
            identity="a",
            should_stop=stop,
        )


def test_a_stop_acts_before_the_next_batch_and_leaves_the_last_whole_epoch(
    market: PlantedMarket, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "fit.safetensors"

    stopped_fit(market, checkpoint, epoch=3)

    assert completed_epochs(checkpoint, "a") == 2
    assert completed_epochs(checkpoint, "b") == 0
    assert completed_epochs(tmp_path / "absent", "a") == 0


def test_a_fit_stopped_in_an_epoch_resumes_to_the_weights_of_one_that_was_not(
    market: PlantedMarket, tmp_path: Path
) -> None:
    whole = fit(market.graph, market.split, small_plan(epochs=4), on_progress=ignore)
    checkpoint = tmp_path / "fit.safetensors"
    stopped_fit(market, checkpoint, epoch=3)

    resumed = fit(
        market.graph,
        market.split,
        small_plan(epochs=4),
        on_progress=ignore,
        checkpoint=checkpoint,
        identity="a",
    )

    assert same(resumed, whole)


def test_the_best_model_so_far_is_that_of_the_best_whole_epoch(
    market: PlantedMarket, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "fit.safetensors"
    stopped_fit(market, checkpoint, epoch=3)
    plan = small_plan(epochs=4)

    best = best_so_far(market.graph, market.split, plan, checkpoint=checkpoint, identity="a")

    assert best is not None
    assert len(best.history) == 2
    assert 1 <= best.best_epoch <= 2
    other = best_so_far(market.graph, market.split, plan, checkpoint=checkpoint, identity="b")
    assert other is None
