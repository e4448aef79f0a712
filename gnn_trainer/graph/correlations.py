"""Decayed correlations of every leader with every follower, as running sums over blocks of bars.

One thin matrix product per rule is all that a new block costs; nothing of shape [T, N, N] ever
exists. The sums are not multiplied out here: that is done, in one pass, by whoever reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import sgemm

from gnn_trainer.compiled import numba_is_there
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.graph.edges import EdgeRule, Series
from gnn_trainer.market.frame import BoolArray, FloatArray

SIGNAL_CLIP = 4.0  # standard deviations; one crash must not draw the whole graph
NOISE_T = 2.0  # a correlation within two standard errors of zero is taken as none
TINY = 1e-12  # below this a weight or a variance is taken as nothing
LEAST_SHARE = 1e-6  # of the weight of all bars; less cannot be told from nothing in float32
LARGEST_SCALE = 2.0**20
FAINTEST = 2.0**-80  # what fades further is nothing beside a new bar, and would overflow float32
BARS_AT_ONCE = 512  # signals are made ready for so many: by a few at a time it would cost more


class Correlations(NamedTuple):
    """What the correlations of E rules are made of as of one bar; `of_rule` multiplies them out.

    Weights of bars fade; those in matrices [leader, follower] are `scale` times the others. Both
    change with the next block.
    """

    product_ENN: Float32Array
    both_unknown_ENN: Float32Array  # weight of the bars at which neither is known: mostly few
    moments_E23N: FloatArray  # of follower and leader: weight where known, sum, sum of squares
    bars_E2: FloatArray  # weight of all bars, and the sum of squared weights
    scale: float

    def of_rule(self, place: int) -> tuple[FloatArray, FloatArray]:
        """Correlations [leader, follower], and the squares that mere noise would hardly exceed.

        The latter are beyond measure where nothing was observed together.
        """
        known, total, square = self.moments_E23N[place].swapaxes(0, 1)  # each [side, symbol]
        mean = total / np.maximum(known, TINY)
        variance = square / np.maximum(known, TINY) - mean * mean
        inverse = (variance > TINY) / np.sqrt(np.maximum(variance, TINY))
        weight, squared_weights = self.bars_E2[place]
        together_NN = known[0] - (weight - known[1])[:, None]
        together_NN += self.both_unknown_ENN[place] / self.scale
        together_NN = np.maximum(together_NN, max(LEAST_SHARE * weight, TINY))
        correlation_NN = self.product_ENN[place] / self.scale / together_NN
        correlation_NN -= np.outer(mean[1], mean[0])
        correlation_NN *= np.outer(inverse[1], inverse[0])
        noise = NOISE_T**2 * squared_weights / max(known[0].max(), TINY)
        return correlation_NN.clip(-1.0, 1.0), noise / together_NN


class RunningCorrelations:
    """Exponentially decayed sums of all rules, fed block by block in time order.

    Instead of fading what was summed, which would be one more pass over every matrix, what is
    added weighs more and more; sums are brought back to scale once that would cost precision.
    """

    def __init__(self, rules: Sequence[EdgeRule], half_life_bars: float) -> None:
        self.num_bars, num_symbols = rules[0].follower_TN.shape
        shape = (len(rules), num_symbols, num_symbols)
        self._rules = tuple(rules)
        self._decay = 0.5 ** (1.0 / half_life_bars)
        self._scale = 1.0  # of the matrices: what a bar just closed weighs in them
        self._products = np.zeros(shape, np.float32)
        self._both_unknown = np.zeros(shape, np.float32)
        self._moments = np.zeros((len(rules), 2, 3, num_symbols))
        self._bars = np.zeros((len(rules), 2))

    def over(self, first: int, every: int) -> Iterator[Correlations]:
        """As of the close of `first` bars, and of as many bars again as often as there are any."""
        if first <= self.num_bars:
            yield from self._take(0, 1, first)
        at_once = max(1, BARS_AT_ONCE // every)
        for start in range(first, self.num_bars - every + 1, at_once * every):
            yield from self._take(start, min(at_once, (self.num_bars - start) // every), every)

    def _take(self, start: int, count: int, bars: int) -> Iterator[Correlations]:
        """Take in `count` blocks of so many bars."""
        if self._scale > LARGEST_SCALE:
            self._products /= np.float32(self._scale)
            self._both_unknown /= np.float32(self._scale)
            self._scale = 1.0
        fade = max(self._decay**bars, FAINTEST)
        scale_S = self._scale * fade ** -np.arange(1.0, count + 1)
        age_B = self._decay ** np.arange(bars - 1, -1, -1.0)
        parts = _parts(self._rules, start, age_B, scale_S)
        moments_SE23N = np.stack([part.moments_S23N for part in parts], axis=1)
        bars_E2 = np.stack([part.bars_2 for part in parts])
        for block, scale in enumerate(scale_S.tolist()):
            self._moments *= fade
            self._moments += moments_SE23N[block]
            self._bars *= (fade, fade**2)
            self._bars += bars_E2
            for place, part in enumerate(parts):
                part.add_to(self._products[place], self._both_unknown[place], block)
            self._scale = scale
            yield Correlations(self._products, self._both_unknown, self._moments, self._bars, scale)


@dataclass(frozen=True)
class _Part:
    """What one rule adds to the sums in each of S blocks of B bars."""

    follower: "_Terms"
    leader: "_Terms"
    weighted_SBN: Float32Array  # the follower's values times weight_SB
    weight_SB: Float32Array  # of bars in the matrices
    moments_S23N: Float32Array
    bars_2: FloatArray
    has_gaps_S: list[bool]  # whether there are bars at which values of both are unknown

    def add_to(self, product_NN: Float32Array, both_unknown_NN: Float32Array, block: int) -> None:
        _add_product(product_NN, self.leader.term_3SBN[1, block], self.weighted_SBN[block])
        if self.has_gaps_S[block]:
            known = self.leader.term_3SBN[0, block], self.follower.term_3SBN[0, block]
            add_both_unknown(both_unknown_NN, *known, self.weight_SB[block])


class _Terms(NamedTuple):
    """What sums are made of: whether a value is known, the value (else 0), its square."""

    term_3SBN: Float32Array
    has_gap_SB: BoolArray  # whether any value is unknown


def _parts(
    rules: Sequence[EdgeRule], start: int, age_B: FloatArray, scale_S: FloatArray
) -> list[_Part]:
    """What each rule adds in blocks from bar `start` on; rules share what they have in common."""
    base = max(0, start - max(rule.lag for rule in rules))
    stop = start + len(scale_S) * len(age_B)
    all_series = (series for rule in rules for series in (rule.follower_TN, rule.leader_TN))
    terms_of = {id(series): _terms(series[base:stop]) for series in all_series}
    weight_SB = np.multiply.outer(scale_S, age_B).astype(np.float32)

    def terms(series: int, first: int, lag: int) -> _Terms:
        term_3TN, has_gap_T = terms_of[series]
        of_bars = slice(first - lag - base, stop - lag - base)
        blocks = len(scale_S), (stop - first) // len(scale_S)
        return _Terms(
            term_3TN[:, of_bars].reshape(3, *blocks, -1), has_gap_T[of_bars].reshape(blocks)
        )

    @cache
    def moments(series: int, first: int, lag: int) -> Float32Array:
        age = age_B[first - start :].astype(np.float32)
        sums_3SN: Float32Array = age @ terms(series, first, lag).term_3SBN
        return sums_3SN.swapaxes(0, 1)

    @cache
    def weighted(series: int, first: int) -> Float32Array:
        weighted_SBN: Float32Array = terms(series, first, 0).term_3SBN[1].copy()
        weighted_SBN *= weight_SB[:, first - start :, None]
        return weighted_SBN

    def part(rule: EdgeRule) -> _Part:
        first = max(start, rule.lag)  # the first bars of all have no leader's bar
        now, past = (id(rule.follower_TN), first, 0), (id(rule.leader_TN), first, rule.lag)
        follower, leader = terms(*now), terms(*past)
        age = age_B[first - start :]
        return _Part(
            follower=follower,
            leader=leader,
            weighted_SBN=weighted(id(rule.follower_TN), first),
            weight_SB=weight_SB[:, first - start :],
            moments_S23N=np.stack((moments(*now), moments(*past)), axis=1),
            bars_2=np.array((age.sum(), age @ age)),
            has_gaps_S=np.any(follower.has_gap_SB & leader.has_gap_SB, axis=1).tolist(),
        )

    return [part(rule) for rule in rules]


def _terms(series_TN: Series) -> tuple[Float32Array, BoolArray]:
    """Those of `_Terms`, not yet in blocks."""
    term_3TN = np.empty((3, *series_TN.shape), np.float32)
    known, values, squares = term_3TN
    is_known = np.isfinite(series_TN)
    known[...] = is_known
    np.clip(series_TN, -SIGNAL_CLIP, SIGNAL_CLIP, out=values, casting="same_kind")
    values[~is_known] = 0.0
    np.multiply(values, values, out=squares)
    return term_3TN, np.any(~is_known, axis=1)


def _add_product(sums_NN: Float32Array, leader_TN: Float32Array, follower_TN: Float32Array) -> None:
    """sums_NN += leader.T @ follower, in place.

    BLAS counts columns first, so a matrix of ours is a transposed one to it.
    """
    sgemm(1.0, follower_TN.T, leader_TN.T, beta=1.0, c=sums_NN.T, trans_b=True, overwrite_c=True)


def add_both_unknown(
    sums_NN: Float32Array,
    leader_known_TN: Float32Array,
    follower_known_TN: Float32Array,
    weight_T: Float32Array,
) -> None:
    """Add the weight of the bars at which neither leader nor follower is known; few, as a rule."""
    if numba_is_there():
        from gnn_trainer.graph import kernels

        kernels.add_both_unknown(sums_NN, leader_known_TN, follower_known_TN, weight_T)
    else:
        add_both_unknown_plain(sums_NN, leader_known_TN, follower_known_TN, weight_T)


def add_both_unknown_plain(
    sums_NN: Float32Array,
    leader_known_TN: Float32Array,
    follower_known_TN: Float32Array,
    weight_T: Float32Array,
) -> None:
    """`add_both_unknown` in numpy."""
    sums_NN += (1.0 - leader_known_TN).T @ (weight_T[:, None] * (1.0 - follower_known_TN))
