"""Pages on their way from an exchange to the disk."""

from collections import defaultdict
from collections.abc import Callable
from types import TracebackType

import polars as pl

_MAX_PAGES = 64  # held in memory: what a kill can cost, a few seconds of fetching
_MAX_PAGES_OF_A_SYMBOL = 16


class PageBuffer:
    """A `PageSink` that stores pages a few at a time, because every store rewrites a month.

    Leaving the `with` block stores what is left, also when the block failed.
    """

    def __init__(self, store: Callable[[str, pl.DataFrame], None]) -> None:
        self._store = store
        self._pages: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)

    def __enter__(self) -> "PageBuffer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    def __call__(self, symbol: str, rows: pl.DataFrame) -> None:
        self._pages[symbol].append(rows)
        if len(self._pages[symbol]) >= _MAX_PAGES_OF_A_SYMBOL:
            self._flush_symbol(symbol)
        elif sum(map(len, self._pages.values())) >= _MAX_PAGES:
            self.flush()

    def flush(self) -> None:
        """Store every page held."""
        for symbol in list(self._pages):
            self._flush_symbol(symbol)

    def _flush_symbol(self, symbol: str) -> None:
        self._store(symbol, pl.concat(self._pages[symbol]))
        del self._pages[symbol]
