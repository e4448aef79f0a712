"""Importance and portrait on a market whose leaders and whose informative features are known."""

from dataclasses import replace

import numpy as np
import pytest

from gnn_trainer.errors import StopRequested
from gnn_trainer.evaluation.importance import permutation_importance
from gnn_trainer.evaluation.portrait import MOST_LEADS, portrait_of
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import fit
from gnn_trainer.training.trained import TrainedModel
from tests.planted import PlantedMarket, planted_market, small_plan


def ignore(progress: Progress) -> None:
    """Nobody is watching."""


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    return planted_market(strength=1.0)


@pytest.fixture(scope="module")
def model(market: PlantedMarket) -> TrainedModel:
    return fit(market.graph, market.split, small_plan(epochs=6), on_progress=ignore)


def test_what_moves_the_market_is_most_important(
    market: PlantedMarket, model: TrainedModel
) -> None:
    found = permutation_importance(model, market.graph, market.split.validation_T)
    best = max(found, key=lambda feature: feature.lost.mean)
    assert best.feature == market.graph.feature_names[0]  # the return of the bar just closed
    assert best.lost.low > 0.05
    assert all(f.lost.high < best.lost.low for f in found if f is not best)


def test_only_features_that_the_model_reads_are_asked_about(
    market: PlantedMarket, model: TrainedModel
) -> None:
    used_F = model.scaler.used_F.copy()
    used_F[1:] = False
    reads_one = replace(model, scaler=replace(model.scaler, used_F=used_F))
    found = permutation_importance(reads_one, market.graph, market.split.validation_T)
    assert [feature.feature for feature in found] == [market.graph.feature_names[0]]


def test_a_stop_ends_it(market: PlantedMarket, model: TrainedModel) -> None:
    with pytest.raises(StopRequested):
        permutation_importance(
            model, market.graph, market.split.validation_T, should_stop=lambda: True
        )


def test_the_heaviest_leads_are_the_planted_ones(market: PlantedMarket) -> None:
    portrait = portrait_of(market.graph, market.split.test_T)
    planted = {(lead.leader, lead.follower) for lead in market.truth.leads}
    heaviest = {(lead.leader, lead.follower) for lead in portrait.leads[: len(planted)]}
    assert len(heaviest & planted) >= 0.9 * len(planted)
    assert len(portrait.leads) <= MOST_LEADS
    weights = [lead.weight for lead in portrait.leads]
    assert weights == sorted(weights, reverse=True)


def test_density_and_churn_are_those_of_the_graph(market: PlantedMarket) -> None:
    portrait = portrait_of(market.graph, market.split.test_T)
    assert len(portrait.density) == len(market.graph.leader_RNk)  # few enough, none left out
    assert np.mean(portrait.density) == pytest.approx(market.graph.density())
    assert np.mean(portrait.churn[1:]) == pytest.approx(market.graph.churn())


def test_a_span_before_the_first_graph_has_no_leads(market: PlantedMarket) -> None:
    before_T = market.graph.refresh_T < 0
    portrait = portrait_of(market.graph, before_T)
    assert portrait.refreshes == 0
    assert portrait.leads == ()
