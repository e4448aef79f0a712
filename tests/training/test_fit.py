"""Fitting: it learns, repeats itself, carries on where it stopped, and refuses nonsense."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gnn_trainer.errors import DataError, TrainingDiverged
from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import FitPlan, fit, rate_factor, without_graph
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import BookDropout, shuffled_chunks, usable_rows
from gnn_trainer.training.trained import TrainedModel
from tests.planted import PlantedMarket, planted_market, small_plan


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    return planted_market(strength=0.5)


def ignore(progress: Progress) -> None:
    """Nobody is watching."""


def weights(model: TrainedModel) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def same(one: TrainedModel, other: TrainedModel) -> bool:
    pairs = zip(weights(one).values(), weights(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def skill_on_test_span(model: TrainedModel, market: PlantedMarket) -> float:
    graph = market.graph
    scores = score_bars(model, graph, 0, graph.num_bars)
    known = usable_rows(graph) & market.split.test_T[:, None]
    return mean_rank_ic(scores.rank_CN, graph.ret_TN, known)


def test_the_same_seed_gives_the_same_loss_bit_for_bit(market: PlantedMarket) -> None:
    first = fit(market.graph, market.split, small_plan(epochs=2), on_progress=ignore)
    again = fit(market.graph, market.split, small_plan(epochs=2), on_progress=ignore)
    assert [e.loss for e in first.history] == [e.loss for e in again.history]
    assert same(first, again)


def test_another_seed_gives_another_network(market: PlantedMarket) -> None:
    first = fit(market.graph, market.split, small_plan(epochs=1), on_progress=ignore)
    other = fit(market.graph, market.split, small_plan(epochs=1, seed=2), on_progress=ignore)
    assert not same(first, other)


def test_one_batch_can_be_overfitted(market: PlantedMarket) -> None:
    rows = np.zeros(market.graph.num_bars, dtype=np.bool_)
    rows[200:232] = True
    split = Split(train_T=rows, validation_T=rows, test_T=market.split.test_T)
    plan = small_plan(epochs=150, learning_rate=2e-2)
    plan = replace(
        plan,
        model=plan.model.model_copy(update={"dropout": 0.0, "head_dropout": 0.0}),
        fit=plan.fit.model_copy(update={"patience": 150}),
    )
    model = fit(market.graph, split, plan, on_progress=ignore)
    assert model.history[0].val_rank_ic < 0.6
    assert max(entry.val_rank_ic for entry in model.history) > 0.9


def test_the_planted_lead_is_learned_and_only_the_graph_can_know_it(
    market: PlantedMarket,
) -> None:
    oracle = mean_rank_ic(
        market.expected_TN,
        market.graph.ret_TN,
        usable_rows(market.graph) & market.split.test_T[:, None],
    )
    plan = small_plan(epochs=12)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    plain = fit(market.graph, market.split, without_graph(plan), on_progress=ignore)
    assert skill_on_test_span(model, market) > 0.7 * oracle
    assert skill_on_test_span(plain, market) < 0.3 * oracle


def test_scaler_and_threshold_see_the_training_span_only(market: PlantedMarket) -> None:
    later = ~market.split.train_T
    changed = market.graph.x_TNF.copy()
    changed[later] = 50.0 * changed[later] + 3.0
    moved = np.where(later[:, None], 40.0 * market.graph.ret_TN, market.graph.ret_TN)
    poisoned = replace(market.graph, x_TNF=changed, ret_TN=moved)
    plan = small_plan(epochs=1)
    clean = fit(market.graph, market.split, plan, on_progress=ignore)
    dirty = fit(poisoned, market.split, plan, on_progress=ignore)
    np.testing.assert_array_equal(clean.scaler.mean_F, dirty.scaler.mean_F)
    np.testing.assert_array_equal(clean.scaler.scale_F, dirty.scaler.scale_F)
    assert clean.class_threshold == dirty.class_threshold


def test_the_test_span_changes_nothing_about_the_fit(market: PlantedMarket) -> None:
    test_rows = market.split.test_T[:, None]
    noise = np.random.default_rng(0).standard_normal(market.graph.ret_TN.shape)
    poisoned = replace(market.graph, ret_TN=np.where(test_rows, noise, market.graph.ret_TN))
    plan = small_plan(epochs=2)
    assert same(
        fit(market.graph, market.split, plan, on_progress=ignore),
        fit(poisoned, market.split, plan, on_progress=ignore),
    )


class Stopped(Exception):
    """Raised by a listener in place of a killed process."""


def test_an_interrupted_fit_ends_with_the_weights_of_an_uninterrupted_one(
    market: PlantedMarket, tmp_path: Path
) -> None:
    plan = small_plan(epochs=4)
    whole = fit(market.graph, market.split, plan, on_progress=ignore)

    def stop_after_two(progress: Progress) -> None:
        if progress.done == 2:
            raise Stopped

    checkpoint = tmp_path / "fit.safetensors"
    with pytest.raises(Stopped):
        fit(
            market.graph,
            market.split,
            plan,
            on_progress=stop_after_two,
            checkpoint=checkpoint,
            identity="a",
        )
    seen: list[float] = []
    resumed = fit(
        market.graph,
        market.split,
        plan,
        on_progress=lambda progress: seen.append(progress.done),
        checkpoint=checkpoint,
        identity="a",
    )
    assert seen == [3, 4]
    assert same(whole, resumed)
    assert resumed.best_epoch == whole.best_epoch


def test_a_checkpoint_of_another_run_is_not_used(market: PlantedMarket, tmp_path: Path) -> None:
    checkpoint = tmp_path / "fit.safetensors"
    plan = small_plan(epochs=1)
    for identity in ("a", "b"):
        seen: list[float] = []
        fit(
            market.graph,
            market.split,
            plan,
            on_progress=lambda progress, seen=seen: seen.append(progress.done),
            checkpoint=checkpoint,
            identity=identity,
        )
        assert seen == [1]


def test_a_damaged_checkpoint_is_started_over(market: PlantedMarket, tmp_path: Path) -> None:
    checkpoint = tmp_path / "fit.safetensors"
    checkpoint.write_bytes(b"half a file")
    model = fit(
        market.graph,
        market.split,
        small_plan(epochs=1),
        on_progress=ignore,
        checkpoint=checkpoint,
        identity="a",
    )
    assert len(model.history) == 1


def test_fitting_stops_when_validation_no_longer_improves(market: PlantedMarket) -> None:
    plan = small_plan(epochs=60)
    patient = replace(plan, fit=plan.fit.model_copy(update={"patience": 2}))
    model = fit(market.graph, market.split, patient, on_progress=ignore)
    assert len(model.history) == model.best_epoch + 2


def test_a_loss_that_is_not_finite_stops_the_fit_in_its_epoch(market: PlantedMarket) -> None:
    with pytest.raises(TrainingDiverged, match=r"loss nan at epoch 1, step \d"):
        fit(market.graph, market.split, small_plan(learning_rate=1e30), on_progress=ignore)


def test_a_span_of_masked_bars_is_an_error_with_its_size(market: PlantedMarket) -> None:
    masked = market.graph.mask_TN & ~market.split.validation_T[:, None]
    with pytest.raises(DataError, match="validation span of 1"):
        fit(
            replace(market.graph, mask_TN=masked),
            market.split,
            small_plan(),
            on_progress=ignore,
        )


def test_progress_tells_epoch_loss_rank_ic_and_time_left(market: PlantedMarket) -> None:
    told: list[Progress] = []
    fit(market.graph, market.split, small_plan(epochs=2), on_progress=told.append)
    assert [progress.fraction for progress in told] == [0.5, 1.0]
    assert {"epoch", "epochs", "loss", "val_rank_ic", "eta_s"} <= set(told[0].fields)


def test_chunks_cover_the_training_span_once_and_nothing_else() -> None:
    rows = np.zeros(100, dtype=np.bool_)
    rows[10:95] = True
    chunks = shuffled_chunks(rows, 16, np.random.default_rng(3))
    covered = np.sort(np.concatenate([np.arange(start, stop) for start, stop in chunks]))
    np.testing.assert_array_equal(covered, np.arange(10, 95))


def test_learning_rate_warms_up_then_falls_to_nothing() -> None:
    factors = [rate_factor(share) for share in np.linspace(0.0, 1.0, 101)]
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert int(np.argmax(factors)) <= 6
    assert factors[-1] == pytest.approx(0.0)


def test_a_graph_with_other_features_is_refused(market: PlantedMarket) -> None:
    plan: FitPlan = small_plan(epochs=1)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    renamed = replace(market.graph, feature_names=tuple("abcde"))
    with pytest.raises(ValueError, match="features"):
        score_bars(model, renamed, 0, 10)


def test_hidden_books_look_like_books_never_recorded(market: PlantedMarket) -> None:
    book = np.random.default_rng(0).standard_normal((*market.graph.mask_TN.shape, 1))
    has_book = np.ones_like(book)
    has_book[::2] = 0.0
    features = np.concatenate((market.graph.x_TNF, has_book, np.where(has_book, book, np.nan)), -1)
    graph = replace(
        market.graph,
        feature_names=(*market.graph.feature_names, "has_book", "book_imbalance_5"),
        x_TNF=features.astype(np.float32),
    )
    scaler = fit_scaler(graph.x_TNF, graph.mask_TN)
    hide = BookDropout(graph, scaler, 0.5, 0, torch.device("cpu"))
    x = torch.from_numpy(scaler.apply(graph.x_TNF))
    hide.draw(np.random.default_rng(0))
    hidden = hide(x, 0)
    changed = (hidden != x).any(dim=-1).all(dim=-1).numpy()
    assert 0.3 < changed[1::2].mean() < 0.7
    assert not changed[::2].any()
    assert torch.equal(hidden[changed][:, :, -2:], x[0, :, -2:].expand(changed.sum(), -1, -1))
    assert torch.equal(hidden[..., :-2], x[..., :-2])
    assert torch.equal(hide(x[4:9], 4), hidden[4:9])
