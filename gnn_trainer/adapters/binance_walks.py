"""What is wanted of a Binance market, as walks through spans of time with a plan of their cost."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import polars as pl

from gnn_trainer.adapters.binance_bodies import parse_funding, parse_klines
from gnn_trainer.adapters.binance_calls import BinanceCalls
from gnn_trainer.adapters.binance_market import FUNDING_COST, FundingEndpoints
from gnn_trainer.adapters.binance_paging import Page, funding_pages, kline_pages
from gnn_trainer.adapters.binance_plan import FetchPlan, plan_funding, plan_klines
from gnn_trainer.adapters.weights import Cost
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import FundingFetch, KlineFetch, PageSink


@dataclass(frozen=True)
class Walk:
    """One fetch; `dropped` fills with the symbols that are refused, and the reason."""

    requests: Sequence[SpanRequest]
    pages: Callable[[SpanRequest], AsyncIterator[Page]]
    plan: Callable[[Sequence[SpanRequest]], FetchPlan]
    on_page: PageSink
    dropped: dict[str, str] = field(default_factory=dict)


def walk_of(fetch: KlineFetch | FundingFetch, calls: BinanceCalls) -> Walk | None:
    """How to fetch what is wanted; None where this market has nothing of the kind."""
    if isinstance(fetch, KlineFetch):
        return _kline_walk(fetch, calls)
    endpoints = calls.market.funding
    return None if endpoints is None else _funding_walk(fetch, calls, endpoints)


def _kline_walk(fetch: KlineFetch, calls: BinanceCalls) -> Walk:
    market, step_ms = calls.market, interval_ms(fetch.interval)

    def pages(span: SpanRequest) -> AsyncIterator[Page]:
        async def ask(first_ms: int, last_ms: int, limit: int) -> pl.DataFrame:
            return await calls.call(
                market.klines,
                Cost(weight=market.page_weight(limit)),
                parse_klines,
                symbol=span.symbol,
                interval=fetch.interval,
                startTime=first_ms,
                endTime=last_ms,
                limit=limit,
            )

        return kline_pages(ask, span, step_ms, market)

    def plan(spans: Sequence[SpanRequest]) -> FetchPlan:
        return plan_klines(spans, fetch.interval, market)

    return Walk(fetch.requests, pages, plan, fetch.on_page)


def _funding_walk(fetch: FundingFetch, calls: BinanceCalls, endpoints: FundingEndpoints) -> Walk:
    def pages(span: SpanRequest) -> AsyncIterator[Page]:
        async def ask(first_ms: int, last_ms: int, limit: int) -> pl.DataFrame:
            return await calls.call(
                endpoints.rates,
                FUNDING_COST,
                parse_funding,
                symbol=span.symbol,
                startTime=first_ms,
                endTime=last_ms,
                limit=limit,
            )

        return funding_pages(ask, span)

    def regular(symbol: str, rows: pl.DataFrame) -> None:
        fetch.on_page(symbol, rows.filter("is_regular").drop("is_regular"))

    return Walk(fetch.requests, pages, plan_funding, regular)
