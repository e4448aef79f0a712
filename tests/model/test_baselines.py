"""Plain baselines find what is there to be found, and choose on the validation span alone."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter

from gnn_trainer.errors import StopRequested
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.model.baselines import (
    Learner,
    Samples,
    boosted_trees,
    fit_learner,
    low_volatility_score,
    perceptron,
    ridge,
    scores_of,
)
from gnn_trainer.model.scorers import Scorer
from gnn_trainer.training.rank_ic import mean_rank_ic

SCORER: TypeAdapter[Scorer] = TypeAdapter(Scorer)
LEARNERS = (ridge, boosted_trees, perceptron)
BARS, SYMBOLS = 500, 10


@pytest.fixture(scope="module")
def samples() -> Samples:
    """The target is the first feature and noise; 300 bars to learn, 100 to choose, 100 to score."""
    rng = np.random.default_rng(0)
    x_TNF = rng.standard_normal((BARS, SYMBOLS, 4)).astype(np.float32)
    row_T = np.arange(BARS)
    return Samples(
        x_TNF,
        0.5 * x_TNF[..., 0] + rng.standard_normal((BARS, SYMBOLS)),
        train_TN=np.broadcast_to((row_T < 300)[:, None], (BARS, SYMBOLS)),
        validation_T=(row_T >= 300) & (row_T < 400),
    )


def score(learner: Learner, samples: Samples) -> FloatArray:
    known_TN = np.broadcast_to(samples.validation_T[:, None], samples.train_TN.shape)

    def judge(score_TN: FloatArray) -> float:
        return mean_rank_ic(score_TN, samples.target_TN, known_TN)

    scorer = fit_learner(learner, samples, judge, seed=0, pulse=lambda: None)
    again = SCORER.validate_json(SCORER.dump_json(scorer))
    rows_T = np.ones(BARS, np.bool_)
    found = scores_of(scorer, samples.x_TNF, rows_T)
    np.testing.assert_array_equal(found, scores_of(again, samples.x_TNF, rows_T))
    return found


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_can_be_learned_is_learned(learner: Learner, samples: Samples) -> None:
    test_TN = np.zeros((BARS, SYMBOLS), np.bool_)
    test_TN[400:] = True
    assert mean_rank_ic(score(learner, samples), samples.target_TN, test_TN) > 0.35


@pytest.mark.parametrize("learner", LEARNERS)
def test_targets_after_the_training_span_change_nothing_but_the_choice(
    learner: Learner, samples: Samples
) -> None:
    poisoned_TN = samples.target_TN.copy()
    poisoned_TN[400:] = 1e9
    poisoned = replace(samples, target_TN=poisoned_TN)
    np.testing.assert_array_equal(score(learner, samples), score(learner, poisoned))


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_learner_can_be_stopped(learner: Learner, samples: Samples) -> None:
    def stop() -> None:
        raise StopRequested("enough")

    with pytest.raises(StopRequested):
        fit_learner(learner, samples, lambda _: 0.0, seed=0, pulse=stop)


def test_effort_ends_where_it_stops_helping(samples: Samples) -> None:
    pulses: list[None] = []
    fit_learner(perceptron, samples, lambda _: 0.0, seed=0, pulse=lambda: pulses.append(None))
    assert len(pulses) == 2 * 4  # of each penalty: one epoch, and three that were no better


def test_unknown_volatility_is_liked_least() -> None:
    scored = low_volatility_score(np.array([[0.1, np.nan, 0.3]]))
    np.testing.assert_array_equal(scored, [[-0.1, -0.3, -0.3]])
