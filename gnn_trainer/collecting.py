"""From an exchange into the market history: what it lacks of a span, and nothing twice."""

from collections.abc import Sequence

from gnn_trainer.market.funding import FUNDING_MAX_AGE_MS
from gnn_trainer.market.history import History
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import MarketSource
from gnn_trainer.progress import ProgressListener

Dropped = dict[str, str]
"""Symbols the exchange refused, with the reason."""


def collect_klines(
    history: History,
    source: MarketSource,
    interval: str,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    on_progress: ProgressListener,
) -> Dropped:
    """Bars with start_ms <= open time < end_ms; pages are stored as they arrive."""
    requests = history.missing_klines(source.name, interval, symbols, start_ms, end_ms)
    with history.kline_pages(source.name, interval) as on_page:
        dropped = source.fetch_klines(requests, interval, on_page, on_progress)
    history.confirm_klines(source.name, interval, _answered(requests, dropped))
    return dropped


def collect_funding(
    history: History,
    source: MarketSource,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    on_progress: ProgressListener,
) -> Dropped:
    """Rates settled in the span and in the day before it, which its first bars need."""
    requests = history.missing_funding(source.name, symbols, start_ms - FUNDING_MAX_AGE_MS, end_ms)
    with history.funding_pages(source.name) as on_page:
        dropped = source.fetch_funding(requests, on_page, on_progress)
    history.confirm_funding(source.name, _answered(requests, dropped))
    return dropped


def collect_books(
    history: History,
    source: MarketSource,
    symbols: Sequence[str],
    bar: tuple[int, int],
    on_progress: ProgressListener,
) -> Dropped:
    """One order-book snapshot per symbol in the bar that is forming, [start_ms, end_ms).

    A symbol that has one already keeps it, so runs that share a history see the same book.
    """
    recorded = set(history.read_books(source.name, symbols, *bar)["symbol"])
    wanted = [symbol for symbol in symbols if symbol not in recorded]
    snapshots, dropped = source.fetch_order_books(wanted, on_progress)
    history.append_books(source.name, snapshots)
    return dropped


def _answered(requests: Sequence[SpanRequest], dropped: Dropped) -> list[SpanRequest]:
    return [request for request in requests if request.symbol not in dropped]
