"""The model against the champion: same samples, and none that the champion was fitted on."""

from dataclasses import replace

import numpy as np
import pytest

from gnn_trainer.evaluation.champion import Rival, Standing, compare_with_champion
from gnn_trainer.evaluation.protocol import MODEL, Fold
from gnn_trainer.market.frame import FloatArray
from tests.evaluation.made_folds import BARS, HOUR_MS, SYMBOLS, made_fold

BEFORE = 30  # bars that the champion scored before the fold's


def fold_of(score_TN: FloatArray, outcome_TN: FloatArray) -> Fold:
    """The model's scores and what happened, with every sample known."""
    fold = made_fold(test=0)
    return replace(
        fold,
        open_time_T=fold.open_time_T + BEFORE * HOUR_MS,
        known_TN=np.ones_like(fold.known_TN),
        ret_TN=outcome_TN,
        predictors=(MODEL,),
        score_PTN=score_TN[None].astype(np.float32),
    )


@pytest.fixture
def outcome_TN() -> FloatArray:
    return np.random.default_rng(0).standard_normal((BARS, SYMBOLS))


def standing_of(score_TN: FloatArray) -> Standing:
    """A champion that knew nothing of the bars before the fold's."""
    unseen_TN = np.zeros((BEFORE, SYMBOLS))
    rival = Rival(
        version="v1",
        score_TN=np.concatenate((unseen_TN, score_TN)),
        known_TN=np.ones((BEFORE + BARS, SYMBOLS), np.bool_),
        open_time_T=HOUR_MS * np.arange(BEFORE + BARS),
        fitted_until_ms=0,
    )
    return Standing(trials=2, version="v1", rival=rival)


def test_no_champion_no_comparison(outcome_TN: FloatArray) -> None:
    assert compare_with_champion(fold_of(outcome_TN, outcome_TN), Standing(), min_bars=5) is None


def test_an_obstacle_is_passed_on(outcome_TN: FloatArray) -> None:
    standing = Standing(version="v1", obstacle="of another kind")
    found = compare_with_champion(fold_of(outcome_TN, outcome_TN), standing, min_bars=5)
    assert found is not None
    assert (found.difference, found.obstacle) == (None, "of another kind")


def test_the_difference_is_paired_on_the_same_bars(outcome_TN: FloatArray) -> None:
    fold = fold_of(outcome_TN, outcome_TN)
    same = compare_with_champion(fold, standing_of(outcome_TN), min_bars=5)
    assert same is not None
    assert same.difference is not None
    assert (same.difference.mean, same.difference.low, same.difference.high) == (0.0, 0.0, 0.0)
    worse = compare_with_champion(fold, standing_of(-outcome_TN), min_bars=5)
    assert worse is not None
    assert worse.difference is not None
    assert worse.difference.mean == pytest.approx(2.0)
    assert worse.bars == BARS


def test_bars_that_the_champion_was_fitted_on_do_not_count(outcome_TN: FloatArray) -> None:
    standing = standing_of(outcome_TN)
    assert standing.rival is not None
    known_until = HOUR_MS * (BEFORE + 100)
    informed = replace(standing, rival=replace(standing.rival, fitted_until_ms=known_until))
    fold = fold_of(np.zeros_like(outcome_TN), outcome_TN)
    found = compare_with_champion(fold, informed, min_bars=5)
    assert found is not None
    assert found.bars == 20
    refused = compare_with_champion(fold, informed, min_bars=21)
    assert refused is not None
    assert refused.difference is None
    assert "20 bars of this test span are new to it, 21 are needed" in refused.obstacle


def test_samples_the_champion_cannot_score_count_for_neither(outcome_TN: FloatArray) -> None:
    standing = standing_of(outcome_TN)
    assert standing.rival is not None
    standing.rival.known_TN[BEFORE + 50 :] = False
    found = compare_with_champion(fold_of(outcome_TN, outcome_TN), standing, min_bars=5)
    assert found is not None
    assert found.bars == 50
