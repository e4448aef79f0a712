"""From the outside into a run: the market history that is lacking, and a prepared graph."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gnn_trainer.errors import DataError, StopRequested, TransientServiceError
from gnn_trainer.graph.relation_documents import read_relations
from gnn_trainer.graph.relations import Relations
from gnn_trainer.market.funding import FUNDING_MAX_AGE_MS, settlement_minute
from gnn_trainer.market.history import History
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import (
    Extent,
    FundingFetch,
    KlineFetch,
    MarketSource,
    RelationSource,
)
from gnn_trainer.progress import Progress, ProgressListener

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0  # for a prepared graph that is not there yet
_REQUESTS_FOR_SCHEDULES = 2
_STOP_CHECK_S = 0.25  # longest pause between two looks at `should_stop`

Dropped = dict[str, str]
"""Symbols the exchange refused, with the reason."""


def collect_history(
    history: History,
    source: MarketSource,
    interval: str,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    on_progress: ProgressListener,
) -> Dropped:
    """Bars with start_ms <= open time < end_ms and, beside them, their funding; pages are stored
    as they arrive.

    Funding has a request budget of its own, so both take as long as the longer one. Symbols whose
    bars were refused are returned; `collect_funding` tells who was refused funding.
    """
    klines = history.missing_klines(source.name, interval, symbols, start_ms, end_ms)
    funding = _missing_funding(history, source, symbols, start_ms, end_ms)
    with (
        history.kline_pages(source.name, interval) as on_klines,
        history.funding_pages(source.name) as on_funding,
    ):
        due = _due(history, source, funding)
        dropped, without_funding = source.fetch(
            [KlineFetch(klines, interval, on_klines), FundingFetch(due, on_funding)], on_progress
        )
    history.confirm_klines(source.name, interval, _answered(klines, dropped))
    history.confirm_funding(source.name, _answered(funding, without_funding))
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
    requests = _missing_funding(history, source, symbols, start_ms, end_ms)
    with history.funding_pages(source.name) as on_page:
        due = _due(history, source, requests)
        (dropped,) = source.fetch([FundingFetch(due, on_page)], on_progress)
    history.confirm_funding(source.name, _answered(requests, dropped))
    return dropped


def _missing_funding(
    history: History, source: MarketSource, symbols: Sequence[str], start_ms: int, end_ms: int
) -> list[SpanRequest]:
    return history.missing_funding(source.name, symbols, start_ms - FUNDING_MAX_AGE_MS, end_ms)


def _due(
    history: History, source: MarketSource, requests: Sequence[SpanRequest]
) -> list[SpanRequest]:
    """Without those of which exactly what the exchange's schedule says is stored already.

    A request begins one longest interval before what is lacking, so a contract whose interval has
    changed there does not fit its schedule and is asked for.
    """
    stored = {request: _stored_settlements(history, source.name, request) for request in requests}
    if sum(map(bool, stored.values())) <= _REQUESTS_FOR_SCHEDULES:
        return list(requests)
    schedules = source.funding_schedules()
    return [
        request
        for request, times in stored.items()
        if not times
        or request.symbol not in schedules
        or times != schedules[request.symbol].settlements(request.start_ms, request.end_ms)
    ]


def _stored_settlements(history: History, source: str, request: SpanRequest) -> list[int]:
    span = (request.start_ms, request.end_ms)
    stored = history.read_funding(source, request.symbol, *span)
    return stored.select(settlement_minute())["funding_time"].to_list()


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


@dataclass(frozen=True)
class Waiting:
    """How long to wait for a prepared graph, who may end it, and who is told."""

    patience_s: float
    should_stop: Callable[[], bool]
    on_progress: ProgressListener
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def check(self) -> None:
        """Raises StopRequested if somebody wants an end."""
        if self.should_stop():
            raise StopRequested("stopped while reading the prepared graph")

    def until(self, moment_s: float) -> None:
        """Return when the clock shows `moment_s`; raises StopRequested as soon as it is wanted."""
        self.check()
        while (left := moment_s - self.clock()) > 0.0:
            self.pause(min(left, _STOP_CHECK_S))
            self.check()


def collect_relations(
    source: RelationSource, symbols: Sequence[str], start_ms: int, end_ms: int, waiting: Waiting
) -> Relations:
    """Read a prepared graph, waiting for one that is absent, empty or without a usable edge.

    A graph that was not there at the first look is read once it has stopped growing from one look
    to the next, or when patience ends. A source that is away is asked again until then.

    Raises:
        DataError: no usable relation when patience ended.
        TransientServiceError: the source was away when patience ended.
        ConfigError, ServiceError: the source refuses.
        StopRequested: `waiting.should_stop` said yes.
    """
    began = waiting.clock()
    before: Extent | None = None
    read: Extent | None = None
    state = "nothing there yet"
    is_first = True
    while True:
        waiting.check()
        waited_s = waiting.clock() - began
        is_last = waited_s >= waiting.patience_s
        try:
            extent = source.extent()
            is_settled = is_first or is_last or extent == before
            before = extent
            if extent.documents and is_settled and extent != read:
                relations = read_relations(
                    _while_wanted(source.documents(), waiting),
                    source=source.name,
                    symbols=symbols,
                    start_ms=start_ms,
                    end_ms=end_ms,
                )
                if relations.count:
                    return relations
                read, state = extent, "; ".join(relations.report.lines())
        except TransientServiceError as exc:
            if is_last:
                raise
            before, state = None, str(exc)
        if is_last:
            raise DataError(
                f"{source.name}: no usable relation after {waited_s:.0f} s, {state}. Start what "
                "prepares this graph, check its name and shape, wait longer (GRAPH_WAIT_S), or "
                "unset it to run without"
            )
        if is_first:
            logger.info("%s: %s; waiting up to %.0f s", source.name, state, waiting.patience_s)
        waiting.on_progress(_waiting_progress(waited_s, waiting.patience_s, before, state))
        waiting.until(began + min(waited_s + LOOK_EVERY_S, waiting.patience_s))
        is_first = False


def _waiting_progress(
    waited_s: float, patience_s: float, extent: Extent | None, state: str
) -> Progress:
    documents = extent.documents if extent else 0
    return Progress(
        "waiting for relations",
        waited_s,
        patience_s,
        {"documents": documents, "state": state[:200]},
    )


def _while_wanted(documents: Iterable[object], waiting: Waiting) -> Iterator[object]:
    for document in documents:
        waiting.check()
        yield document
