"""Metrics and their intervals."""

import numpy as np
import pytest

from gnn_trainer.evaluation.metrics import (
    Outcomes,
    block_length,
    bootstrap_mean,
    filled_rank_ic,
    judge,
)


def outcomes(ret_TN: np.ndarray) -> Outcomes:
    classes = np.digitize(ret_TN, (-0.4, 0.4)).astype(np.int8)
    known = np.ones(ret_TN.shape, dtype=np.bool_)
    return Outcomes(ret_TN, ret_TN, ret_TN, classes, known, horizon=1)


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    truth = outcomes(np.random.default_rng(0).standard_normal((50, 8)))
    metrics = judge(truth.ret_TN, truth.class_TN, truth, seed=0)
    assert metrics.rank_ic.mean == pytest.approx(1.0)
    figures = (metrics.ic, metrics.accuracy, metrics.macro_f1, metrics.mcc)
    assert figures == pytest.approx((1.0,) * 4)


def test_no_opinion_scores_zero_on_the_same_bars() -> None:
    truth = outcomes(np.random.default_rng(0).standard_normal((50, 8)))
    metrics = judge(np.zeros((50, 8)), np.ones((50, 8), np.int8), truth, seed=0)
    assert (metrics.rank_ic.mean, metrics.rank_ic.low, metrics.mcc) == (0.0, 0.0, 0.0)
    assert len(filled_rank_ic(np.zeros((50, 8)), truth.ret_TN, truth.known_TN)) == 50


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [bootstrap_mean(rng.standard_normal(200), block=4, seed=s) for s in range(200)]
    covered = np.mean([interval.low <= 0.0 <= interval.high for interval in intervals])
    assert 0.88 <= covered <= 0.99


def test_blocks_widen_the_interval_of_a_series_that_lingers() -> None:
    lingering = np.repeat(np.random.default_rng(0).standard_normal(50), 10)
    single, blocked = (bootstrap_mean(lingering, block=b, seed=0) for b in (1, 20))
    assert blocked.high - blocked.low > 2.0 * (single.high - single.low)


def test_blocks_span_two_horizons_at_least() -> None:
    assert block_length(1000, horizon=12) == 24
    assert block_length(1000, horizon=1) == 10


def test_no_bars_have_no_mean() -> None:
    assert np.isnan(bootstrap_mean(np.array([]), block=3, seed=0).mean)
