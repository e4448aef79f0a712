"""Funding is asked for when something was settled, and candles do not wait for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import cast

import polars as pl
import pytest

from benchmarks.virtual_time import ObservedGovernor, VirtualTime
from gnn_trainer.adapters.binance import BinanceSource
from gnn_trainer.collecting import collect_funding, collect_history
from gnn_trainer.exchange.config import ExchangeConfig, RequestLimits
from gnn_trainer.exchange.process import RunningExchange, start_exchange
from gnn_trainer.market.funding import FUNDING_SCHEMA, FundingSchedule
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS
from gnn_trainer.ports import FundingFetch, KlineFetch, MarketSource, SpanRequest
from gnn_trainer.progress import Progress

HOUR = INTERVAL_MS["1h"]
START = 1_735_689_600_000  # 2025-01-01T00:00Z
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")


@dataclass
class Settling:
    """A market source of settlements: by symbol, every so many hours until a change, then other."""

    hours: dict[str, tuple[int, int]]
    change_ms: int = 2 * START
    now_ms: int = START
    unscheduled: str = ""
    name: str = "settling"
    asked: list[str] = field(default_factory=list)

    def settlements(self, symbol: str, end_ms: int) -> list[int]:
        before, after = (hours * HOUR for hours in self.hours[symbol])
        change = -(-self.change_ms // before) * before  # intervals change at a settlement
        early = range(START - 3 * DAY_MS, min(change + 1, end_ms), before)
        return [*early, *range(-(-(change + 1) // after) * after, end_ms, after)]

    def funding_schedules(self) -> dict[str, FundingSchedule]:
        self.asked.append("schedules")
        scheduled = [symbol for symbol in self.hours if symbol != self.unscheduled]
        return {symbol: self._schedule(symbol) for symbol in scheduled}

    def _schedule(self, symbol: str) -> FundingSchedule:
        times = self.settlements(symbol, self.now_ms + 2 * DAY_MS)
        following = [time for time in times if time > self.now_ms]
        return FundingSchedule(following[0], following[1] - following[0])

    def fetch(self, wanted: Sequence[FundingFetch], _listener: object) -> list[dict[str, str]]:
        (funding,) = wanted
        for request in funding.requests:
            self.asked.append(request.symbol)
            times = self.settlements(request.symbol, request.end_ms)
            rows = {"funding_time": [t + t // HOUR % 18 for t in times if t >= request.start_ms]}
            nothing = {"rate": 1e-4, "mark_price": None}
            table = pl.DataFrame(rows).with_columns(**{k: pl.lit(v) for k, v in nothing.items()})
            funding.on_page(request.symbol, table.cast(pl.Schema(FUNDING_SCHEMA)))
        return [{}]


def collect(history: History, source: Settling, until_ms: int) -> list[str]:
    """Who was asked about for the day until then, a minute after it."""
    source.now_ms = until_ms + 60_000
    source.asked.clear()
    market = cast(MarketSource, source)
    collect_funding(
        history, market, tuple(source.hours), until_ms - DAY_MS, until_ms, lambda _: None
    )
    return list(source.asked)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_nobody_is_asked_about_in_hours_without_a_settlement(history: History) -> None:
    source = Settling({"AUSDT": (8, 8), "BUSDT": (8, 8), "CUSDT": (4, 4)})
    first = START + HOUR
    assert collect(history, source, first) == list(SYMBOLS)
    assert collect(history, source, first + 3 * HOUR) == ["schedules"]
    assert collect(history, source, first + 3 * HOUR) == []
    assert collect(history, source, first + 4 * HOUR) == ["schedules", "CUSDT"]
    assert collect(history, source, first + 8 * HOUR) == ["schedules", *SYMBOLS]


def test_a_symbol_without_schedule_or_history_is_asked_about(history: History) -> None:
    source = Settling(dict.fromkeys(SYMBOLS, (8, 8)))
    collect(history, source, START + HOUR)
    source.hours["NEWUSDT"] = (8, 8)
    source.unscheduled = "BUSDT"
    assert collect(history, source, START + 2 * HOUR) == ["schedules", "BUSDT", "NEWUSDT"]


def test_one_or_two_symbols_are_asked_about_without_their_schedule(history: History) -> None:
    source = Settling(dict.fromkeys(SYMBOLS[:2], (8, 8)))
    collect(history, source, START + HOUR)
    assert collect(history, source, START + 2 * HOUR) == list(SYMBOLS[:2])


def test_no_settlement_is_missed_where_intervals_change(history: History) -> None:
    pairs = {f"S{a}TO{b}USDT": (a, b) for a, b in product((1, 4, 8), repeat=2)}
    source = Settling(pairs, change_ms=START + 5 * HOUR)
    spared = 0
    for hour in range(1, 19):
        until_ms = START + hour * HOUR
        spared += len(pairs) - len(set(collect(history, source, until_ms)) & set(pairs))
        for symbol in pairs:
            stored = history.read_funding(source.name, symbol, START - DAY_MS, until_ms)
            due = [t for t in source.settlements(symbol, until_ms) if t >= START - DAY_MS]
            assert [t // HOUR * HOUR for t in stored["funding_time"]] == due, (symbol, hour)
    assert spared > 40


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    with start_exchange(ExchangeConfig(symbols=6, bars=300, ticking=False)) as exchange:
        yield exchange


def test_an_hour_later_the_exchange_is_asked_who_is_due_and_only_they(
    exchange: RunningExchange, history: History
) -> None:
    assert exchange.oracle is not None
    symbols = exchange.oracle.symbols
    told: list[Progress] = []
    asked: list[int] = []
    with BinanceSource("usdm", exchange.url) as source:
        for _ in range(9):
            exchange.clock.advance(HOUR)
            exchange.requests.clear()
            end_ms = exchange.now_ms // HOUR * HOUR
            span = (end_ms - 5 * DAY_MS, end_ms)
            collect_history(history, source, "1h", symbols, *span, told.append)
            asked.append(len(exchange.requests.seen("fundingRate")))
            assert len(exchange.requests.seen("klines")) == len(symbols)
        whole = History(history.root / "whole")
        collect_history(whole, source, "1h", symbols, *span, told.append)
    settled = {symbol: history.read_funding(source.name, symbol, *span) for symbol in symbols}
    assert all(settled[s].equals(whole.read_funding(source.name, s, *span)) for s in symbols)
    assert asked[0] == len(symbols)
    assert sorted(asked[1:])[:5] == [0] * 5
    assert sum(asked[1:]) == len(symbols) + sum(
        exchange.oracle.listings()[place].funding_hours == 4 for place in range(len(symbols))
    )


def test_candles_and_funding_take_as_long_as_the_longer_of_them(tmp_path: Path) -> None:
    limits = RequestLimits(usdm_weight=20, funding_requests=10)
    market = ExchangeConfig(symbols=20, bars=200, ticking=False, limits=limits)
    took: dict[str, float] = {}
    told: list[Progress] = []
    for asked in ("candles", "funding", "both"):
        with start_exchange(market) as exchange:
            assert exchange.oracle is not None
            clock = VirtualTime(exchange)
            governor = ObservedGovernor(20, clock, 0.1, funding_limit=10)
            end_ms = exchange.now_ms // HOUR * HOUR
            spans = [SpanRequest(s, end_ms - DAY_MS, end_ms) for s in exchange.oracle.symbols]
            candles = KlineFetch(spans if asked != "funding" else [], "1h", lambda *_: None)
            funding = FundingFetch(spans if asked != "candles" else [], lambda *_: None)
            with BinanceSource(
                "usdm", exchange.url, governor=governor, clock=clock, wait=clock.wait
            ) as source:
                told.clear()
                assert source.fetch([candles, funding], told.append) == [{}, {}]
            assert all(seen.status == 200 for seen in exchange.requests.seen())
            took[asked] = clock()
    assert took["candles"] > 60
    assert took["funding"] > 600
    assert took["both"] == pytest.approx(took["funding"], abs=5)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert told[-1].fields["symbols_done"] == told[-1].fields["symbols"] == 20
    assert max(cast(float, progress.fields["eta_s"]) for progress in told) > 300
