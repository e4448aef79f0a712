"""The start of a fit: least squares on the training span, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.labels import fit_class_threshold
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.training.samples import InputTensors, TargetTensors, normal_scores, usable_rows
from gnn_trainer.training.start import start_plain
from tests.planted import PlantedMarket, planted_market, small_plan

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    return planted_market(strength=0.5)


def started(
    graph: GraphSequence, market: PlantedMarket, *, use_graph: bool
) -> tuple[Ensemble, InputTensors]:
    plan, train_T = small_plan(), market.split.train_T
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Ensemble(
            plan.model,
            num_features=len(graph.feature_names),
            num_edge_attrs=graph.num_edge_attrs,
            use_graph=use_graph,
        ).eval()
    scaler = fit_scaler(graph.x_TNF, graph.mask_TN & train_T[:, None])
    threshold = fit_class_threshold(graph.labels, train_T, plan.labels)
    inputs = InputTensors(graph, scaler, network.history_bars, CPU)
    targets = TargetTensors(graph, threshold, plan.labels, CPU)
    start_plain(network, inputs, targets, torch.from_numpy(train_T))
    return network, inputs


def test_without_graph_it_orders_symbols_as_least_squares_does(market: PlantedMarket) -> None:
    graph, train_T = market.graph, market.split.train_T
    network, inputs = started(graph, market, use_graph=False)
    chunk = inputs.chunk(0, graph.num_bars)
    usable = usable_rows(graph) & train_T[:, None]
    x = chunk.x_TNF[network.history_bars :].numpy()
    plain = LinearRegression().fit(x[usable], normal_scores(graph.ret_TN, usable)[usable])
    score = network(chunk.x_TNF, chunk.edges).rank_CN.detach().numpy()
    assert np.corrcoef(score[usable], plain.predict(x[usable]))[0, 1] > 0.999
    assert score[usable].std() == pytest.approx(1.0, abs=0.02)


def test_chances_begin_at_the_shares_of_the_training_span(market: PlantedMarket) -> None:
    network, inputs = started(market.graph, market, use_graph=True)
    chunk = inputs.chunk(0, market.graph.num_bars)
    heads = network(chunk.x_TNF, chunk.edges)
    chance = heads.logits_CN3.softmax(dim=-1)[torch.from_numpy(market.split.train_T)]
    assert chance.mean(dim=(0, 1)).tolist() == pytest.approx([1 / 3] * 3, abs=0.05)


def test_later_bars_change_nothing(market: PlantedMarket) -> None:
    later = ~market.split.train_T[:, None]
    moved = np.where(later, 40.0, market.graph.ret_TN)
    changed = np.where(later[..., None], -9.0, market.graph.x_TNF)
    poisoned = replace(market.graph, ret_TN=moved, x_TNF=changed.astype(np.float32))
    clean, _ = started(market.graph, market, use_graph=True)
    dirty, _ = started(poisoned, market, use_graph=True)
    weights = zip(clean.state_dict().values(), dirty.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_a_feature_that_never_moves_is_left_alone(market: PlantedMarket) -> None:
    still = market.graph.x_TNF.copy()
    still[..., 3] = 7.0
    network, _ = started(replace(market.graph, x_TNF=still), market, use_graph=True)
    weight = network.members[0].plain.weight
    assert torch.isfinite(weight).all()
    assert (weight[:, 3] == 0.0).all()
