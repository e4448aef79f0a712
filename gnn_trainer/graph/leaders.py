"""From correlations to edges: who leads whom, and how strongly.

There is a plain form in numpy, which is the reference, and one whose loops numba compiled: two
passes over the pairs where numpy makes dozens. Without numba the plain form runs.
"""

import numpy as np
import numpy.typing as npt

from gnn_trainer.compiled import numba_is_there
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.graph.correlations import LEAST_SHARE, NOISE_T, TINY, Correlations
from gnn_trainer.market.frame import FloatArray

Leaders = npt.NDArray[np.int32]


def draw(
    correlations: Correlations, least_counted_E: FloatArray, neighbours: int
) -> tuple[Leaders, Float32Array]:
    """The strongest incoming edges of every symbol, and how strong all pairs are by each rule.

    Strengths are correlations less what may be noise. Rules are made comparable by the root mean
    square of what counts of them over all pairs, then added up, so a rule with few but clear edges
    outweighs one in which everything resembles everything.

    Returns:
        leader_Nk int32, best first and of equals the one that comes first, -1 where there are
        fewer; strength_ENN [rule, leader, follower].
    """
    if not numba_is_there():
        return draw_plain(correlations, least_counted_E, neighbours)
    from gnn_trainer.graph import kernels

    num_rules, num_symbols, _ = correlations.product_ENN.shape
    leader_Nk = np.empty((num_symbols, min(neighbours, num_symbols - 1)), np.int32)
    strength_ENN = np.empty((num_rules, num_symbols, num_symbols), np.float32)
    kernels.draw(*correlations, NOISE_T, LEAST_SHARE, least_counted_E, leader_Nk, strength_ENN)
    return leader_Nk, strength_ENN


def draw_plain(
    correlations: Correlations, least_counted_E: FloatArray, neighbours: int
) -> tuple[Leaders, Float32Array]:
    """`draw` in numpy."""
    strength_ENN = np.empty(correlations.product_ENN.shape, np.float32)
    score_NN = np.zeros(strength_ENN.shape[1:], np.float32)
    for place, strength_NN in enumerate(strength_ENN):
        correlation_NN, noise_NN = correlations.of_rule(place)
        size_NN = shrink(np.abs(correlation_NN), noise_NN)
        strength_NN[...] = np.copysign(size_NN, correlation_NN)
        if least_counted_E[place] <= 1.0:
            merit_NN = np.abs(strength_NN.clip(least_counted_E[place], 1.0))
            score_NN += merit_NN / max(np.sqrt((merit_NN * merit_NN).mean()), np.float32(TINY))
    np.fill_diagonal(score_NN, 0.0)
    count = min(neighbours, len(score_NN) - 1)
    best_kN = np.argsort(-score_NN, axis=0, kind="stable")[:count]
    leader_kN = np.where(np.take_along_axis(score_NN, best_kN, axis=0) > 0.0, best_kN, -1)
    return leader_kN.T.astype(np.int32), strength_ENN


def shrink(size: FloatArray, noise: FloatArray) -> FloatArray:
    """Positive-part shrinkage of correlations' sizes: 0 for those within the noise."""
    with np.errstate(divide="ignore"):
        return (size - noise / size).clip(0.0)
