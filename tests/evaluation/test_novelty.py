"""Novelty: like the training data a half, unlike anything seen one."""

import numpy as np
import pytest

from gnn_trainer.evaluation.novelty import (
    SPAN_BARS,
    NoveltyIndex,
    Unlikeness,
    fit_novelty,
    novelty_of_span,
    summarise,
)
from gnn_trainer.features.scaler import Scaler, fit_scaler
from tests.planted import planted_market

BARS, SYMBOLS, FEATURES = 400, 12, 8


def market(rng: np.random.Generator, bars: int = BARS) -> np.ndarray:
    return rng.standard_normal((bars, SYMBOLS, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> tuple[NoveltyIndex, Scaler]:
    x_TNF = market(np.random.default_rng(0))
    known_TN = np.ones((BARS, SYMBOLS), np.bool_)
    scaler = fit_scaler(x_TNF, known_TN)
    return fit_novelty(x_TNF, scaler, known_TN, seed=1), scaler


def novelty_of(fitted: tuple[NoveltyIndex, Scaler], x_CNF: np.ndarray) -> Unlikeness:
    index, scaler = fitted
    return index.of_bars(scaler.apply(x_CNF), np.ones(x_CNF.shape[:2], np.bool_))


def test_more_of_the_same_is_spread_evenly(fitted: tuple[NoveltyIndex, Scaler]) -> None:
    found = novelty_of(fitted, market(np.random.default_rng(1)))
    symbols = np.sort(found.symbol_CN.ravel())
    np.testing.assert_allclose(symbols, np.linspace(0, 1, symbols.size), atol=0.05)
    assert np.median(found.market_C) == pytest.approx(0.5, abs=0.15)
    assert summarise(found).unlike_rows == pytest.approx(0.05, abs=0.02)


def test_a_market_gone_wild_is_unlike_anything(fitted: tuple[NoveltyIndex, Scaler]) -> None:
    found = novelty_of(fitted, 4.0 * market(np.random.default_rng(2), bars=5))
    assert found.market_C.min() == 1.0
    assert summarise(found).unlike_bars == 1.0


def test_one_strange_symbol_is_found_among_the_others(
    fitted: tuple[NoveltyIndex, Scaler],
) -> None:
    x_CNF = market(np.random.default_rng(3), bars=1)
    x_CNF[0, 4] = 6.0
    found = novelty_of(fitted, x_CNF)
    assert found.symbol_CN[0].argmax() == 4
    assert found.symbol_CN[0, 4] == 1.0


def test_what_cannot_be_scored_has_no_novelty(fitted: tuple[NoveltyIndex, Scaler]) -> None:
    index, scaler = fitted
    known_CN = np.ones((2, SYMBOLS), np.bool_)
    known_CN[0, 3], known_CN[1] = False, False
    found = index.of_bars(scaler.apply(market(np.random.default_rng(4), 2)), known_CN)
    assert np.isnan(found.symbol_CN[0, 3])
    assert np.isfinite(found.market_C[0])
    assert np.isnan(found.market_C[1])
    assert summarise(found).bars == 1
    assert (
        summarise(index.of_bars(np.empty((0, 0, FEATURES), np.float32), known_CN[:0, :0])).bars == 0
    )


def test_rows_are_not_judged_by_their_own_bar() -> None:
    """All symbols of a bar alike: by its own bar every row would look familiar."""
    rng = np.random.default_rng(5)
    x_TNF = np.repeat(rng.standard_normal((BARS, 1, FEATURES)), SYMBOLS, axis=1).astype(np.float32)
    known_TN = np.ones((BARS, SYMBOLS), np.bool_)
    index = fit_novelty(x_TNF, fit_scaler(x_TNF, known_TN), known_TN, seed=0)
    assert index.row_distance_Q[0] > 0.3


def test_only_known_rows_are_kept_as_reference() -> None:
    x_TNF = market(np.random.default_rng(6))
    known_TN = np.zeros((BARS, SYMBOLS), np.bool_)
    known_TN[:100, :3] = True
    x_TNF[~known_TN] = 1e9
    scaler = fit_scaler(x_TNF, known_TN)
    index = fit_novelty(x_TNF, scaler, known_TN, seed=0)
    assert len(index.reference_MF) == 300
    assert np.abs(index.reference_MF).max() < scaler.clip


def test_the_same_seed_gives_the_same_index() -> None:
    x_TNF = market(np.random.default_rng(7))
    known_TN = np.ones((BARS, SYMBOLS), np.bool_)
    scaler = fit_scaler(x_TNF, known_TN)
    one, other = (fit_novelty(x_TNF, scaler, known_TN, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.reference_MF, other.reference_MF)
    np.testing.assert_array_equal(one.row_distance_Q, other.row_distance_Q)


def test_a_span_is_summarised_by_its_own_bars_alone() -> None:
    market = planted_market(strength=0.0, num_bars=1800)
    graph, train_T = market.graph, market.split.train_T
    known_TN = graph.mask_TN & train_T[:, None]
    scaler = fit_scaler(graph.x_TNF, known_TN)
    index = fit_novelty(graph.x_TNF, scaler, known_TN, seed=0)
    later_T = ~train_T
    found = novelty_of_span(index, scaler, graph, later_T)
    assert found.bars == SPAN_BARS
    assert found.market_median == pytest.approx(0.5, abs=0.15)
    graph.x_TNF[train_T] = 1e6
    assert novelty_of_span(index, scaler, graph, later_T) == found
