"""What an exchange says about a symbol, and what is asked of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SymbolListing:
    """One line of exchangeInfo. Times are unix ms; `delisted_ms` is None while not announced."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str  # the exchange's own word, e.g. TRADING, SETTLING, BREAK
    contract_type: str  # PERPETUAL, ... ; SPOT on the spot market
    listed_ms: int | None
    delisted_ms: int | None

    @property
    def is_trading(self) -> bool:
        return self.status == "TRADING"


@dataclass(frozen=True)
class SpanRequest:
    """Rows of one symbol with start_ms <= time < end_ms (open time, or funding time)."""

    symbol: str
    start_ms: int
    end_ms: int
