"""Figures of merit: by bar for what is ranked, over all samples for what is classified."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.market.labels import DOWN, FLAT, UP, ClassArray
from gnn_trainer.training.rank_ic import correlation_by_bar, rank_ic_by_bar

CLASSES = (DOWN, FLAT, UP)
_TINY = 1e-9  # spreads and lengths of ranks below this are nothing
_COLLINEAR = 1e-6  # share of the longest direction below which another is rounding
_STYLE_LEFT = 1e-9  # share of a score's variance below which styles explain all of it
_SURE = 1e-6  # a probability is taken to be at least this, or one mistake costs without bound

Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Metrics:
    """Skill of one predictor on one set of samples.

    Correlations are means over bars of cross-sectional correlations; a bar in which the predictor
    has no opinion counts as zero, so all predictors are judged on the same bars. What a predictor
    does not say is None.
    """

    rank_ic: Interval  # Spearman, against the tradable label
    ic: float  # Pearson, against the same
    icir: float  # mean over standard deviation of the RankIC by bar
    newey_west_t: float  # of the RankIC by bar
    positive_share: float  # of bars with a RankIC above zero
    rank_ic_net: Interval  # of what is left of the score beside low volatility and last return
    rank_ic_close: float  # against close to close, which contains the bid-ask bounce
    rank_ic_late: float  # entered one bar late
    accuracy: float
    macro_f1: float
    mcc: float  # Matthews correlation coefficient of the three classes
    auc: float | None  # UP against DOWN, all samples together; by P(UP) - P(DOWN), else the score
    log_loss: float | None  # nats
    ece: float | None  # expected calibration error


@dataclass(frozen=True)
class Skill:
    """Of the classes named."""

    accuracy: float
    macro_f1: float
    mcc: float


def filled_rank_ic(score_TN: Scores, outcome_TN: FloatArray, known_TN: BoolArray) -> FloatArray:
    """RankIC by bar on the bars where outcomes differ; 0 where the score does not."""
    judged_T = judged_bars(outcome_TN, known_TN)
    return np.nan_to_num(rank_ic_by_bar(score_TN, outcome_TN, known_TN)[judged_T])


def judged_bars(outcome_TN: FloatArray, known_TN: BoolArray) -> BoolArray:
    """Bars with enough known outcomes that are not all the same."""
    judged_T: BoolArray = np.isfinite(rank_ic_by_bar(outcome_TN, outcome_TN, known_TN))
    return judged_T


def shares_TN(score_TN: Scores, outcome_TN: FloatArray, known_TN: BoolArray) -> FloatArray:
    """What each symbol adds to its bar's RankIC; their mean over the known symbols is the RankIC.

    The product of both cross-sectional ranks, standardised; 0 where unknown or without opinion.
    """
    shares: FloatArray = _standardised(score_TN, known_TN) * _standardised(outcome_TN, known_TN)
    return shares


def style_basis(style_TNK: FloatArray, known_TN: BoolArray) -> FloatArray:
    """Orthonormal directions, bar by bar, of the cross-sectional ranks of K styles, [T, N, K].

    A style that does not vary, or that the others explain, leaves a direction of zeros.
    """
    ranks_TNK = np.stack([_ranks(x, known_TN) for x in np.moveaxis(style_TNK, -1, 0)], axis=-1)
    basis_TNK, size_TK, _ = np.linalg.svd(ranks_TNK, full_matrices=False)
    largest_T1 = np.maximum(size_TK.max(axis=1, keepdims=True), _TINY)
    kept: FloatArray = basis_TNK * (size_TK > _COLLINEAR * largest_T1)[:, None]
    return kept


def net_of_styles(score_TN: Scores, basis_TNK: FloatArray, known_TN: BoolArray) -> FloatArray:
    """What a score's cross-sectional ranks are beside those of the styles, bar by bar.

    Residual of least squares on the known symbols; zero (no opinion) where nothing is left.
    """
    rank_TN = _ranks(score_TN, known_TN)
    loading_TK = np.einsum("tnk,tn->tk", basis_TNK, rank_TN)
    left_TN = np.where(known_TN, rank_TN - np.einsum("tnk,tk->tn", basis_TNK, loading_TK), 0.0)
    explained_T = (left_TN**2).sum(axis=1) <= _STYLE_LEFT * (rank_TN**2).sum(axis=1)
    left_TN[explained_T] = 0.0
    return left_TN


def score_classes(truth: ClassArray, guess: ClassArray) -> Skill:
    """Of all samples together."""
    return Skill(
        accuracy=float(accuracy_score(truth, guess)),
        macro_f1=float(f1_score(truth, guess, average="macro", labels=CLASSES, zero_division=0.0)),
        mcc=float(matthews_corrcoef(truth, guess)),
    )


def up_against_down(truth: ClassArray, score: Scores) -> float | None:
    """Area under the ROC curve over the samples that moved; None unless both happened."""
    moved = truth != FLAT
    up = truth[moved] == UP
    if not 0 < up.sum() < len(up):
        return None
    return float(roc_auc_score(up, score[moved]))


def surprise(truth: ClassArray, probability_S3: Scores) -> float:
    """Log loss in nats."""
    safe_S3 = np.clip(probability_S3.astype(np.float64), _SURE, 1.0)
    safe_S3 /= safe_S3.sum(axis=1, keepdims=True)
    return float(log_loss(truth, safe_S3, labels=CLASSES))


def pearson_ic(score_TN: Scores, outcome_TN: FloatArray, known_TN: BoolArray) -> FloatArray:
    """Pearson correlation by judged bar; 0 where the score does not vary."""
    judged_T = judged_bars(outcome_TN, known_TN)
    return np.nan_to_num(correlation_by_bar(score_TN, outcome_TN, known_TN)[judged_T])


def _centred(x_TN: Scores, known_TN: BoolArray) -> FloatArray:
    count = np.maximum(known_TN.sum(axis=1, keepdims=True), 1)
    values = np.where(known_TN, x_TN, 0.0)
    centred: FloatArray = np.where(
        known_TN, values - values.sum(axis=1, keepdims=True) / count, 0.0
    )
    return centred


def _ranks(x_TN: Scores, known_TN: BoolArray) -> FloatArray:
    """Cross-sectional ranks less their mean; 0 where unknown."""
    return _centred(rankdata(np.where(known_TN, x_TN, np.nan), axis=1, nan_policy="omit"), known_TN)


def _standardised(x_TN: Scores, known_TN: BoolArray) -> FloatArray:
    """Ranks with mean square 1 over the known symbols of each bar; 0 where they all tie."""
    ranks_TN = _ranks(x_TN, known_TN)
    count = np.maximum(known_TN.sum(axis=1, keepdims=True), 1)
    spread = np.sqrt((ranks_TN**2).sum(axis=1, keepdims=True) / count)
    standard: FloatArray = np.divide(
        ranks_TN, spread, out=np.zeros_like(ranks_TN), where=spread > _TINY
    )
    return standard
