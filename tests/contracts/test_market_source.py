"""What every MarketSource owes, over HTTP: against the simulated exchange, and the real one.

The real one is asked when its addresses are given, e.g.
GNN_TRAINER_TEST_BINANCE_USDM_URL=https://fapi.binance.com and
GNN_TRAINER_TEST_BINANCE_SPOT_URL=https://api.binance.com; about 200 request weight each.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pytest

from gnn_trainer.adapters.binance import BinanceSource
from gnn_trainer.exchange.config import GENEROUS_LIMITS, ExchangeConfig
from gnn_trainer.exchange.process import RunningExchange, start_exchange
from gnn_trainer.market.book import BOOK_LEVELS, BOOK_SCHEMA
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.funding import FUNDING_SCHEMA, MINUTE_MS, settlement_minute
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import FundingFetch, KlineFetch, MarketSource, Progress

HOUR_MS = INTERVAL_MS["1h"]
LARGE = ["BTCUSDT", "ETHUSDT"]
UNKNOWN = "NOSUCHCOINUSDT"


@dataclass
class Delivery:
    """All pages of one fetch, and what was told on the way."""

    pages: defaultdict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    progress: list[Progress] = field(default_factory=list)

    def page(self, symbol: str, rows: pl.DataFrame) -> None:
        self.pages[symbol].append(rows)

    def listen(self, progress: Progress, /) -> None:
        self.progress.append(progress)

    def rows(self, symbol: str) -> pl.DataFrame:
        return pl.concat(self.pages[symbol])


@pytest.fixture(scope="module")
def exchange() -> Iterator[RunningExchange]:
    config = ExchangeConfig(symbols=6, bars=1500, limits=GENEROUS_LIMITS, ticking=False)
    with start_exchange(config) as exchange:
        yield exchange


@pytest.fixture(params=["simulated usdm", "simulated spot", "real usdm", "real spot"])
def source(request: pytest.FixtureRequest) -> Iterator[MarketSource]:
    kind, market = request.param.split()
    if kind == "simulated":
        url = request.getfixturevalue("exchange").url
    else:
        variable = f"GNN_TRAINER_TEST_BINANCE_{market.upper()}_URL"
        url = os.environ.get(variable) or pytest.skip(f"{variable} names no exchange to ask")
    with BinanceSource(market, url, name=request.param.replace(" ", "-")) as source:
        yield source


def fetch_klines(source: MarketSource, *spans: SpanRequest) -> Delivery:
    delivery = Delivery()
    (dropped,) = source.fetch([KlineFetch(spans, "1h", delivery.page)], delivery.listen)
    assert dropped == {}
    return delivery


def last_days(source: MarketSource, days: int) -> tuple[int, int]:
    """The last so many days up to the newest closed bar."""
    end_ms = source.server_time_ms() // HOUR_MS * HOUR_MS
    return end_ms - days * DAY_MS, end_ms


def is_usdm(source: MarketSource) -> bool:
    return source.name.endswith("usdm")


def test_listings_name_each_symbol_once_and_some_trade(source: MarketSource) -> None:
    listings = source.listings()
    assert len({listing.symbol for listing in listings}) == len(listings)
    trading = {listing.symbol: listing for listing in listings if listing.is_trading}
    assert set(LARGE) <= set(trading)
    now_ms = source.server_time_ms()
    for symbol in LARGE:
        assert trading[symbol].quote_asset == "USDT"
        assert trading[symbol].contract_type == ("PERPETUAL" if is_usdm(source) else "SPOT")
        assert (trading[symbol].listed_ms or 0) < now_ms
        assert trading[symbol].delisted_ms is None
    assert any(not listing.is_trading for listing in listings)


def test_volumes_are_of_listed_symbols_and_positive_for_the_large(source: MarketSource) -> None:
    volumes = source.quote_volumes()
    assert set(volumes) <= {listing.symbol for listing in source.listings()}
    assert all(volume >= 0 for volume in volumes.values())
    assert all(volumes[symbol] > 0 for symbol in LARGE)


def test_klines_of_a_closed_span_are_every_bar_once_in_order(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 45)  # more than two of the cheapest USD-M pages
    delivery = fetch_klines(source, *(SpanRequest(symbol, start_ms, end_ms) for symbol in LARGE))
    for symbol in LARGE:
        rows = delivery.rows(symbol)
        assert rows.schema == pl.Schema(CANDLE_SCHEMA)
        missing = set(range(start_ms, end_ms, HOUR_MS)) - set(rows["open_time"])
        assert rows["open_time"].is_sorted()
        assert len(rows) + len(missing) == 45 * 24
        assert len(missing) <= (0 if is_usdm(source) else 24)  # spot has maintenance


def test_candles_make_sense(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 10)
    rows = fetch_klines(source, SpanRequest("BTCUSDT", start_ms, end_ms)).rows("BTCUSDT")
    best = pl.max_horizontal("open", "close")
    worst = pl.min_horizontal("open", "close")
    sense = rows.select(
        (pl.col("low") > 0).all().alias("prices are positive"),
        (pl.col("high") >= best).all().alias("nothing traded above the high"),
        (pl.col("low") <= worst).all().alias("nothing traded below the low"),
        pl.col("quote_volume")
        .is_between(pl.col("volume") * pl.col("low"), pl.col("volume") * pl.col("high"))
        .mean()
        .gt(0.95)
        .alias("volumes are in base and quote asset"),
        (pl.col("taker_buy_volume") <= pl.col("volume")).all().alias("takers buy a part"),
        (pl.col("trades") >= 0).all().alias("trades are counted"),
    )
    assert [name for name, holds in sense.row(0, named=True).items() if not holds] == []


def test_adjacent_spans_meet_without_overlap_or_hole(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 4)
    middle_ms = start_ms + DAY_MS
    whole = fetch_klines(source, SpanRequest("ETHUSDT", start_ms, end_ms)).rows("ETHUSDT")
    parts = fetch_klines(
        source,
        SpanRequest("ETHUSDT", start_ms, middle_ms),
        SpanRequest("ETHUSDT", middle_ms, end_ms),
    ).rows("ETHUSDT")
    assert parts.equals(whole)


def test_the_newest_bar_delivered_has_opened_by_server_time(source: MarketSource) -> None:
    now_ms = source.server_time_ms()
    span = SpanRequest("BTCUSDT", now_ms - DAY_MS, now_ms + 30 * DAY_MS)
    newest = fetch_klines(source, span).rows("BTCUSDT")["open_time"].to_list()[-1]
    assert now_ms - HOUR_MS < newest <= source.server_time_ms()


def test_a_span_before_the_listing_or_after_now_delivers_nothing(source: MarketSource) -> None:
    now_ms = source.server_time_ms()
    spans = [
        SpanRequest("BTCUSDT", 0, 10 * DAY_MS),
        SpanRequest("BTCUSDT", now_ms + DAY_MS, now_ms + 2 * DAY_MS),
    ]
    assert fetch_klines(source, *spans).pages == {}


def test_an_unknown_symbol_is_dropped_with_the_reason_and_the_others_come(
    source: MarketSource,
) -> None:
    start_ms, end_ms = last_days(source, 1)
    spans = [SpanRequest(symbol, start_ms, end_ms) for symbol in [UNKNOWN, *LARGE]]
    delivery = Delivery()
    (dropped,) = source.fetch([KlineFetch(spans, "1h", delivery.page)], delivery.listen)
    assert list(dropped) == [UNKNOWN]
    assert UNKNOWN in dropped[UNKNOWN]
    assert set(delivery.pages) == set(LARGE)


def test_progress_ends_at_everything(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 30)
    delivery = fetch_klines(source, *(SpanRequest(symbol, start_ms, end_ms) for symbol in LARGE))
    last = delivery.progress[-1]
    assert last.fraction == pytest.approx(1)
    assert last.fields["symbols_done"] == 2
    assert last.fields["rows"] == sum(len(delivery.rows(symbol)) for symbol in LARGE)


def test_funding_lies_in_the_span_in_order_and_spot_has_none(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 20)
    delivery = Delivery()
    span = SpanRequest("BTCUSDT", start_ms, end_ms)
    assert source.fetch([FundingFetch([span], delivery.page)], delivery.listen) == [{}]
    if not is_usdm(source):
        assert delivery.pages == {}
        return
    rows = delivery.rows("BTCUSDT")
    assert rows.schema == pl.Schema(FUNDING_SCHEMA)
    times = rows["funding_time"]
    assert times.is_sorted()
    assert times.n_unique() == len(times) >= 20 * 3 - 1  # at least every 8 hours
    assert start_ms <= times[0]
    assert times[-1] < end_ms
    assert rows["rate"].is_between(-0.05, 0.05).all()


def test_candles_and_funding_side_by_side_are_what_they_are_apart(source: MarketSource) -> None:
    start_ms, end_ms = last_days(source, 5)
    spans = [SpanRequest(symbol, start_ms, end_ms) for symbol in [UNKNOWN, *LARGE]]
    candles, funding, alone = Delivery(), Delivery(), Delivery()
    together = (KlineFetch(spans, "1h", candles.page), FundingFetch(spans, funding.page))
    dropped = source.fetch(together, candles.listen)
    (dropped_alone,) = source.fetch([FundingFetch(spans, alone.page)], alone.listen)
    assert list(dropped[0]) == [UNKNOWN]
    assert dropped[1] == dropped_alone
    for symbol in LARGE:
        span = SpanRequest(symbol, start_ms, end_ms)
        assert candles.rows(symbol).equals(fetch_klines(source, span).rows(symbol))
    assert set(funding.pages) == (set(LARGE) if is_usdm(source) else set())
    assert all(funding.rows(symbol).equals(alone.rows(symbol)) for symbol in funding.pages)
    last = candles.progress[-1]
    assert last.fraction == pytest.approx(1)
    assert last.fields["symbols_done"] == last.fields["symbols"] == 3


def test_schedules_foretell_the_settlements_and_spot_has_none(source: MarketSource) -> None:
    now_ms = source.server_time_ms()
    schedules = source.funding_schedules()
    if not is_usdm(source):
        assert schedules == {}
        return
    delivery = Delivery()
    spans = [SpanRequest(symbol, now_ms - DAY_MS, now_ms - MINUTE_MS) for symbol in LARGE]
    source.fetch([FundingFetch(spans, delivery.page)], delivery.listen)
    for span in spans:
        schedule = schedules[span.symbol]
        assert now_ms - MINUTE_MS < schedule.next_ms <= now_ms + schedule.interval_ms + MINUTE_MS
        minutes = delivery.rows(span.symbol).select(settlement_minute())["funding_time"].to_list()
        assert minutes == schedule.settlements(span.start_ms, span.end_ms)


def test_books_are_sorted_uncrossed_and_of_now(source: MarketSource) -> None:
    before_ms = source.server_time_ms()
    delivery = Delivery()
    books, dropped = source.fetch_order_books([*LARGE, UNKNOWN], delivery.listen)
    assert list(dropped) == [UNKNOWN]
    assert books.schema == pl.Schema(BOOK_SCHEMA)
    assert books["symbol"].to_list() == LARGE
    for book in books.iter_rows(named=True):
        bids, asks = book["bid_prices"], book["ask_prices"]
        assert len(bids) == len(asks) == BOOK_LEVELS
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert 0 < bids[0] < asks[0]
        assert min(book["bid_quantities"] + book["ask_quantities"]) > 0
        assert before_ms - 10_000 <= book["time"] <= source.server_time_ms() + 10_000
