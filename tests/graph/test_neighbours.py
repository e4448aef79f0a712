"""Neighbour means against a plain loop."""

from dataclasses import replace

import numpy as np

from gnn_trainer.graph.neighbours import neighbour_means
from tests.planted import planted_market


def test_neighbour_means_are_those_of_the_leaders_in_force_that_can_be_scored() -> None:
    rng = np.random.default_rng(0)
    graph = planted_market(strength=0.5, num_bars=300).graph
    graph = replace(graph, mask_TN=rng.random(graph.mask_TN.shape) < 0.7)
    x_TNF = rng.standard_normal(graph.x_TNF.shape).astype(np.float32)
    found_TNF = neighbour_means(graph, x_TNF)
    for bar in range(0, graph.num_bars, 13):
        leader_Nk = graph.edges_of(bar, bar + 1)[0][0]
        for symbol, leaders in enumerate(leader_Nk):
            heard = [leader for leader in leaders if leader >= 0 and graph.mask_TN[bar, leader]]
            expected = x_TNF[bar, heard].mean(axis=0) if heard else np.zeros(x_TNF.shape[-1])
            np.testing.assert_allclose(found_TNF[bar, symbol], expected, atol=1e-6)
