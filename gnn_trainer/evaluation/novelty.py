"""How unlike the training data a market is.

After the dissimilarity index of Meyer & Pebesma (2021, Methods in Ecology and Evolution 12(9)): the
distance of a row of scaled features to the training rows nearest to it, set against the same
distance of training rows to those of other bars. What is farther off than 95 in 100 of them is a
market that little was learned about.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from gnn_trainer.features.frame import Float32Array
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray

UNLIKE = 0.95  # share of the training rows; a novelty above it is a warning
REFERENCE_BARS = 256
SYMBOLS_PER_BAR = 8  # of a reference bar; more of the same moment add little
NEIGHBOURS = 5
QUANTILES = 257
SPAN_BARS = 512  # of a span that is summarised; their distances cost 1 ms a bar


@dataclass(frozen=True)
class NoveltyIndex:
    """M reference rows of the training span, and how far training data lies from them.

    `row_distance_Q` and `bar_distance_Q` are quantiles, evenly spaced from 0 to 1, of the training
    rows' distances to the reference rows of other bars, and of their means over a bar's symbols.
    """

    reference_MF: Float32Array  # scaled as the network reads them
    row_distance_Q: FloatArray
    bar_distance_Q: FloatArray

    def of_bars(self, scaled_CNF: Float32Array, known_CN: BoolArray) -> "Unlikeness":
        """Novelty of C bars of scaled features; NaN where a row is not known."""
        distance_CN = np.full(known_CN.shape, np.nan)
        if known_CN.any():
            distance_CN[known_CN] = self._distances(scaled_CNF[known_CN])
        return Unlikeness(
            symbol_CN=_share_below(self.row_distance_Q, distance_CN),
            market_C=_share_below(self.bar_distance_Q, _mean_of_known(distance_CN, known_CN)),
        )

    def _distances(self, row_SF: Float32Array) -> FloatArray:
        count = min(NEIGHBOURS, len(self.reference_MF))
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(self.reference_MF)
        distance_Sk, _ = search.kneighbors(row_SF)
        mean_S: FloatArray = distance_Sk.mean(axis=1, dtype=np.float64)
        return mean_S


@dataclass(frozen=True)
class Unlikeness:
    """Share of the training data that is nearer to its reference than this, 0 to 1."""

    symbol_CN: FloatArray  # NaN where the symbol cannot be scored
    market_C: FloatArray  # of the mean distance over symbols; NaN where none can be scored


@dataclass(frozen=True)
class Novelty:
    """How unlike the training data a span is, e.g. the test span; .5 and .05 if it is alike."""

    bars: int
    market_median: float
    unlike_bars: float  # share of bars whose novelty is above UNLIKE
    unlike_rows: float  # share of symbol-bars likewise


def fit_novelty(
    x_TNF: Float32Array, scaler: Scaler, known_TN: BoolArray, seed: int
) -> NoveltyIndex:
    """An index of the rows `known_TN`: those of the training span that can be used.

    Bars are taken at even distances, so that no row is judged by its own neighbours in time, and
    symbols at random. At least two bars must be known.
    """
    bars = np.flatnonzero(known_TN.any(axis=1))
    assert len(bars) > 1, f"{len(bars)} bars are no sample to measure novelty with"
    bar_B = _evenly(bars, REFERENCE_BARS)
    scaled_BNF, known_BN = scaler.apply(x_TNF[bar_B]), known_TN[bar_B]
    order_BN = np.where(known_BN, np.random.default_rng(seed).random(known_BN.shape), 2.0)
    chosen_BN = known_BN & (order_BN.argsort(axis=1).argsort(axis=1) < SYMBOLS_PER_BAR)
    reference_MF, bar_M = scaled_BNF[chosen_BN], np.nonzero(chosen_BN)[0]
    distance_BN = np.full(known_BN.shape, np.nan)
    distance_BN[known_BN] = _to_other_bars(
        scaled_BNF[known_BN], np.nonzero(known_BN)[0], reference_MF, bar_M
    )
    shares_Q = np.linspace(0.0, 1.0, QUANTILES)
    return NoveltyIndex(
        reference_MF=reference_MF,
        row_distance_Q=np.quantile(distance_BN[known_BN], shares_Q),
        bar_distance_Q=np.quantile(_mean_of_known(distance_BN, known_BN), shares_Q),
    )


def novelty_of_span(
    index: NoveltyIndex, scaler: Scaler, graph: GraphSequence, rows_T: BoolArray
) -> Novelty:
    """How unlike the training data the bars `rows_T` are, by at most SPAN_BARS of them."""
    bar_C = _evenly(np.flatnonzero(rows_T), SPAN_BARS)
    return summarise(index.of_bars(scaler.apply(graph.x_TNF[bar_C]), graph.mask_TN[bar_C]))


def summarise(unlikeness: Unlikeness) -> Novelty:
    """What a report says of a span."""
    market_C = unlikeness.market_C[np.isfinite(unlikeness.market_C)]
    rows = unlikeness.symbol_CN[np.isfinite(unlikeness.symbol_CN)]
    if len(market_C) == 0:
        nan = float("nan")
        return Novelty(0, nan, nan, nan)
    return Novelty(
        bars=len(market_C),
        market_median=float(np.median(market_C)),
        unlike_bars=float(np.mean(market_C > UNLIKE)),
        unlike_rows=float(np.mean(rows > UNLIKE)),
    )


def _evenly(bars: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many of them, at even distances."""
    places = np.round(np.linspace(0, len(bars) - 1, min(len(bars), most)))
    chosen: npt.NDArray[np.int64] = bars[np.unique(places.astype(np.int64))]
    return chosen


def _to_other_bars(
    row_SF: Float32Array,
    bar_S: npt.NDArray[np.int64],
    reference_MF: Float32Array,
    bar_M: npt.NDArray[np.int64],
) -> FloatArray:
    """Mean distance of each row to its nearest reference rows of other bars."""
    own = int(np.bincount(bar_M).max())  # a bar has at most so many rows to be left out
    count = min(NEIGHBOURS + own, len(reference_MF))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(reference_MF)
    distance_Sk, place_Sk = search.kneighbors(row_SF)
    other_Sk = bar_M[place_Sk] != bar_S[:, None]
    nearest_Sk = other_Sk & (np.cumsum(other_Sk, axis=1) <= NEIGHBOURS)
    total_S = np.where(nearest_Sk, distance_Sk, 0.0).sum(axis=1, dtype=np.float64)
    mean_S: FloatArray = total_S / nearest_Sk.sum(axis=1)
    return mean_S


def _mean_of_known(distance_CN: FloatArray, known_CN: BoolArray) -> FloatArray:
    count_C = known_CN.sum(axis=1)
    total_C = np.where(known_CN, distance_CN, 0.0).sum(axis=1)
    mean_C = np.full(len(count_C), np.nan)
    np.divide(total_C, count_C, out=mean_C, where=count_C > 0)
    return mean_C


def _share_below(quantile_Q: FloatArray, distance: FloatArray) -> FloatArray:
    """Where a distance stands among the training data's; NaN stays NaN."""
    share: FloatArray = np.interp(distance, quantile_Q, np.linspace(0.0, 1.0, len(quantile_Q)))
    return share
