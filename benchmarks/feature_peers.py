"""The bars, and every feature of the registry as pandas and polars users would write it.

Long tables sorted by symbol and time, one column per feature; slow and plain.
"""

import math
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.registry import feature_names
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CONFIG = FeatureConfig()
SHORT, MEDIUM, LONG = CONFIG.short_window, CONFIG.medium_window, CONFIG.long_window
BETA, PRIOR, FLOOR = CONFIG.beta_window, 20, 0.01
LEAST = {window: math.ceil(CONFIG.min_valid_share * window) for window in (SHORT, MEDIUM, LONG)}


def random_market(num_bars: int, num_symbols: int, seed: int = 0) -> MarketFrame:
    """Hourly bars of a one-factor market, one in a thousand missing, with funding and books."""
    rng = np.random.default_rng(seed)
    shape = (num_bars, num_symbols)
    factor_T1 = rng.normal(0.0, 0.01, (num_bars, 1))
    return_TN = factor_T1 * rng.uniform(0.5, 1.5, num_symbols) + 0.01 * rng.standard_t(4, shape)
    close_TN = rng.uniform(0.1, 1000.0, num_symbols) * np.exp(return_TN.cumsum(axis=0))
    open_TN = close_TN * np.exp(-return_TN)
    volume_TN = np.exp(rng.normal(8.0, 1.0, shape))
    open_time_T = 1_700_000_000_000 // DAY_MS * DAY_MS + HOUR_MS * np.arange(num_bars)
    settled_T1 = (open_time_T + HOUR_MS - 1)[:, None] // (8 * HOUR_MS) * (8 * HOUR_MS)
    valid_TN = rng.random(shape) >= 0.001
    bars = {
        "open_TN": open_TN,
        "high_TN": np.maximum(open_TN, close_TN) * np.exp(rng.exponential(0.003, shape)),
        "low_TN": np.minimum(open_TN, close_TN) * np.exp(-rng.exponential(0.003, shape)),
        "close_TN": close_TN,
        "volume_TN": volume_TN,
        "quote_volume_TN": volume_TN * close_TN,
        "trades_TN": np.ceil(volume_TN / 50.0),
        "taker_buy_volume_TN": volume_TN * rng.random(shape),
    }
    return MarketFrame(
        symbols=tuple(f"S{n:03}USDT" for n in range(num_symbols)),
        interval_ms=HOUR_MS,
        open_time_T=open_time_T,
        **{name: np.where(valid_TN, values_TN, np.nan) for name, values_TN in bars.items()},
        valid_TN=valid_TN,
        funding_rate_TN=rng.normal(1e-4, 1e-4, (num_bars // 8 + 1, num_symbols)).repeat(8, 0)[
            :num_bars
        ],
        funding_time_TN=np.repeat(settled_T1.astype(np.float64), num_symbols, axis=1),
        book_TNK=rng.uniform(0.1, 1.0, (*shape, len(BOOK_FIELDS))),
    )


def long_table(frame: MarketFrame) -> dict[str, Any]:
    """Columns of all bars, sorted by symbol, then time; NaN where invalid."""
    columns: dict[str, Any] = {
        "symbol": [symbol for symbol in frame.symbols for _ in range(frame.num_bars)],
        "time": np.tile(frame.open_time_T, frame.num_symbols),
        "valid": frame.valid_TN.T.ravel(),
    }
    for field in fields(frame):
        if field.name.endswith("_TN") and field.name != "valid_TN":
            columns[field.name.removesuffix("_TN")] = getattr(frame, field.name).T.ravel()
    for place, name in enumerate(BOOK_FIELDS):
        columns[name] = frame.book_TNK[..., place].T.ravel()
    return columns


def pandas_table(num_bars: int, num_symbols: int) -> pd.DataFrame:
    table = pd.DataFrame(long_table(random_market(num_bars, num_symbols)))
    return table.astype({"symbol": "category"})


def with_pandas(table: pd.DataFrame) -> pd.DataFrame:
    """All features, columns in the order of the registry."""
    symbol, valid = table["symbol"], table["valid"]
    by_symbol = partial(_by_symbol, symbol=symbol)

    def means(columns: dict[str, pd.Series], window: int) -> dict[str, pd.Series]:
        rolling = by_symbol(pd.DataFrame(columns)).rolling(window, min_periods=LEAST[window])
        found = rolling.mean().reset_index(drop=True)
        return {name: found[name] for name in columns}

    def market_of(values: pd.Series) -> Any:
        return values.groupby(table["time"])

    price = np.log(table["close"].where(valid))
    past = by_symbol(price)
    r = price - past.shift(1)
    known = r.notna()
    at_bar = market_of(r)
    others = at_bar.transform("count") - known
    m = (at_bar.transform("sum") - r.fillna(0.0)) / others.clip(lower=1)
    sums = pd.DataFrame({"rm": r * m, "mm": (m * m).where(known), "known": known.astype(float)})
    sums = by_symbol(sums).rolling(BETA, min_periods=0).sum().reset_index(drop=True)
    prior = sums["mm"] * PRIOR / sums["known"].clip(lower=1)
    beta = by_symbol((sums["rm"] + prior) / (sums["mm"] + prior)).shift(1)
    e = r - beta.where(np.isfinite(beta), 1.0) * m

    volume, trades = table["volume"].where(valid), table["trades"].where(valid)
    high, low = table["high"].where(valid), table["low"]
    span = np.log(high / low)
    bought = table["taker_buy_volume"].where(valid)
    recorded = by_symbol(bought).rolling(MEDIUM, min_periods=0).sum().reset_index(drop=True) > 0.0
    bought = bought.where(recorded)
    traded = volume.where(bought.notna())
    square = r * r
    flows = {"bought": bought, "traded": traded}
    short = means({"rr": square, "e": e, "volume": volume, **flows}, SHORT)
    medium = means({"rr": square, "ee": e * e, "eee": e * e * e, "span": span, **flows}, MEDIUM)
    long = means({"rr": square, "volume": volume, "trades": trades}, LONG)
    sigma = np.sqrt(medium["rr"]).replace(0.0, np.nan)
    sigma_e = np.sqrt(medium["ee"]).replace(0.0, np.nan)
    slow = np.sqrt(long["rr"]).replace(0.0, np.nan)
    scaled = e / sigma_e
    common, spread = at_bar.mean(), at_bar.std(ddof=0)
    usual = np.sqrt((common**2).rolling(MEDIUM, min_periods=LEAST[MEDIUM]).mean())
    usual_spread = spread.rolling(MEDIUM, min_periods=LEAST[MEDIUM]).mean()
    age_h = (table["time"] + HOUR_MS - 1 - table["funding_time"]) / HOUR_MS
    funding = (1e4 * table["funding_rate"]).where(age_h <= CONFIG.max_funding_age_hours)
    angle = 2.0 * np.pi * ((table["time"] + HOUR_MS) % DAY_MS) / DAY_MS

    def rank(values: pd.Series) -> pd.Series:
        ranked = market_of(values)
        top = ranked.transform("count") - 1
        return (ranked.rank() - 1) / top.clip(lower=1) - 0.5 * (top > 0)

    features = {
        "residual_lag_0": scaled,
        "residual_lag_1": by_symbol(scaled).shift(1),
        "residual_lag_2": by_symbol(scaled).shift(2),
        "residual_short": short["e"] * math.sqrt(SHORT) / sigma_e,
        "return_lag_0": r / sigma,
        "return_short": (price - past.shift(SHORT)) / (sigma * math.sqrt(SHORT)),
        "return_medium": (price - past.shift(MEDIUM)) / (sigma * math.sqrt(MEDIUM)),
        "close_in_range": ((2.0 * table["close"] - high - low) / (high - low)).where(
            high != low, 0.0
        ),
        "volatility_fast": 0.5 * np.log(FLOOR + short["rr"] / sigma**2),
        "volatility_trend": np.log(sigma / slow),
        "range_surprise": np.log(FLOOR + span / medium["span"]),
        "residual_skew": medium["eee"] / sigma_e**3,
        "volume_surprise": np.log(FLOOR + volume / long["volume"]),
        "volume_trend": np.log(FLOOR + short["volume"] / long["volume"]),
        "trades_surprise": np.log(FLOOR + trades / long["trades"]),
        "flow_lag_0": 2.0 * bought / volume - 1.0,
        "flow_short": 2.0 * short["bought"] / short["traded"] - 1.0,
        "flow_medium": 2.0 * medium["bought"] / medium["traded"] - 1.0,
        "has_book": table["imbalance_5"].notna().astype(float),
        "book_imbalance_5": table["imbalance_5"],
        "book_imbalance_20": table["imbalance_20"],
        "book_microprice": table["microprice_bps"] / table["spread_bps"],
        "has_funding": funding.notna().astype(float),
        "funding_rate": funding,
        "funding_excess": funding - market_of(funding).transform("mean"),
        "market_return": table["time"].map(common / usual),
        "dispersion_surprise": table["time"].map(np.log(FLOOR + spread / usual_spread)),
        "return_rank": rank(r),
        "volatility_rank": rank(sigma),
        "hour_sin": np.sin(angle),
        "hour_cos": np.cos(angle),
    }
    return pd.DataFrame(features)[list(feature_names())].where(valid)


def _by_symbol(values: Any, symbol: pd.Series) -> Any:
    """The groups of a column or of several."""
    return values.groupby(symbol, sort=False, observed=True)


def polars_table(num_bars: int, num_symbols: int) -> pl.DataFrame:
    table = pl.DataFrame(long_table(random_market(num_bars, num_symbols)))
    return table.with_columns(pl.col("symbol").cast(pl.Categorical)).fill_nan(None)


def with_polars(table: pl.DataFrame) -> pl.DataFrame:
    """All features, columns in the order of the registry; lazily, on all threads polars takes."""
    c, valid = pl.col, pl.col("valid")

    def of_symbol(values: pl.Expr) -> pl.Expr:
        return values.over("symbol")

    def mean(name: str, window: int) -> pl.Expr:
        return of_symbol(c(name).rolling_mean(window, min_samples=LEAST[window]))

    def total(name: str, window: int) -> pl.Expr:
        return of_symbol(c(name).rolling_sum(window, min_samples=1)).fill_null(0.0)

    def at_bar(values: pl.Expr) -> pl.Expr:
        return values.over("time")

    def rank(name: str) -> pl.Expr:
        top = at_bar(c(name).count()).cast(pl.Float64) - 1.0
        place = at_bar(c(name).rank("average")) - 1.0
        return place / top.clip(lower_bound=1.0) - 0.5 * (top > 0.0)

    def log_ratio(above: pl.Expr, below: pl.Expr) -> pl.Expr:
        return (FLOOR + above / below).log()

    names = ("high", "low", "volume", "trades", "taker_buy_volume")
    bars = table.lazy().with_columns(*(pl.when(valid).then(c(name)) for name in names))
    bars = bars.with_columns(price=pl.when(valid).then(c("close").log()))
    bars = bars.with_columns(r=c("price") - of_symbol(c("price").shift(1)))
    others = at_bar(c("r").count()).cast(pl.Int64) - c("r").is_not_null().cast(pl.Int64)
    bars = bars.with_columns(
        m=(at_bar(c("r").sum()) - c("r").fill_null(0.0)) / others.clip(lower_bound=1)
    )
    bars = bars.with_columns(
        rm=c("r") * c("m"),
        mm=pl.when(c("r").is_not_null()).then(c("m") ** 2),
        known=c("r").is_not_null().cast(pl.Float64),
        rr=c("r") ** 2,
        span=(c("high") / c("low")).log(),
        recorded=total("taker_buy_volume", MEDIUM) > 0.0,
    )
    prior = total("mm", BETA) * PRIOR / total("known", BETA).clip(lower_bound=1.0)
    bars = bars.with_columns(prior=prior, cov=total("rm", BETA), var=total("mm", BETA))
    beta = of_symbol(((c("cov") + c("prior")) / (c("var") + c("prior"))).shift(1))
    bars = bars.with_columns(e=c("r") - beta.fill_nan(1.0).fill_null(1.0) * c("m"))
    bars = bars.with_columns(
        ee=c("e") ** 2,
        eee=c("e") * c("e") * c("e"),
        bought=pl.when(c("recorded")).then(c("taker_buy_volume")),
    )
    bars = bars.with_columns(traded=pl.when(c("bought").is_not_null()).then(c("volume")))
    age_h = (c("time") + HOUR_MS - 1 - c("funding_time")) / HOUR_MS
    bars = bars.with_columns(
        sigma=mean("rr", MEDIUM).sqrt(),
        sigma_e=mean("ee", MEDIUM).sqrt(),
        slow=mean("rr", LONG).sqrt(),
        funding=pl.when(age_h <= CONFIG.max_funding_age_hours).then(1e4 * c("funding_rate")),
    )
    market = bars.group_by("time").agg(common=c("r").mean(), spread=c("r").std(ddof=0)).sort("time")
    least = LEAST[MEDIUM]
    usual = (c("common") ** 2).rolling_mean(MEDIUM, min_samples=least).sqrt()
    usual_spread = c("spread").rolling_mean(MEDIUM, min_samples=least)
    market = market.select(
        "time",
        market_return=c("common") / usual,
        dispersion_surprise=log_ratio(c("spread"), usual_spread),
    )
    bars = bars.join(market, on="time", how="left", maintain_order="left")
    scaled, sigma, span = c("e") / c("sigma_e"), c("sigma"), c("high") - c("low")
    angle = 2.0 * np.pi * ((c("time") + HOUR_MS) % DAY_MS) / DAY_MS
    features = {
        "residual_lag_0": scaled,
        "residual_lag_1": of_symbol(scaled.shift(1)),
        "residual_lag_2": of_symbol(scaled.shift(2)),
        "residual_short": mean("e", SHORT) * math.sqrt(SHORT) / c("sigma_e"),
        "return_lag_0": c("r") / sigma,
        "return_short": (c("price") - of_symbol(c("price").shift(SHORT)))
        / (sigma * math.sqrt(SHORT)),
        "return_medium": (c("price") - of_symbol(c("price").shift(MEDIUM)))
        / (sigma * math.sqrt(MEDIUM)),
        "close_in_range": pl.when(span == 0.0)
        .then(0.0)
        .otherwise((2.0 * c("close") - c("high") - c("low")) / span),
        "volatility_fast": 0.5 * log_ratio(mean("rr", SHORT), sigma**2),
        "volatility_trend": (sigma / c("slow")).log(),
        "range_surprise": log_ratio(c("span"), mean("span", MEDIUM)),
        "residual_skew": mean("eee", MEDIUM) / c("sigma_e") ** 3,
        "volume_surprise": log_ratio(c("volume"), mean("volume", LONG)),
        "volume_trend": log_ratio(mean("volume", SHORT), mean("volume", LONG)),
        "trades_surprise": log_ratio(c("trades"), mean("trades", LONG)),
        "flow_lag_0": 2.0 * c("bought") / c("volume") - 1.0,
        "flow_short": 2.0 * mean("bought", SHORT) / mean("traded", SHORT) - 1.0,
        "flow_medium": 2.0 * mean("bought", MEDIUM) / mean("traded", MEDIUM) - 1.0,
        "has_book": c("imbalance_5").is_not_null().cast(pl.Float64),
        "book_imbalance_5": c("imbalance_5"),
        "book_imbalance_20": c("imbalance_20"),
        "book_microprice": c("microprice_bps") / c("spread_bps"),
        "has_funding": c("funding").is_not_null().cast(pl.Float64),
        "funding_rate": c("funding"),
        "funding_excess": c("funding") - at_bar(c("funding").mean()),
        "market_return": c("market_return"),
        "dispersion_surprise": c("dispersion_surprise"),
        "return_rank": rank("r"),
        "volatility_rank": rank("sigma"),
        "hour_sin": angle.sin(),
        "hour_cos": angle.cos(),
    }
    found = bars.select(
        pl.when(valid).then(features[name].cast(pl.Float32)).alias(name) for name in feature_names()
    )
    return found.collect()
