"""Graphs that look like the market's and mean less: what the network must beat to claim the graph.

All keep the number of incoming edges and their attributes; none reads a bar later than the graph
it replaces, except that the static graph is known from the end of the training span throughout.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.splits import Split

Placebo = Literal["random", "shuffled", "static"]


def placebo_graph(kind: Placebo, graph: GraphSequence, split: Split, seed: int) -> GraphSequence:
    """The sequence with its edges replaced."""
    if kind == "random":
        return random_graph(graph, seed)
    if kind == "shuffled":
        return shuffled_graph(graph, seed)
    return static_graph(graph, split)


def random_graph(graph: GraphSequence, seed: int) -> GraphSequence:
    """Every follower hears other symbols than its leaders, at random, with the leaders' attributes.

    Each follower has one relabelling of the others for all time, so in-degree, attributes and
    churn stay as they are and only whom an edge comes from is wrong.
    """
    rng = np.random.default_rng(seed)
    num_symbols = graph.num_symbols
    relabelled_NN = np.stack(
        [_relabelling(follower, num_symbols, rng) for follower in range(num_symbols)]
    )
    leader_RNk = graph.leader_RNk
    other_RNk = relabelled_NN[np.arange(num_symbols)[:, None], np.maximum(leader_RNk, 0)]
    return replace(graph, leader_RNk=np.where(leader_RNk >= 0, other_RNk, np.int32(-1)))


def shuffled_graph(graph: GraphSequence, seed: int) -> GraphSequence:
    """At each refresh some graph drawn until then, each as likely: the right ones out of order."""
    refreshes = len(graph.leader_RNk)
    past_R = np.random.default_rng(seed).integers(np.arange(refreshes) + 1)
    return replace(
        graph,
        leader_RNk=graph.leader_RNk[past_R],
        edge_attr_RNkE=graph.edge_attr_RNkE[past_R],
    )


def static_graph(graph: GraphSequence, split: Split) -> GraphSequence:
    """The graph in force at the end of the training span, for all bars, earlier ones included."""
    last = int(np.flatnonzero(split.train_T)[-1])
    refresh = int(graph.refresh_T[last])
    if refresh < 0:
        return graph
    return replace(
        graph,
        leader_RNk=graph.leader_RNk[refresh : refresh + 1],
        edge_attr_RNkE=graph.edge_attr_RNkE[refresh : refresh + 1],
        refresh_T=np.zeros_like(graph.refresh_T),
    )


def _relabelling(follower: int, num_symbols: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of all symbols that keeps the follower where it is."""
    others = np.delete(np.arange(num_symbols, dtype=np.int32), follower)
    relabelled = np.full(num_symbols, follower, dtype=np.int32)
    relabelled[others] = rng.permutation(others)
    return relabelled
