"""Intervals and t statistics of means over bars that hang together."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from gnn_trainer.evaluation.intervals import (
    block_length,
    bootstrap_mean,
    compare,
    newey_west_t,
)


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


def test_newey_west_is_nearly_students_t_where_bars_are_independent() -> None:
    values = 0.1 + np.random.default_rng(1).standard_normal(5000)
    assert newey_west_t(values, horizon=1) == pytest.approx(ttest_1samp(values, 0).statistic, 0.1)


def test_newey_west_sees_through_a_mean_said_ten_times() -> None:
    lingering = np.repeat(0.3 + np.random.default_rng(0).standard_normal(100), 10)
    naive = ttest_1samp(lingering, 0).statistic
    assert newey_west_t(lingering, horizon=10) < 0.5 * naive


@pytest.mark.parametrize("values", [np.array([]), np.ones(3), np.ones(100)])
def test_too_little_or_constant_has_no_t(values: np.ndarray) -> None:
    assert newey_west_t(values, horizon=1) == 0.0


def test_pairing_takes_away_what_two_series_share() -> None:
    rng = np.random.default_rng(0)
    shared = 10.0 * rng.standard_normal(500)
    found = compare(shared + 0.2, shared + 0.01 * rng.standard_normal(500), horizon=1, seed=0)
    assert found.interval.low > 0.19
    assert found.t > 50.0
