"""Whether the drawn graph is the planted one, where the market is generated and that is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray

LEAD = "lead_"  # edge attributes that measure how the leader's past moves the follower


@dataclass(frozen=True)
class PlantedLead:
    """The leader's shock reaches the follower `delay_bars` later."""

    leader: str
    follower: str
    delay_bars: int


@dataclass(frozen=True)
class Truth:
    """What only the maker of a market knows."""

    oracle_TN: FloatArray  # best possible score of every bar
    leads: tuple[PlantedLead, ...]


@dataclass(frozen=True)
class EdgeRecovery:
    """The drawn graph against the planted one, mean over the graphs in force in a span.

    `precision` and `recall` are of all edges that carry a measured lead; a graph keeps more edges
    per symbol than were planted, so its precision is bounded. `strongest` is the precision, and
    the recall too, of as many of the strongest leads as were planted.
    """

    planted: int
    precision: float
    recall: float
    strongest: float
    delay: float  # share of the planted edges found whose strongest lag is the planted delay


def edge_recovery(
    graph: GraphSequence, rows_T: BoolArray, leads: Sequence[PlantedLead]
) -> EdgeRecovery | None:
    """Of the graphs in force at `rows_T`; None without planted edges, drawn graphs or leads."""
    known = [lead for lead in leads if {lead.leader, lead.follower} <= set(graph.symbols)]
    refreshes = np.unique(graph.refresh_T[rows_T])
    refreshes = refreshes[refreshes >= 0]
    columns = [place for place, name in enumerate(graph.edge_names) if name.startswith(LEAD)]
    if not known or not len(refreshes) or not columns:
        return None
    place = {symbol: index for index, symbol in enumerate(graph.symbols)}
    delay_NN = np.zeros((graph.num_symbols, graph.num_symbols), np.int64)  # 0: nothing planted
    for lead in known:
        delay_NN[place[lead.follower], place[lead.leader]] = lead.delay_bars
    lags = np.array([int(graph.edge_names[column].removeprefix(LEAD)) for column in columns])
    figures = [
        _of_one(graph.leader_RNk[r], np.abs(graph.edge_attr_RNkE[r][..., columns]), lags, delay_NN)
        for r in refreshes
    ]
    return EdgeRecovery(
        len(known), *(float(np.mean(column)) for column in zip(*figures, strict=True))
    )


def _of_one(
    leader_Nk: np.ndarray, size_NkL: np.ndarray, lags: np.ndarray, delay_NN: np.ndarray
) -> tuple[float, float, float, float]:
    """precision, recall, strongest, delay of one graph; `size_NkL` by lag."""
    follower, slot = np.nonzero((leader_Nk >= 0) & (size_NkL.max(axis=-1) > 0.0))
    size_EL = size_NkL[follower, slot]
    delay_E = delay_NN[follower, leader_Nk[follower, slot]]
    hit_E = delay_E > 0
    planted = int((delay_NN > 0).sum())
    strongest = np.argsort(-size_EL.max(axis=1), kind="stable")[:planted]
    right_E = hit_E & (lags[size_EL.argmax(axis=1)] == delay_E)
    return (
        float(hit_E.mean()) if len(hit_E) else 0.0,
        float(hit_E.sum()) / planted,
        float(hit_E[strongest].sum()) / planted,
        float(right_E.sum()) / max(int(hit_E.sum()), 1),
    )
