"""The whole source against an exchange on loopback: paging, budget, progress, dropped symbols."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar

import polars as pl
import pytest

from gnn_trainer.adapters.binance import BinanceSource
from gnn_trainer.adapters.binance_calls import CallPolicy
from gnn_trainer.adapters.binance_market import MarketName
from gnn_trainer.adapters.weights import WeightGovernor
from gnn_trainer.errors import ConfigError, ServiceBanned, ServiceError, StopRequested
from gnn_trainer.market.book import BOOK_SCHEMA
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import FUNDING_SCHEMA, FundingSchedule
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import FundingFetch, KlineFetch, PageSink, Progress, ProgressListener
from tests.adapters.scripted_exchange import HOUR_MS, NO_DELIVERY_MS, Answer, ScriptedExchange

KLINES = "/fapi/v1/klines"
HOURS = 1200


class Sink:
    """Collects pages and progress; may fail on a page."""

    def __init__(self) -> None:
        self.pages: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
        self.progress: list[Progress] = []

    def page(self, symbol: str, rows: pl.DataFrame) -> None:
        self.pages[symbol].append(rows)

    def listen(self, progress: Progress, /) -> None:
        self.progress.append(progress)

    def times(self, symbol: str, column: str = "open_time") -> list[int]:
        return [at for page in self.pages[symbol] for at in page[column].to_list()]


@pytest.fixture
def exchange() -> Iterator[ScriptedExchange]:
    """Three symbols with HOURS bars up to the one that is forming now, one of them late."""
    with ScriptedExchange() as exchange:
        newest = exchange.now_ms // HOUR_MS * HOUR_MS
        opens = range(newest - (HOURS - 1) * HOUR_MS, newest + 1, HOUR_MS)
        exchange.opens = {"AUSDT": opens, "币安人生USDT": opens, "LATEUSDT": opens[900:]}
        yield exchange


def open_source(
    exchange: ScriptedExchange,
    market: MarketName = "usdm",
    governor: WeightGovernor | None = None,
    policy: CallPolicy | None = None,
) -> BinanceSource:
    return BinanceSource(
        market,
        exchange.url,
        governor=governor or WeightGovernor(100_000, clock=exchange.clock),
        policy=policy,
        clock=exchange.clock,
        wait=exchange.clock.wait,
        now_ms=lambda: exchange.now_ms,
    )


def fetch_klines(
    source: BinanceSource,
    spans: list[SpanRequest],
    interval: str,
    on_page: PageSink,
    listen: ProgressListener,
) -> dict[str, str]:
    (dropped,) = source.fetch([KlineFetch(spans, interval, on_page)], listen)
    return dropped


def fetch_funding(
    source: BinanceSource, spans: list[SpanRequest], on_page: PageSink, listen: ProgressListener
) -> dict[str, str]:
    (dropped,) = source.fetch([FundingFetch(spans, on_page)], listen)
    return dropped


def everything(exchange: ScriptedExchange) -> list[SpanRequest]:
    first = exchange.opens["AUSDT"][0]
    return [SpanRequest(symbol, first, exchange.now_ms + HOUR_MS) for symbol in exchange.opens]


def many_symbols(exchange: ScriptedExchange, count: int) -> list[SpanRequest]:
    opens = exchange.opens["AUSDT"]
    exchange.opens = {f"S{number}USDT": opens for number in range(count)}
    return [SpanRequest(symbol, opens[0], exchange.now_ms + 1) for symbol in exchange.opens]


@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_pages_hold_each_bar_once_in_order(exchange: ScriptedExchange, market: MarketName) -> None:
    sink = Sink()
    with open_source(exchange, market) as source:
        dropped = fetch_klines(source, everything(exchange), "1h", sink.page, sink.listen)
    assert dropped == {}
    for symbol, opens in exchange.opens.items():
        assert sink.times(symbol) == list(opens)
        assert all(page.schema == pl.Schema(CANDLE_SCHEMA) for page in sink.pages[symbol])


def test_no_bar_beyond_now_is_paid_for(exchange: ScriptedExchange) -> None:
    sink = Sink()
    newest = exchange.now_ms // HOUR_MS * HOUR_MS
    spans = [
        SpanRequest("AUSDT", newest, newest + 5000 * HOUR_MS),
        SpanRequest("AUSDT", newest + HOUR_MS, newest + 5000 * HOUR_MS),
    ]
    with open_source(exchange) as source:
        fetch_klines(source, spans, "1h", sink.page, sink.listen)
    assert [seen.query["limit"] for seen in exchange.asked("klines")] == ["1"]
    assert sink.times("AUSDT") == [newest]


def test_several_spans_of_a_symbol_are_fetched_one_after_the_other(
    exchange: ScriptedExchange,
) -> None:
    sink = Sink()
    opens = exchange.opens["AUSDT"]
    spans = [
        SpanRequest("AUSDT", opens[5], opens[10]),
        SpanRequest("AUSDT", opens[50], opens[51]),
    ]
    with open_source(exchange) as source:
        fetch_klines(source, spans, "1h", sink.page, sink.listen)
    assert sink.times("AUSDT") == [*opens[5:10], opens[50]]


def test_requests_in_flight_are_as_many_as_allowed_and_no_more(
    exchange: ScriptedExchange,
) -> None:
    spans = many_symbols(exchange, 20)
    with open_source(exchange, policy=CallPolicy(concurrency=3, attempts=1)) as source:
        exchange.gather_klines(3)
        fetch_klines(source, spans, "1h", Sink().page, Sink().listen)
    assert exchange.most_in_flight == 3


def test_budget_learned_from_exchange_info_is_never_exceeded(exchange: ScriptedExchange) -> None:
    exchange.weight_limit = 200  # far below what was assumed
    exchange.foreign_weight = 40
    sink = Sink()
    spans = many_symbols(exchange, 60)
    with open_source(exchange) as source:
        fetch_klines(source, spans, "1h", sink.page, sink.listen)
    assert all(sink.times(symbol) == list(opens) for symbol, opens in exchange.opens.items())
    assert max(exchange.used.values()) + exchange.foreign_weight <= 0.9 * 200
    assert sum(exchange.used.values()) == 60 * 6 + 2  # nothing was asked twice


def test_two_sources_share_the_budget_of_their_host(exchange: ScriptedExchange) -> None:
    exchange.weight_limit = 60
    governor = WeightGovernor(60, clock=exchange.clock)
    for _ in range(8):
        with open_source(exchange, governor=governor) as source:
            fetch_klines(source, everything(exchange), "1h", Sink().page, Sink().listen)
    assert 40 < max(exchange.used.values()) <= 54


def test_the_plan_is_told_before_it_starts(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gnn_trainer")
    sink = Sink()
    with open_source(exchange) as source:
        fetch_klines(source, everything(exchange), "1h", sink.page, sink.listen)
    expected = "binance-usdm: 3 symbols x 50 d of 1h: 9 pages, weight 18, about 0.0 min at 90 % of"
    assert [record for record in caplog.records if record.getMessage().startswith(expected)]


def test_progress_runs_from_nothing_to_everything(exchange: ScriptedExchange) -> None:
    sink = Sink()
    with open_source(exchange) as source:
        fetch_klines(source, everything(exchange), "1h", sink.page, sink.listen)
    fractions = [progress.fraction for progress in sink.progress]
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    last = sink.progress[-1]
    assert last.stage == "fetch_klines"
    assert last.fields == {
        "symbols_done": 3,
        "symbols": 3,
        "rows": 2 * HOURS + 300,
        "requests": len(exchange.asked("klines")),
        "weight_used": 2 * 2 * 3 + 2,  # three pages each, one for the late symbol
        "eta_s": 0.0,
    }


def test_listeners_run_in_the_context_of_each_call(exchange: ScriptedExchange) -> None:
    caller: ContextVar[str] = ContextVar("caller", default="nobody")
    heard: list[str] = []
    with open_source(exchange) as source:
        for name in ("first", "second"):
            token = caller.set(name)
            fetch_klines(source, [], "1h", Sink().page, lambda _: heard.append(caller.get()))
            caller.reset(token)
    assert heard == ["first", "second"]


def test_pages_delivered_before_a_failure_stay_delivered(exchange: ScriptedExchange) -> None:
    sink = Sink()
    ban = Answer(418, {"code": -1003, "msg": "banned"}, {"Retry-After": "120"})

    def ban_after_the_first(symbol: str, rows: pl.DataFrame) -> None:
        sink.page(symbol, rows)
        exchange.script[KLINES].append(ban)

    with open_source(exchange) as source, pytest.raises(ServiceBanned):
        fetch_klines(source, everything(exchange)[:1], "1h", ban_after_the_first, sink.listen)
    assert sink.times("AUSDT") == list(exchange.opens["AUSDT"][:499])
    assert len(exchange.asked("klines")) == 2


def test_a_ban_stops_all_symbols_at_once(exchange: ScriptedExchange) -> None:
    spans = many_symbols(exchange, 50)
    ban = Answer(418, {"code": -1003, "msg": "banned"}, {"Retry-After": "120"})
    exchange.script[KLINES].extend([ban] * 99)
    with (
        open_source(exchange, policy=CallPolicy(concurrency=2)) as source,
        pytest.raises(ServiceBanned),
    ):
        fetch_klines(source, spans, "1h", Sink().page, Sink().listen)
    assert len(exchange.asked("klines")) <= 2


@pytest.mark.parametrize("code", [-1121, -1122, -4108])
def test_a_refused_symbol_among_many_is_dropped_with_the_reason(
    exchange: ScriptedExchange, code: int
) -> None:
    exchange.script[KLINES].append(Answer(400, {"code": code, "msg": "not this one"}))
    sink = Sink()
    with open_source(exchange, policy=CallPolicy(concurrency=1)) as source:
        dropped = fetch_klines(source, everything(exchange), "1h", sink.page, sink.listen)
    assert list(dropped) == ["AUSDT"]
    assert f"{KLINES} AUSDT: HTTP 400: not this one ({code})" in dropped["AUSDT"]
    assert set(sink.pages) == {"币安人生USDT", "LATEUSDT"}
    assert sink.progress[-1].fraction == pytest.approx(1)


def test_a_malformed_page_names_endpoint_and_symbol(exchange: ScriptedExchange) -> None:
    exchange.script[KLINES].append(Answer(body=[[1, "2"]]))
    sink = Sink()
    span = everything(exchange)[1:2]
    with (
        open_source(exchange) as source,
        pytest.raises(ServiceError, match=f"{KLINES} 币安人生USDT: expected kline rows of 12"),
    ):
        fetch_klines(source, span, "1h", sink.page, sink.listen)


def test_an_unknown_interval_is_refused_before_anything_is_sent(
    exchange: ScriptedExchange,
) -> None:
    with open_source(exchange) as source, pytest.raises(ConfigError, match="'7m'"):
        fetch_klines(source, [], "7m", Sink().page, Sink().listen)
    assert not exchange.seen


def test_an_interval_the_exchange_refuses_is_a_config_error(exchange: ScriptedExchange) -> None:
    exchange.script[KLINES].append(Answer(400, {"code": -1120, "msg": "Invalid interval."}))
    span = everything(exchange)[:1]
    with open_source(exchange) as source, pytest.raises(ConfigError, match="Invalid interval"):
        fetch_klines(source, span, "1h", Sink().page, Sink().listen)


def test_an_error_of_the_sink_comes_out_as_it_is(exchange: ScriptedExchange) -> None:
    def full_disk(_symbol: str, _rows: pl.DataFrame) -> None:
        raise OSError("No space left on device")

    with open_source(exchange) as source, pytest.raises(OSError, match="No space left"):
        fetch_klines(source, everything(exchange), "1h", full_disk, Sink().listen)


def test_a_stop_between_two_pages_ends_the_fetch(exchange: ScriptedExchange) -> None:
    sink = Sink()
    source = BinanceSource(
        "usdm",
        exchange.url,
        governor=WeightGovernor(2400, clock=exchange.clock),
        should_stop=lambda: bool(sink.pages),
    )
    with source, pytest.raises(StopRequested):
        fetch_klines(source, everything(exchange)[:1], "1h", sink.page, sink.listen)
    assert len(exchange.asked("klines")) == 1


def settled(at: int, **changes: object) -> dict[str, object]:
    row = {"symbol": "AUSDT", "fundingTime": at, "fundingRate": "0.0001", "markPrice": "2.5"}
    return {**row, "rateType": "Regular", **changes}


def test_funding_comes_whole_and_without_special_settlements(exchange: ScriptedExchange) -> None:
    first = exchange.now_ms // HOUR_MS * HOUR_MS - 1499 * HOUR_MS
    rows = [settled(first + hour * HOUR_MS + hour % 17) for hour in range(1500)]
    rows[700] = settled(first + 700 * HOUR_MS, rateType="Special")
    exchange.funding = {"AUSDT": rows}
    sink = Sink()
    with open_source(exchange) as source:
        spans = [SpanRequest("AUSDT", first, exchange.now_ms + HOUR_MS)]
        assert fetch_funding(source, spans, sink.page, sink.listen) == {}
    regular = [row["fundingTime"] for row in rows if row["rateType"] == "Regular"]
    assert sink.times("AUSDT", "funding_time") == regular
    assert all(page.schema == pl.Schema(FUNDING_SCHEMA) for page in sink.pages["AUSDT"])
    asked = exchange.asked("fundingRate")
    assert all({"startTime", "endTime"} <= seen.query.keys() for seen in asked)  # or 200 rows
    assert [seen.query["limit"] for seen in asked] == ["1000", "1000"]


def test_the_funding_error_object_with_status_200_is_an_error(exchange: ScriptedExchange) -> None:
    envelope = {"status": "ERROR", "code": "99099990", "errorData": "illegal params."}
    exchange.script["/fapi/v1/fundingRate"].append(Answer(body=envelope))
    with (
        open_source(exchange) as source,
        pytest.raises(ServiceError, match=r"fundingRate AUSDT: expected a list.*illegal params"),
    ):
        fetch_funding(source, everything(exchange)[:1], Sink().page, Sink().listen)
    assert len(exchange.asked("fundingRate")) == 1


def test_more_funding_requests_than_the_budget_wait_for_the_next_five_minutes(
    exchange: ScriptedExchange,
) -> None:
    governor = WeightGovernor(2400, clock=exchange.clock)
    exchange.opens = {f"S{number}USDT": [HOUR_MS] for number in range(460)}
    spans = [SpanRequest(symbol, 0, HOUR_MS) for symbol in exchange.opens]
    with open_source(exchange, governor=governor) as source:
        fetch_funding(source, spans, Sink().page, Sink().listen)
    times = [seen.at_s for seen in exchange.asked("fundingRate")]
    assert times[449] - times[0] < 200
    assert times[450] - times[0] == pytest.approx(300, abs=1)


def test_candles_that_go_on_asking_do_not_keep_funding_waiting(exchange: ScriptedExchange) -> None:
    spans = many_symbols(exchange, 60)
    wanted = (KlineFetch(spans, "1h", Sink().page), FundingFetch(spans, Sink().page))
    with open_source(exchange) as source:
        source.fetch(wanted, Sink().listen)
    paths = [seen.path for seen in exchange.seen]
    assert len(exchange.asked("klines")) > 150
    assert paths.index(KLINES) < 20
    assert paths.index("/fapi/v1/fundingRate") < 20


def test_a_stop_ends_candles_and_funding_together(exchange: ScriptedExchange) -> None:
    exchange.funding = {"AUSDT": [settled(at) for at in exchange.opens["AUSDT"][::8]]}
    candles, funding = Sink(), Sink()
    source = BinanceSource(
        "usdm",
        exchange.url,
        governor=WeightGovernor(2400, clock=exchange.clock),
        should_stop=lambda: bool(candles.pages and funding.pages),
    )
    wanted = (
        KlineFetch(everything(exchange), "1h", candles.page),
        FundingFetch(everything(exchange), funding.page),
    )
    with source, pytest.raises(StopRequested):
        source.fetch(wanted, candles.listen)
    assert len(exchange.asked("klines")) < 9


def test_schedules_are_of_contracts_that_pay_and_eight_hours_unless_told_otherwise(
    exchange: ScriptedExchange,
) -> None:
    premium = [
        {"symbol": "AUSDT", "nextFundingTime": 8 * HOUR_MS},
        {"symbol": "币安人生USDT", "nextFundingTime": 4 * HOUR_MS},
        {"symbol": "AUSDT_260925", "nextFundingTime": 0},
    ]
    info = [{"symbol": "币安人生USDT", "fundingIntervalHours": 4}]
    exchange.script["/fapi/v1/premiumIndex"].append(Answer(body=premium))
    exchange.script["/fapi/v1/fundingInfo"].append(Answer(body=info))
    with open_source(exchange) as source:
        schedules = source.funding_schedules()
    assert schedules == {
        "AUSDT": FundingSchedule(8 * HOUR_MS, 8 * HOUR_MS),
        "币安人生USDT": FundingSchedule(4 * HOUR_MS, 4 * HOUR_MS),
    }
    assert schedules["AUSDT"].settlements(-8 * HOUR_MS, 8 * HOUR_MS) == [-8 * HOUR_MS, 0]


def test_spot_has_no_funding_and_asks_for_none(exchange: ScriptedExchange) -> None:
    with open_source(exchange, "spot") as source:
        assert fetch_funding(source, everything(exchange), Sink().page, Sink().listen) == {}
    assert not exchange.seen


@pytest.mark.parametrize("market", ["usdm", "spot"])
def test_books_carry_the_time_of_the_exchange(
    exchange: ScriptedExchange, market: MarketName
) -> None:
    sink = Sink()
    with open_source(exchange, market) as source:
        books, dropped = source.fetch_order_books(["AUSDT", "NONE", "LATEUSDT"], sink.listen)
    assert books.schema == pl.Schema(BOOK_SCHEMA)
    assert books["symbol"].to_list() == ["AUSDT", "LATEUSDT"]
    assert books["time"].to_list() == [exchange.now_ms] * 2
    assert books["bid_prices"][0].to_list() == [102.5, 101.5, 100.5]
    assert list(dropped) == ["NONE"]
    assert "Invalid symbol" in dropped["NONE"]
    assert all(seen.query["limit"] == "20" for seen in exchange.asked("depth"))
    assert sink.progress[-1].fraction == 1


def test_listings_and_volumes_of_the_market(exchange: ScriptedExchange) -> None:
    entry = {"symbol": "币安人生USDT", "baseAsset": "币安人生", "quoteAsset": "USDT"}
    exchange.symbols = [
        {
            **entry,
            "status": "TRADING",
            "contractType": "PERPETUAL",
            "onboardDate": 5,
            "deliveryDate": NO_DELIVERY_MS,
        }
    ]
    with open_source(exchange) as source:
        (listing,) = source.listings()
        volumes = source.quote_volumes()
    assert (listing.symbol, listing.listed_ms, listing.delisted_ms) == ("币安人生USDT", 5, None)
    assert listing.is_trading
    assert volumes["AUSDT"] == HOURS


def test_names_tell_market_and_may_be_given() -> None:
    with BinanceSource("spot") as source:
        assert source.name == "binance-spot"
    with BinanceSource("usdm", name="simulated-7") as source:
        assert source.name == "simulated-7"
