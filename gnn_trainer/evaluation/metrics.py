"""Figures of merit of one set of predictions, with intervals where they decide something."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.market.labels import ClassArray
from gnn_trainer.training.rank_ic import correlation_by_bar, rank_ic_by_bar

BOOTSTRAP_DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over bars and its bootstrap confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Metrics:
    """Skill of one predictor on one set of samples.

    Correlations are means over bars of cross-sectional correlations; a bar in which the predictor
    has no opinion counts as zero, so all predictors are judged on the same bars.
    """

    rank_ic: Interval  # Spearman, against the tradable label
    ic: float  # Pearson, against the same
    icir: float  # mean over standard deviation of the RankIC by bar
    rank_ic_close: float  # against close to close, which contains the bid-ask bounce
    rank_ic_late: float  # entered one bar late
    accuracy: float
    macro_f1: float
    mcc: float  # Matthews correlation coefficient of the three classes


def filled_rank_ic(
    score_TN: npt.NDArray[np.floating], outcome_TN: FloatArray, known_TN: BoolArray
) -> FloatArray:
    """RankIC by bar on the bars where outcomes differ; 0 where the score does not."""
    outcome_ranks = rank_ic_by_bar(outcome_TN, outcome_TN, known_TN)
    by_bar = rank_ic_by_bar(score_TN, outcome_TN, known_TN)[np.isfinite(outcome_ranks)]
    return np.nan_to_num(by_bar)


def bootstrap_mean(values_T: FloatArray, block: int, seed: int) -> Interval:
    """Mean with a circular block bootstrap interval (Politis & Romano 1992).

    Blocks of `block` consecutive bars are drawn together because neighbouring bars, and
    overlapping labels above all, are not independent.
    """
    count = len(values_T)
    if count == 0:
        nan = float("nan")
        return Interval(nan, nan, nan)
    block = min(block, count)
    wrapped = np.concatenate((values_T, values_T[: block - 1]))
    block_sums = np.convolve(wrapped, np.ones(block), mode="valid")
    starts = np.random.default_rng(seed).integers(count, size=(BOOTSTRAP_DRAWS, -(-count // block)))
    means = block_sums[starts].mean(axis=1) / block
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, (tail, 1.0 - tail))
    return Interval(float(values_T.mean()), float(low), float(high))


def block_length(num_bars: int, horizon: int) -> int:
    """Bars drawn together: at least two horizons, growing slowly with the sample."""
    return max(2 * horizon, round(float(np.cbrt(num_bars))))


@dataclass(frozen=True)
class Outcomes:
    """What happened on the bars to be judged; `known_TN` marks the samples."""

    ret_TN: FloatArray
    close_ret_TN: FloatArray
    late_ret_TN: FloatArray
    class_TN: ClassArray
    known_TN: BoolArray
    horizon: int


def judge(
    score_TN: npt.NDArray[np.floating], class_TN: ClassArray, outcomes: Outcomes, seed: int
) -> Metrics:
    """All metrics of a ranking score and a class prediction."""
    known = outcomes.known_TN
    by_bar = filled_rank_ic(score_TN, outcomes.ret_TN, known)
    ic = np.nan_to_num(correlation_by_bar(score_TN, outcomes.ret_TN, known)[known.any(axis=1)])
    truth, guess = outcomes.class_TN[known], class_TN[known]
    spread = float(by_bar.std()) if len(by_bar) else 0.0
    return Metrics(
        rank_ic=bootstrap_mean(by_bar, block_length(len(by_bar), outcomes.horizon), seed),
        ic=float(ic.mean()),
        icir=float(by_bar.mean()) / spread if spread > 0.0 else 0.0,
        rank_ic_close=_mean(score_TN, outcomes.close_ret_TN, known),
        rank_ic_late=_mean(score_TN, outcomes.late_ret_TN, known),
        accuracy=float(accuracy_score(truth, guess)),
        macro_f1=float(
            f1_score(truth, guess, average="macro", labels=(0, 1, 2), zero_division=0.0)
        ),
        mcc=float(matthews_corrcoef(truth, guess)),
    )


def _mean(score_TN: npt.NDArray[np.floating], outcome_TN: FloatArray, known_TN: BoolArray) -> float:
    by_bar = filled_rank_ic(score_TN, outcome_TN, known_TN & np.isfinite(outcome_TN))
    return float(by_bar.mean()) if len(by_bar) else float("nan")
