"""Every node feature: its name, group, formula, unit and how far it looks back.

Words in the formulas:
    r         log return of one bar, close to close
    e         r without the market mode, as `returns.residual_returns` (beta window) defines it
    sigma     root mean square of r over the medium window; sigma_e likewise of e
    mean_w    mean over the last w bars, bar t included, valid bars only
    short, medium, long, beta: the windows of `FeatureConfig`, in bars
All are free of the scale of price, volume and time, so symbols and years compare.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gnn_trainer.features import formulas as f
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import Float32Array
from gnn_trainer.features.ingredients import Ingredients
from gnn_trainer.market.frame import FloatArray

Group = Literal["returns", "volatility", "volume", "flow", "book", "perp", "cross", "calendar"]


@dataclass(frozen=True)
class Feature:
    """One column of the FeatureFrame.

    No bar earlier than `lookback` bars before t can change the value at t. `is_optional` features
    may be NaN on a usable row, because the source lacks them or a bar they need is missing.
    """

    name: str
    group: Group
    formula: str
    unit: str
    lookback: Callable[[FeatureConfig], int]
    compute: Callable[[Ingredients], FloatArray | Float32Array]
    is_optional: bool = False


def _bar_only(_: FeatureConfig) -> int:
    return 0


def _one(_: FeatureConfig) -> int:
    return 1


def _medium(config: FeatureConfig) -> int:
    return config.medium_window


def _long(config: FeatureConfig) -> int:
    return config.long_window


def _residual(config: FeatureConfig) -> int:
    """sigma_e spans the medium window, and its oldest e needs a beta of its own."""
    return config.medium_window + config.beta_window


def _residual_1(config: FeatureConfig) -> int:
    return _residual(config) + 1


def _residual_2(config: FeatureConfig) -> int:
    return _residual(config) + 2


def _flow_medium(config: FeatureConfig) -> int:
    """Whether taker flow is recorded is judged at each bar over the medium window before it."""
    return 2 * config.medium_window


def _flow_short(config: FeatureConfig) -> int:
    return config.short_window + config.medium_window


FEATURES: tuple[Feature, ...] = (
    Feature(
        "residual_lag_0", "returns", "e[t] / sigma_e[t]", "sigma_e", _residual, f.residual_lag_0
    ),
    Feature(
        "residual_lag_1",
        "returns",
        "e[t-1] / sigma_e[t-1]",
        "sigma_e",
        _residual_1,
        f.residual_lag_1,
        is_optional=True,
    ),
    Feature(
        "residual_lag_2",
        "returns",
        "e[t-2] / sigma_e[t-2]",
        "sigma_e",
        _residual_2,
        f.residual_lag_2,
        is_optional=True,
    ),
    Feature(
        "residual_short",
        "returns",
        "mean_short(e) * sqrt(short) / sigma_e",
        "sigma_e",
        _residual,
        f.residual_short,
    ),
    Feature("return_lag_0", "returns", "r[t] / sigma", "sigma", _medium, f.return_lag_0),
    Feature(
        "return_short",
        "returns",
        "ln(close[t] / close[t-short]) / (sigma * sqrt(short))",
        "sigma",
        _medium,
        f.return_short,
        is_optional=True,
    ),
    Feature(
        "return_medium",
        "returns",
        "ln(close[t] / close[t-medium]) / (sigma * sqrt(medium))",
        "sigma",
        _medium,
        f.return_medium,
        is_optional=True,
    ),
    Feature(
        "close_in_range",
        "returns",
        "(2 close - high - low) / (high - low); 0 when high = low",
        "-1..1",
        _bar_only,
        f.close_in_range,
    ),
    Feature(
        "volatility_fast",
        "volatility",
        "ln(0.01 + mean_short(r^2) / sigma^2) / 2",
        "ln ratio",
        _medium,
        f.volatility_fast,
    ),
    Feature(
        "volatility_trend",
        "volatility",
        "ln(sigma / sqrt(mean_long(r^2)))",
        "ln ratio",
        _long,
        f.volatility_trend,
    ),
    Feature(
        "range_surprise",
        "volatility",
        "ln(0.01 + ln(high / low) / mean_medium(ln(high / low)))",
        "ln ratio",
        _medium,
        f.range_surprise,
    ),
    Feature(
        "residual_skew",
        "volatility",
        "mean_medium(e^3) / sigma_e^3",
        "none",
        _residual,
        f.residual_skew,
    ),
    Feature(
        "volume_surprise",
        "volume",
        "ln(0.01 + volume / mean_long(volume))",
        "ln ratio",
        _long,
        f.volume_surprise,
    ),
    Feature(
        "volume_trend",
        "volume",
        "ln(0.01 + mean_short(volume) / mean_long(volume))",
        "ln ratio",
        _long,
        f.volume_trend,
    ),
    Feature(
        "trades_surprise",
        "volume",
        "ln(0.01 + trades / mean_long(trades))",
        "ln ratio",
        _long,
        f.trades_surprise,
        is_optional=True,
    ),
    Feature(
        "flow_lag_0",
        "flow",
        "2 taker_buy / volume - 1",
        "-1..1",
        _medium,
        f.flow_lag_0,
        is_optional=True,
    ),
    Feature(
        "flow_short",
        "flow",
        "2 mean_short(taker_buy) / mean_short(volume) - 1",
        "-1..1",
        _flow_short,
        f.flow_short,
        is_optional=True,
    ),
    Feature(
        "flow_medium",
        "flow",
        "2 mean_medium(taker_buy) / mean_medium(volume) - 1",
        "-1..1",
        _flow_medium,
        f.flow_medium,
        is_optional=True,
    ),
    Feature(
        "has_book",
        "book",
        "1 if an order book was recorded inside the bar, else 0",
        "0 or 1",
        _bar_only,
        f.has_book,
    ),
    Feature(
        "book_imbalance_5",
        "book",
        "(bid - ask) / (bid + ask) quantity, best 5 levels",
        "-1..1",
        _bar_only,
        f.book_imbalance_5,
        is_optional=True,
    ),
    Feature(
        "book_imbalance_20",
        "book",
        "(bid - ask) / (bid + ask) quantity, best 20 levels",
        "-1..1",
        _bar_only,
        f.book_imbalance_20,
        is_optional=True,
    ),
    Feature(
        "book_microprice",
        "book",
        "(microprice - mid) / (best ask - best bid)",
        "spreads",
        _bar_only,
        f.book_microprice,
        is_optional=True,
    ),
    Feature(
        "has_funding",
        "perp",
        "1 if a rate was settled within max_funding_age_hours, else 0",
        "0 or 1",
        _bar_only,
        f.has_funding,
    ),
    Feature(
        "funding_rate",
        "perp",
        "last rate settled at or before the close",
        "basis points",
        _bar_only,
        f.funding_rate,
        is_optional=True,
    ),
    Feature(
        "funding_excess",
        "perp",
        "funding_rate - its mean over symbols",
        "basis points",
        _bar_only,
        f.funding_excess,
        is_optional=True,
    ),
    Feature(
        "market_return",
        "cross",
        "mean of r over symbols / its root mean square, medium window",
        "sigma",
        _medium,
        f.market_return,
    ),
    Feature(
        "dispersion_surprise",
        "cross",
        "ln(0.01 + d / mean_medium(d)), d = deviation of r over symbols",
        "ln ratio",
        _medium,
        f.dispersion_surprise,
        is_optional=True,
    ),
    Feature("return_rank", "cross", "rank of r[t] over symbols", "-0.5..0.5", _one, f.return_rank),
    Feature(
        "volatility_rank",
        "cross",
        "rank of sigma over symbols",
        "-0.5..0.5",
        _medium,
        f.volatility_rank,
    ),
    Feature(
        "hour_sin",
        "calendar",
        "sin(2 pi * time of day of the close, UTC)",
        "-1..1",
        _bar_only,
        f.hour_sin,
    ),
    Feature(
        "hour_cos",
        "calendar",
        "cos(2 pi * time of day of the close, UTC)",
        "-1..1",
        _bar_only,
        f.hour_cos,
    ),
)


def feature_names() -> tuple[str, ...]:
    """Names in the order of the F axis."""
    return tuple(feature.name for feature in FEATURES)


def columns_of(group: Group) -> tuple[int, ...]:
    """Places on the F axis of one group's features."""
    return tuple(place for place, feature in enumerate(FEATURES) if feature.group == group)


def longest_lookback(config: FeatureConfig) -> int:
    """Bars of history after which every feature is what it would be with any longer one."""
    return max(feature.lookback(config) for feature in FEATURES)
