"""The symbols of the generated market: a clean core and, apart from it, the listings that trap.

Prices and decimals are near the real ones of 2025, so that every width of decimals occurs.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from gnn_trainer.exchange.truth import Listing
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS

HOUR_MS = INTERVAL_MS["1h"]
LONG_AGO_MS = 400 * DAY_MS  # before the history starts

# base asset, first price in USDT, decimals of the tick, decimals of a quantity; by liquidity
_CORE: tuple[tuple[str, float, int, int], ...] = (
    ("BTC", 94_000.0, 1, 3),
    ("ETH", 3_350.0, 2, 3),
    ("SOL", 190.0, 2, 2),
    ("XRP", 2.3, 4, 1),
    ("DOGE", 0.32, 5, 0),
    ("BNB", 700.0, 2, 2),
    ("ADA", 0.86, 4, 0),
    ("AVAX", 36.5, 3, 0),
    ("LINK", 20.5, 3, 2),
    ("SUI", 4.2, 4, 1),
    ("LTC", 103.0, 2, 3),
    ("TRX", 0.255, 5, 0),
    ("DOT", 6.7, 3, 1),
    ("NEAR", 5.0, 3, 0),
    ("APT", 8.9, 3, 1),
    ("ARB", 0.72, 4, 1),
    ("OP", 1.76, 4, 1),
    ("UNI", 13.2, 3, 0),
    ("ATOM", 6.3, 3, 2),
    ("FIL", 5.0, 3, 1),
    ("BCH", 436.0, 2, 3),
    ("ETC", 25.2, 3, 2),
    ("XLM", 0.33, 5, 0),
    ("AAVE", 309.0, 2, 1),
    ("INJ", 19.9, 3, 1),
    ("HBAR", 0.27, 5, 0),
    ("ICP", 10.0, 3, 0),
    ("TIA", 4.8, 4, 0),
    ("SEI", 0.41, 4, 0),
    ("ALGO", 0.34, 4, 1),
    ("RUNE", 4.6, 3, 0),
    ("LDO", 1.8, 4, 0),
    ("CRV", 0.9, 4, 1),
    ("SAND", 0.56, 4, 0),
    ("MANA", 0.47, 4, 0),
    ("AXS", 6.2, 3, 0),
    ("GALA", 0.0353, 6, 0),
    ("JASMY", 0.0382, 6, 0),
    ("CHZ", 0.083, 5, 0),
    ("ENJ", 0.21, 5, 0),
)
_NUM_LEADERS = 5


@dataclass(frozen=True)
class Plan:
    """A listing with what the generator needs to bring it to life."""

    listing: Listing
    first_price: float
    hourly_quote_volume: float  # of a calm hour
    beta: float | None = None  # exposure to the market factor; None draws one
    hourly_volatility: float | None = None  # of its own return, log; None draws one


def core_plans(num_symbols: int, listed_ms: int) -> tuple[Plan, ...]:
    """The clean symbols, most liquid first; beyond the named ones they are numbered."""
    return tuple(_core_plan(rank, listed_ms) for rank in range(num_symbols))


def num_leaders(num_symbols: int) -> int:
    """How many of the most liquid symbols may lead others."""
    return min(_NUM_LEADERS, num_symbols - 1)


def _core_plan(rank: int, listed_ms: int) -> Plan:
    if rank < len(_CORE):
        base, price, tick_decimals, quantity_decimals = _CORE[rank]
    else:
        base, price, tick_decimals, quantity_decimals = f"ALT{rank:03d}", 1.5, 4, 1
    listing = Listing(
        symbol=f"{base}USDT",
        base_asset=base,
        quote_asset="USDT",
        tick_decimals=tick_decimals,
        quantity_decimals=quantity_decimals,
        listed_ms=listed_ms,
        funding_hours=4 if rank % 5 == 4 else 8,
    )
    return Plan(listing, price, hourly_quote_volume=6e8 / (rank + 1) ** 1.1)


def trap_plans(start_ms: int, end_ms: int) -> tuple[Plan, ...]:
    """Listings a careless client falls for, in a history that starts and ends at these times."""
    return _young_and_dead(start_ms, end_ms) + _not_for_a_coin_universe(start_ms, end_ms)


def _young_and_dead(start_ms: int, end_ms: int) -> tuple[Plan, ...]:
    def at(share: float) -> int:
        return int(start_ms + share * (end_ms - start_ms)) // HOUR_MS * HOUR_MS

    late = Listing("LAYERUSDT", "LAYER", "USDT", 4, 0, listed_ms=at(0.6))
    not_ascii = Listing(
        "币安人生USDT",
        "币安人生",
        "USDT",
        tick_decimals=5,
        quantity_decimals=0,
        listed_ms=at(0.3),
        book_levels=37,
    )
    dead = Listing(
        "FTTUSDT",
        "FTT",
        "USDT",
        tick_decimals=4,
        quantity_decimals=1,
        listed_ms=start_ms - LONG_AGO_MS,
        delisted_ms=at(0.7),
    )
    announced = Listing(
        "SOONUSDT",
        "SOON",
        "USDT",
        tick_decimals=4,
        quantity_decimals=0,
        listed_ms=end_ms + 30 * DAY_MS,
        on_spot=False,
    )
    return (
        Plan(late, 0.95, 4e5),
        Plan(not_ascii, 0.21, 3e5),
        Plan(dead, 3.1, 2e5),
        Plan(announced, 1.0, 1e5),
    )


def _not_for_a_coin_universe(start_ms: int, end_ms: int) -> tuple[Plan, ...]:
    """Much is traded in each, and none belongs among perpetuals of coins against USDT."""
    delivery_ms = (end_ms // DAY_MS + 88) * DAY_MS
    delivery = datetime.fromtimestamp(delivery_ms / 1000, UTC)
    quarterly = Listing(
        f"BTCUSDT_{delivery:%y%m%d}",
        "BTC",
        "USDT",
        tick_decimals=1,
        quantity_decimals=3,
        listed_ms=start_ms,
        delisted_ms=delivery_ms,
        contract_type="CURRENT_QUARTER",
        on_spot=False,
    )
    other_quote = Listing("ETHUSDC", "ETH", "USDC", 2, 3, listed_ms=start_ms - LONG_AGO_MS)
    stable = Listing("USDCUSDT", "USDC", "USDT", 6, 0, listed_ms=start_ms - LONG_AGO_MS)
    metal = Listing(
        "XAUUSDT",
        "XAU",
        "USDT",
        tick_decimals=2,
        quantity_decimals=3,
        listed_ms=start_ms - LONG_AGO_MS,
        contract_type="TRADIFI_PERPETUAL",
        on_spot=False,
    )
    return (
        Plan(quarterly, 95_000.0, 9e8, beta=1.0),
        Plan(other_quote, 3_350.0, 8e8),
        Plan(stable, 1.0, 7e8, beta=0.0, hourly_volatility=2e-5),
        Plan(metal, 2_650.0, 7e8, beta=0.05, hourly_volatility=0.0015),
    )
