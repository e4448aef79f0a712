"""Labels against plain loops, their causality, and the classes made of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.errors import DataError
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame
from gnn_trainer.market.labels import (
    DOWN,
    FLAT,
    UNKNOWN,
    UP,
    DirectionConfig,
    LabelConfig,
    direction_classes,
    fit_class_threshold,
    make_labels,
)

HOUR_MS = 3_600_000


def market(num_bars: int = 60, num_symbols: int = 3, *, gap_share: float = 0.0) -> MarketFrame:
    """Random walks whose open is off the last close, with missing bars."""
    rng = np.random.default_rng(5)
    shape = (num_bars, num_symbols)
    spread_N = 0.001 * 3.0 ** np.arange(num_symbols)
    close_TN = 100.0 * np.exp((spread_N * rng.normal(size=shape)).cumsum(axis=0))
    valid_TN = rng.random(shape) >= gap_share
    prices = {
        "close_TN": np.where(valid_TN, close_TN, np.nan),
        "open_TN": np.where(valid_TN, close_TN * np.exp(rng.normal(0, 1e-4, shape)), np.nan),
    }
    unused_TN = np.full(shape, np.nan)
    return MarketFrame(
        symbols=tuple(f"S{n}" for n in range(num_symbols)),
        interval_ms=HOUR_MS,
        open_time_T=HOUR_MS * np.arange(num_bars),
        high_TN=unused_TN,
        low_TN=unused_TN,
        volume_TN=unused_TN,
        quote_volume_TN=unused_TN,
        trades_TN=unused_TN,
        taker_buy_volume_TN=unused_TN,
        valid_TN=valid_TN,
        funding_rate_TN=unused_TN,
        funding_time_TN=unused_TN,
        book_TNK=np.full((*shape, len(BOOK_FIELDS)), np.nan),
        **prices,
    )


def move(prices_TN: np.ndarray, valid_TN: np.ndarray, first: int, last: int, n: int) -> float:
    """Log return between two bars; NaN unless all bars from one to the other are valid."""
    if last >= len(prices_TN) or not valid_TN[first : last + 1, n].all():
        return float("nan")
    return float(np.log(prices_TN[last, n] / prices_TN[first, n]))


@given(horizon=st.sampled_from([1, 2, 5, 24, 59, 60, 200]), gap_share=st.sampled_from([0.0, 0.1]))
def test_returns_run_between_the_bars_they_say(horizon: int, gap_share: float) -> None:
    frame = market(gap_share=gap_share)
    labels = make_labels(frame, LabelConfig(horizon=horizon))
    opens, closes, valid = frame.open_TN, frame.close_TN, frame.valid_TN
    for t, n in np.ndindex(valid.shape):
        expected = {
            "ret_TN": move(opens, valid, t + 1, t + 1 + horizon, n),
            "late_ret_TN": move(opens, valid, t + 2, t + 2 + horizon, n),
            "close_ret_TN": move(closes, valid, t, t + horizon, n),
        }
        for name, value in expected.items():
            assert getattr(labels, name)[t, n] == pytest.approx(value, nan_ok=True, abs=1e-12)


@pytest.mark.parametrize("horizon", [1, 6])
def test_labels_end_when_the_position_is_closed(horizon: int) -> None:
    frame = market()
    end_time_T = make_labels(frame, LabelConfig(horizon=horizon)).end_time_T
    exit_bar = 10 + 1 + horizon
    assert end_time_T[10] == frame.open_time_T[exit_bar]
    assert end_time_T[-1] == frame.open_time_T[-1] + (1 + horizon) * HOUR_MS


def test_sigma_is_the_volatility_of_the_whole_horizon() -> None:
    frame = market(num_bars=2000)
    one = make_labels(frame, LabelConfig(horizon=1)).sigma_TN
    nine = make_labels(frame, LabelConfig(horizon=9)).sigma_TN
    np.testing.assert_allclose(nine, 3.0 * one)
    np.testing.assert_allclose(np.nanmean(one, axis=0), [0.001, 0.003, 0.009], rtol=0.1)


@given(last=st.integers(0, 58), poison=st.sampled_from([np.nan, np.inf, 0.0, -5.0, 1e12]))
def test_sigma_knows_nothing_of_the_future(last: int, poison: float) -> None:
    frame = market(gap_share=0.05)
    config = LabelConfig(volatility_window=10)
    close_TN = frame.close_TN.copy()
    close_TN[last + 1 :] = poison
    changed = make_labels(replace(frame, close_TN=close_TN), config).sigma_TN[: last + 1]
    assert changed.tobytes() == make_labels(frame, config).sigma_TN[: last + 1].tobytes()


def test_fitted_classes_are_about_a_third_each() -> None:
    labels = make_labels(market(num_bars=3000), LabelConfig())
    training_T = np.arange(3000) < 2000
    threshold = fit_class_threshold(labels, training_T, LabelConfig())
    classes = direction_classes(labels.ret_TN, labels.sigma_TN, threshold, LabelConfig())[
        training_T
    ]
    for n in range(3):  # although the third symbol is nine times as volatile as the first
        known = classes[:, n][classes[:, n] != UNKNOWN]
        shares = np.bincount(known, minlength=3) / len(known)
        np.testing.assert_allclose(shares, [1 / 3] * 3, atol=0.05)


def test_the_threshold_sees_training_rows_only() -> None:
    labels = make_labels(market(num_bars=300), LabelConfig())
    training_T = np.arange(300) < 200
    ret_TN = labels.ret_TN.copy()
    ret_TN[200:] *= 1e3
    changed = replace(labels, ret_TN=ret_TN)
    thresholds = [fit_class_threshold(x, training_T, LabelConfig()) for x in (labels, changed)]
    assert thresholds[0] == thresholds[1]
    assert thresholds[0] != fit_class_threshold(changed, ~training_T, LabelConfig())


def test_a_fixed_threshold_is_a_plain_return() -> None:
    config = LabelConfig(threshold="fixed")
    ret_TN = np.array([[-0.011, -0.01, 0.0, 0.01, 0.011, np.nan]])
    threshold = fit_class_threshold(make_labels(market(), config), np.zeros(60, np.bool_), config)
    assert threshold == 0.01
    classes = direction_classes(ret_TN, np.full_like(ret_TN, np.nan), threshold, config)
    np.testing.assert_array_equal(classes, [[DOWN, FLAT, FLAT, FLAT, UP, UNKNOWN]])
    assert classes.dtype == np.int8


def test_a_move_of_unknown_or_no_volatility_has_no_class() -> None:
    ret_TN = np.array([[0.02, 0.02, 0.02, np.nan]])
    sigma_TN = np.array([[0.01, np.nan, 0.0, 0.01]])
    classes = direction_classes(ret_TN, sigma_TN, 0.5, LabelConfig())
    np.testing.assert_array_equal(classes, [[UP, UNKNOWN, UNKNOWN, UNKNOWN]])


def test_no_label_to_fit_on_is_refused_with_the_numbers() -> None:
    labels = make_labels(market(), LabelConfig(horizon=70))
    with pytest.raises(DataError, match="none of the 60 training bars has a label"):
        fit_class_threshold(labels, np.ones(60, np.bool_), LabelConfig(horizon=70))


def test_a_horizon_joins_a_direction_rule() -> None:
    rule = DirectionConfig(threshold="fixed", fixed_threshold=0.02)
    config = LabelConfig.for_horizon(7, rule)
    assert (config.horizon, config.threshold, config.fixed_threshold) == (7, "fixed", 0.02)


def test_a_price_of_zero_gives_no_label() -> None:
    frame = market()
    open_TN = frame.open_TN.copy()
    open_TN[20, 0] = 0.0
    labels = make_labels(replace(frame, open_TN=open_TN), LabelConfig())
    assert np.isnan(labels.ret_TN[[18, 19], 0]).all()
    assert np.isfinite(labels.ret_TN[[17, 20], 0]).all()
