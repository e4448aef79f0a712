"""Planted edges found, missed and made up, counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gnn_trainer.evaluation.recovery import PlantedLead, edge_recovery
from gnn_trainer.graph.sequence import GraphSequence
from tests.planted import planted_market

LEADS = (
    PlantedLead("S1USDT", "S0USDT", 1),
    PlantedLead("S2USDT", "S0USDT", 3),
    PlantedLead("S5USDT", "S3USDT", 2),
    PlantedLead("S5USDT", "ELSEWHERE", 2),  # not in the run, not counted
)


@pytest.fixture
def graph() -> GraphSequence:
    """One graph: S1 -> S0 at lag 1, S2 -> S0 at lag 2 (strongest), S9 -> S3 at lag 1; no more."""
    base = planted_market(strength=0.5, num_bars=300).graph
    lag = {lag: base.edge_names.index(f"lead_{lag}") for lag in (1, 2, 3)}
    leader_RNk = np.full((1, 10, 2), -1, np.int32)
    attr_RNkE = np.zeros((1, 10, 2, base.num_edge_attrs), np.float32)
    leader_RNk[0, 0] = (1, 2)
    leader_RNk[0, 3, 0] = 9
    attr_RNkE[0, 0, 0, lag[1]] = 0.5
    attr_RNkE[0, 0, 1, lag[2]] = -0.9
    attr_RNkE[0, 3, 0, lag[1]] = 0.2
    return replace(
        base,
        leader_RNk=leader_RNk,
        edge_attr_RNkE=attr_RNkE,
        refresh_T=np.zeros(base.num_bars, np.int64),
    )


def test_counts(graph: GraphSequence) -> None:
    found = edge_recovery(graph, np.ones(graph.num_bars, np.bool_), LEADS)
    assert found is not None
    assert found.planted == 3
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.strongest == pytest.approx(2 / 3)
    assert found.delay == pytest.approx(1 / 2)


def test_nothing_planted_or_nothing_drawn_is_no_figure(graph: GraphSequence) -> None:
    rows_T = np.ones(graph.num_bars, np.bool_)
    assert edge_recovery(graph, rows_T, ()) is None
    undrawn = replace(graph, refresh_T=np.full(graph.num_bars, -1, np.int64))
    assert edge_recovery(undrawn, rows_T, LEADS) is None
