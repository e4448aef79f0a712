"""A graph for the eye: its steadiest leads in a span, its density and churn over time."""

import numpy as np

from gnn_trainer.evaluation.exhibits import Lead, Portrait
from gnn_trainer.evaluation.recovery import LEAD
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray

MOST_LEADS = 40
CURVE_POINTS = 200


def portrait_of(graph: GraphSequence, rows_T: BoolArray) -> Portrait:
    """Of the graphs in force at `rows_T`, which need not have any."""
    span = np.unique(graph.refresh_T[rows_T])
    span = span[span >= 0]
    count = graph.num_symbols
    share_NN, weight_NN = np.zeros((count, count)), np.zeros((count, count))
    for refresh in span:
        weighed_NN = _weights(graph, int(refresh))
        share_NN += np.isfinite(weighed_NN) / len(span)
        weight_NN += np.nan_to_num(weighed_NN) / len(span)
    heaviest = np.argsort(-weight_NN, axis=None, kind="stable")[:MOST_LEADS]
    pairs = [divmod(int(place), count) for place in heaviest if share_NN.flat[place] > 0.0]
    times, density, churn = _curves(graph)
    followed_N = share_NN.sum(axis=0)
    return Portrait(
        symbols=count,
        refreshes=len(span),
        leads=tuple(
            Lead(
                leader=graph.symbols[leader],
                follower=graph.symbols[follower],
                share=float(share_NN[follower, leader]),
                weight=float(weight_NN[follower, leader]),
            )
            for follower, leader in pairs
        ),
        followers={
            graph.symbols[leader]: float(followed_N[leader])
            for leader in np.argsort(-followed_N, kind="stable")
        },
        time_ms=times,
        density=density,
        churn=churn,
    )


def _weights(graph: GraphSequence, refresh: int) -> FloatArray:
    """[follower, leader]: the edge's largest lead correlation, 1 if none is known; NaN: no edge."""
    columns = [place for place, name in enumerate(graph.edge_names) if name.startswith(LEAD)]
    leader_Nk = graph.leader_RNk[refresh]
    follower, slot = np.nonzero(leader_Nk >= 0)
    weight_NN = np.full((graph.num_symbols, graph.num_symbols), np.nan)
    size_E: FloatArray | float = 1.0
    if columns:
        size_E = np.abs(graph.edge_attr_RNkE[refresh][follower, slot][:, columns]).max(axis=1)
    weight_NN[follower, leader_Nk[follower, slot]] = size_E
    return weight_NN


def _curves(
    graph: GraphSequence,
) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Times, density and churn of at most CURVE_POINTS refreshes; churn against the one before."""
    drawn, first_row = np.unique(graph.refresh_T, return_index=True)
    drawn, first_row = drawn[drawn >= 0], first_row[drawn >= 0]
    pairs = max(graph.num_symbols * (graph.num_symbols - 1), 1)
    places = np.linspace(0, len(drawn) - 1, min(len(drawn), CURVE_POINTS)).round().astype(int)
    density, churn = [], []
    for place in places:
        there_NN = np.isfinite(_weights(graph, int(drawn[place])))
        edges = int(there_NN.sum())
        density.append(edges / pairs)
        new = 0
        if place > 0:
            new = int((there_NN & ~np.isfinite(_weights(graph, int(drawn[place - 1])))).sum())
        churn.append(new / edges if edges else 0.0)
    times = tuple(graph.open_time_T[first_row[places]].tolist())
    return times, tuple(density), tuple(churn)
