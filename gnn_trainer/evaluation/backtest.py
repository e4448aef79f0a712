"""What the scores would have earned: a dollar-neutral rank portfolio, entered at the next open.

At the close of bar t the symbols are ranked by score. Their centred ranks, scaled to a gross
exposure of one, are bought and sold at the open of bar t+1 and held for h bars; with h > 1 each
bar renews one h-th of the book. Capital is constant: gains are not reinvested.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from gnn_trainer.evaluation.deflated import deflated_sharpe
from gnn_trainer.evaluation.terms import CostConfig
from gnn_trainer.market.frame import BOOK_FIELDS, BoolArray, FloatArray, IntArray, MarketFrame
from gnn_trainer.market.funding import LONGEST_FUNDING_INTERVAL_MS
from gnn_trainer.market.rolling import window_sum

COSTS_BPS = (0.0, 2.0, 5.0, 10.0)
BPS = 1e-4
CURVE_POINTS = 400
_YEAR_MS = 365 * 24 * 3_600_000


@dataclass(frozen=True)
class Holding:
    """What one unit of a symbol, bought at the open of bar t+1 and sold one bar later, brings."""

    open_time_T: IntArray  # unix ms of bar t
    interval_ms: int
    gain_TN: FloatArray  # simple price return; 0 while no price is known, made up for afterwards
    funding_TN: FloatArray  # paid by who is long at a settlement in between, fraction of notional
    half_spread_TN: FloatArray  # fraction of the price at the trade; NaN where no book was recorded


@dataclass(frozen=True)
class Ledger:
    """A portfolio bar by bar, in fractions of its capital; bar t is held from open(t+1)."""

    open_time_T: IntArray  # unix ms of bar t
    gain_T: FloatArray  # from prices
    funding_T: FloatArray  # received (paid: negative)
    turnover_T: FloatArray  # traded at the open of bar t+1, sum over symbols of |change|
    cost_T: FloatArray  # fees and half spreads of that

    @property
    def net_T(self) -> FloatArray:
        net: FloatArray = self.gain_T + self.funding_T - self.cost_T
        return net

    def net_at(self, cost_bps: float) -> FloatArray:
        """Net of funding and of `cost_bps` basis points on everything traded."""
        net: FloatArray = self.gain_T + self.funding_T - cost_bps * BPS * self.turnover_T
        return net


@dataclass(frozen=True)
class Outcome:
    """How one way to count costs ends."""

    annual_return: float  # fraction of capital
    sharpe: float  # annualised
    deflated_sharpe: float  # probability that the true one is above zero, after all trials
    max_drawdown: float  # largest fall below an earlier height, fraction of capital


@dataclass(frozen=True)
class Backtest:
    """The portfolio of the model's scores on the test span. Nothing here was fitted on it."""

    bars: int
    gross: Outcome  # prices alone
    by_cost_bps: dict[str, Outcome]  # net of funding and of so many basis points per trade
    net: Outcome  # net of funding, the configured fee and the half spread
    fee_bps: float
    half_spread_bps: float  # what was paid on average, recorded or configured
    break_even_bps: float  # cost per trade that eats up all gains; NaN if nothing was traded
    turnover: float  # traded per bar, fraction of capital, mean
    annual_funding: float  # received, fraction of capital
    trials: int  # models tried under this name, this one included
    curve_ms: tuple[int, ...]  # open times of the curve's points
    curve_gross: tuple[float, ...]  # cumulated, fraction of capital
    curve_net: tuple[float, ...]  # likewise, net as `net`


def holding_of(frame: MarketFrame) -> Holding:
    """Gains, funding and spreads of a market, on the bars of `frame`.

    Rows whose holding period ends after the frame have gain and funding 0.
    """
    last_open_TN = _carried_forward(frame.open_TN)
    gain_TN = np.zeros(frame.open_TN.shape)
    ratio_TN = last_open_TN[2:] / last_open_TN[1:-1]
    gain_TN[:-2] = np.where(np.isfinite(ratio_TN), ratio_TN - 1.0, 0.0)
    spread_TN = frame.book_TNK[..., BOOK_FIELDS.index("spread_bps")]
    half_spread_TN = np.full(spread_TN.shape, np.nan)
    half_spread_TN[:-1] = 0.5 * BPS * spread_TN[1:]
    return Holding(
        open_time_T=frame.open_time_T,
        interval_ms=frame.interval_ms,
        gain_TN=gain_TN,
        funding_TN=_funding_while_held(frame),
        half_spread_TN=half_spread_TN,
    )


def rank_weights(score_TN: npt.NDArray[np.floating], known_TN: BoolArray) -> FloatArray:
    """Centred ranks of each bar: they sum to 0, their sizes to 1; all 0 where the scores tie."""
    rank_TN = rankdata(np.where(known_TN, score_TN, np.nan), axis=1, nan_policy="omit")
    count_T1 = known_TN.sum(axis=1, keepdims=True)
    centred_TN = np.where(known_TN, rank_TN - (count_T1 + 1) / 2.0, 0.0)
    size_T1 = np.abs(centred_TN).sum(axis=1, keepdims=True)
    weight_TN: FloatArray = centred_TN / np.where(size_T1 > 0.0, size_T1, 1.0)
    return weight_TN


def keep_ledger(
    score_TN: npt.NDArray[np.floating],
    known_TN: BoolArray,
    horizon: int,
    holding: Holding,
    costs: CostConfig,
) -> Ledger:
    """Trade on the scores of T consecutive bars, from nothing, and sell what is left at the end.

    `known_TN` marks what can be decided on at the close of bar t; it may not look at labels.
    """
    position_TN = window_sum(rank_weights(score_TN, known_TN), horizon) / horizon
    change_TN = np.abs(np.diff(position_TN, axis=0, prepend=0.0))
    change_TN[-1] += np.abs(position_TN[-1])
    fallback = costs.half_spread_bps * BPS
    price_TN = costs.fee_bps * BPS + np.nan_to_num(holding.half_spread_TN, nan=fallback)
    return Ledger(
        open_time_T=holding.open_time_T,
        gain_T=(position_TN * holding.gain_TN).sum(axis=1),
        funding_T=-(position_TN * holding.funding_TN).sum(axis=1),
        turnover_T=change_TN.sum(axis=1),
        cost_T=(change_TN * price_TN).sum(axis=1),
    )


def backtest(ledger: Ledger, interval_ms: int, costs: CostConfig, trials: int) -> Backtest:
    """Figures and curves of a ledger; `trials` counts the models tried, this one included."""
    bars_per_year = _YEAR_MS / interval_ms
    turnover = float(ledger.turnover_T.sum())
    earned = float((ledger.gain_T + ledger.funding_T).sum())
    paid_bps = float(ledger.cost_T.sum()) / turnover / BPS if turnover > 0.0 else math.nan
    points = _thinned(len(ledger.open_time_T))

    def outcome(return_T: FloatArray) -> Outcome:
        return _outcome(return_T, bars_per_year, trials)

    return Backtest(
        bars=len(ledger.open_time_T),
        gross=outcome(ledger.gain_T),
        by_cost_bps={f"{bps:g}": outcome(ledger.net_at(bps)) for bps in COSTS_BPS},
        net=outcome(ledger.net_T),
        fee_bps=costs.fee_bps,
        half_spread_bps=paid_bps - costs.fee_bps,
        break_even_bps=earned / turnover / BPS if turnover > 0.0 else math.nan,
        turnover=_mean(ledger.turnover_T),
        annual_funding=_mean(ledger.funding_T) * bars_per_year,
        trials=trials,
        curve_ms=tuple(ledger.open_time_T[points].tolist()),
        curve_gross=tuple(np.cumsum(ledger.gain_T)[points].tolist()),
        curve_net=tuple(np.cumsum(ledger.net_T)[points].tolist()),
    )


def max_drawdown(return_T: FloatArray) -> float:
    """Largest fall of the cumulated returns below an earlier height (or the start), >= 0."""
    equity_T = np.cumsum(np.concatenate(([0.0], return_T)))
    return float((np.maximum.accumulate(equity_T) - equity_T).max())


def _outcome(return_T: FloatArray, bars_per_year: float, trials: int) -> Outcome:
    spread = float(return_T.std(ddof=1)) if len(return_T) > 1 else 0.0
    mean = _mean(return_T)
    return Outcome(
        annual_return=mean * bars_per_year,
        sharpe=mean / spread * math.sqrt(bars_per_year) if spread > 0.0 else 0.0,
        deflated_sharpe=deflated_sharpe(return_T, trials),
        max_drawdown=max_drawdown(return_T),
    )


def _carried_forward(price_TN: FloatArray) -> FloatArray:
    """The last known price at or before each bar; NaN before the first."""
    known_TN = np.isfinite(price_TN)
    row_TN = np.where(known_TN, np.arange(len(price_TN))[:, None], 0)
    np.maximum.accumulate(row_TN, axis=0, out=row_TN)
    carried_TN: FloatArray = np.take_along_axis(price_TN, row_TN, axis=0)
    return carried_TN


def _funding_while_held(frame: MarketFrame) -> FloatArray:
    """Rate settled after the open of bar t+1, up to the open of bar t+2; 0 where none.

    Who enters at the very time of a settlement does not pay it, who leaves then does. Of several
    settlements within one bar only the last is known; it counts for all, eight hours apart.
    """
    time_TN = frame.funding_time_TN
    new_TN = np.zeros(time_TN.shape, np.bool_)
    new_TN[1:] = np.isfinite(time_TN[1:]) & (time_TN[1:] != time_TN[:-1])
    times = max(1.0, frame.interval_ms / LONGEST_FUNDING_INTERVAL_MS)
    rate_TN = np.where(new_TN, frame.funding_rate_TN * times, 0.0)
    at_open_TN = time_TN <= frame.open_time_T[:, None]
    paid_TN = np.zeros(time_TN.shape)
    paid_TN[:-2] += np.where(at_open_TN, rate_TN, 0.0)[2:]
    paid_TN[:-1] += np.where(at_open_TN, 0.0, rate_TN)[1:]
    return paid_TN


def _thinned(count: int) -> IntArray:
    """At most CURVE_POINTS places out of `count`, evenly spaced, the last one among them."""
    chosen = np.linspace(0, count - 1, min(count, CURVE_POINTS))
    return np.round(chosen).astype(np.int64)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else 0.0
