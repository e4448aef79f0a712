"""The two tickers, which spot and USD-M answer with nearly the same words."""

from gnn_trainer.exchange.book import write_levels
from gnn_trainer.exchange.rows import SPOT_DECIMALS
from gnn_trainer.exchange.truth import Listing, MarketName
from gnn_trainer.exchange.venue import Venue


def decimals_of(market: MarketName, listing: Listing) -> tuple[int, int]:
    """Decimals of prices and of quantities: spot always writes eight."""
    if market == "spot":
        return SPOT_DECIMALS, SPOT_DECIMALS
    return listing.price_decimals, listing.quantity_decimals


def day_ticker(venue: Venue, market: MarketName, listing: Listing) -> dict[str, str | int]:
    """The last 24 hours of one symbol."""
    day = venue.day(market, listing)
    price, quantity = decimals_of(market, listing)
    average = day.quote_volume / day.volume if day.volume else day.last
    return {
        "symbol": listing.symbol,
        "priceChange": f"{day.last - day.open:.{price}f}",
        "priceChangePercent": f"{100 * (day.last / day.open - 1):.3f}",
        "weightedAvgPrice": f"{average:.{price}f}",
        "lastPrice": f"{day.last:.{price}f}",
        "lastQty": f"{day.volume / max(day.trades, 1):.{quantity}f}",
        "openPrice": f"{day.open:.{price}f}",
        "highPrice": f"{day.high:.{price}f}",
        "lowPrice": f"{day.low:.{price}f}",
        "volume": f"{day.volume:.{quantity}f}",
        "quoteVolume": f"{day.quote_volume:.{price}f}",
        "openTime": day.opened_ms,
        "closeTime": venue.now_ms(),
        "firstId": 1,
        "lastId": day.trades,
        "count": day.trades,
    }


def book_ticker(venue: Venue, market: MarketName, listing: Listing) -> dict[str, str]:
    """Best bid and ask: the first level of what the depth endpoint answers."""
    book = venue.book(market, listing)
    decimals = decimals_of(market, listing)
    bids = write_levels(book.bid_ticks[:1], book.bid_quantities[:1], listing, decimals)
    asks = write_levels(book.ask_ticks[:1], book.ask_quantities[:1], listing, decimals)
    (bid_price, bid_quantity), (ask_price, ask_quantity) = bids[0], asks[0]
    return {
        "symbol": listing.symbol,
        "bidPrice": bid_price,
        "bidQty": bid_quantity,
        "askPrice": ask_price,
        "askQty": ask_quantity,
    }
