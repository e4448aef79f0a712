"""Order books out of thin air: plausible around a price, the same at the same time."""

from dataclasses import dataclass

import numpy as np

from gnn_trainer.exchange.dynamics import stream
from gnn_trainer.exchange.truth import Listing
from gnn_trainer.market.frame import FloatArray, IntArray

_SPREAD_BPS = 0.4  # mean of the spread beyond its one tick
_STEP_BPS = 0.5  # mean distance of two levels beyond their one tick
_BEST_LEVEL_SHARE = 2e-4  # of the volume of one hour


@dataclass(frozen=True)
class OrderBook:
    """Levels best first; prices in ticks, quantities in base asset."""

    bid_ticks: IntArray
    bid_quantities: FloatArray
    ask_ticks: IntArray
    ask_quantities: FloatArray


def make_book(
    listing: Listing, price: float, hourly_volume: float, second: int, seed: int
) -> OrderBook:
    """The book of one second around `price`, with at most `listing.book_levels` per side.

    Sizes grow away from the middle, as in recorded books, and one side outweighs the other.
    """
    draw = stream(seed, listing.symbol, f"book {second}")
    levels = listing.book_levels
    tick = 10.0**-listing.tick_decimals
    bps_ticks = price / tick * 1e-4
    spread = 1 + int(draw.gamma(4.0, _SPREAD_BPS / 4 * bps_ticks))
    steps = 1 + draw.exponential(_STEP_BPS * bps_ticks, (2, levels)).astype(np.int64)
    steps[:, 0] = 0
    best_bid = round(price / tick) - spread // 2
    bid_ticks = best_bid - np.cumsum(steps[0])
    ask_ticks = best_bid + spread + np.cumsum(steps[1])
    lean = draw.normal(0.0, 0.4)
    growth = np.sqrt(1 + np.arange(levels) / 5)
    quantities = hourly_volume * _BEST_LEVEL_SHARE * growth * draw.lognormal(0, 0.9, (2, levels))
    quantities *= np.exp([[lean], [-lean]])
    quantities = np.maximum(quantities, 10.0**-listing.quantity_decimals)
    above_zero = bid_ticks > 0
    return OrderBook(bid_ticks[above_zero], quantities[0][above_zero], ask_ticks, quantities[1])


def write_levels(
    ticks: IntArray, quantities: FloatArray, listing: Listing, decimals: tuple[int, int]
) -> list[list[str]]:
    """[price, quantity] pairs as strings, with (price, quantity) decimals."""
    prices = ticks / 10.0**listing.tick_decimals
    return [
        [f"{price:.{decimals[0]}f}", f"{quantity:.{decimals[1]}f}"]
        for price, quantity in zip(prices.tolist(), quantities.tolist(), strict=True)
    ]
