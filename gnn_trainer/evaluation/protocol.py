"""Fold: what every predictor said of one test span, and what happened there.

All figures of a report are computed from folds alone, and folds are what is published with a
model, so whoever doubts a figure can compute it again.

Shape letters: P predictors, Q those of them that give probabilities, T bars of the test span,
N symbols.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from gnn_trainer.evaluation.backtest import Holding
from gnn_trainer.evaluation.placebos import Placebo
from gnn_trainer.evaluation.recovery import EdgeRecovery
from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray
from gnn_trainer.market.labels import ClassArray

MODEL = "gnn"
NO_GRAPH = "no graph"
ORACLE = "oracle"

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """First and last bar of a span (open time, unix ms) and how many of its bars are judged."""

    first_ms: int
    last_ms: int
    bars: int
    samples: int  # symbol-bars


@dataclass(frozen=True)
class Prediction:
    """What one predictor says of T bars."""

    score_TN: Float32Array  # higher = expected to outperform
    guess_TN: ClassArray  # the class it would name
    probability_TN3: Float32Array | None  # DOWN, FLAT, UP; None of a predictor that only ranks


def placebo_name(kind: Placebo) -> str:
    """What the network on a placebo graph is called among the predictors."""
    return f"{kind} graph"


def is_placebo(predictor: str) -> bool:
    return predictor in map(placebo_name, get_args(Placebo))


@dataclass(frozen=True)
class Fold:
    """One test span, which nothing was fitted, chosen or stopped on.

    `known_TN` marks the samples: features, label and volatility are there. All predictors are
    judged on all of them. Returns are natural logs, NaN where unknown. The rows go on for a
    horizon after the last sample, because positions do.
    """

    symbols: tuple[str, ...]
    interval_ms: int
    horizon: int  # bars
    seed: int
    train: Span
    validation: Span
    test: Span
    open_time_T: IntArray  # unix ms
    known_TN: BoolArray
    scorable_TN: BoolArray  # known at the close of the bar, whatever becomes of the label
    ret_TN: FloatArray  # label: open(t+1) -> open(t+1+horizon)
    close_ret_TN: FloatArray  # close(t) -> close(t+horizon)
    late_ret_TN: FloatArray  # the label one bar late
    past_ret_TN: FloatArray  # log return of the bar just closed
    sigma_TN: FloatArray  # trailing volatility of a horizon's return
    class_TN: ClassArray  # DOWN, FLAT, UP; UNKNOWN where there is no sample
    gain_TN: FloatArray  # what a unit held from open(t+1) to open(t+2) brings, see Holding
    funding_TN: FloatArray
    half_spread_TN: FloatArray
    predictors: tuple[str, ...]  # MODEL first
    score_PTN: Float32Array  # higher = expected to outperform
    guess_PTN: ClassArray  # the class each predictor would name
    probabilistic: tuple[str, ...]  # the predictors that say how sure they are
    probability_QTN3: Float32Array  # DOWN, FLAT, UP
    graph_density: float  # over the whole sequence
    graph_churn: float
    recovery: EdgeRecovery | None  # of planted edges, where the market is generated

    @property
    def holding(self) -> Holding:
        """What the backtest trades."""
        return Holding(
            open_time_T=self.open_time_T,
            interval_ms=self.interval_ms,
            gain_TN=self.gain_TN,
            funding_TN=self.funding_TN,
            half_spread_TN=self.half_spread_TN,
        )

    def score(self, predictor: str) -> Float32Array:
        """[T, N]."""
        scores: Float32Array = self.score_PTN[self.predictors.index(predictor)]
        return scores

    def guess(self, predictor: str) -> ClassArray:
        """[T, N]."""
        guesses: ClassArray = self.guess_PTN[self.predictors.index(predictor)]
        return guesses

    def probability(self, predictor: str) -> Float32Array | None:
        """[T, N, 3]; None of a predictor that only ranks."""
        if predictor not in self.probabilistic:
            return None
        probabilities: Float32Array = self.probability_QTN3[self.probabilistic.index(predictor)]
        return probabilities
