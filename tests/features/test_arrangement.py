"""Rows of features, compiled against numpy."""

import numpy as np
import pytest

from gnn_trainer.features import arrangement, build, cross_section, kernels
from gnn_trainer.features.arrangement import arrange, arrange_plain
from tests.features.small_markets import SMALL_WINDOWS, small_market


def test_rows_and_mask_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    x_TFN = rng.standard_normal((40, 7, 9)).astype(np.float32)
    x_TFN[rng.random(x_TFN.shape) < 0.05] = np.nan
    x_TFN[3, 2, 1], x_TFN[3, 2, 2] = np.inf, -np.inf
    valid_TN = rng.random((40, 9)) < 0.8
    is_required_F = np.arange(7) < 4
    rows, masks = np.empty((2, 40, 9, 7), np.float32), np.empty((2, 40, 9), np.bool_)
    for form, x_TNF, mask_TN in zip((arrange, arrange_plain), rows, masks, strict=True):
        form(x_TFN.copy(), valid_TN, is_required_F, x_TNF, mask_TN)
    assert kernels.arrange.signatures, "nothing was compiled: plain was compared with plain"
    np.testing.assert_array_equal(*rows)
    np.testing.assert_array_equal(*masks)
    assert 0 < masks[0].sum() < valid_TN.sum()


def test_features_without_numba_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    market = small_market()
    compiled = build.build_features(market, SMALL_WINDOWS)
    for module in (arrangement, cross_section):
        monkeypatch.setattr(module, "numba_is_there", lambda: False)
    plain = build.build_features(market, SMALL_WINDOWS)
    np.testing.assert_allclose(compiled.x_TNF, plain.x_TNF, rtol=0.0, atol=1e-7)
    np.testing.assert_array_equal(compiled.mask_TN, plain.mask_TN)
