"""The ledger of a portfolio, against the same trades kept by hand, one at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnn_trainer.evaluation.backtest import (
    BPS,
    Holding,
    backtest,
    holding_of,
    keep_ledger,
    max_drawdown,
    rank_weights,
)
from gnn_trainer.evaluation.terms import CostConfig
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame

HOUR_MS = 3_600_000
FREE = CostConfig(fee_bps=0.0, half_spread_bps=0.0)


def random_holding(rng: np.random.Generator, num_bars: int, num_symbols: int) -> Holding:
    shape = (num_bars, num_symbols)
    spread = np.where(rng.random(shape) < 0.3, rng.uniform(0.0, 1e-3, shape), np.nan)
    return Holding(
        open_time_T=HOUR_MS * np.arange(num_bars),
        interval_ms=HOUR_MS,
        gain_TN=rng.normal(0.0, 0.01, shape),
        funding_TN=rng.normal(0.0, 1e-4, shape),
        half_spread_TN=spread,
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 7), num_bars=st.integers(1, 20))
def test_the_ledger_is_that_of_tranches_kept_one_by_one(
    seed: int, horizon: int, num_bars: int
) -> None:
    rng = np.random.default_rng(seed)
    holding = random_holding(rng, num_bars, 5)
    score_TN, known_TN = rng.normal(size=(num_bars, 5)), rng.random((num_bars, 5)) < 0.8
    costs = CostConfig(fee_bps=4.0, half_spread_bps=2.0)
    ledger = keep_ledger(score_TN, known_TN, horizon, holding, costs)
    weight_TN = rank_weights(score_TN, known_TN) / horizon
    held_TN = np.zeros((num_bars, 5))
    for bar in range(num_bars):  # every tranche by itself
        held_TN[bar : bar + horizon] += weight_TN[bar]
    before_N = np.zeros(5)
    for bar in range(num_bars):
        traded_N = np.abs(held_TN[bar] - before_N)
        if bar == num_bars - 1:
            traded_N += np.abs(held_TN[bar])
        spread_N = np.nan_to_num(holding.half_spread_TN[bar], nan=2.0 * BPS)
        assert ledger.gain_T[bar] == pytest.approx(held_TN[bar] @ holding.gain_TN[bar])
        assert ledger.funding_T[bar] == pytest.approx(-held_TN[bar] @ holding.funding_TN[bar])
        assert ledger.turnover_T[bar] == pytest.approx(traded_N.sum())
        assert ledger.cost_T[bar] == pytest.approx(traded_N @ (4.0 * BPS + spread_N))
        before_N = held_TN[bar]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_are_dollar_neutral_with_a_gross_exposure_of_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score_TN = np.round(rng.normal(size=(6, 7)), 1)  # with ties
    known_TN = rng.random((6, 7)) < 0.7
    weight_TN = rank_weights(score_TN, known_TN)
    np.testing.assert_allclose(weight_TN.sum(axis=1), 0.0, atol=1e-12)
    size_T = np.abs(weight_TN).sum(axis=1)
    assert np.all(np.isclose(size_T, 1.0) | (size_T == 0.0))
    assert not weight_TN[~known_TN].any()
    np.testing.assert_allclose(rank_weights(np.exp(score_TN), known_TN), weight_TN)


def test_no_opinion_trades_nothing() -> None:
    holding = random_holding(np.random.default_rng(0), 10, 4)
    flat = np.zeros((10, 4))
    result = backtest(
        keep_ledger(flat, flat == 0.0, 1, holding, CostConfig()), HOUR_MS, CostConfig(), 1
    )
    assert result.turnover == result.gross.annual_return == result.net.max_drawdown == 0.0
    assert math.isnan(result.break_even_bps)


def test_trading_at_the_break_even_cost_earns_exactly_nothing() -> None:
    rng = np.random.default_rng(1)
    holding = random_holding(rng, 300, 6)
    score_TN = holding.gain_TN + rng.normal(0.0, 0.01, holding.gain_TN.shape)
    ledger = keep_ledger(score_TN, np.ones_like(score_TN, np.bool_), 3, holding, FREE)
    result = backtest(ledger, HOUR_MS, FREE, trials=1)
    assert result.break_even_bps > 0.0
    assert ledger.net_at(result.break_even_bps).sum() == pytest.approx(0.0, abs=1e-12)
    returns = [result.by_cost_bps[bps].annual_return for bps in ("0", "2", "5", "10")]
    assert returns == sorted(returns, reverse=True)


def test_figures_follow_from_the_returns() -> None:
    holding = random_holding(np.random.default_rng(2), 500, 5)
    costs = CostConfig(fee_bps=3.0, half_spread_bps=1.0)
    everything = np.ones_like(holding.gain_TN, np.bool_)
    ledger = keep_ledger(holding.gain_TN, everything, 1, holding, costs)
    result = backtest(ledger, HOUR_MS, costs, trials=5)
    net = ledger.gain_T + ledger.funding_T - ledger.cost_T
    assert result.net.sharpe == pytest.approx(net.mean() / net.std(ddof=1) * math.sqrt(8760))
    assert result.net.annual_return == pytest.approx(net.mean() * 8760)
    assert result.curve_net[-1] == pytest.approx(net.sum())
    assert result.curve_ms[0] == 0
    assert len(result.curve_ms) == len(result.curve_gross) == 400
    recorded = holding.half_spread_TN[np.isfinite(holding.half_spread_TN)].mean() / BPS
    assert 1.0 < result.half_spread_bps < recorded
    assert result.by_cost_bps["0"].annual_return == pytest.approx(
        result.gross.annual_return + result.annual_funding
    )


def test_a_drawdown_is_measured_from_the_highest_point_and_from_the_start() -> None:
    assert max_drawdown(np.array([0.1, -0.3, 0.1, -0.05])) == pytest.approx(0.3)
    assert max_drawdown(np.array([-0.2, 0.5])) == pytest.approx(0.2)
    assert max_drawdown(np.array([])) == 0.0


def small_frame(num_bars: int = 8) -> MarketFrame:
    """Two symbols at 100 and rising prices; funding settles at bar 4's open for the first."""
    shape = (num_bars, 2)
    open_TN = np.full(shape, 100.0)
    open_TN[:, 1] = 100.0 * 1.01 ** np.arange(num_bars)
    time_T = HOUR_MS * np.arange(num_bars, dtype=np.int64)
    blank = np.full(shape, np.nan)
    funding_time, funding_rate = blank.copy(), blank.copy()
    funding_time[1:4, 0], funding_time[4:, 0] = 0.0, 4.0 * HOUR_MS
    funding_rate[1:4, 0], funding_rate[4:, 0] = 0.5, 0.0003
    return MarketFrame(
        symbols=("AUSDT", "BUSDT"),
        interval_ms=HOUR_MS,
        open_time_T=time_T,
        open_TN=open_TN,
        high_TN=open_TN,
        low_TN=open_TN,
        close_TN=open_TN,
        volume_TN=open_TN,
        quote_volume_TN=open_TN,
        trades_TN=open_TN,
        taker_buy_volume_TN=open_TN,
        valid_TN=np.ones(shape, np.bool_),
        funding_rate_TN=funding_rate,
        funding_time_TN=funding_time,
        book_TNK=np.full((*shape, len(BOOK_FIELDS)), np.nan),
    )


def test_entry_is_at_the_next_open() -> None:
    frame = small_frame()
    frame.open_TN[3, 1] = 500.0  # one strange open, known to nobody before bar 3
    gain_TN = holding_of(frame).gain_TN
    assert gain_TN[1, 1] == pytest.approx(500.0 / frame.open_TN[2, 1] - 1.0)  # bought at 2, sold 3
    assert gain_TN[2, 1] == pytest.approx(frame.open_TN[4, 1] / 500.0 - 1.0)
    assert gain_TN[0, 1] == pytest.approx(0.01)
    assert not gain_TN[-2:].any()


def test_funding_is_paid_by_who_held_through_the_settlement() -> None:
    funding_TN = holding_of(small_frame()).funding_TN
    expected_T = np.zeros(8)
    expected_T[2] = 0.0003  # seen at the close of bar 2: held from open 3 to open 4
    np.testing.assert_allclose(funding_TN[1:, 0], expected_T[1:])
    assert not funding_TN[:, 1].any()


def test_a_settlement_inside_a_bar_is_paid_within_that_bar() -> None:
    frame = small_frame()
    frame.funding_time_TN[4:, 0] += HOUR_MS / 2
    funding_TN = holding_of(frame).funding_TN
    assert np.flatnonzero(funding_TN[1:, 0]).tolist() == [2]  # t = 3: held from open 4 to open 5


def test_a_day_bar_pays_three_settlements() -> None:
    frame = replace(small_frame(), interval_ms=24 * HOUR_MS)
    assert holding_of(frame).funding_TN[2:, 0].sum() == pytest.approx(3 * 0.0003)


def test_a_gap_in_prices_is_made_up_for_when_the_price_is_back() -> None:
    frame = small_frame()
    whole_TN = holding_of(frame).gain_TN.copy()
    frame.open_TN[3:5, 1] = np.nan
    gapped_TN = holding_of(frame).gain_TN
    assert np.isfinite(gapped_TN).all()
    assert gapped_TN[1:3, 1].tolist() == [0.0, 0.0]
    assert np.prod(1.0 + gapped_TN[:, 1]) == pytest.approx(np.prod(1.0 + whole_TN[:, 1]))


def test_a_recorded_book_of_the_entry_bar_says_the_spread() -> None:
    frame = small_frame()
    frame.book_TNK[5, 0, BOOK_FIELDS.index("spread_bps")] = 6.0
    half_TN = holding_of(frame).half_spread_TN
    assert half_TN[4, 0] == pytest.approx(3.0 * BPS)
    assert np.isfinite(half_TN).sum() == 1
