"""Edge rules: what makes one symbol a leader of another, measured from the past only.

Each rule is a decayed correlation between a signal of the follower now and a signal of the
leader some bars earlier. Correlations are running sums over blocks of bars, so a graph costs two
matrix products per rule and refresh and nothing of shape [T, N, N] ever exists.

Whatever is [N, N] is float32 and changed in place, by BLAS where numpy would need a temporary or
broadcast: at 100 symbols and more the passes over these matrices are all that a graph costs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import saxpy, sgemm, sger

from gnn_trainer.features.frame import Float32Array
from gnn_trainer.graph.config import GraphConfig

Series = npt.NDArray[np.floating]
Leaders = npt.NDArray[np.int32]

COMOVEMENT = "comovement"
RETURN_FEATURES = ("residual_lag_0", "residual_lag_1", "residual_lag_2")
FLOW_FEATURE = "flow_lag_0"
VOLUME_FEATURE = "volume_surprise"
SIGNAL_CLIP = 4.0  # standard deviations; one crash must not draw the whole graph
TINY = 1e-12  # below this a sum of weights or a deviation is taken as nothing
LARGEST_SCALE = 2.0**20
FAINTEST = 2.0**-80  # what fades further is nothing beside a new bar, and would overflow float32
CELLS_IN_CACHE = 2**17  # matrices are walked through together while they fit the cache
NOISE_T = 2.0  # a correlation within two standard errors of zero is taken as none


@dataclass(frozen=True)
class Signals:
    """Causal, unit-free series the rules compare, each [T, N] with NaN where unknown."""

    residual_return_TN: Series  # market mode removed, in units of its own volatility
    flow_TN: Series  # taker buying against selling
    volume_TN: Series  # traded volume against its own recent normal


@dataclass(frozen=True)
class EdgeRule:
    """corr(follower at t, leader at t - lag); `lag` in bars.

    `reading` names the feature in which the leader's signal stands when it is about to act on
    the follower's next bar. `chosen_for` says which correlations make a leader: any, positive ones
    only, or none, for a rule that merely describes the edges others chose.
    """

    name: str
    reading: str
    follower_TN: Series
    leader_TN: Series
    lag: int
    chosen_for: Literal["any", "positive", "none"] = "any"

    def merit(self, correlation_NN: Float32Array, out: Float32Array) -> Float32Array:
        """What counts of a correlation when leaders are chosen, 0 or more."""
        if self.chosen_for == "none":
            out.fill(0.0)
            return out
        if self.chosen_for == "positive":
            return np.clip(correlation_NN, 0.0, 1.0, out=out)
        return np.abs(correlation_NN, out=out)


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


class RunningCorrelations:
    """Exponentially decayed correlation matrices of all rules, fed block by block in time order.

    `correlation_ENN` and `noise_ENN` ([rule, follower, leader]) are as of the last `correlate`; the
    noise is the square that a correlation of nothing would hardly exceed, beyond measure where
    nothing was observed together.

    Instead of fading what was summed, which would be one more pass over every matrix, what is
    added weighs more and more; sums are brought back to scale once that would cost precision.
    """

    def __init__(self, rules: Sequence[EdgeRule], half_life_bars: float) -> None:
        self.num_bars, num_symbols = rules[0].follower_TN.shape
        shape = (len(rules), num_symbols, num_symbols)
        self.correlation_ENN = np.zeros(shape, np.float32)
        self.noise_ENN = np.zeros(shape, np.float32)
        self._rules = tuple(rules)
        sides = (series for rule in rules for series in (rule.follower_TN, rule.leader_TN))
        self._series = {id(series): series for series in sides}  # many rules share one
        self._decay = 0.5 ** (1.0 / half_life_bars)
        self._scale = 1.0  # of the products and weights: what a bar just closed weighs in them
        self._products = np.zeros(shape, np.float32)
        self._weights = np.full(shape, TINY, np.float32)
        self._moments = np.zeros((len(rules), 2, 3, num_symbols))  # by side: weight, sum, square
        self._square_weights = np.zeros(len(rules))

    def advance(self, start: int, stop: int) -> None:
        """Take in bars start..stop-1."""
        fade = max(self._decay ** (stop - start), FAINTEST)
        self._moments *= fade
        self._square_weights *= fade**2
        self._scale /= fade
        if self._scale > LARGEST_SCALE:
            self._products /= np.float32(self._scale)
            self._weights /= np.float32(self._scale)
            np.clip(self._weights, TINY, None, out=self._weights)
            self._scale = 1.0
        first = max(0, start - max(rule.lag for rule in self._rules))
        terms_of = {key: _terms(series[first:stop]) for key, series in self._series.items()}
        age = self._decay ** np.arange(stop - start - 1, -1, -1.0)
        age_T, growing_T1 = age.astype(np.float32), (age * self._scale).astype(np.float32)[:, None]
        for place, rule in enumerate(self._rules):
            late = max(rule.lag - start, 0)  # the first bars of all have no leader's bar
            begin = start + late - first
            now, past = slice(begin, stop - first), slice(begin - rule.lag, stop - first - rule.lag)
            follower = terms_of[id(rule.follower_TN)][:, now]
            leader = terms_of[id(rule.leader_TN)][:, past]
            moments = self._moments[place]
            moments[0] += age_T[late:] @ follower
            moments[1] += age_T[late:] @ leader
            self._square_weights[place] += age[late:] @ age[late:]
            known, values, _ = growing_T1[late:] * follower
            _add_product(self._products[place], values, leader[1])
            _add_product(self._weights[place], known, leader[0])

    def correlate(self) -> None:
        """Bring `correlation_ENN` and `noise_ENN` up to date."""
        weight, mean, square = np.moveaxis(self._moments, 2, 0)  # each [rule, side, symbol]
        mean, square = (m / np.maximum(weight, TINY) for m in (mean, square))
        variance = np.maximum(square - mean**2, 0.0)
        inverse = np.where(variance > TINY, 1.0 / np.sqrt(np.maximum(variance, TINY)), 0.0)
        centre = (mean * inverse).astype(np.float32)
        per_weight = weight[:, 0].max(axis=-1) / np.maximum(self._square_weights, TINY)
        noise_of_one = NOISE_T**2 * self._scale / np.maximum(per_weight, TINY)
        inverse[:, 0] /= noise_of_one[:, None]
        inverse = inverse.astype(np.float32)
        at_once = max(1, CELLS_IN_CACHE // self._weights[0].size)
        for first in range(0, len(self._rules), at_once):
            some = slice(first, first + at_once)
            correlation, noise = self.correlation_ENN[some], self.noise_ENN[some]
            of_one = noise_of_one[some, None, None].astype(np.float32)
            np.divide(of_one, self._weights[some], out=noise)
            for matrix, sides in zip(correlation, inverse[some], strict=True):
                _write_outer(matrix, *sides)
            correlation *= noise
            correlation *= self._products[some]
            for matrix, sides in zip(correlation, centre[some], strict=True):
                _subtract_outer(matrix, *sides)
            np.clip(correlation, -1.0, 1.0, out=correlation)


def _terms(series_TN: Series) -> Float32Array:
    """What the moments are made of: whether a value is known, the value (else 0), its square."""
    terms = np.empty((3, *series_TN.shape), np.float32)
    known, values, squares = terms
    is_known = np.isfinite(series_TN)
    known[...] = is_known
    np.clip(series_TN, -SIGNAL_CLIP, SIGNAL_CLIP, out=values, casting="same_kind")
    values[~is_known] = 0.0
    np.multiply(values, values, out=squares)
    return terms


def shrink(size: Float32Array, noise: Float32Array) -> Float32Array:
    """Positive-part shrinkage of correlations' sizes, in place: 0 for those within the noise."""
    with np.errstate(divide="ignore"):
        size -= noise / size
    return np.clip(size, 0.0, 1.0, out=size)


def add_up(merits: Iterable[Float32Array]) -> Float32Array:
    """One score for every pair, [follower, leader], from the merits of all rules.

    Rules are made comparable by their own root mean square over all pairs, then added up, so a
    rule with few but clear edges outweighs one in which everything resembles everything. A merit
    may be overwritten once the next one is asked for.
    """
    score_NN = None
    for merit_NN in merits:
        if score_NN is None:
            score_NN = np.zeros_like(merit_NN)
        flat = merit_NN.reshape(-1)
        power = float(np.sqrt(np.dot(flat, flat) / max(len(flat), 1)))
        saxpy(flat, score_NN.reshape(-1), a=1.0 / max(power, TINY))
    assert score_NN is not None
    np.fill_diagonal(score_NN, 0.0)
    return score_NN


def choose_leaders(score_NN: Float32Array, neighbours: int) -> tuple[Leaders, Float32Array]:
    """The strongest incoming edges of every symbol; of equals, the one that comes first.

    Returns:
        leader_Nk (int32, -1 where fewer edges exist) and score_Nk, best first.
    """
    num_symbols = len(score_NN)
    count = min(neighbours, num_symbols - 1)
    if count <= 0:
        return np.empty((num_symbols, 0), np.int32), np.empty((num_symbols, 0), np.float32)
    # Floats that are not negative are ordered as their bits are, and integers are parted faster.
    ordered = np.partition(score_NN.view(np.int32), num_symbols - count, axis=1)
    least_N1 = np.maximum(ordered[:, num_symbols - count, None], 1)
    follower, leader = np.divmod(
        np.flatnonzero(score_NN.view(np.int32) >= least_N1).astype(np.int32), np.int32(num_symbols)
    )
    held_N = np.bincount(follower, minlength=num_symbols)
    place = np.arange(len(follower)) - (held_N.cumsum() - held_N)[follower]
    width = max(count, held_N.max())  # more than count where several are equally strong
    leader_Nk = np.full((num_symbols, width), -1, np.int32)
    chosen_Nk = np.zeros((num_symbols, width), np.float32)
    leader_Nk[follower, place] = leader
    chosen_Nk[follower, place] = score_NN[follower, leader]
    best_Nk = np.argsort(-chosen_Nk, axis=1, kind="stable")[:, :count]
    return (
        np.take_along_axis(leader_Nk, best_Nk, axis=1),
        np.take_along_axis(chosen_Nk, best_Nk, axis=1),
    )


# BLAS counts columns first, so a matrix of ours is a transposed one to it; it writes in place.


def _add_product(sums_NN: Float32Array, follower_TN: Float32Array, leader_TN: Float32Array) -> None:
    """sums_NN += follower.T @ leader."""
    sgemm(1.0, leader_TN.T, follower_TN.T, beta=1.0, c=sums_NN.T, trans_b=True, overwrite_c=True)


def _write_outer(matrix_NN: Float32Array, follower_N: Float32Array, leader_N: Float32Array) -> None:
    column, row = leader_N[:, None], follower_N[:, None]
    sgemm(1.0, column, row, beta=0.0, c=matrix_NN.T, trans_b=True, overwrite_c=True)


def _subtract_outer(
    matrix_NN: Float32Array, follower_N: Float32Array, leader_N: Float32Array
) -> None:
    sger(-1.0, leader_N, follower_N, a=matrix_NN.T, overwrite_a=True)
