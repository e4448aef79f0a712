"""What a market behind the exchange must tell; GeneratedMarket and ReplayedMarket do.

The server knows nothing about where bars come from: it sees listings, bars and settled funding.
Arrays have one entry per bar (T) of one symbol.
"""

from dataclasses import dataclass, fields
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray

MarketName = Literal["spot", "usdm"]
ContractType = Literal["PERPETUAL", "CURRENT_QUARTER", "TRADIFI_PERPETUAL"]
Status = Literal["PENDING_TRADING", "TRADING", "SETTLING"]


@dataclass(frozen=True)
class Listing:
    """One symbol, in the words of USD-M exchangeInfo; times are unix ms."""

    symbol: str
    base_asset: str
    quote_asset: str
    tick_decimals: int  # the tick is 10 ** -tick_decimals
    quantity_decimals: int
    listed_ms: int
    delisted_ms: int | None = None
    contract_type: ContractType = "PERPETUAL"
    funding_hours: int = 8
    on_spot: bool = True
    book_levels: int = 1000  # thin markets have fewer levels than a client asks for

    @property
    def pair(self) -> str:
        return self.base_asset + self.quote_asset

    def status_at(self, now_ms: int) -> Status:
        if now_ms < self.listed_ms:
            return "PENDING_TRADING"
        is_delisted = self.delisted_ms is not None and now_ms >= self.delisted_ms
        return "SETTLING" if is_delisted else "TRADING"

    @property
    def price_decimals(self) -> int:
        """Digits a price is written with: Binance writes 76936.20 where the tick is 0.1."""
        return max(2, self.tick_decimals)

    @property
    def quote_volume_decimals(self) -> int:
        return min(8, self.price_decimals + self.quantity_decimals)

    @property
    def pays_funding(self) -> bool:
        return self.contract_type in ("PERPETUAL", "TRADIFI_PERPETUAL")


@dataclass(frozen=True)
class Bars:
    """Bars of one symbol in ascending order; some may lie after the server's time."""

    open_time: IntArray  # unix ms
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray  # base asset
    quote_volume: FloatArray
    trades: IntArray
    taker_buy_volume: FloatArray  # base asset
    taker_buy_quote_volume: FloatArray
    complete: BoolArray  # False: was still forming when it was recorded, serve it as it stands

    def __len__(self) -> int:
        return len(self.open_time)

    def take(self, rows: slice | npt.NDArray[np.bool_]) -> Self:
        """The same columns at some rows; a slice gives views."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def index_at(self, time_ms: int) -> int:
        """Row of the newest bar that opens at or before `time_ms`; -1 when there is none."""
        return int(np.searchsorted(self.open_time, time_ms, side="right")) - 1


@dataclass(frozen=True)
class FundingHistory:
    """Settlements of one symbol in ascending order; a NaN mark price is unknown."""

    time: IntArray  # unix ms, up to 17 ms after the hour
    rate: FloatArray
    mark_price: FloatArray


class MarketTruth(Protocol):
    """The market behind the exchange."""

    @property
    def interval_ms(self) -> int:
        """Length of its bars; finer intervals cannot be served."""
        ...

    @property
    def now_ms(self) -> int:
        """Server time at the start: inside the newest bar, so that one is still forming."""
        ...

    @property
    def seed(self) -> int:
        """For what the server makes up itself: order books and open interest."""
        ...

    @property
    def spot_outage(self) -> range:
        """Open times (unix ms) at which the whole spot market has no bars; may be empty."""
        ...

    def listings(self) -> tuple[Listing, ...]: ...

    def bars(self, symbol: str) -> Bars: ...

    def funding(self, symbol: str) -> FundingHistory: ...
