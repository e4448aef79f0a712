"""Placebo graphs keep what they claim to keep and know nothing too early."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.placebos import (
    Placebo,
    placebo_graph,
    random_graph,
    shuffled_graph,
    static_graph,
)
from tests.planted import planted_market

MARKET = planted_market(strength=0.5, num_bars=400)
GRAPH = MARKET.graph


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_random_graph_keeps_degrees_attributes_and_churn(seed: int) -> None:
    placebo = random_graph(GRAPH, seed)
    np.testing.assert_array_equal(placebo.leader_RNk >= 0, GRAPH.leader_RNk >= 0)
    np.testing.assert_array_equal(placebo.edge_attr_RNkE, GRAPH.edge_attr_RNkE)
    assert placebo.churn() == GRAPH.churn()
    for leader_Nk in placebo.leader_RNk:
        for follower, leaders in enumerate(leader_Nk):
            heard = leaders[leaders >= 0]
            assert follower not in heard
            assert len(set(heard)) == len(heard)


def test_a_random_graph_loses_the_planted_leaders() -> None:
    leaders = random_graph(GRAPH, seed=0).leader_RNk[-1]
    kept = np.mean([MARKET.leader_N[i] in leaders[i] for i in range(GRAPH.num_symbols)])
    assert kept < 0.8
    assert all(MARKET.leader_N[i] in GRAPH.leader_RNk[-1][i] for i in range(GRAPH.num_symbols))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_shuffled_graph_is_never_from_the_future(seed: int) -> None:
    placebo = shuffled_graph(GRAPH, seed)
    for refresh, attr_NkE in enumerate(placebo.edge_attr_RNkE):
        past = GRAPH.edge_attr_RNkE[: refresh + 1]
        assert any(np.array_equal(attr_NkE, earlier) for earlier in past)


def test_a_static_graph_is_that_of_the_end_of_the_training_span() -> None:
    placebo = static_graph(GRAPH, MARKET.split)
    last = int(np.flatnonzero(MARKET.split.train_T)[-1])
    expected, _ = GRAPH.edges_of(last, last + 1)
    everywhere, _ = placebo.edges_of(0, GRAPH.num_bars)
    assert (everywhere == expected).all()


def test_placebos_are_chosen_by_name() -> None:
    assert EvaluationConfig(placebos="static, random").placebo_graphs == ("random", "static")
    assert EvaluationConfig(placebos="").placebo_graphs == ()
    with pytest.raises(ValidationError, match="not rnadom"):
        EvaluationConfig(placebos="rnadom")


@pytest.mark.parametrize("kind", get_args(Placebo))
def test_later_bars_change_nothing_about_the_placebo_of_earlier_ones(kind: Placebo) -> None:
    num_learned = MARKET.split.num_learned
    alone = placebo_graph(kind, GRAPH.first(num_learned), MARKET.split.first(num_learned), seed=7)
    whole = placebo_graph(kind, GRAPH, MARKET.split, seed=7)
    for now, later in zip(
        alone.edges_of(0, num_learned), whole.edges_of(0, num_learned), strict=True
    ):
        np.testing.assert_array_equal(now, later)
