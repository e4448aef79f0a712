"""The features once more, one number at a time, as a reader would compute them from the formulas.

Slow and plain on purpose: scalars, loops and `math` only. None stands for not available.
"""

import math
from collections.abc import Callable
from functools import lru_cache

from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.market.frame import MarketFrame

Number = float | None
Series = Callable[[int], Number]


class PlainFeatures:
    """`value(name, t, n)` of one market."""

    def __init__(self, frame: MarketFrame, config: FeatureConfig) -> None:
        self.frame = frame
        self.config = config
        self.r = lru_cache(maxsize=None)(self._r)
        self.e = lru_cache(maxsize=None)(self._e)

    def value(self, name: str, t: int, n: int) -> Number:
        if not self.frame.valid_TN[t, n]:
            return None
        value: Number = getattr(self, name)(t, n)
        return value

    # what the formulas are made of

    def _r(self, t: int, n: int) -> Number:
        f = self.frame
        if t < 1 or not f.valid_TN[t, n] or not f.valid_TN[t - 1, n]:
            return None
        return math.log(f.close_TN[t, n] / f.close_TN[t - 1, n])

    def market(self, t: int, n: int) -> float:
        others = [self.r(t, k) for k in range(self.frame.num_symbols) if k != n]
        known = [r for r in others if r is not None]
        return sum(known) / len(known) if known else 0.0

    def _e(self, t: int, n: int) -> Number:
        r = self.r(t, n)
        if r is None:
            return None
        pairs = [
            (past, self.market(s, n))
            for s in range(max(0, t - self.config.beta_window), t)
            if (past := self.r(s, n)) is not None
        ]
        beta = 1.0
        market_square = sum(m * m for _, m in pairs)
        if market_square > 0.0:
            prior = 20 * market_square / len(pairs)
            beta = (sum(x * m for x, m in pairs) + prior) / (market_square + prior)
        return r - beta * self.market(t, n)

    def mean(self, series: Series, t: int, window: int) -> Number:
        values = [series(s) for s in range(max(0, t - window + 1), t + 1)]
        known = [value for value in values if value is not None]
        if len(known) < math.ceil(self.config.min_valid_share * window):
            return None
        return sum(known) / len(known)

    def rms(self, series: Series, t: int, window: int) -> Number:
        def square(s: int) -> Number:
            value = series(s)
            return None if value is None else value * value

        mean = self.mean(square, t, window)
        return math.sqrt(mean) if mean else None

    def sigma(self, t: int, n: int) -> Number:
        return self.rms(lambda s: self.r(s, n), t, self.config.medium_window)

    def sigma_e(self, t: int, n: int) -> Number:
        return self.rms(lambda s: self.e(s, n), t, self.config.medium_window)

    def scaled_e(self, t: int, n: int) -> Number:
        return ratio(self.e(t, n), self.sigma_e(t, n)) if t >= 0 else None

    def move(self, t: int, n: int, bars: int) -> Number:
        f = self.frame
        sigma = self.sigma(t, n)
        if t < bars or not f.valid_TN[t - bars, n] or sigma is None:
            return None
        return math.log(f.close_TN[t, n] / f.close_TN[t - bars, n]) / sigma / math.sqrt(bars)

    def bar(self, field: str, n: int) -> Series:
        def at(s: int) -> Number:
            value = float(getattr(self.frame, field)[s, n])
            return value if self.frame.valid_TN[s, n] else None

        return at

    def bought(self, t: int, n: int) -> Number:
        bought = self.bar("taker_buy_volume_TN", n)
        recent = [bought(s) for s in range(max(0, t - self.config.medium_window + 1), t + 1)]
        return bought(t) if sum(value for value in recent if value is not None) > 0.0 else None

    def flow(self, t: int, n: int, window: int) -> Number:
        def traded(s: int) -> Number:
            return None if self.bought(s, n) is None else self.bar("volume_TN", n)(s)

        share = ratio(
            self.mean(lambda s: self.bought(s, n), t, window), self.mean(traded, t, window)
        )
        return None if share is None else 2.0 * share - 1.0

    def over_symbols(self, series: Callable[[int, int], Number], t: int) -> list[float]:
        values = [series(t, n) for n in range(self.frame.num_symbols)]
        return [value for value in values if value is not None]

    def rank(self, series: Callable[[int, int], Number], t: int, n: int) -> Number:
        own = series(t, n)
        if own is None:
            return None
        values = self.over_symbols(series, t)
        if len(values) == 1:
            return 0.0
        below = sum(value < own for value in values)
        ties = sum(value == own for value in values) - 1
        return (below + ties / 2) / (len(values) - 1) - 0.5

    # returns

    def residual_lag_0(self, t: int, n: int) -> Number:
        return self.scaled_e(t, n)

    def residual_lag_1(self, t: int, n: int) -> Number:
        return self.scaled_e(t - 1, n)

    def residual_lag_2(self, t: int, n: int) -> Number:
        return self.scaled_e(t - 2, n)

    def residual_short(self, t: int, n: int) -> Number:
        mean = ratio(
            self.mean(lambda s: self.e(s, n), t, self.config.short_window), self.sigma_e(t, n)
        )
        return None if mean is None else mean * math.sqrt(self.config.short_window)

    def return_lag_0(self, t: int, n: int) -> Number:
        return ratio(self.r(t, n), self.sigma(t, n))

    def return_short(self, t: int, n: int) -> Number:
        return self.move(t, n, self.config.short_window)

    def return_medium(self, t: int, n: int) -> Number:
        return self.move(t, n, self.config.medium_window)

    def close_in_range(self, t: int, n: int) -> Number:
        f = self.frame
        high, low, close = f.high_TN[t, n], f.low_TN[t, n], f.close_TN[t, n]
        return 0.0 if high == low else float((2 * close - high - low) / (high - low))

    # volatility

    def volatility_fast(self, t: int, n: int) -> Number:
        sigma = self.sigma(t, n)
        fast = self.mean(lambda s: squared(self.r(s, n)), t, self.config.short_window)
        if sigma is None or fast is None:
            return None
        return math.log(0.01 + fast / sigma**2) / 2

    def volatility_trend(self, t: int, n: int) -> Number:
        slow = self.rms(lambda s: self.r(s, n), t, self.config.long_window)
        change = ratio(self.sigma(t, n), slow)
        return None if change is None else math.log(change)

    def range_surprise(self, t: int, n: int) -> Number:
        high, low = self.bar("high_TN", n), self.bar("low_TN", n)

        def log_range(s: int) -> Number:
            top, bottom = high(s), low(s)
            return None if top is None or bottom is None else math.log(top / bottom)

        return log_ratio(log_range(t), self.mean(log_range, t, self.config.medium_window))

    def residual_skew(self, t: int, n: int) -> Number:
        def cube(s: int) -> Number:
            e = self.e(s, n)
            return None if e is None else e**3

        sigma_e = self.sigma_e(t, n)
        return ratio(
            self.mean(cube, t, self.config.medium_window),
            None if sigma_e is None else sigma_e**3,
        )

    # volume

    def volume_surprise(self, t: int, n: int) -> Number:
        volume = self.bar("volume_TN", n)
        return log_ratio(volume(t), self.mean(volume, t, self.config.long_window))

    def volume_trend(self, t: int, n: int) -> Number:
        volume = self.bar("volume_TN", n)
        recent = self.mean(volume, t, self.config.short_window)
        return log_ratio(recent, self.mean(volume, t, self.config.long_window))

    def trades_surprise(self, t: int, n: int) -> Number:
        trades = self.bar("trades_TN", n)
        return log_ratio(trades(t), self.mean(trades, t, self.config.long_window))

    # flow

    def flow_lag_0(self, t: int, n: int) -> Number:
        share = ratio(self.bought(t, n), self.bar("volume_TN", n)(t))
        return None if share is None else 2.0 * share - 1.0

    def flow_short(self, t: int, n: int) -> Number:
        return self.flow(t, n, self.config.short_window)

    def flow_medium(self, t: int, n: int) -> Number:
        return self.flow(t, n, self.config.medium_window)

    # book

    def book(self, t: int, n: int, level: int) -> Number:
        value = float(self.frame.book_TNK[t, n, level])
        return value if math.isfinite(value) else None

    def has_book(self, t: int, n: int) -> Number:
        return 0.0 if self.book(t, n, 2) is None else 1.0

    def book_imbalance_5(self, t: int, n: int) -> Number:
        return self.book(t, n, 2)

    def book_imbalance_20(self, t: int, n: int) -> Number:
        return self.book(t, n, 3)

    def book_microprice(self, t: int, n: int) -> Number:
        return ratio(self.book(t, n, 1), self.book(t, n, 0))

    # perp

    def has_funding(self, t: int, n: int) -> Number:
        return 0.0 if self.funding_rate(t, n) is None else 1.0

    def funding_rate(self, t: int, n: int) -> Number:
        f = self.frame
        close_ms = f.open_time_T[t] + f.interval_ms - 1
        hours = (close_ms - f.funding_time_TN[t, n]) / 3_600_000
        known = hours <= self.config.max_funding_age_hours  # False when the time is NaN
        return float(1e4 * f.funding_rate_TN[t, n]) if known else None

    def funding_excess(self, t: int, n: int) -> Number:
        rate = self.funding_rate(t, n)
        rates = self.over_symbols(self.funding_rate, t)
        return None if rate is None else rate - sum(rates) / len(rates)

    # cross

    def common_return(self, t: int) -> Number:
        known = self.over_symbols(self.r, t)
        return sum(known) / len(known) if known else None

    def market_return(self, t: int, n: int) -> Number:
        return ratio(
            self.common_return(t), self.rms(self.common_return, t, self.config.medium_window)
        )

    def dispersion(self, t: int) -> Number:
        known = self.over_symbols(self.r, t)
        if len(known) < 2:
            return None
        centre = sum(known) / len(known)
        return math.sqrt(sum((r - centre) ** 2 for r in known) / len(known))

    def dispersion_surprise(self, t: int, n: int) -> Number:
        return log_ratio(
            self.dispersion(t), self.mean(self.dispersion, t, self.config.medium_window)
        )

    def return_rank(self, t: int, n: int) -> Number:
        return self.rank(self.r, t, n)

    def volatility_rank(self, t: int, n: int) -> Number:
        return self.rank(self.sigma, t, n)

    # calendar

    def hour_sin(self, t: int, n: int) -> Number:
        return math.sin(self.day_angle(t))

    def hour_cos(self, t: int, n: int) -> Number:
        return math.cos(self.day_angle(t))

    def day_angle(self, t: int) -> float:
        closes_s = (self.frame.open_time_T[t] + self.frame.interval_ms) / 1000
        return float(2 * math.pi * (closes_s % 86_400) / 86_400)


def ratio(above: Number, below: Number) -> Number:
    return None if above is None or not below else above / below


def log_ratio(above: Number, below: Number) -> Number:
    """With the floor that keeps a bar of nothing finite."""
    change = ratio(above, below)
    return None if change is None else math.log(0.01 + change)


def squared(x: Number) -> Number:
    return None if x is None else x * x
