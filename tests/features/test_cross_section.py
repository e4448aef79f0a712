"""Ranks and spreads over the symbols of one bar."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.features.cross_section import (
    row_deviation,
    row_mean,
    row_rank,
    row_rank_plain,
)

ROWS = st.lists(st.sampled_from([np.nan, -1.0, -0.0, 0.0, 0.5, 2.0, 7.0]), min_size=1, max_size=9)


@pytest.mark.parametrize("rank", [row_rank, row_rank_plain])
@given(row=ROWS)
def test_rank_counts_who_is_below_and_splits_ties(
    rank: Callable[[np.ndarray], np.ndarray], row: list[float]
) -> None:
    known = [x for x in row if not np.isnan(x)]
    expected = [
        (sum(y < x for y in known) + (known.count(x) - 1) / 2) / max(len(known) - 1, 1)
        - 0.5 * (len(known) > 1)
        if x in known
        else np.nan
        for x in row
    ]
    np.testing.assert_allclose(rank(np.array([row]))[0], expected, atol=1e-7)


def test_ranks_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for x_TN in (rng.standard_normal((50, 70)), rng.integers(-9, 9, (50, 70)).astype(np.float32)):
        x_TN[rng.random(x_TN.shape) < 0.05] = np.nan
        x_TN[rng.random(x_TN.shape) < 0.05] = np.inf
        x_TN[7] = np.nan
        np.testing.assert_allclose(row_rank(x_TN), row_rank_plain(x_TN), rtol=0.0, atol=1e-7)


@given(ROWS)
def test_mean_and_deviation_leave_missing_symbols_out(row: list[float]) -> None:
    known = [x for x in row if not np.isnan(x)]
    mean = float(np.mean(known)) if known else np.nan
    deviation = float(np.std(known)) if len(known) > 1 else np.nan
    x_TN = np.array([row])
    np.testing.assert_allclose(row_mean(x_TN)[0], mean, atol=1e-15)
    np.testing.assert_allclose(row_deviation(x_TN)[0], deviation, atol=1e-15)
