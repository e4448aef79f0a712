"""Trailing windows against plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.market.rolling import lagged, window_count, window_mean, window_rms, window_sum

WINDOWS = st.integers(1, 40)
BARS = st.integers(0, 60)


def series(num_bars: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x_TN = rng.normal(5.0, 2.0, (num_bars, 3))
    x_TN[rng.random(x_TN.shape) < 0.2] = np.nan
    return x_TN


def window_of(x_TN: np.ndarray, t: int, n: int, window: int) -> list[float]:
    return [x for x in x_TN[max(0, t - window + 1) : t + 1, n] if math.isfinite(x)]


@given(num_bars=BARS, window=WINDOWS)
def test_sum_and_count_are_those_of_the_finite_values(num_bars: int, window: int) -> None:
    x_TN = series(num_bars)
    sum_TN, count_TN = window_sum(x_TN, window), window_count(x_TN, window)
    for t, n in np.ndindex(x_TN.shape):
        known = window_of(x_TN, t, n, window)
        assert sum_TN[t, n] == pytest.approx(math.fsum(known), rel=1e-14, abs=1e-14)
        assert count_TN[t, n] == len(known)


@given(num_bars=BARS, window=WINDOWS, min_share=st.sampled_from([0.1, 0.5, 0.75, 1.0]))
def test_mean_and_rms_need_their_share_of_finite_values(
    num_bars: int, window: int, min_share: float
) -> None:
    x_TN = series(num_bars)
    mean_TN, rms_TN = (f(x_TN, window, min_share) for f in (window_mean, window_rms))
    for t, n in np.ndindex(x_TN.shape):
        known = window_of(x_TN, t, n, window)
        if len(known) < math.ceil(min_share * window):
            assert np.isnan(mean_TN[t, n])
            assert np.isnan(rms_TN[t, n])
        else:
            assert mean_TN[t, n] == pytest.approx(np.mean(known))
            assert rms_TN[t, n] == pytest.approx(np.sqrt(np.mean(np.square(known))))


@given(window=WINDOWS, start=st.integers(0, 20))
def test_a_window_does_not_know_what_came_before_it(window: int, start: int) -> None:
    x_TN = series(80)
    x_TN[:start] = 1e15
    from_start_TN = window_sum(x_TN[start:], window)
    np.testing.assert_array_equal(
        window_sum(x_TN, window)[start + window - 1 :], from_start_TN[window - 1 :]
    )


def test_infinities_are_skipped_like_missing_values() -> None:
    x_TN = np.array([[1.0], [np.inf], [2.0], [-np.inf]])
    np.testing.assert_array_equal(window_sum(x_TN, 2)[:, 0], [1.0, 1.0, 2.0, 2.0])


@given(num_bars=BARS, bars=st.integers(0, 70))
def test_lagged_is_the_past(num_bars: int, bars: int) -> None:
    x_TN = series(num_bars)
    lagged_TN = lagged(x_TN, bars)
    assert np.isnan(lagged_TN[:bars]).all()
    np.testing.assert_array_equal(lagged_TN[bars:], x_TN[: max(0, num_bars - bars)])


def test_windows_leave_their_input_alone() -> None:
    x_TN = series(30)
    before_TN = x_TN.copy()
    window_rms(x_TN, 7, 0.5)
    np.testing.assert_array_equal(x_TN, before_TN)
