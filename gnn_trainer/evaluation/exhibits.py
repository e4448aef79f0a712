"""Exhibits: what the pictures of a report show beyond its figures, as numbers.

Periods and reliability are computed from folds, so from the published tables anybody can again;
the importance of features and the portrait of the graph come from the model and its graph.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn_trainer.evaluation.calibration import (
    BINS,
    Calibration,
    expected_calibration_error,
    tempered,
)
from gnn_trainer.evaluation.intervals import Interval, block_length, bootstrap_mean
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, Fold
from gnn_trainer.evaluation.series import judge_bars
from gnn_trainer.market.labels import ClassArray

MOST_PERIODS = 24
BARS_PER_PERIOD = 20  # fewer say too little about themselves


@dataclass(frozen=True)
class Period:
    """Consecutive judged bars of the test spans."""

    first_ms: int  # open of its first bar
    last_ms: int  # and of its last
    bars: int
    rank_ic: Interval  # of the model
    rank_ic_no_graph: float  # of the same network without graph


@dataclass(frozen=True)
class Reliability:
    """How often the likeliest class was right, by how sure the model was; empty bins left out."""

    samples: int
    ece: float
    sure: tuple[float, ...]  # mean probability of the likeliest class, by bin
    right: tuple[float, ...]  # share of the bin in which it was the true one
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Importance:
    """RankIC lost when a feature's columns change places between the symbols."""

    feature: str
    lost: Interval


@dataclass(frozen=True)
class Lead:
    """An edge, over the refreshes of a span."""

    leader: str
    follower: str
    share: float  # of the refreshes in which it is there
    weight: float  # mean size of its largest lead correlation, 0 while absent; else `share`


@dataclass(frozen=True)
class Portrait:
    """Who leads whom in a span, and how dense and how steady the graph is over the whole time."""

    symbols: int
    refreshes: int  # of the span
    leads: tuple[Lead, ...]  # those of most weight, heaviest first
    followers: dict[str, float]  # mean number by leader, most first
    time_ms: tuple[int, ...]  # first bar of a refresh, of the whole sequence, thinned
    density: tuple[float, ...]  # share of possible directed edges
    churn: tuple[float, ...]  # share of edges that the refresh before did not have; 0 of the first


@dataclass(frozen=True)
class Exhibits:
    """Published as exhibits.json."""

    periods: tuple[Period, ...]
    reliability: Reliability | None  # of the probabilities as published; None: there are none
    uncalibrated: Reliability | None  # before the temperature; None: the same, or several
    importance: tuple[Importance, ...]  # most important first, on the validation span
    portrait: Portrait | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def exhibit(
    folds: Sequence[Fold],
    *,
    calibration: Calibration | None = None,
    importance: Sequence[Importance] = (),
    portrait: Portrait | None = None,
) -> Exhibits:
    """Of the folds of one report. `calibration` is the model's, where all folds share one."""
    truth_S, probability_S3 = _model_samples(folds)
    has_any = len(probability_S3) > 0
    uncalibrated = None
    if has_any and calibration is not None and calibration.temperature != 1.0:
        uncalibrated = reliability(tempered(probability_S3, 1.0 / calibration.temperature), truth_S)
    return Exhibits(
        periods=periods(folds),
        reliability=reliability(probability_S3, truth_S) if has_any else None,
        uncalibrated=uncalibrated,
        importance=tuple(sorted(importance, key=lambda found: -found.lost.mean)),
        portrait=portrait,
    )


def periods(folds: Sequence[Fold]) -> tuple[Period, ...]:
    """The judged bars in time order, cut into parts of equal length."""
    judged = judge_bars(folds)
    own_T, plain_T = (judged.series[name].rank_ic_T for name in (MODEL, NO_GRAPH))
    parts = int(np.clip(len(own_T) // BARS_PER_PERIOD, 1, MOST_PERIODS)) if len(own_T) else 0
    return tuple(
        Period(
            first_ms=int(judged.open_time_T[rows[0]]),
            last_ms=int(judged.open_time_T[rows[-1]]),
            bars=len(rows),
            rank_ic=bootstrap_mean(
                own_T[rows], block_length(len(rows), folds[0].horizon), folds[0].seed
            ),
            rank_ic_no_graph=float(plain_T[rows].mean()),
        )
        for rows in (np.array_split(np.arange(len(own_T)), parts) if parts else ())
    )


def reliability(probability_S3: npt.NDArray[np.floating], class_S: ClassArray) -> Reliability:
    """By the bins of the expected calibration error, `expected_calibration_error`."""
    sure_S = probability_S3.max(axis=1).astype(np.float64)
    right_S = probability_S3.argmax(axis=1) == class_S
    bin_S = np.minimum((sure_S * BINS).astype(np.int64), BINS - 1)
    count_B = np.bincount(bin_S, minlength=BINS)
    held = count_B > 0
    sure_B = np.bincount(bin_S, weights=sure_S, minlength=BINS)[held] / count_B[held]
    right_B = np.bincount(bin_S, weights=right_S, minlength=BINS)[held] / count_B[held]
    return Reliability(
        samples=len(class_S),
        ece=expected_calibration_error(probability_S3, class_S),
        sure=tuple(sure_B.tolist()),
        right=tuple(right_B.tolist()),
        counts=tuple(count_B[held].tolist()),
    )


def _model_samples(folds: Sequence[Fold]) -> tuple[ClassArray, npt.NDArray[np.float32]]:
    """True classes [S] and the model's probabilities [S, 3]; none if any fold lacks them."""
    said = [fold.probability(MODEL) for fold in folds]
    pairs = [
        (fold.class_TN[fold.known_TN], probability_TN3[fold.known_TN])
        for fold, probability_TN3 in zip(folds, said, strict=True)
        if probability_TN3 is not None
    ]
    if len(pairs) < len(folds):
        return np.empty(0, np.int8), np.empty((0, 3), np.float32)
    truths, probabilities = zip(*pairs, strict=True)
    return np.concatenate(truths), np.concatenate(probabilities)
