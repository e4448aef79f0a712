"""The USD-M futures endpoints, /fapi/v1: shapes as recorded in 2026, weights as documented."""

import math
from collections.abc import Mapping

import numpy as np

from gnn_trainer.exchange.book import write_levels
from gnn_trainer.exchange.endpoint import Endpoint, by_limit, flat, one_or_all
from gnn_trainer.exchange.query import ApiError, Query, TimeWindow, not_valid, to_json
from gnn_trainer.exchange.tickers import book_ticker, day_ticker
from gnn_trainer.exchange.truth import Listing
from gnn_trainer.exchange.venue import HOUR_MS, Venue
from gnn_trainer.market.intervals import DAY_MS

_NEVER_MS = 4_133_404_800_000  # deliveryDate of a contract without an end
_ANNOUNCED_BEFORE_MS = 7 * DAY_MS
_KLINE_LIMIT, _MAX_KLINES = 500, 1500
_DEPTH_LIMIT, _DEPTH_LIMITS = 500, (5, 10, 20, 50, 100, 500, 1000)
_FUNDING_LIMIT, _MAX_FUNDING, _MAX_FUNDING_WITHOUT_WINDOW = 100, 1000, 200
_FUNDING_REFUSAL = {
    "status": "ERROR",
    "type": "GENERAL",
    "code": "99099990",
    "errorData": "illegal params.",
    "data": None,
    "subData": None,
    "params": None,
}


def exchange_info(venue: Venue, query: Query) -> bytes:
    """Always all symbols: a `symbol` parameter is ignored."""
    now_ms = venue.now_ms()
    weight_limit = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": venue.limits.usdm_weight,
    }
    orders = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}
    document = {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [weight_limit, orders],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol_info(listing, now_ms) for listing in venue.listings("usdm")],
    }
    return to_json(document)


def _symbol_info(listing: Listing, now_ms: int) -> Mapping[str, object]:
    status = listing.status_at(now_ms)
    tick = f"{10.0**-listing.tick_decimals:.{listing.price_decimals}f}"
    step = f"{10.0**-listing.quantity_decimals:.{listing.quantity_decimals}f}"
    lot = {"stepSize": step, "minQty": step, "maxQty": "10000000"}
    return {
        "symbol": listing.symbol,
        "pair": listing.pair,
        # The recorded answer has an empty type for a contract not yet trading.
        "contractType": "" if status == "PENDING_TRADING" else listing.contract_type,
        "deliveryDate": _delivery_date(listing, now_ms),
        "onboardDate": listing.listed_ms,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base_asset,
        "quoteAsset": listing.quote_asset,
        "marginAsset": listing.quote_asset,
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.quantity_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "4529764",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY", "DCA", "PSB"],
    }


def _delivery_date(listing: Listing, now_ms: int) -> int:
    """A perpetual's end shows only once it is announced; a quarterly's always."""
    ends_ms = listing.delisted_ms
    if ends_ms is None:
        return _NEVER_MS
    is_known = listing.contract_type == "CURRENT_QUARTER" or (
        now_ms >= ends_ms - _ANNOUNCED_BEFORE_MS
    )
    return ends_ms if is_known else _NEVER_MS


def klines(venue: Venue, query: Query) -> bytes:
    limit = query.limit(_KLINE_LIMIT, _MAX_KLINES, clip=False)
    listing = venue.listing("usdm", query.text("symbol"))
    return venue.kline_page("usdm", query, limit=limit, listing=listing)


def depth(venue: Venue, query: Query) -> bytes:
    limit = query.limit(_DEPTH_LIMIT, _DEPTH_LIMITS[-1], clip=False)
    if limit not in _DEPTH_LIMITS:
        raise ApiError(-4021, f"{limit} is not valid depth limit")
    listing = _live(venue, venue.listing("usdm", query.text("symbol")))
    book, now_ms = venue.book("usdm", listing), venue.now_ms()
    decimals = (listing.price_decimals, listing.quantity_decimals)
    bids = write_levels(book.bid_ticks[:limit], book.bid_quantities[:limit], listing, decimals)
    asks = write_levels(book.ask_ticks[:limit], book.ask_quantities[:limit], listing, decimals)
    times = {"lastUpdateId": now_ms * 8, "E": now_ms, "T": now_ms - 3}
    return to_json({**times, "bids": bids, "asks": asks})


def _live(venue: Venue, listing: Listing) -> Listing:
    if not venue.is_trading("usdm", listing):
        raise ApiError(
            -4108,
            "Symbol is on delivering or delivered or settling or closed or pre-trading.",
        )
    return listing


def funding_rate(venue: Venue, query: Query) -> bytes:
    """Without a window at most the newest 200 rows, whatever the limit.

    Above a limit of 1000 the refusal comes as an object with status 200.
    """
    limit = query.integer("limit")
    limit = _FUNDING_LIMIT if limit is None else limit
    if limit > _MAX_FUNDING:
        return to_json(_FUNDING_REFUSAL)
    if limit == 0:
        raise not_valid("limit")
    window = query.window()
    if window.start_ms is None and window.end_ms is None:
        limit = min(limit, _MAX_FUNDING_WITHOUT_WINDOW)
    symbol = query.optional("symbol")
    asked = [venue.listing("usdm", symbol)] if symbol else venue.listings("usdm")
    rows = [row for listing in asked for row in _settlements(venue, listing, window)]
    rows.sort(key=lambda row: row[0])
    page = rows[window.rows(0, len(rows), limit)]
    return to_json([_written_settlement(venue, *row) for row in page])


def _settlements(
    venue: Venue, listing: Listing, window: TimeWindow
) -> list[tuple[int, Listing, float, float]]:
    """Time, listing, rate and mark price of what is settled within the window."""
    history, settled = venue.funding(listing)
    first = int(np.searchsorted(history.time, window.start_ms or 0))
    stop = settled
    if window.end_ms is not None:
        stop = min(stop, int(np.searchsorted(history.time, window.end_ms, side="right")))
    return [
        (int(history.time[row]), listing, float(history.rate[row]), float(history.mark_price[row]))
        for row in range(first, stop)
    ]


def _written_settlement(
    venue: Venue, time_ms: int, listing: Listing, rate: float, mark_price: float
) -> Mapping[str, object]:
    if math.isnan(mark_price):
        mark_price = venue.mark_price_at(listing, time_ms)
    return {
        "symbol": listing.symbol,
        "fundingTime": time_ms,
        "fundingRate": f"{rate:.8f}",
        "markPrice": "" if math.isnan(mark_price) else f"{mark_price:.8f}",
        "rateType": "Regular",
    }


def funding_info(venue: Venue, query: Query) -> bytes:
    """Only symbols whose funding was ever adjusted; the others settle every 8 hours."""
    rows = [
        {
            "symbol": listing.symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": listing.funding_hours,
            "disclaimer": False,
            "updateTime": listing.listed_ms,
        }
        for listing in venue.trading("usdm")
        if listing.pays_funding and listing.funding_hours != 8
    ]
    return to_json(rows)


def premium_index(venue: Venue, query: Query) -> bytes:
    rows = [_premium(venue, listing) for listing in venue.asked_listings("usdm", query)]
    return to_json(rows[0] if query.optional("symbol") else rows)


def _premium(venue: Venue, listing: Listing) -> Mapping[str, object]:
    now_ms = venue.now_ms()
    price = f"{venue.day('usdm', _live(venue, listing)).last:.8f}"
    history, settled = venue.funding(listing)
    step_ms = listing.funding_hours * HOUR_MS
    next_ms = (now_ms // step_ms + 1) * step_ms if listing.pays_funding else 0
    return {
        "symbol": listing.symbol,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": f"{history.rate[settled - 1]:.8f}" if settled else "0.00000000",
        "interestRate": "0.00010000",
        "nextFundingTime": next_ms,
        "time": now_ms,
    }


def open_interest(venue: Venue, query: Query) -> bytes:
    listing = _live(venue, venue.listing("usdm", query.text("symbol")))
    held = venue.day("usdm", listing).volume / 3
    return to_json(
        {
            "symbol": listing.symbol,
            "openInterest": f"{held:.{listing.quantity_decimals}f}",
            "time": venue.now_ms(),
        }
    )


def ticker_24hr(venue: Venue, query: Query) -> bytes:
    rows = [
        day_ticker(venue, "usdm", _live(venue, listing))
        for listing in venue.asked_listings("usdm", query)
    ]
    return to_json(rows[0] if query.optional("symbol") else rows)


def ticker_book(venue: Venue, query: Query) -> bytes:
    now_ms = venue.now_ms()
    rows = [
        {
            **book_ticker(venue, "usdm", _live(venue, listing)),
            "time": now_ms,
            "lastUpdateId": now_ms * 8,
        }
        for listing in venue.asked_listings("usdm", query)
    ]
    return to_json(rows[0] if query.optional("symbol") else rows)


USDM_ENDPOINTS: Mapping[str, Endpoint] = {
    "/fapi/v1/ping": Endpoint(lambda venue, query: b"{}", flat(1)),
    "/fapi/v1/time": Endpoint(
        lambda venue, query: to_json({"serverTime": venue.now_ms()}), flat(1)
    ),
    "/fapi/v1/exchangeInfo": Endpoint(exchange_info, flat(1)),
    "/fapi/v1/klines": Endpoint(
        klines, by_limit(_KLINE_LIMIT, (99, 1), (499, 2), (1000, 5), (1500, 10))
    ),
    "/fapi/v1/depth": Endpoint(
        depth, by_limit(_DEPTH_LIMIT, (50, 2), (100, 5), (500, 10), (1000, 20))
    ),
    "/fapi/v1/fundingRate": Endpoint(funding_rate, flat(0), is_funding=True),
    "/fapi/v1/fundingInfo": Endpoint(funding_info, flat(0), is_funding=True),
    "/fapi/v1/premiumIndex": Endpoint(premium_index, one_or_all(1, 10)),
    "/fapi/v1/openInterest": Endpoint(open_interest, flat(1)),
    "/fapi/v1/ticker/24hr": Endpoint(ticker_24hr, one_or_all(1, 40)),
    "/fapi/v1/ticker/bookTicker": Endpoint(ticker_book, one_or_all(2, 5)),
}
