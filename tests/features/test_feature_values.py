"""Every feature against the plain reference, and what it does with gaps and absent sources."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.features.registry import FEATURES, columns_of, feature_names
from gnn_trainer.market.frame import MarketFrame
from tests.features.plain_features import PlainFeatures
from tests.features.small_markets import SMALL_WINDOWS, masked, small_market, with_symbols

MARKET = small_market(num_bars=90, num_symbols=5, gap_share=0.08)


@pytest.fixture(scope="module")
def built() -> FeatureFrame:
    return build_features(MARKET, SMALL_WINDOWS)


@pytest.fixture(scope="module")
def plain() -> PlainFeatures:
    return PlainFeatures(MARKET, SMALL_WINDOWS)


def column(features: FeatureFrame, name: str) -> np.ndarray:
    return features.x_TNF[..., features.names.index(name)]


@pytest.mark.parametrize("name", feature_names())
def test_a_feature_is_what_its_formula_says(
    name: str, built: FeatureFrame, plain: PlainFeatures
) -> None:
    expected_TN = np.full(MARKET.valid_TN.shape, np.nan)
    for t, n in np.ndindex(expected_TN.shape):
        value = plain.value(name, t, n)
        expected_TN[t, n] = np.nan if value is None else value
    assert np.isfinite(expected_TN).sum() > 50
    np.testing.assert_allclose(column(built, name), expected_TN, rtol=2e-6, atol=2e-6)


def test_required_features_are_finite_exactly_on_usable_rows(built: FeatureFrame) -> None:
    required = [place for place, feature in enumerate(FEATURES) if not feature.is_optional]
    finite_TN = np.isfinite(built.x_TNF[..., required]).all(axis=-1)
    np.testing.assert_array_equal(built.mask_TN, finite_TN)
    assert 0.5 < built.mask_TN.mean() < 0.9
    assert not np.isinf(built.x_TNF).any()


def test_an_invalid_bar_has_no_features(built: FeatureFrame) -> None:
    assert not MARKET.valid_TN.all()
    assert np.isnan(built.x_TNF[~MARKET.valid_TN]).all()
    assert not built.mask_TN[~MARKET.valid_TN].any()


def test_values_of_an_invalid_bar_are_not_looked_at() -> None:
    valid_TN = MARKET.valid_TN.copy()
    valid_TN[40, 2] = False
    nonsense = replace(MARKET, valid_TN=valid_TN)
    for name in ("close_TN", "volume_TN", "high_TN", "taker_buy_volume_TN", "trades_TN"):
        values_TN = getattr(nonsense, name).copy()
        values_TN[40, 2] = 1e12
        nonsense = replace(nonsense, **{name: values_TN})
    expected = build_features(masked(MARKET, valid_TN), SMALL_WINDOWS)
    assert same_bits(build_features(nonsense, SMALL_WINDOWS), expected)


def test_too_few_valid_bars_leave_a_window_unknown() -> None:
    valid_TN = np.ones((60, 3), np.bool_)
    valid_TN[30:35, 0] = False  # 5 of the medium window's 8 bars, and r[35] needs bar 34
    features = build_features(masked(small_market(60, 3, gap_share=0), valid_TN), SMALL_WINDOWS)
    known_T = np.isfinite(column(features, "volatility_rank")[:, 0])
    assert known_T[29]
    np.testing.assert_array_equal(known_T[35:42], [False, False, False, False, True, True, True])


def test_the_first_bars_are_unknown_until_half_a_window_has_passed() -> None:
    features = build_features(small_market(60, 3, gap_share=0), SMALL_WINDOWS)
    assert not features.mask_TN[:8].any()
    assert features.mask_TN[8:].all()


def test_features_in_a_file_are_those_in_memory(tmp_path: Path, built: FeatureFrame) -> None:
    assert same_bits(build_features(MARKET, SMALL_WINDOWS, tmp_path), built)
    assert not list(tmp_path.iterdir())


def test_permuting_symbols_permutes_features(built: FeatureFrame) -> None:
    order = [3, 0, 4, 2, 1]
    permuted = build_features(with_symbols(MARKET, order), SMALL_WINDOWS)
    np.testing.assert_allclose(permuted.x_TNF, built.x_TNF[:, order], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(permuted.mask_TN, built.mask_TN[:, order])


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_features_do_not_depend_on_the_scale_of_price_and_volume(
    factor: float, built: FeatureFrame
) -> None:
    prices = {f"{name}_TN": factor * getattr(MARKET, f"{name}_TN") for name in PRICES}
    volumes = {f"{name}_TN": getattr(MARKET, f"{name}_TN") / factor for name in VOLUMES}
    scaled = build_features(replace(MARKET, **prices, **volumes), SMALL_WINDOWS)
    np.testing.assert_allclose(scaled.x_TNF, built.x_TNF, rtol=1e-4, atol=1e-4)


PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "taker_buy_volume")


def test_flow_is_absent_when_the_source_does_not_record_takers() -> None:
    without = replace(MARKET, taker_buy_volume_TN=np.where(MARKET.valid_TN, 0.0, np.nan))
    features = build_features(without, SMALL_WINDOWS)
    assert np.isnan(features.x_TNF[..., columns_of("flow")]).all()
    assert features.mask_TN.any()


def test_spot_markets_have_no_funding() -> None:
    nothing_TN = np.full_like(MARKET.close_TN, np.nan)
    spot = replace(MARKET, funding_rate_TN=nothing_TN, funding_time_TN=nothing_TN)
    features = build_features(spot, SMALL_WINDOWS)
    assert (column(features, "has_funding")[MARKET.valid_TN] == 0.0).all()
    assert np.isnan(column(features, "funding_rate")).all()


def test_an_old_funding_rate_is_not_carried_on(built: FeatureFrame) -> None:
    has_funding_T = np.nanmax(column(built, "has_funding"), axis=1)
    assert has_funding_T[:10].max() == 0.0
    assert has_funding_T[10:70].min() == 1.0
    assert has_funding_T[80:].max() == 0.0  # the last rate was settled near bar 50


def test_a_price_that_does_not_move_gives_no_usable_row() -> None:
    market = small_market(60, 3, gap_share=0)
    pegged = {f"{name}_TN": getattr(market, f"{name}_TN").copy() for name in PRICES}
    for prices_TN in pegged.values():
        prices_TN[:, 1] = 1.0
    features = build_features(replace(market, **pegged), SMALL_WINDOWS)
    assert not features.mask_TN[:, 1].any()
    assert features.mask_TN[20:, [0, 2]].all()


def test_a_single_symbol_has_features() -> None:
    features = build_features(small_market(60, 1, gap_share=0), SMALL_WINDOWS)
    assert features.mask_TN[20:].all()
    assert (column(features, "return_rank")[20:] == 0.0).all()
    np.testing.assert_array_equal(  # no other symbol, hence no market to remove
        column(features, "residual_lag_0"), column(features, "return_lag_0")
    )


@pytest.mark.parametrize("num_bars", [0, 1, 2])
def test_a_frame_of_hardly_any_bars_has_no_usable_row(num_bars: int) -> None:
    features = build_features(MARKET.bars(0, num_bars), FeatureConfig())
    assert features.x_TNF.shape == (num_bars, 5, len(FEATURES))
    assert not features.mask_TN.any()


def test_the_registry_is_complete_and_unambiguous() -> None:
    names = feature_names()
    assert 25 <= len(names) == len(set(names))
    assert {feature.group for feature in FEATURES} == {
        "returns", "volatility", "volume", "flow", "book", "perp", "cross", "calendar",
    }  # fmt: skip
    assert all(feature.formula and feature.unit for feature in FEATURES)
    assert [names[place] for place in columns_of("calendar")] == ["hour_sin", "hour_cos"]


def same_bits(left: FeatureFrame, right: FeatureFrame) -> bool:
    return left.x_TNF.tobytes() == right.x_TNF.tobytes() and bool(
        (left.mask_TN == right.mask_TN).all()
    )


def test_windows_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match=r"windows \(6, 48, 48\) do not ascend"):
        FeatureConfig(long_window=48)


def test_market_is_not_modified() -> None:
    before = small_market(40, 3)
    market: MarketFrame = small_market(40, 3)
    build_features(market, SMALL_WINDOWS)
    np.testing.assert_array_equal(market.close_TN, before.close_TN)
    np.testing.assert_array_equal(market.volume_TN, before.volume_TN)
