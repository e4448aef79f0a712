"""RankIC against scipy, one bar at a time."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from gnn_trainer.training.rank_ic import (
    MIN_SYMBOLS,
    correlation_by_bar,
    mean_rank_ic,
    rank_ic_by_bar,
)


def test_each_bar_is_scipys_spearman_over_the_known_symbols() -> None:
    rng = np.random.default_rng(0)
    score, outcome = rng.standard_normal((2, 20, 9))
    score[3, :4] = 0.5  # ties
    known = rng.random((20, 9)) > 0.2
    by_bar = rank_ic_by_bar(score, outcome, known)
    for bar in range(20):
        expected = spearmanr(score[bar, known[bar]], outcome[bar, known[bar]]).statistic
        assert by_bar[bar] == pytest.approx(expected)


def test_pearson_matches_scipy_too() -> None:
    score, outcome = np.random.default_rng(1).standard_normal((2, 3, 8))
    by_bar = correlation_by_bar(score, outcome, np.ones((3, 8), dtype=np.bool_))
    for bar in range(3):
        assert by_bar[bar] == pytest.approx(pearsonr(score[bar], outcome[bar]).statistic)


def test_bars_with_too_few_symbols_or_no_opinion_have_no_rank_ic() -> None:
    score = np.arange(16.0).reshape(2, 8)
    score[1] = 1.0
    known = np.ones((2, 8), dtype=np.bool_)
    known[0, MIN_SYMBOLS - 1 :] = False
    assert np.isnan(rank_ic_by_bar(score, score, known)).all()
    assert np.isnan(mean_rank_ic(score, score, known))
