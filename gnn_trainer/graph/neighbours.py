"""What the leaders show, averaged: the plainest use of a graph, for models that know none."""

import itertools

import numpy as np
import numpy.typing as npt

from gnn_trainer.graph.sequence import GraphSequence


def neighbour_means(
    graph: GraphSequence, x_TNF: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Mean of `x_TNF` over each symbol's leaders in force that can be scored, [T, N, F]; else 0."""
    mean_TNF = np.zeros_like(x_TNF)
    borders = np.flatnonzero(np.diff(graph.refresh_T)) + 1
    for start, stop in itertools.pairwise((0, *borders.tolist(), graph.num_bars)):
        refresh = int(graph.refresh_T[start])
        if refresh < 0:
            continue
        leader_Nk = graph.leader_RNk[refresh]
        rows = np.maximum(leader_Nk, 0)
        heard_CNk = graph.mask_TN[start:stop][:, rows] & (leader_Nk >= 0)
        total_CNF = np.zeros_like(x_TNF[start:stop])
        for slot in range(leader_Nk.shape[1]):
            total_CNF += x_TNF[start:stop][:, rows[:, slot]] * heard_CNk[..., slot, None]
        count_CN1 = np.maximum(heard_CNk.sum(axis=2), 1)[..., None]
        mean_TNF[start:stop] = total_CNF / count_CN1
    return mean_TNF
