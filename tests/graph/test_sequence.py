"""GraphSequence: what is in force when, and the torch_geometric view of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnn_trainer.adapters.datasets import fingerprint
from gnn_trainer.errors import StopRequested
from gnn_trainer.features.build import build_features
from gnn_trainer.graph.assemble import draw_edges, signals_of
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import edge_rules
from gnn_trainer.graph.sequence import GraphSequence
from tests.features.small_markets import SMALL_WINDOWS, small_market
from tests.planted import planted_market, sequence_of


@pytest.fixture(scope="module")
def graph() -> GraphSequence:
    return planted_market(strength=0.4, num_bars=300).graph


def test_edges_do_not_read_the_future(graph: GraphSequence) -> None:
    returns = graph.past_ret_TN / 0.01
    whole = sequence_of(returns, np.random.default_rng(5))
    changed = returns.copy()
    changed[200:] = 1e6 * np.random.default_rng(6).standard_normal(changed[200:].shape)
    poisoned = sequence_of(changed, np.random.default_rng(5))
    for now, then in zip(whole.edges_of(0, 200), poisoned.edges_of(0, 200), strict=True):
        np.testing.assert_array_equal(now, then)


def test_no_edges_before_the_warm_up(graph: GraphSequence) -> None:
    leader, _ = graph.edges_of(0, 60)
    assert (leader[:49] == -1).all()
    assert (leader[49:] >= 0).any()


def test_snapshot_is_the_bar_as_a_torch_geometric_graph(graph: GraphSequence) -> None:
    data = graph.snapshot(250)
    assert data.validate(raise_on_error=True)
    assert data.x.shape == (graph.num_symbols, len(graph.feature_names))
    assert data.edge_index.shape[0] == 2
    assert data.edge_attr.shape == (data.edge_index.shape[1], graph.num_edge_attrs)
    assert data.time == graph.open_time_T[250]
    assert data.symbols == list(graph.symbols)
    assert torch.equal(data.y, torch.from_numpy(graph.ret_TN[250].astype(np.float32)))
    assert data.mask.all()
    leader, attr = graph.edges_of(250, 251)
    for edge in range(data.edge_index.shape[1]):
        source, target = data.edge_index[:, edge].tolist()
        slot = leader[0, target].tolist().index(source)
        np.testing.assert_array_equal(data.edge_attr[edge], attr[0, target, slot])


def test_the_first_bars_are_those_of_a_run_that_had_no_more(graph: GraphSequence) -> None:
    returns, num_bars = graph.past_ret_TN / 0.01, 210
    whole = sequence_of(returns, np.random.default_rng(5))
    changed = returns.copy()
    changed[num_bars + 5 :] *= -3.0
    other = sequence_of(changed, np.random.default_rng(5))
    assert fingerprint(whole.first(num_bars)) == fingerprint(other.first(num_bars))
    assert len(whole.first(num_bars).leader_RNk) < len(whole.leader_RNk)
    assert fingerprint(whole.first(num_bars)) != fingerprint(whole.first(num_bars + 1))


def test_density_and_churn_count_edges(graph: GraphSequence) -> None:
    one = np.array([[[1], [-1]], [[1], [0]]], dtype=np.int32)
    small = replace(graph, symbols=("A", "B"), leader_RNk=one)
    assert small.density() == pytest.approx(0.75)
    assert small.churn() == pytest.approx(0.5)


def test_a_stop_ends_the_drawing_between_two_refreshes() -> None:
    answers = iter((False, False, True))
    features = build_features(small_market(num_bars=120), SMALL_WINDOWS)
    config = GraphConfig(warmup_bars=40, refresh_bars=10)
    with pytest.raises(StopRequested, match="stopped at bar 50 of 120"):
        draw_edges(
            edge_rules(signals_of(features), config), config, should_stop=lambda: next(answers)
        )
