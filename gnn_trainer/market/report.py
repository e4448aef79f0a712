"""What the data of a run was like: rows dropped and masked, by symbol and reason."""

from dataclasses import asdict, dataclass
from typing import Any

from gnn_trainer.market.spans import Span


@dataclass(frozen=True)
class SymbolReport:
    """One symbol within the span asked for. Times are unix ms; None where there is no such bar."""

    symbol: str
    rows: int  # rows stored
    valid_bars: int  # bars a model may use
    first_ms: int | None  # open of the first and last bar that is neither dropped nor masked
    last_ms: int | None
    gaps: int  # holes between the first and the last bar present, and the bars they lack
    missing_bars: int
    duplicates: int  # rows dropped: same open time again in one delivery,
    unclosed: int  # not closed at the end of the span,
    misaligned: int  # open time not on the interval,
    impossible: int  # prices or volumes that cannot be
    outside_listing: int  # bars masked: before listing or after delisting,
    frozen: int  # no trade for more than a day of bars,
    jump_times_ms: tuple[int, ...]  # opened far from the close before: suspicious, masked
    funding_rates: int  # settlements used
    book_snapshots: int  # bars with a snapshot


@dataclass(frozen=True)
class DataReport:
    """All symbols asked for, none left out. `market_holes`: spans in which no symbol has a bar."""

    source: str
    interval: str
    start_ms: int  # of the frame: [first open, last close)
    end_ms: int
    num_bars: int
    market_holes: tuple[Span, ...]
    symbols: tuple[SymbolReport, ...]

    def short_symbols(self, minimum_bars: int) -> dict[str, int]:
        """Symbols with fewer valid bars than `minimum_bars`, and how many they have."""
        return {
            entry.symbol: entry.valid_bars
            for entry in self.symbols
            if entry.valid_bars < minimum_bars
        }

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "symbols_without_bars": list(self.short_symbols(1))}
