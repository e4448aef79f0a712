"""Binance's public market data, USD-M perpetuals and spot, through python-binance.

The same adapter serves the real exchange and any other server that speaks its REST.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from gnn_trainer.adapters.binance_bodies import (
    WeightLimit,
    parse_book,
    parse_funding_intervals,
    parse_listings,
    parse_next_settlements,
    parse_quote_volumes,
    parse_server_time,
    parse_weight_limit,
)
from gnn_trainer.adapters.binance_calls import (
    BinanceCalls,
    CallPolicy,
    Credentials,
    Surroundings,
)
from gnn_trainer.adapters.binance_market import (
    FUNDING_COST,
    MARKETS,
    MarketName,
)
from gnn_trainer.adapters.binance_paging import (
    LONGEST_FUNDING_MS,
)
from gnn_trainer.adapters.binance_plan import (
    FetchPlan,
    FetchTracker,
    plan_books,
)
from gnn_trainer.adapters.binance_refusals import SymbolRefused
from gnn_trainer.adapters.binance_walks import Walk, walk_of
from gnn_trainer.adapters.weights import Clock, Cost, Wait, WeightGovernor, shared_governor
from gnn_trainer.errors import ConfigError
from gnn_trainer.market.book import BOOK_LEVELS, BOOK_SCHEMA
from gnn_trainer.market.listing import SpanRequest, SymbolListing
from gnn_trainer.ports import (
    FundingFetch,
    FundingSchedule,
    KlineFetch,
    MarketSource,
    ProgressListener,
)

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Json = Any


_Queue = tuple[Sequence[str], Callable[[str], Awaitable[None]]]
"""Symbols, and what is to be done for each."""


class BinanceSource(MarketSource):
    """One market of Binance. Blocking; a context manager; for one thread at a time.

    All sources of a process that talk to the same host share one request budget. `should_stop`
    is asked before every request and while waiting; StopRequested is raised when it says yes.
    """

    def __init__(
        self,
        market: MarketName,
        base_url: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        *,
        name: str | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        policy: CallPolicy | None = None,
        governor: WeightGovernor | None = None,
        clock: Clock = time.monotonic,
        wait: Wait = asyncio.sleep,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random: np.random.Generator | None = None,
    ) -> None:
        """Send nothing yet.

        Raises:
            ConfigError: `base_url` is not of the form scheme://host:port.
        """
        self.name = name or f"binance-{market}"
        self._market = MARKETS[market]
        self._clock = clock
        url = _checked_url(base_url or self._market.default_url, self._market.url_variable)
        self._calls = BinanceCalls(
            self.name,
            self._market,
            url,
            Credentials(api_key, api_secret),
            governor=governor or shared_governor(f"{url} {market}", self._market.weight_limit),
            policy=policy or CallPolicy(),
            surroundings=Surroundings(
                wait=wait,
                now_ms=now_ms,
                random=random or np.random.default_rng(),
                should_stop=should_stop,
            ),
        )
        # Its own loop, so that the thread's current one stays what it was.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections and the event loop; the source is of no use afterwards."""
        self._runner.run(self._calls.close())
        self._runner.close()

    def server_time_ms(self) -> int:
        return self._run(self._server_time())

    def listings(self) -> list[SymbolListing]:
        return self._run(self._exchange_info())

    def quote_volumes(self) -> dict[str, float]:
        return self._run(self._quote_volumes())

    def fetch(
        self, wanted: Sequence[KlineFetch | FundingFetch], on_progress: ProgressListener
    ) -> list[dict[str, str]]:
        """Pages arrive in ascending order per symbol, a few symbols at a time.

        The bar that is still forming is delivered too, settlements of special kinds are not. A
        symbol the exchange refuses is dropped with the reason; pages of it that came before stay
        delivered.
        """
        return self._run(self._fetch(wanted, on_progress))

    def funding_schedules(self) -> dict[str, FundingSchedule]:
        return self._run(self._funding_schedules())

    def fetch_order_books(
        self, symbols: Sequence[str], on_progress: ProgressListener
    ) -> tuple[pl.DataFrame, dict[str, str]]:
        return self._run(self._fetch_order_books(symbols, on_progress))

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        # The caller's context of this moment, so that its loggers see their own task.
        return self._runner.run(self._opened(work), context=contextvars.copy_context())

    async def _opened(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        await self._calls.open()
        return await work

    async def _server_time(self) -> int:
        return await self._calls.call(self._market.time, Cost(weight=1), parse_server_time)

    async def _exchange_info(self) -> list[SymbolListing]:
        def parse(body: Json) -> tuple[list[SymbolListing], WeightLimit | None]:
            return parse_listings(body), parse_weight_limit(body)

        cost = Cost(weight=self._market.exchange_info_weight)
        listings, limit = await self._calls.call(self._market.exchange_info, cost, parse)
        if limit is None:
            logger.warning("%s names no request-weight limit; keeping the assumed one", self.name)
        else:
            self._calls.governor.learn_limit(limit.limit, limit.window_s)
        return listings

    async def _learn_limits(self) -> None:
        if not self._calls.governor.knows_limits:
            await self._exchange_info()

    async def _quote_volumes(self) -> dict[str, float]:
        await self._learn_limits()
        cost = Cost(weight=self._market.ticker_weight)
        return await self._calls.call(self._market.ticker, cost, parse_quote_volumes)

    async def _fetch(
        self, wanted: Sequence[KlineFetch | FundingFetch], on_progress: ProgressListener
    ) -> list[dict[str, str]]:
        walks = [walk_of(fetch, self._calls) for fetch in wanted]
        able = [walk for walk in walks if walk is not None]
        if able:
            await self._walk_all(able, on_progress)
        return [{} if walk is None else walk.dropped for walk in walks]

    async def _walk_all(self, walks: Sequence[Walk], on_progress: ProgressListener) -> None:
        """Side by side: candles spend weight, funding does not, so neither waits for the other."""
        await self._learn_limits()
        end_ms = await self._server_time() + 1
        spans = [_until(end_ms, walk.requests) for walk in walks]
        plans = [walk.plan(until) for walk, until in zip(walks, spans, strict=True)]
        tracker = self._start(plans, on_progress)

        def queue(walk: Walk, spans: Sequence[SpanRequest], plan: FetchPlan) -> _Queue:
            by_symbol: dict[str, list[SpanRequest]] = {}
            for span in spans:
                by_symbol.setdefault(span.symbol, []).append(span)

            async def fetch(symbol: str) -> None:
                uncovered = sum(span.end_ms - span.start_ms for span in by_symbol[symbol])
                try:
                    for span in by_symbol[symbol]:
                        cursor = span.start_ms
                        async for page in walk.pages(span):
                            walk.on_page(symbol, page.rows)
                            covered = min(page.next_ms, span.end_ms) - cursor
                            tracker.advance(plan, covered, page.rows.height)
                            uncovered -= covered
                            cursor += covered
                except SymbolRefused as refusal:
                    walk.dropped[symbol] = str(refusal)
                tracker.finish_symbol(plan, symbol, uncovered)

            return list(by_symbol), fetch

        await self._for_each(*map(queue, walks, spans, plans))

    async def _funding_schedules(self) -> dict[str, FundingSchedule]:
        endpoints = self._market.funding
        if endpoints is None:
            return {}
        await self._learn_limits()
        premium = Cost(weight=endpoints.premium_weight)
        next_ms = await self._calls.call(endpoints.premium, premium, parse_next_settlements)
        steps = await self._calls.call(endpoints.info, FUNDING_COST, parse_funding_intervals)
        return {
            symbol: FundingSchedule(time_ms, steps.get(symbol, LONGEST_FUNDING_MS))
            for symbol, time_ms in next_ms.items()
        }

    async def _fetch_order_books(
        self, symbols: Sequence[str], on_progress: ProgressListener
    ) -> tuple[pl.DataFrame, dict[str, str]]:
        await self._learn_limits()
        offset_ms = await self._server_time() - self._clock() * 1000
        plan = plan_books(symbols, self._market)
        tracker = self._start([plan], on_progress)
        books: dict[str, Json] = {}
        dropped: dict[str, str] = {}

        async def fetch(symbol: str) -> None:
            try:
                books[symbol] = await self._calls.call(
                    self._market.depth,
                    Cost(weight=self._market.depth_weight),
                    lambda body: parse_book(
                        body, symbol, asked_ms=int(self._clock() * 1000 + offset_ms)
                    ),
                    symbol=symbol,
                    limit=BOOK_LEVELS,
                )
                tracker.advance(plan, 1, rows=1)
            except SymbolRefused as refusal:
                dropped[symbol] = str(refusal)
            tracker.finish_symbol(plan, symbol, uncovered=symbol in dropped)

        await self._for_each((symbols, fetch))
        rows = [books[symbol] for symbol in symbols if symbol in books]
        return pl.DataFrame(rows, schema=BOOK_SCHEMA, orient="row"), dropped

    def _start(self, plans: Sequence[FetchPlan], on_progress: ProgressListener) -> FetchTracker:
        for plan in plans:
            if plan.pages:
                logger.info("%s: %s", self.name, plan.describe(self._calls.governor))
        return FetchTracker(plans, self._calls, self._clock, on_progress)

    async def _for_each(self, *queues: _Queue) -> None:
        """Some symbols of each queue at a time, in order; the first failure stops them all and is
        raised. However many wait, no more than `policy.concurrency` calls are on the wire."""

        async def take_turns(
            waiting: Iterator[str], work: Callable[[str], Awaitable[None]]
        ) -> None:
            for symbol in waiting:
                await work(symbol)

        try:
            async with asyncio.TaskGroup() as group:
                for symbols, work in queues:
                    waiting = iter(symbols)
                    for _ in range(self._calls.policy.concurrency):
                        group.create_task(take_turns(waiting, work))
        except ExceptionGroup as failures:
            failure = failures.exceptions[0]
        else:
            return
        raise failure


def _until(end_ms: int, requests: Sequence[SpanRequest]) -> list[SpanRequest]:
    """The spans without the future, which holds no rows and would only cost pages."""
    spans = [replace(span, end_ms=min(span.end_ms, end_ms)) for span in requests]
    return [span for span in spans if span.start_ms < span.end_ms]


def _checked_url(url: str, variable: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or set(url) & set("{}"):
        raise ConfigError(f"{variable} is not an address; expected scheme://host:port")
    return url.rstrip("/")
