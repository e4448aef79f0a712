"""The graph once more, from its definition: float64, every refresh from the first bar on."""

from collections.abc import Sequence

import numpy as np

from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.correlations import NOISE_T, SIGNAL_CLIP
from gnn_trainer.graph.edges import EdgeRule
from gnn_trainer.market.frame import FloatArray


def plain_edges(
    rules: Sequence[EdgeRule], config: GraphConfig, stop: int
) -> tuple[np.ndarray, FloatArray]:
    """Leaders [N, k] (-1 = none) and shrunken correlations [E, N, N], drawn from bars < stop."""
    strength_ENN = np.stack([plain_strength(rule, config.half_life_bars, stop) for rule in rules])
    score_NN = np.zeros_like(strength_ENN[0])
    for rule, strength_NN in zip(rules, strength_ENN, strict=True):
        if rule.chosen_for == "none":
            continue
        merit_NN = (
            np.maximum(strength_NN, 0.0) if rule.chosen_for == "positive" else np.abs(strength_NN)
        )
        score_NN += merit_NN / max(np.sqrt((merit_NN**2).mean()), 1e-12)
    np.fill_diagonal(score_NN, 0.0)
    count = min(config.neighbours, len(score_NN) - 1)
    leader_Nk = np.argsort(-score_NN, axis=1, kind="stable")[:, :count]
    return np.where(np.take_along_axis(score_NN, leader_Nk, 1) > 0.0, leader_Nk, -1), strength_ENN


def plain_strength(rule: EdgeRule, half_life_bars: float, stop: int) -> FloatArray:
    """Decayed correlations [follower, leader] where both are known, less what may be noise.

    Mean and deviation of each series come from all the bars where it is known itself.
    """
    follower = rule.follower_TN[rule.lag : stop].astype(np.float64)
    leader = rule.leader_TN[: stop - rule.lag].astype(np.float64)
    weight_T1 = 0.5 ** (np.arange(len(follower) - 1, -1, -1.0)[:, None] / half_life_bars)
    sides = []
    for series in (follower, leader):
        known = np.isfinite(series)
        values = np.where(known, np.clip(series, -SIGNAL_CLIP, SIGNAL_CLIP), 0.0)
        weight = np.maximum((weight_T1 * known).sum(axis=0), 1e-12)
        mean = (weight_T1 * values).sum(axis=0) / weight
        variance = (weight_T1 * (values - mean) ** 2 * known).sum(axis=0) / weight
        sides.append((known.astype(np.float64), values, mean, np.sqrt(variance)))
    (known, values, mean, deviation), (other_known, other, other_mean, other_deviation) = sides
    weights = (weight_T1 * known).T @ other_known
    covariance = (weight_T1 * values).T @ other / np.maximum(weights, 1e-12)
    covariance -= np.outer(mean, other_mean)
    scale = np.outer(deviation, other_deviation)
    seen = (scale > 1e-12) & (weights > 1e-12)
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=seen).clip(-1, 1)
    bars = weights * (weight_T1 * known).sum(axis=0).max() / (weight_T1**2).sum()
    size = np.abs(correlation)
    noise = NOISE_T**2 / np.maximum(bars, 1.0)
    shrunken = np.where(size**2 > noise, size - noise / np.maximum(size, 1e-12), 0.0)
    strength: FloatArray = np.copysign(shrunken, correlation)
    return strength
