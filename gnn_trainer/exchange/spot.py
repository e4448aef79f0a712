"""The spot endpoints, /api/v3: every price with eight decimals, too large limits are clipped."""

import json
from collections.abc import Callable, Mapping

from gnn_trainer.exchange.book import write_levels
from gnn_trainer.exchange.endpoint import Endpoint, by_limit, flat, one_or_all
from gnn_trainer.exchange.query import ApiError, Query, to_json
from gnn_trainer.exchange.rows import SPOT_DECIMALS
from gnn_trainer.exchange.tickers import book_ticker, day_ticker
from gnn_trainer.exchange.truth import Listing
from gnn_trainer.exchange.venue import Venue

_KLINE_LIMIT, _MAX_KLINES = 500, 1000
_DEPTH_LIMIT, _MAX_DEPTH = 100, 5000


def exchange_info(venue: Venue, query: Query) -> bytes:
    """All symbols, or those asked for; a delisted one stays in it with status BREAK."""
    now_ms = venue.now_ms()
    asked = _asked_symbols(query)
    listings = (
        venue.listings("spot")
        if asked is None
        else [venue.listing("spot", symbol) for symbol in asked]
    )
    document = {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, venue.limits.spot_weight),
            _rate_limit("ORDERS", "SECOND", 10, 100),
            _rate_limit("ORDERS", "DAY", 1, 200_000),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [_symbol_info(listing, now_ms) for listing in listings],
    }
    return to_json(document)


def _rate_limit(kind: str, interval: str, number: int, limit: int) -> Mapping[str, object]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def _asked_symbols(query: Query) -> list[str] | None:
    """`symbol`, or the JSON array in `symbols`; None when neither is given."""
    symbol, symbols = query.optional("symbol"), query.optional("symbols")
    if symbol is not None:
        return [symbol]
    if symbols is None:
        return None
    try:
        asked = json.loads(symbols)
    except json.JSONDecodeError:
        asked = None
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        raise ApiError(-1100, "Illegal characters found in parameter 'symbols'.")
    return asked


def _symbol_info(listing: Listing, now_ms: int) -> Mapping[str, object]:
    is_trading = listing.status_at(now_ms) == "TRADING"
    tick = f"{10.0**-listing.tick_decimals:.{SPOT_DECIMALS}f}"
    step = f"{10.0**-listing.quantity_decimals:.{SPOT_DECIMALS}f}"
    return {
        "symbol": listing.symbol,
        "status": "TRADING" if is_trading else "BREAK",
        "baseAsset": listing.base_asset,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote_asset,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": is_trading,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "922327.00000000",
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": step,
                "maxQty": "9000000.00000000",
                "stepSize": step,
            },
        ],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def klines(venue: Venue, query: Query) -> bytes:
    limit = query.limit(_KLINE_LIMIT, _MAX_KLINES, clip=True)
    listing = venue.listing("spot", query.text("symbol"))
    return venue.kline_page("spot", query, limit=limit, listing=listing)


def depth(venue: Venue, query: Query) -> bytes:
    """The book of a symbol; one that does not trade has an empty one."""
    limit = query.limit(_DEPTH_LIMIT, _MAX_DEPTH, clip=True)
    listing = venue.listing("spot", query.text("symbol"))
    document: dict[str, object] = {"lastUpdateId": venue.now_ms() * 8, "bids": [], "asks": []}
    if venue.is_trading("spot", listing):
        book, decimals = venue.book("spot", listing), (SPOT_DECIMALS, SPOT_DECIMALS)
        for side, ticks, quantities in (
            ("bids", book.bid_ticks, book.bid_quantities),
            ("asks", book.ask_ticks, book.ask_quantities),
        ):
            document[side] = write_levels(ticks[:limit], quantities[:limit], listing, decimals)
    return to_json(document)


def ticker_24hr(venue: Venue, query: Query) -> bytes:
    return _tickers(venue, query, _day_ticker)


def _day_ticker(venue: Venue, listing: Listing) -> dict[str, str | int]:
    ticker = day_ticker(venue, "spot", listing)
    best = {k: v for k, v in book_ticker(venue, "spot", listing).items() if k != "symbol"}
    return {**ticker, "prevClosePrice": ticker["openPrice"], **best}


def ticker_book(venue: Venue, query: Query) -> bytes:
    return _tickers(venue, query, lambda venue, listing: book_ticker(venue, "spot", listing))


def _tickers(
    venue: Venue, query: Query, write: Callable[[Venue, Listing], Mapping[str, str | int]]
) -> bytes:
    """One object for `symbol`, an array for `symbols` or for all that trade."""
    asked = _asked_symbols(query)
    trading = venue.trading("spot")
    if asked is not None:
        listings = [venue.listing("spot", symbol) for symbol in asked]
        trading = [listing for listing in listings if venue.has_traded("spot", listing)]
    rows = [write(venue, listing) for listing in trading]
    return to_json(rows[0] if query.optional("symbol") and rows else rows)


SPOT_ENDPOINTS: Mapping[str, Endpoint] = {
    "/api/v3/ping": Endpoint(lambda venue, query: b"{}", flat(1)),
    "/api/v3/time": Endpoint(lambda venue, query: to_json({"serverTime": venue.now_ms()}), flat(1)),
    "/api/v3/exchangeInfo": Endpoint(exchange_info, flat(20)),
    "/api/v3/klines": Endpoint(klines, flat(2)),
    "/api/v3/depth": Endpoint(
        depth, by_limit(_DEPTH_LIMIT, (100, 5), (500, 25), (1000, 50), (5000, 250))
    ),
    "/api/v3/ticker/24hr": Endpoint(ticker_24hr, one_or_all(2, 80)),
    "/api/v3/ticker/bookTicker": Endpoint(ticker_book, one_or_all(2, 4)),
}
