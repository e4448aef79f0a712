"""RankIC: the Spearman correlation of score and outcome over the symbols of one bar."""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from gnn_trainer.market.frame import BoolArray, FloatArray

MIN_SYMBOLS = 5  # fewer make a rank correlation of little meaning


def rank_ic_by_bar(
    score_TN: npt.NDArray[np.floating], outcome_TN: FloatArray, known_TN: BoolArray
) -> FloatArray:
    """One Spearman correlation per bar; NaN where fewer than MIN_SYMBOLS are known or all tie."""
    score = rankdata(np.where(known_TN, score_TN, np.nan), axis=1, nan_policy="omit")
    outcome = rankdata(np.where(known_TN, outcome_TN, np.nan), axis=1, nan_policy="omit")
    return correlation_by_bar(score, outcome, known_TN)


def correlation_by_bar(
    score_TN: npt.NDArray[np.floating], outcome_TN: FloatArray, known_TN: BoolArray
) -> FloatArray:
    """One Pearson correlation per bar over the known symbols; NaN where undefined."""
    count = known_TN.sum(axis=1)
    score = _centred(score_TN, known_TN)
    outcome = _centred(outcome_TN, known_TN)
    norm = np.sqrt((score**2).sum(axis=1) * (outcome**2).sum(axis=1))
    defined = (count >= MIN_SYMBOLS) & (norm > 1e-12)
    by_bar = np.full(len(known_TN), np.nan)
    np.divide((score * outcome).sum(axis=1), norm, out=by_bar, where=defined)
    return by_bar


def mean_rank_ic(
    score_TN: npt.NDArray[np.floating], outcome_TN: FloatArray, known_TN: BoolArray
) -> float:
    """Mean over the bars where it is defined; NaN if there is none."""
    by_bar = rank_ic_by_bar(score_TN, outcome_TN, known_TN)
    defined = np.isfinite(by_bar)
    return float(by_bar[defined].mean()) if defined.any() else float("nan")


def _centred(values_TN: npt.NDArray[np.floating], known_TN: BoolArray) -> FloatArray:
    values = np.where(known_TN, values_TN.astype(np.float64), 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(known_TN.sum(axis=1, keepdims=True), 1)
    centred: FloatArray = np.where(known_TN, values - mean, 0.0)
    return centred
