"""What the core needs from the outside world; `adapters/` fulfils it.

Candle tables (polars) have the columns of `market.candles.CANDLE_SCHEMA`, funding tables those of
`market.funding.FUNDING_SCHEMA`, book tables those of `market.book.BOOK_SCHEMA`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from gnn_trainer.market.listing import SpanRequest as SpanRequest
from gnn_trainer.market.listing import SymbolListing as SymbolListing
from gnn_trainer.progress import Progress as Progress
from gnn_trainer.progress import ProgressListener as ProgressListener

PageSink = Callable[[str, pl.DataFrame], None]
"""Receives (symbol, rows) for each page as it arrives, so that nothing fetched is lost."""


class MarketSource(Protocol):
    """An exchange's public market data. Every call may raise the ServiceError family."""

    name: str  # says which exchange and market, e.g. `binance-usdm`; part of cache keys

    def server_time_ms(self) -> int: ...

    def listings(self) -> list[SymbolListing]: ...

    def quote_volumes(self) -> dict[str, float]:
        """Quote volume of the last 24 hours by symbol."""
        ...

    def fetch_klines(
        self,
        requests: Sequence[SpanRequest],
        interval: str,
        on_page: PageSink,
        on_progress: ProgressListener,
    ) -> dict[str, str]:
        """Deliver all pages; returns the symbols that had to be dropped, with the reason."""
        ...

    def fetch_funding(
        self, requests: Sequence[SpanRequest], on_page: PageSink, on_progress: ProgressListener
    ) -> dict[str, str]:
        """As fetch_klines, for settled funding rates; the spot market delivers nothing."""
        ...

    def fetch_order_books(
        self, symbols: Sequence[str], on_progress: ProgressListener
    ) -> tuple[pl.DataFrame, dict[str, str]]:
        """One snapshot per symbol, and the symbols that had to be dropped, with the reason."""
        ...


class ModelStore(Protocol):
    """Where published models live: keys with slashes, bytes, and pointers that only go forward."""

    location: str  # for people and for the `finished` event; never holds a secret

    def put_file(self, key: str, path: Path) -> None: ...

    def put_bytes(self, key: str, data: bytes) -> None: ...

    def read(self, key: str) -> bytes:
        """Raises ArtifactError when the key is absent."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str) -> list[str]: ...

    def move_pointer(self, key: str, document: Mapping[str, str]) -> bool:
        """Point `key` at document["version"] unless it already points at the same or a later one.

        Returns whether the pointer moved. Versions sort by time as text.
        """
        ...
