"""What the core needs from the outside world; `adapters/` fulfils it.

Candle tables (polars) have the columns of `market.candles.CANDLE_SCHEMA`, funding tables those of
`market.funding.FUNDING_SCHEMA`, book tables those of `market.book.BOOK_SCHEMA`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from gnn_trainer.market.funding import FundingSchedule as FundingSchedule
from gnn_trainer.market.listing import SpanRequest as SpanRequest
from gnn_trainer.market.listing import SymbolListing as SymbolListing
from gnn_trainer.progress import Progress as Progress
from gnn_trainer.progress import ProgressListener as ProgressListener

PageSink = Callable[[str, pl.DataFrame], None]
"""Receives (symbol, rows) for each page as it arrives, so that nothing fetched is lost."""


@dataclass(frozen=True)
class KlineFetch:
    """Candles that are wanted."""

    requests: Sequence[SpanRequest]
    interval: str
    on_page: PageSink


@dataclass(frozen=True)
class FundingFetch:
    """Settled funding rates that are wanted."""

    requests: Sequence[SpanRequest]
    on_page: PageSink


class MarketSource(Protocol):
    """An exchange's public market data. Every call may raise the ServiceError family."""

    name: str  # says which exchange and market, e.g. `binance-usdm`; part of cache keys

    def server_time_ms(self) -> int: ...

    def listings(self) -> list[SymbolListing]: ...

    def quote_volumes(self) -> dict[str, float]:
        """Quote volume of the last 24 hours by symbol."""
        ...

    def fetch(
        self, wanted: Sequence[KlineFetch | FundingFetch], on_progress: ProgressListener
    ) -> list[dict[str, str]]:
        """Deliver all pages of all that is wanted, side by side; returns for each the symbols that
        had to be dropped, with the reason. The spot market delivers no funding."""
        ...

    def funding_schedules(self) -> dict[str, FundingSchedule]:
        """When the symbols that trade settle, asked for all at once; the spot market has none."""
        ...

    def fetch_order_books(
        self, symbols: Sequence[str], on_progress: ProgressListener
    ) -> tuple[pl.DataFrame, dict[str, str]]:
        """One snapshot per symbol, and the symbols that had to be dropped, with the reason."""
        ...


Change = Callable[[bytes | None], bytes | None]
"""From what a key holds (None: nothing) to what it shall hold (None: leave it as it is)."""


@dataclass(frozen=True)
class Extent:
    """How much a relation source holds; `revision` changes whenever its content does."""

    documents: int
    revision: str


class RelationSource(Protocol):
    """Where a prepared graph lies. Every call may raise the ServiceError family."""

    name: str  # for people and reports; never holds a secret or an address

    def extent(self) -> Extent:
        """What is there now; no documents where the place does not exist yet."""
        ...

    def documents(self) -> Iterator[object]:
        """Everything there, as JSON values; `graph.relation_documents` knows what they mean."""
        ...


class ModelStore(Protocol):
    """Where published models and checkpoints live: keys with slashes, and bytes.

    Every call may raise ConfigError (not allowed in, or not allowed to do that) and the
    ServiceError family.
    """

    location: str  # for people and for the `finished` event; never holds a secret

    def prepare(self) -> None:
        """Make the place if it is absent, and prove that it can be written."""
        ...

    def put_file(self, key: str, path: Path) -> None: ...

    def put_bytes(self, key: str, data: bytes) -> None: ...

    def read(self, key: str) -> bytes:
        """Raises ArtifactError when the key is absent."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str) -> list[str]:
        """Keys that start with `prefix`, sorted."""
        ...

    def remove(self, key: str) -> None:
        """Take a key away; one that is absent already is no error."""
        ...

    def update(self, key: str, change: Change) -> bool:
        """Replace what a key holds by what `change` makes of it, in one step.

        Of several writers each sees what the one before it left; `change` may be called again
        with newer content. Returns whether something was written.
        """
        ...


class EventSink(Protocol):
    """Where events go. Never waits for a broker, never raises because one is away."""

    def send(self, key: str, value: bytes, on_outcome: Callable[[bool], None]) -> None:
        """Take the event over. `on_outcome` is told once whether it arrived (True) or was given
        up (False: send it again later), from within `send` or `flush` and in their thread."""
        ...

    def flush(self, timeout_s: float) -> int:
        """Tell outcomes, and wait for more of them up to `timeout_s`; how many are still open."""
        ...

    def close(self) -> None:
        """Let go of everything at once; open events are given up."""
        ...
