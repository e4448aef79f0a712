"""Metrics against plain computations, and what must hold whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from gnn_trainer.evaluation.metrics import (
    filled_rank_ic,
    net_of_styles,
    score_classes,
    shares_TN,
    style_basis,
    surprise,
    up_against_down,
)
from gnn_trainer.market.labels import DOWN, FLAT, UP


def market(seed: int, num_bars: int = 30, num_symbols: int = 9) -> tuple[np.ndarray, ...]:
    """Scores, outcomes and gaps."""
    rng = np.random.default_rng(seed)
    score_TN, outcome_TN = rng.standard_normal((2, num_bars, num_symbols))
    return np.round(score_TN, 1), outcome_TN, rng.random((num_bars, num_symbols)) < 0.8


def test_rank_ic_is_scipys_spearman_by_bar() -> None:
    score_TN, outcome_TN, known_TN = market(0)
    expected = [
        spearmanr(score[known], outcome[known]).statistic
        for score, outcome, known in zip(score_TN, outcome_TN, known_TN, strict=True)
        if known.sum() >= 5
    ]
    np.testing.assert_allclose(filled_rank_ic(score_TN, outcome_TN, known_TN), expected)


def test_no_opinion_scores_zero_on_the_same_bars() -> None:
    _, outcome_TN, known_TN = market(1)
    blank = filled_rank_ic(np.zeros_like(outcome_TN), outcome_TN, known_TN)
    assert len(blank) == len(filled_rank_ic(outcome_TN, outcome_TN, known_TN))
    assert not blank.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_shares_add_up_to_the_rank_ic(seed: int) -> None:
    score_TN, outcome_TN, known_TN = market(seed)
    enough_T = known_TN.sum(axis=1) >= 5
    mean_T = shares_TN(score_TN, outcome_TN, known_TN).sum(axis=1) / known_TN.sum(axis=1)
    np.testing.assert_allclose(
        mean_T[enough_T], filled_rank_ic(score_TN, outcome_TN, known_TN), atol=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_what_is_left_is_blind_to_the_styles(seed: int) -> None:
    score_TN, style_TN, known_TN = market(seed)
    basis_TNK = style_basis(np.stack((style_TN, style_TN**3), axis=-1), known_TN)
    left_TN = net_of_styles(score_TN + style_TN, basis_TNK, known_TN)
    assert not left_TN[~known_TN].any()
    for left, style, known in zip(left_TN, style_TN, known_TN, strict=True):
        ranks = np.argsort(np.argsort(style[known]))
        assert left[known] @ (ranks - ranks.mean()) == pytest.approx(0.0, abs=1e-8)


def test_a_pure_style_has_nothing_left() -> None:
    _, style_TN, known_TN = market(2)
    basis_TNK = style_basis(np.stack((style_TN, -(style_TN**3)), axis=-1), known_TN)
    assert not net_of_styles(np.exp(style_TN), basis_TNK, known_TN).any()


def test_a_style_that_never_varies_takes_nothing_away() -> None:
    score_TN, _, known_TN = market(3)
    basis_TNK = style_basis(np.zeros((*score_TN.shape, 1)), known_TN)
    left_TN = net_of_styles(score_TN, basis_TNK, known_TN)
    np.testing.assert_allclose(
        filled_rank_ic(left_TN, score_TN, known_TN), 1.0, err_msg="the order is kept"
    )


def test_perfect_classes_score_one() -> None:
    truth = np.array([DOWN, FLAT, UP, UP], np.int8)
    skill = score_classes(truth, truth)
    assert (skill.accuracy, skill.macro_f1, skill.mcc) == (1.0, 1.0, 1.0)


def test_up_against_down_ignores_flat_and_needs_both() -> None:
    truth = np.array([DOWN, FLAT, UP], np.int8)
    assert up_against_down(truth, np.array([0.1, 9.0, 0.2])) == 1.0
    assert up_against_down(truth[1:], np.array([9.0, 0.2])) is None


def test_surprise_of_base_rates_is_their_entropy_and_certainty_costs_no_infinity() -> None:
    truth = np.array([DOWN, FLAT, UP], np.int8)
    assert surprise(truth, np.full((3, 3), 1 / 3)) == pytest.approx(np.log(3.0))
    assert np.isfinite(surprise(truth, np.eye(3)[[1, 2, 0]]))
