"""Which symbols a run trains on: a list of names, or the largest by quote volume."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gnn_trainer.errors import ConfigError
from gnn_trainer.market.listing import SymbolListing

QUOTE_ASSET = "USDT"  # of the symbols `top:N` chooses among
# Bases worth about one unit of a currency: their returns say nothing.
# fmt: off
PEGGED_ASSETS = frozenset([
    "AEUR", "AUD", "BFUSD", "BUSD", "DAI", "EUR", "EURI", "FDUSD", "FRAX", "GBP", "GUSD", "PAX",
    "PYUSD", "RLUSD", "SUSD", "TUSD", "USD1", "USDC", "USDD", "USDE", "USDP", "USDS", "XUSD",
])
# fmt: on
_TOP = re.compile(r"top\s*:\s*(?P<count>\S*)", re.IGNORECASE)


@dataclass(frozen=True)
class SymbolChoice:
    """What SYMBOLS asks for: these `symbols`, or the `top` largest (then `symbols` is empty)."""

    symbols: tuple[str, ...] = ()
    top: int | None = None


@dataclass(frozen=True)
class Universe:
    """Symbols of a run in the order chosen, and what is to be reported about them, by symbol."""

    listings: tuple[SymbolListing, ...]
    dropped: dict[str, str]
    listed_late: dict[str, str]  # kept, but without bars in the first part of the span

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(listing.symbol for listing in self.listings)


def parse_symbols(text: str) -> SymbolChoice:
    """`BTCUSDT,ETHUSDT` or `top:50`; names in any case, repeated ones count once.

    Raises:
        ConfigError: nothing named, or N of `top:N` is not a positive number.
    """
    top = _TOP.fullmatch(text.strip())
    if top:
        return SymbolChoice(top=_positive(top["count"], text))
    names = [name.strip().upper() for name in text.split(",")]
    symbols = tuple(dict.fromkeys(name for name in names if name))
    if not symbols or any(name.startswith("TOP:") for name in symbols):
        raise ConfigError(
            f"symbols {text!r} not understood; use names such as BTCUSDT,ETHUSDT or top:50 alone"
        )
    return SymbolChoice(symbols=symbols)


def _positive(count: str, text: str) -> int:
    if not (count.isascii() and count.isdigit() and int(count) > 0):
        raise ConfigError(f"symbols {text!r}: N of top:N is a whole number from 1, such as top:50")
    return int(count)


def resolve_universe(
    choice: SymbolChoice,
    listings: Sequence[SymbolListing],
    quote_volumes: Mapping[str, float],
    start_ms: int,
    end_ms: int,
) -> Universe:
    """The symbols to train on over [start_ms, end_ms), unix ms.

    `top:N` ranks by the volume of the last 24 hours among trading USDT perpetuals (or spot pairs)
    whose base is not a stablecoin or currency. That choice knows who is large today, so a score
    over its past flatters every model alike (survivorship). They come in the order of their names:
    who was busier today must not make other data of the same market.

    Raises:
        ConfigError: no symbol is left; unknown ones come with names close to them.
    """
    listing_of = {listing.symbol: listing for listing in listings}
    names = choice.symbols if choice.top is None else _ranked(listings, quote_volumes)
    kept: list[SymbolListing] = []
    dropped: dict[str, str] = {}
    for name in names:
        if choice.top is not None and len(kept) == choice.top:
            break
        reason = _unusable(name, listing_of, end_ms)
        if reason is None:
            kept.append(listing_of[name])
        else:
            dropped[name] = reason
    if not kept:
        raise ConfigError(_nothing_left(dropped))
    if choice.top is not None:
        kept.sort(key=lambda listing: listing.symbol)
    return Universe(tuple(kept), dropped, _late(kept, start_ms))


def _ranked(listings: Iterable[SymbolListing], quote_volumes: Mapping[str, float]) -> list[str]:
    """Candidates of `top:N`, largest first; equal volumes by name, so that the order is fixed."""
    candidates = [
        listing.symbol
        for listing in listings
        if listing.is_trading
        and listing.quote_asset == QUOTE_ASSET
        and listing.contract_type in ("PERPETUAL", "SPOT")
        and listing.base_asset not in PEGGED_ASSETS
        and quote_volumes.get(listing.symbol, 0.0) > 0
    ]
    return sorted(candidates, key=lambda symbol: (-quote_volumes[symbol], symbol))


def _unusable(name: str, listing_of: Mapping[str, SymbolListing], end_ms: int) -> str | None:
    listing = listing_of.get(name)
    if listing is None:
        close = difflib.get_close_matches(name, listing_of, n=3)
        return f"unknown symbol; did you mean {' or '.join(close)}?" if close else "unknown symbol"
    if not listing.is_trading:
        ended = f" since {_day(listing.delisted_ms)}" if listing.delisted_ms else ""
        return f"not trading: status {listing.status}{ended}"
    if listing.contract_type != "SPOT" and not listing.contract_type.endswith("PERPETUAL"):
        return f"contract type {listing.contract_type or 'unknown'}; only perpetuals are usable"
    if listing.listed_ms is not None and listing.listed_ms >= end_ms:
        return f"listed {_day(listing.listed_ms)}, not before the span ends on {_day(end_ms)}"
    return None


def _late(kept: Iterable[SymbolListing], start_ms: int) -> dict[str, str]:
    return {
        listing.symbol: f"listed {_day(listing.listed_ms)}, after the span's start"
        for listing in kept
        if listing.listed_ms is not None and listing.listed_ms > start_ms
    }


def _nothing_left(dropped: Mapping[str, str]) -> list[str]:
    if not dropped:
        return [f"no trading {QUOTE_ASSET} symbol has a quote volume; name the symbols instead"]
    return [f"symbol {name!r}: {reason}" for name, reason in dropped.items()]


def _day(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, tz=UTC).date().isoformat()
