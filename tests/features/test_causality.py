"""Nothing after bar t touches a feature at or before t, and nothing older than its look-back."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnn_trainer.errors import StopRequested
from gnn_trainer.features.build import BLOCK_BARS, build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.registry import FEATURES, longest_lookback
from gnn_trainer.market.frame import MarketFrame
from tests.features.small_markets import SMALL_WINDOWS, small_market

NUM_BARS = 120
MARKET = small_market(num_bars=NUM_BARS, num_symbols=4, gap_share=0.08)
FEATURES_OF_MARKET = build_features(MARKET, SMALL_WINDOWS)
POISONS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e9, 1e300)


def poisoned(frame: MarketFrame, after: int, poison: float, seed: int) -> MarketFrame:
    """Everything later than bar `after` is nonsense, validity and funding included."""
    rng = np.random.default_rng(seed)
    values = {}
    for field in fields(frame):
        if field.name.split("_")[-1] in ("TN", "TNK"):
            array = getattr(frame, field.name).copy()
            array[after + 1 :] = (
                poison if array.dtype != np.bool_ else rng.random(array.shape)[after + 1 :] < 0.5
            )
            values[field.name] = array
    return replace(frame, **values)


@given(last=st.integers(0, NUM_BARS - 2), poison=st.sampled_from(POISONS), seed=st.integers(0, 99))
def test_changing_the_future_changes_no_feature_at_or_before_now(
    last: int, poison: float, seed: int
) -> None:
    features = build_features(poisoned(MARKET, last, poison, seed), SMALL_WINDOWS)
    now = slice(0, last + 1)
    assert features.x_TNF[now].tobytes() == FEATURES_OF_MARKET.x_TNF[now].tobytes()
    assert features.mask_TN[now].tobytes() == FEATURES_OF_MARKET.mask_TN[now].tobytes()


@given(last=st.integers(0, NUM_BARS - 1))
def test_cutting_the_future_off_changes_no_feature(last: int) -> None:
    features = build_features(MARKET.bars(0, last + 1), SMALL_WINDOWS)
    assert features.x_TNF.tobytes() == FEATURES_OF_MARKET.x_TNF[: last + 1].tobytes()
    assert features.mask_TN.tobytes() == FEATURES_OF_MARKET.mask_TN[: last + 1].tobytes()


@pytest.mark.parametrize("place", range(len(FEATURES)), ids=lambda place: FEATURES[place].name)
def test_a_feature_looks_back_no_further_than_it_says(place: int) -> None:
    lookback = FEATURES[place].lookback(SMALL_WINDOWS)
    for now in range(lookback, NUM_BARS, 7):
        recent = build_features(MARKET.bars(now - lookback, now + 1), SMALL_WINDOWS)
        expected_N = FEATURES_OF_MARKET.x_TNF[now, :, place]
        assert recent.x_TNF[-1, :, place].tobytes() == expected_N.tobytes()


def test_walking_in_blocks_changes_nothing() -> None:
    market = small_market(num_bars=3 * BLOCK_BARS + 11, num_symbols=3)
    whole = build_features(market, SMALL_WINDOWS)
    lookback = longest_lookback(SMALL_WINDOWS)
    for start in (137, BLOCK_BARS - 3, 2 * BLOCK_BARS):
        features = build_features(market.bars(start, market.num_bars), SMALL_WINDOWS)
        expected = whole.x_TNF[start + lookback :]
        assert features.x_TNF[lookback:].tobytes() == expected.tobytes()


@settings(max_examples=20)
@given(shock_bar=st.integers(5, 60), size=st.sampled_from([1e3, 1e8]))
def test_a_monstrous_bar_leaves_no_trace_once_it_has_left_the_windows(
    shock_bar: int, size: float
) -> None:
    close_TN = MARKET.close_TN.copy()
    close_TN[shock_bar, 0] *= size
    volume_TN = MARKET.volume_TN.copy()
    volume_TN[shock_bar, 0] *= size
    shocked = replace(MARKET, close_TN=close_TN, volume_TN=volume_TN)
    features = build_features(shocked, SMALL_WINDOWS)
    clean_again = shock_bar + 2 + longest_lookback(SMALL_WINDOWS)
    assert (
        features.x_TNF[clean_again:].tobytes() == FEATURES_OF_MARKET.x_TNF[clean_again:].tobytes()
    )
    assert features.x_TNF[shock_bar].tobytes() != FEATURES_OF_MARKET.x_TNF[shock_bar].tobytes()


def test_default_windows_need_less_than_three_hundred_bars_of_history() -> None:
    assert longest_lookback(FeatureConfig()) == 48 + 240 + 2


def test_a_stop_ends_the_building_between_two_blocks() -> None:
    answers = iter((False, True))
    frame = small_market(num_bars=BLOCK_BARS + 1, num_symbols=2)
    with pytest.raises(StopRequested, match=f"stopped at bar {BLOCK_BARS} of {BLOCK_BARS + 1}"):
        build_features(frame, SMALL_WINDOWS, should_stop=lambda: next(answers))
