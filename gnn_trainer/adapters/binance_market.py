"""What Binance's two markets call things and charge for them: USD-M perpetuals and spot.

Paths and weights: developers.binance.com, USD-M and spot REST market data; checked 2026-08.
"""

from dataclasses import dataclass
from typing import Literal

from gnn_trainer.adapters.weights import Cost

MarketName = Literal["usdm", "spot"]


@dataclass(frozen=True)
class Endpoint:
    """`path` names it in messages; `method` is python-binance's coroutine for it."""

    path: str
    method: str


@dataclass(frozen=True)
class FundingEndpoints:
    """`premium` tells all symbols' next settlements, `info` the intervals that are not 8 hours."""

    rates: Endpoint
    premium: Endpoint
    info: Endpoint
    premium_weight: int  # of all symbols at once


@dataclass(frozen=True)
class BinanceMarket:
    """One of the markets. Weights are per call; `page_rows` is the cheapest page per row."""

    name: MarketName
    default_url: str
    url_variable: str
    weight_limit: int  # per minute, assumed until exchangeInfo tells
    time: Endpoint
    exchange_info: Endpoint
    klines: Endpoint
    depth: Endpoint
    ticker: Endpoint
    funding: FundingEndpoints | None  # spot has none
    exchange_info_weight: int
    depth_weight: int  # of 20 levels
    ticker_weight: int  # of all symbols at once
    page_rows: int
    page_weights: tuple[tuple[int, int], ...]  # (limit up to, weight), ascending

    def page_weight(self, limit: int) -> int:
        """Weight of a klines call that asks for `limit` rows."""
        return next(weight for up_to, weight in self.page_weights if limit <= up_to)


USDM = BinanceMarket(
    name="usdm",
    default_url="https://fapi.binance.com",
    url_variable="BINANCE_FUTURES_URL",
    weight_limit=2400,
    time=Endpoint("/fapi/v1/time", "futures_time"),
    exchange_info=Endpoint("/fapi/v1/exchangeInfo", "futures_exchange_info"),
    klines=Endpoint("/fapi/v1/klines", "futures_klines"),
    depth=Endpoint("/fapi/v1/depth", "futures_order_book"),
    ticker=Endpoint("/fapi/v1/ticker/24hr", "futures_ticker"),
    funding=FundingEndpoints(
        rates=Endpoint("/fapi/v1/fundingRate", "futures_funding_rate"),
        premium=Endpoint("/fapi/v1/premiumIndex", "futures_mark_price"),
        info=Endpoint("/fapi/v1/fundingInfo", "futures_v1_get_funding_info"),
        premium_weight=10,
    ),
    exchange_info_weight=1,
    depth_weight=2,
    ticker_weight=40,
    page_rows=499,  # weight 2; 500 rows would cost 5
    page_weights=((99, 1), (499, 2)),
)
SPOT = BinanceMarket(
    name="spot",
    default_url="https://api.binance.com",
    url_variable="BINANCE_API_URL",
    weight_limit=6000,
    time=Endpoint("/api/v3/time", "get_server_time"),
    exchange_info=Endpoint("/api/v3/exchangeInfo", "get_exchange_info"),
    klines=Endpoint("/api/v3/klines", "get_klines"),
    depth=Endpoint("/api/v3/depth", "get_order_book"),
    ticker=Endpoint("/api/v3/ticker/24hr", "get_ticker"),
    funding=None,
    exchange_info_weight=20,
    depth_weight=5,
    ticker_weight=80,
    page_rows=1000,
    page_weights=((1000, 2),),
)
MARKETS: dict[MarketName, BinanceMarket] = {"usdm": USDM, "spot": SPOT}
FUNDING_COST = Cost(funding_requests=1)  # of `rates` and of `info`
FUNDING_PAGE_ROWS = 1000  # above it the exchange answers 200 with an error object
