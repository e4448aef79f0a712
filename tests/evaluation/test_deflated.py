"""Luck of the best of many."""

import numpy as np
import pytest

from gnn_trainer.evaluation.deflated import deflated_sharpe, deflated_skill, expected_luck


@pytest.mark.parametrize("trials", [2, 10, 100])
def test_the_expected_luck_is_that_of_the_best_of_so_many_draws(trials: int) -> None:
    best = np.random.default_rng(0).standard_normal((20_000, trials)).max(axis=1)
    assert expected_luck(trials) == pytest.approx(best.mean(), abs=0.06)


def test_one_trial_needs_no_luck() -> None:
    assert expected_luck(1) == expected_luck(0) == 0.0


def test_without_skill_the_probability_is_uniform() -> None:
    rng = np.random.default_rng(1)
    found = [deflated_sharpe(rng.normal(0.0, 0.01, 500), trials=1) for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(found) > 0.95) == pytest.approx(0.05, abs=0.03)


def test_the_best_of_fifty_worthless_strategies_is_seen_through() -> None:
    rng = np.random.default_rng(2)
    shining = fooled = 0
    for _ in range(60):
        returns = rng.normal(0.0, 0.01, (50, 300))
        best = returns[np.argmax(returns.mean(axis=1))]
        shining += deflated_sharpe(best, trials=1) > 0.95
        fooled += deflated_sharpe(best, trials=50) > 0.95
    assert shining > 50
    assert fooled <= 6


def test_real_skill_survives_many_trials() -> None:
    returns = np.random.default_rng(3).normal(0.003, 0.01, 1000)
    assert deflated_sharpe(returns, trials=100) > 0.99


def test_fat_tails_on_the_left_count_against() -> None:
    rng = np.random.default_rng(4)
    calm = rng.normal(0.001, 0.01, 2000)
    skewed = -rng.exponential(0.01, 2000)
    skewed = (skewed - skewed.mean()) / skewed.std() * calm.std() + calm.mean()
    assert deflated_sharpe(skewed, trials=1) < deflated_sharpe(calm, trials=1)


@pytest.mark.parametrize("returns", [[], [0.1], [0.0, 0.0, 0.0]])
def test_no_variation_says_nothing(returns: list[float]) -> None:
    assert np.isnan(deflated_sharpe(np.array(returns), trials=1))


def test_an_interval_that_touches_zero_is_at_its_confidence() -> None:
    assert deflated_skill(0.02, 0.0, 0.04, 1, 0.95) == pytest.approx(0.975)
    assert deflated_skill(0.02, 0.0, 0.04, 20, 0.95) < 0.6
    assert np.isnan(deflated_skill(0.0, 0.0, 0.0, 1, 0.95))
