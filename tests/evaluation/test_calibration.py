"""Temperature scaling: one number, and the probabilities mean what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from gnn_trainer.evaluation.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    tempered,
)
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import fit
from tests.planted import planted_market, small_plan


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right, and classes drawn from them."""
    probability_S3 = softmax(rng.normal(0.0, 1.0, (count, 3)), axis=1)
    class_S = (rng.random((count, 1)) > probability_S3.cumsum(axis=1)).sum(axis=1)
    return probability_S3, np.minimum(class_S, 2).astype(np.int8)


@pytest.mark.parametrize("too_sure", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_network_too_sure(too_sure: float) -> None:
    true_S3, class_S = drawn(np.random.default_rng(0), 20_000)
    stated_S3 = tempered(true_S3, 1.0 / too_sure)
    found = fit_temperature(stated_S3, class_S)
    assert found.temperature == pytest.approx(too_sure, rel=0.05)
    assert found.ece_after < 0.015
    assert found.log_loss_after <= found.log_loss_before
    np.testing.assert_allclose(found.apply(stated_S3), true_S3, atol=0.02)
    if too_sure != 1.0:
        assert found.ece_before > 0.05


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.floats(0.1, 10.0))
def test_tempering_keeps_the_likeliest_class_and_the_sum(seed: int, temperature: float) -> None:
    probability_S3, _ = drawn(np.random.default_rng(seed), 50)
    after_S3 = tempered(probability_S3, temperature)
    np.testing.assert_allclose(after_S3.sum(axis=1), 1.0)
    np.testing.assert_array_equal(after_S3.argmax(axis=1), probability_S3.argmax(axis=1))
    assert tempered(probability_S3.astype(np.float32), temperature).dtype == np.float32


def test_a_probability_of_zero_stays_finite() -> None:
    certain = np.array([[1.0, 0.0, 0.0]])
    assert np.isfinite(tempered(certain, 3.0)).all()


def test_without_samples_nothing_is_changed() -> None:
    untouched = fit_temperature(np.empty((0, 3)), np.empty(0, np.int8))
    assert untouched.temperature == 1.0
    probability = np.array([[0.2, 0.3, 0.5]])
    assert untouched.apply(probability) is probability


def test_the_error_is_the_gap_between_sure_and_right() -> None:
    sure = np.tile([[0.9, 0.05, 0.05]], (10, 1))
    half_right = np.array([0] * 5 + [1] * 5, np.int8)
    assert expected_calibration_error(sure, half_right) == pytest.approx(0.4)
    assert np.isnan(expected_calibration_error(np.empty((0, 3)), np.empty(0, np.int8)))


def test_only_the_validation_span_counts() -> None:
    market = planted_market(strength=0.5, num_bars=600)
    model = fit(market.graph, market.split, small_plan(epochs=1), on_progress=_ignore)
    found = calibrate(model, market.graph, market.split.validation_T)
    assert found.samples == market.split.validation_T.sum() * market.graph.num_symbols
    elsewhere = ~market.split.validation_T
    market.graph.ret_TN[elsewhere] = np.nan
    assert calibrate(model, market.graph, market.split.validation_T) == found


def _ignore(progress: Progress) -> None:
    """Nobody is watching."""


def test_no_temperature_is_no_calibration() -> None:
    assert Calibration().temperature == 1.0
