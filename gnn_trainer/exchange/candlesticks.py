"""From the returns of one generated symbol to its bars and its funding settlements."""

import numpy as np

from gnn_trainer.exchange.bars import quantise
from gnn_trainer.exchange.dynamics import stream
from gnn_trainer.exchange.symbols import HOUR_MS, Plan
from gnn_trainer.exchange.truth import Bars, FundingHistory
from gnn_trainer.market.frame import FloatArray, IntArray

_TRADE_NOTIONAL = 1_500.0  # quote currency, mean of one trade
_MAX_FUNDING_RATE = 0.003
_MAX_FUNDING_DELAY_MS = 17


def draw_bars(
    plan: Plan,
    *,
    open_time: IntArray,
    returns: FloatArray,
    shocks: FloatArray,
    volatilities: FloatArray,
    seed: int,
) -> Bars:
    """Bars whose closes follow `returns` (log), all arrays [T]; prices on the tick."""
    listing = plan.listing
    open_, high, low, close = _draw_prices(plan, returns, volatilities, seed)
    hours = (open_time[1] - open_time[0]) / HOUR_MS
    wanted_quote = plan.hourly_quote_volume * hours
    wanted_quote = wanted_quote * _draw_activity(listing.symbol, returns, volatilities, seed)
    mean_price = (open_ + high + low + close) / 4
    noise = stream(seed, listing.symbol, "taker").standard_normal(len(returns))
    buy_share = np.clip(0.5 + 0.06 * np.tanh(shocks) + 0.03 * noise, 0.02, 0.98)
    volume = quantise(wanted_quote / mean_price, listing.quantity_decimals)
    taker_buy_volume = quantise(volume * buy_share, listing.quantity_decimals)
    return Bars(
        open_time=open_time,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        quote_volume=quantise(volume * mean_price, listing.quote_volume_decimals),
        trades=1 + (wanted_quote / _TRADE_NOTIONAL).astype(np.int64),
        taker_buy_volume=taker_buy_volume,
        taker_buy_quote_volume=quantise(
            taker_buy_volume * mean_price, listing.quote_volume_decimals
        ),
        complete=np.ones(len(returns), dtype=np.bool_),
    )


def _draw_prices(
    plan: Plan, returns: FloatArray, volatilities: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Open, high, low, close.

    High and low are the extremes of a Brownian bridge from open to close: the distribution of its
    maximum has a closed form that turns a uniform number u into a draw.
    """
    symbol, decimals = plan.listing.symbol, plan.listing.tick_decimals
    end = np.log(plan.first_price) + np.cumsum(returns)
    gap = 0.01 * volatilities * stream(seed, symbol, "gap").standard_normal(len(returns))
    start = end - returns + gap  # a bar opens where the last one closed, but for a tiny gap
    u_T2 = 1.0 - stream(seed, symbol, "range").random((len(returns), 2))  # (0, 1]
    reach_T2 = np.sqrt((end - start)[:, None] ** 2 - 2 * (volatilities**2)[:, None] * np.log(u_T2))
    tick = 10.0**-decimals
    open_ = np.maximum(quantise(np.exp(start), decimals), tick)
    close = np.maximum(quantise(np.exp(end), decimals), tick)
    highest = quantise(np.exp((start + end + reach_T2[:, 0]) / 2), decimals)
    lowest = quantise(np.exp((start + end - reach_T2[:, 1]) / 2), decimals)
    high = np.maximum(highest, np.maximum(open_, close))
    low = np.maximum(np.minimum(lowest, np.minimum(open_, close)), tick)
    return open_, high, low, close


def _draw_activity(
    symbol: str, returns: FloatArray, volatilities: FloatArray, seed: int
) -> FloatArray:
    """Quote volume relative to a calm bar: more in wild times, in large bars, and in waves."""
    noise = stream(seed, symbol, "volume").standard_normal(len(returns))
    waves = np.convolve(noise, 0.9 ** np.arange(48))[: len(returns)]
    size = np.abs(returns) / volatilities
    wildness = volatilities / volatilities[0]
    return np.asarray(wildness * (0.5 + size) ** 0.7 * np.exp(0.12 * waves + 0.15 * noise))


def live_between(bars: Bars, first_bar_ms: int, delisted_ms: int | None) -> Bars:
    """Cut what came before the listing; freeze what comes after the delisting.

    A delisted contract goes on with flat bars at its last price, without volume and trades.
    """
    bars = bars.take(bars.open_time >= first_bar_ms)
    if delisted_ms is None or len(bars) == 0:
        return bars
    alive = bars.open_time < delisted_ms
    last_price = bars.close[alive][-1] if alive.any() else bars.open[0]
    return Bars(
        open_time=bars.open_time,
        open=np.where(alive, bars.open, last_price),
        high=np.where(alive, bars.high, last_price),
        low=np.where(alive, bars.low, last_price),
        close=np.where(alive, bars.close, last_price),
        volume=bars.volume * alive,
        quote_volume=bars.quote_volume * alive,
        trades=bars.trades * alive,
        taker_buy_volume=bars.taker_buy_volume * alive,
        taker_buy_quote_volume=bars.taker_buy_quote_volume * alive,
        complete=bars.complete,
    )


def draw_funding(plan: Plan, bars: Bars, seed: int) -> FundingHistory:
    """Settlements every few hours while the contract lives.

    Rates are dear when the price rose over the last 24 bars, and cheap when it fell. The times are
    late by up to 17 ms in 58 % of the settlements, as measured on recorded ones.
    """
    step_ms = plan.listing.funding_hours * HOUR_MS
    if not plan.listing.pays_funding or len(bars) == 0:
        return FundingHistory(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    first = -(-int(bars.open_time[0]) // step_ms)
    hour = np.arange(first, int(bars.open_time[-1]) // step_ms + 1) * step_ms
    draw_K3 = stream(seed, plan.listing.symbol, "funding").random((len(hour), 3))
    row = np.searchsorted(bars.open_time, hour, side="right") - 1
    mark_price = bars.open[row]
    rise = np.log(mark_price / bars.open[np.maximum(row - 24, 0)])
    rate = 1e-4 + 2e-4 * np.tanh(rise / 0.05) + 6e-5 * (draw_K3[:, 0] - 0.5)
    delay = np.where(draw_K3[:, 1] < 0.58, 1 + draw_K3[:, 2] * _MAX_FUNDING_DELAY_MS, 0)
    settled = np.ones(len(hour), np.bool_)
    if plan.listing.delisted_ms is not None:
        settled = hour < plan.listing.delisted_ms
    return FundingHistory(
        time=(hour + delay.astype(np.int64))[settled],
        rate=quantise(np.clip(rate, -_MAX_FUNDING_RATE, _MAX_FUNDING_RATE), 8)[settled],
        mark_price=mark_price[settled],
    )
