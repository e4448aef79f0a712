"""MarketFrame: the market as wide arrays, one row per closed bar and one column per symbol.

Shape letters used everywhere in this package:
    T bars in time order      N symbols         F node features     K levels or channels
    R graph refreshes         k neighbours per node                 E edge attributes
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

BOOK_FIELDS = (
    "spread_bps",  # (best ask - best bid) / mid, basis points
    "microprice_bps",  # (size-weighted mid - mid) / mid, basis points
    "imbalance_5",  # (bid - ask) / (bid + ask) quantity over the best 5 levels, -1..1
    "imbalance_20",  # the same over the best 20 levels
    "log_depth",  # natural log of quote notional within the best 20 levels, both sides
)


@dataclass(frozen=True)
class MarketFrame:
    """Closed bars of N symbols on a regular grid of T bars.

    `open_time_T` is unix milliseconds UTC, ascending, exactly `interval_ms` apart. Prices are in
    quote currency (float64). Where `valid_TN` is False the bar is missing, impossible, frozen or
    outside the symbol's listing, and its values are NaN; nothing is ever filled in. Funding and
    books that are absent everywhere may be views of a single NaN, which cannot be written to.
    """

    symbols: tuple[str, ...]
    interval_ms: int
    open_time_T: IntArray
    open_TN: FloatArray
    high_TN: FloatArray
    low_TN: FloatArray
    close_TN: FloatArray
    volume_TN: FloatArray  # base asset
    quote_volume_TN: FloatArray  # quote currency
    trades_TN: FloatArray  # count
    taker_buy_volume_TN: FloatArray  # base asset bought by takers
    valid_TN: BoolArray
    funding_rate_TN: FloatArray  # last settled at or before the bar's close; NaN before the first
    funding_time_TN: FloatArray  # unix ms of that settlement, rounded to the minute; NaN likewise
    book_TNK: FloatArray  # K = BOOK_FIELDS; NaN where no snapshot was recorded inside the bar

    @property
    def num_bars(self) -> int:
        return len(self.open_time_T)

    @property
    def num_symbols(self) -> int:
        return len(self.symbols)

    @property
    def close_time_T(self) -> IntArray:
        """Last millisecond of each bar, as Binance reports it."""
        return self.open_time_T + self.interval_ms - 1

    def bars(self, start: int, stop: int) -> "MarketFrame":
        """Rows start..stop-1, as a view; what a run at an earlier time would have seen."""
        rows = {
            field.name: getattr(self, field.name)[start:stop]
            for field in fields(self)
            if field.name.split("_")[-1].startswith("T")
        }
        return replace(self, **rows)
