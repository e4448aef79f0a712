"""Edge rules: what makes one symbol a leader of another, measured from the past only.

Each rule is a decayed correlation between a signal of the follower now and a signal of the
leader some bars earlier. Correlations are running sums over blocks of bars, so a graph costs one
matrix product per rule and refresh and nothing of shape [T, N, N] ever exists.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.market.frame import FloatArray

COMOVEMENT = "comovement"
RETURN_FEATURES = ("residual_lag_0", "residual_lag_1", "residual_lag_2")
FLOW_FEATURE = "flow_lag_0"
VOLUME_FEATURE = "volume_surprise"
SIGNAL_CLIP = 4.0  # standard deviations; one crash must not draw the whole graph
TINY = 1e-12  # below this a sum of weights or a deviation is taken as nothing
NOISE_T = 2.0  # a correlation within two standard errors of zero is taken as none


@dataclass(frozen=True)
class Signals:
    """Causal, unit-free series the rules compare, each [T, N] with NaN where unknown."""

    residual_return_TN: FloatArray  # market mode removed, in units of its own volatility
    flow_TN: FloatArray  # taker buying against selling
    volume_TN: FloatArray  # traded volume against its own recent normal


@dataclass(frozen=True)
class EdgeRule:
    """corr(follower at t, leader at t - lag); `lag` in bars.

    `reading` names the feature in which the leader's signal stands when it is about to act on
    the follower's next bar. `chosen_for` says which correlations make a leader: any, positive ones
    only, or none, for a rule that merely describes the edges others chose.
    """

    name: str
    reading: str
    follower_TN: FloatArray
    leader_TN: FloatArray
    lag: int
    chosen_for: Literal["any", "positive", "none"] = "any"

    def merit(self, strength_NN: FloatArray) -> FloatArray:
        """What counts of a strength [N, N] when leaders are chosen, 0 or more."""
        if self.chosen_for == "none":
            return np.zeros_like(strength_NN)
        return np.maximum(strength_NN, 0.0) if self.chosen_for == "positive" else abs(strength_NN)


def comovement(signals: Signals) -> EdgeRule:
    """Residual returns that move together in the same bar; opposites are no peers."""
    returns = signals.residual_return_TN
    return EdgeRule(COMOVEMENT, RETURN_FEATURES[0], returns, returns, 0, chosen_for="positive")


def lead_lag(signals: Signals, lag: int) -> EdgeRule:
    """The leader's residual return `lag` bars before the follower's (Guo et al. 2021)."""
    returns = signals.residual_return_TN
    reading = RETURN_FEATURES[min(lag, len(RETURN_FEATURES)) - 1]
    return EdgeRule(f"lead_{lag}", reading, returns, returns, lag)


def flow_lead(signals: Signals) -> EdgeRule:
    """The leader's taker flow one bar before the follower's return (Cont et al. 2021)."""
    return EdgeRule("flow_lead", FLOW_FEATURE, signals.residual_return_TN, signals.flow_TN, lag=1)


def volume_comovement(signals: Signals) -> EdgeRule:
    """Trading activity that rises and falls together; says risk, not direction."""
    volume = signals.volume_TN
    return EdgeRule("volume_comovement", VOLUME_FEATURE, volume, volume, 0, chosen_for="none")


def edge_rules(signals: Signals, config: GraphConfig) -> tuple[EdgeRule, ...]:
    """All rules, in the order of the edge attributes."""
    leads = (lead_lag(signals, lag) for lag in range(1, config.max_lag + 1))
    return (comovement(signals), *leads, flow_lead(signals), volume_comovement(signals))


class RunningCorrelation:
    """Exponentially decayed correlation matrix of one rule, fed block by block in time order."""

    def __init__(self, rule: EdgeRule, half_life_bars: float) -> None:
        self._follower, self._follower_known = _cleaned(rule.follower_TN)
        self._leader, self._leader_known = _cleaned(rule.leader_TN)
        self._lag = rule.lag
        self._decay = 0.5 ** (1.0 / half_life_bars)
        num_symbols = self._follower.shape[1]
        self._products = np.zeros((num_symbols, num_symbols))
        self._weights = np.zeros((num_symbols, num_symbols))
        self._moments = np.zeros((6, num_symbols))  # weight, sum, squares; follower then leader
        self._square_weights = 0.0

    def advance(self, start: int, stop: int) -> None:
        """Take in bars start..stop-1."""
        fade = self._decay ** (stop - start)
        begin = max(start, self._lag)
        age = self._decay ** np.arange(stop - begin - 1, -1, -1.0)[:, None]
        now, past = slice(begin, stop), slice(begin - self._lag, stop - self._lag)
        follower, follower_known = self._follower[now], self._follower_known[now]
        leader, leader_known = self._leader[past], self._leader_known[past]
        self._products = fade * self._products + (age * follower).T @ leader
        self._weights = fade * self._weights + (age * follower_known).T @ leader_known
        moments = (follower_known, follower, follower**2, leader_known, leader, leader**2)
        self._moments = fade * self._moments + np.stack([(age * m).sum(axis=0) for m in moments])
        self._square_weights = fade**2 * self._square_weights + float((age**2).sum())

    def correlation(self) -> tuple[FloatArray, FloatArray]:
        """Correlations and their effective number of observations, both [follower, leader]."""
        weight = self._moments[::3]
        mean, square = self._moments[1::3], self._moments[2::3]  # [2, N]: follower, leader
        mean, square = (m / np.maximum(weight, TINY) for m in (mean, square))
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        covariance = self._products / np.maximum(self._weights, TINY) - np.outer(*mean)
        scale = np.outer(*deviation)
        known = (scale > TINY) & (self._weights > TINY)
        correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=known)
        per_weight = weight[0].max(initial=0.0) / max(self._square_weights, TINY)
        return np.clip(correlation, -1.0, 1.0), self._weights * per_weight


def shrink(correlation: FloatArray, observations: FloatArray) -> FloatArray:
    """Positive-part shrinkage: what is indistinguishable from noise becomes exactly zero."""
    noise = NOISE_T**2 / np.maximum(observations, 1.0)
    kept = np.maximum(0.0, 1.0 - noise / np.maximum(correlation**2, TINY))
    shrunken: FloatArray = correlation * kept
    return shrunken


def choose_leaders(merit_ENN: FloatArray, neighbours: int) -> tuple[np.ndarray, FloatArray]:
    """The strongest incoming edges of every symbol.

    Rules are made comparable by their own root mean square over all pairs, then added up, so a
    rule with few but clear edges outweighs one in which everything resembles everything.

    Returns:
        leader_Nk (int32, -1 where fewer edges exist) and score_Nk, best first.
    """
    num_symbols = merit_ENN.shape[1]
    power = np.sqrt((merit_ENN**2).mean(axis=(1, 2), keepdims=True))
    score = (merit_ENN / np.maximum(power, TINY)).sum(axis=0)
    np.fill_diagonal(score, 0.0)
    count = min(neighbours, num_symbols - 1)
    leader = np.argsort(-score, axis=1, kind="stable")[:, :count].astype(np.int32)
    chosen = np.take_along_axis(score, leader, axis=1)
    return np.where(chosen > 0.0, leader, np.int32(-1)), chosen


def _cleaned(series_TN: FloatArray) -> tuple[FloatArray, FloatArray]:
    known = np.isfinite(series_TN)
    values = np.where(known, np.clip(series_TN, -SIGNAL_CLIP, SIGNAL_CLIP), 0.0)
    return values, known.astype(np.float64)
