"""A market made of mathematics: the best possible skill is known, because it was planted.

Bars are a function of (config without `now_ms`, time) and are counted from a fixed date, so asking
an hour later gives the same bars and one more.
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from gnn_trainer.errors import ConfigError
from gnn_trainer.exchange.bars import aggregate
from gnn_trainer.exchange.candlesticks import draw_bars, draw_funding, live_between
from gnn_trainer.exchange.clock import utc_text
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.dynamics import (
    MAX_DELAY,
    PlantedEdge,
    Returns,
    plant_edges,
    simulate_returns,
    stream,
)
from gnn_trainer.exchange.symbols import HOUR_MS, core_plans, num_leaders, trap_plans
from gnn_trainer.exchange.truth import Bars, FundingHistory, Listing
from gnn_trainer.market.frame import FloatArray, IntArray
from gnn_trainer.market.intervals import DAY_MS, interval_ms

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z, a Wednesday
SPARE_BARS = 500  # beyond the default time, for runs that come back later
_NOW_WITHIN_BAR = 7 / 60
_MARKET_HOURLY_VOLATILITY = 0.0045
_FIRST_BAR_AFTER_LISTING_MS = DAY_MS // 2


@dataclass(frozen=True)
class Candles:
    """Bars of all clean symbols: open times [T] in unix ms, everything else [T, N]."""

    open_time_T: IntArray
    open_TN: FloatArray
    high_TN: FloatArray
    low_TN: FloatArray
    close_TN: FloatArray
    volume_TN: FloatArray
    quote_volume_TN: FloatArray
    trades_TN: FloatArray
    taker_buy_volume_TN: FloatArray
    taker_buy_quote_volume_TN: FloatArray


class GeneratedMarket:
    """The market of an `ExchangeConfig`. Fulfils `MarketTruth`.

    Raises:
        ConfigError: `now_ms` lies before the first closed bar.
    """

    def __init__(self, config: ExchangeConfig) -> None:
        self.seed = config.seed
        self.interval, self.interval_ms = config.interval, config.interval_ms
        self.start_ms = START_MS // self.interval_ms * self.interval_ms
        end_ms = self.start_ms + config.num_bars * self.interval_ms
        default_now_ms = end_ms + int(_NOW_WITHIN_BAR * self.interval_ms)
        self.now_ms = default_now_ms if config.now_ms is None else config.now_ms
        if self.now_ms < self.start_ms + self.interval_ms:
            raise ConfigError(
                f"now {utc_text(self.now_ms)} is before the generated market starts; use a time "
                f"after {utc_text(self.start_ms + self.interval_ms)}"
            )
        self._num_bars = (max(end_ms, self.now_ms) - self.start_ms) // self.interval_ms + SPARE_BARS
        outage_ms = self.start_ms + int(0.4 * config.num_bars) * self.interval_ms
        self.spot_outage = range(outage_ms, outage_ms + 3 * self.interval_ms)
        core = core_plans(config.symbols, listed_ms=self.start_ms)
        self._plans = core + trap_plans(self.start_ms, end_ms)
        self._column = {plan.listing.symbol: i for i, plan in enumerate(self._plans)}
        self.symbols: tuple[str, ...] = tuple(plan.listing.symbol for plan in core)
        self.planted_edges: tuple[PlantedEdge, ...] = plant_edges(
            self.symbols, num_leaders(len(core)), config.strength, config.seed
        )
        self._bars: dict[str, Bars] = {}

    def listings(self) -> tuple[Listing, ...]:
        return tuple(plan.listing for plan in self._plans)

    def bars(self, symbol: str) -> Bars:
        """All bars of a symbol, `SPARE_BARS` of them after the server's time."""
        if symbol not in self._bars:
            self._bars[symbol] = self._draw_bars(self._column[symbol])
        return self._bars[symbol]

    def funding(self, symbol: str) -> FundingHistory:
        return draw_funding(self._plans[self._column[symbol]], self.bars(symbol), self.seed)

    def candles(self, interval: str) -> Candles:
        """Closed bars of the clean `symbols` at `now_ms`, the numbers that the server sends."""
        length_ms = interval_ms(interval)
        columns = [aggregate(self.bars(symbol), length_ms) for symbol in self.symbols]
        closed = columns[0].open_time + length_ms <= self.now_ms

        def wide(name: str) -> FloatArray:
            values = [getattr(bars, name)[closed] for bars in columns]
            return np.stack(values, axis=1).astype(np.float64)

        return Candles(
            columns[0].open_time[closed],
            *(wide(field.name.removesuffix("_TN")) for field in fields(Candles)[1:]),
        )

    def oracle_scores(self, open_times: IntArray) -> FloatArray:
        """Expected log return of the bar after each of `open_times`, given all up to its close.

        Shape [T, N] for the clean `symbols`, NaN for times outside the generated history. Nobody
        can know more: the rest of the next return is drawn afterwards.
        """
        row_T = (np.asarray(open_times) - self.start_ms) // self.interval_ms + 1
        known_T = (row_T >= 1) & (row_T < self._num_bars)
        scores_TN = np.full((len(row_T), len(self.symbols)), np.nan)
        scores_TN[known_T] = self._returns.foretold_TN[row_T[known_T], : len(self.symbols)]
        return scores_TN

    def oracle_rank_ic(self) -> float:
        """Best RankIC to be had one bar ahead: that of `oracle_scores` over all closed bars.

        The return is the one that can be traded, open(t+1) to open(t+2). 0 for pure noise.
        """
        if not self.planted_edges:
            return 0.0
        candles = self.candles(self.interval)
        log_open_TN = np.log(candles.open_TN)
        scores_TN = self.oracle_scores(candles.open_time_T[MAX_DELAY:-2])
        returns_TN = log_open_TN[MAX_DELAY + 2 :] - log_open_TN[MAX_DELAY + 1 : -1]
        return float(rank_correlations(scores_TN, returns_TN).mean())

    def _draw_bars(self, column: int) -> Bars:
        plan, returns = self._plans[column], self._returns
        bars = draw_bars(
            plan,
            open_time=self.start_ms + np.arange(self._num_bars) * self.interval_ms,
            returns=returns.total_TN[:, column],
            shocks=returns.shock_TN[:, column],
            volatilities=returns.volatility_TN[:, column],
            seed=self.seed,
        )
        listed_ms = plan.listing.listed_ms
        late = listed_ms > self.start_ms
        first_bar_ms = listed_ms + late * _FIRST_BAR_AFTER_LISTING_MS
        return live_between(bars, first_bar_ms, plan.listing.delisted_ms)

    @cached_property
    def _returns(self) -> Returns:
        bars_per_hour = HOUR_MS / self.interval_ms
        draws = [stream(self.seed, plan.listing.symbol, "character") for plan in self._plans]
        drawn_N2 = np.array([(d.uniform(0.7, 1.4), d.uniform(0.004, 0.007)) for d in draws])
        for row, plan in zip(drawn_N2, self._plans, strict=True):
            row[0] = row[0] if plan.beta is None else plan.beta
            row[1] = row[1] if plan.hourly_volatility is None else plan.hourly_volatility
        return simulate_returns(
            names=tuple(self._column),
            betas_N=drawn_N2[:, 0],
            volatilities_N=drawn_N2[:, 1] / np.sqrt(bars_per_hour),
            market_volatility=_MARKET_HOURLY_VOLATILITY / np.sqrt(bars_per_hour),
            edges=self.planted_edges,
            num_bars=self._num_bars,
            seed=self.seed,
        )


def rank_correlations(a_TN: FloatArray, b_TN: FloatArray) -> FloatArray:
    """Spearman's rank correlation across the N symbols of each row, [T]."""
    ranks = [np.argsort(np.argsort(x_TN, axis=1), axis=1) for x_TN in (a_TN, b_TN)]
    centred_a, centred_b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    spread_T = np.sqrt((centred_a**2).sum(axis=1) * (centred_b**2).sum(axis=1))
    return np.asarray((centred_a * centred_b).sum(axis=1) / spread_T)
