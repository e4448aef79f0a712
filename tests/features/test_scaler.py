"""The scaler: what it learns from training rows, and what it keeps quiet about."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.errors import DataError
from gnn_trainer.features.scaler import fit_scaler, unused_features

SHAPE = (200, 10)
TRAINING = np.zeros(SHAPE, np.bool_)
TRAINING[:120] = True


def values(*features_TN: np.ndarray) -> np.ndarray:
    return np.stack(features_TN, axis=-1).astype(np.float32)


def normal(centre: float = 0.0, spread: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, SHAPE)


@given(centre=st.floats(-1e3, 1e3), spread=st.floats(1e-1, 1e3))
def test_training_values_come_out_centred_with_unit_scale(centre: float, spread: float) -> None:
    x_TNF = values(normal(centre, spread))
    scaled = fit_scaler(x_TNF, TRAINING).apply(x_TNF)[TRAINING]
    assert scaled.mean() == pytest.approx(0.0, abs=0.02)
    assert scaled.std() == pytest.approx(1.0, abs=0.05)


def test_rows_outside_training_change_nothing() -> None:
    x_TNF = values(normal(), normal(3.0, seed=1))
    other_TNF = x_TNF.copy()
    other_TNF[~TRAINING] = 1e6
    first, second = fit_scaler(x_TNF, TRAINING), fit_scaler(other_TNF, TRAINING)
    np.testing.assert_array_equal(first.mean_F, second.mean_F)
    np.testing.assert_array_equal(first.scale_F, second.scale_F)


def test_a_few_monsters_hardly_move_the_scale() -> None:
    x_TNF = values(normal())
    plain = fit_scaler(x_TNF, TRAINING)
    x_TNF[5, :3] = 1e9
    shocked = fit_scaler(x_TNF, TRAINING)
    np.testing.assert_allclose(shocked.scale_F, plain.scale_F, rtol=0.05)
    assert shocked.apply(x_TNF)[5, 0, 0] == shocked.clip


def test_what_is_not_available_becomes_zero() -> None:
    x_TNF = values(normal(centre=7.0))
    x_TNF[::3, 4] = np.nan
    scaled = fit_scaler(x_TNF, TRAINING).apply(x_TNF)
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    assert (scaled[::3, 4] == 0.0).all()
    assert np.isnan(x_TNF[0, 4, 0])  # the input is left as it was


def test_features_absent_or_constant_in_training_stay_silent_for_good() -> None:
    late = np.full(SHAPE, np.nan)
    late[120:] = normal()[120:]
    flag = np.zeros(SHAPE)
    flag[195:] = 1.0
    rare = np.full(SHAPE, np.nan)
    rare[0, :5] = normal()[0, :5]  # 5 of 1200 training rows
    x_TNF = values(normal(), late, flag, rare)
    scaler = fit_scaler(x_TNF, TRAINING)
    names = ("return", "book", "has_book", "rare")
    assert unused_features(scaler, names) == ("book", "has_book", "rare")
    assert (scaler.scale_F[1:] == 1.0).all()
    assert (scaler.apply(x_TNF)[..., 1:] == 0.0).all()


def test_a_flag_that_varies_in_training_is_used() -> None:
    flag = (np.random.default_rng(0).random(SHAPE) < 0.1).astype(np.float64)
    scaler = fit_scaler(values(flag), TRAINING)
    assert unused_features(scaler, ("has_book",)) == ()


def test_every_symbol_and_hour_counts_alike() -> None:
    symbol_TN = np.broadcast_to(np.arange(10.0), SHAPE)
    hour_TN = np.broadcast_to(np.arange(200.0)[:, None] % 24, SHAPE)
    scaler = fit_scaler(values(symbol_TN, hour_TN), TRAINING)
    np.testing.assert_allclose(scaler.mean_F, [4.5, 11.5])


def test_no_training_row_is_an_error() -> None:
    with pytest.raises(DataError, match="0 rows chosen"):
        fit_scaler(values(normal()), np.zeros(SHAPE, np.bool_))
