"""Counting requests: weights, fixed windows, 429, then 418, and how they end."""

import pytest
from binance.exceptions import BinanceAPIException

from gnn_trainer.exchange.config import ExchangeConfig, RequestLimits
from gnn_trainer.exchange.limits import (
    FUNDING_WINDOW_MS,
    MINUTE_MS,
    REFUSALS_BEFORE_BAN,
    RequestLedger,
)
from gnn_trainer.exchange.process import RunningExchange, start_exchange
from tests.exchange.asking import SMALL, ask, get

NOON_MS = 1_750_000_000_000 // FUNDING_WINDOW_MS * FUNDING_WINDOW_MS


def over_the_limit(ledger: RequestLedger, now_ms: int) -> list[int]:
    """Statuses of the requests that follow a full window, up to and with the ban."""
    ledger.charge(ledger.weight.limit, now_ms)
    refusals = [ledger.charge(1, now_ms) for _ in range(REFUSALS_BEFORE_BAN + 1)]
    return [refusal.status for refusal in refusals if refusal is not None]


def test_the_count_starts_again_with_the_minute() -> None:
    ledger = RequestLedger.of(weight_limit=100, funding_limit=1)
    assert ledger.charge(100, NOON_MS + 10_000) is None
    refusal = ledger.charge(1, NOON_MS + 48_200)
    assert refusal is not None
    assert (refusal.status, refusal.retry_after_s) == (429, 12)
    assert ledger.used_weight(NOON_MS + 59_999) == 101
    assert ledger.used_weight(NOON_MS + MINUTE_MS) == 0
    assert ledger.charge(1, NOON_MS + MINUTE_MS) is None


def test_whoever_goes_on_is_banned_for_two_minutes_and_then_longer() -> None:
    ledger = RequestLedger.of(weight_limit=100, funding_limit=1)
    assert over_the_limit(ledger, NOON_MS) == [429] * REFUSALS_BEFORE_BAN + [418]
    banned = ledger.charge(1, NOON_MS + MINUTE_MS)
    assert banned is not None
    assert banned.banned_until_ms == NOON_MS + 2 * MINUTE_MS
    assert banned.retry_after_s == 60
    assert ledger.charge_funding(NOON_MS + MINUTE_MS) == banned
    free_ms = NOON_MS + 2 * MINUTE_MS
    assert over_the_limit(ledger, free_ms)[-1] == 418
    again = ledger.charge(1, free_ms)
    assert again is not None
    assert again.banned_until_ms == free_ms + 4 * MINUTE_MS


def test_backing_off_after_a_429_avoids_the_ban() -> None:
    ledger = RequestLedger.of(weight_limit=10, funding_limit=1)
    for minute in range(3 * REFUSALS_BEFORE_BAN):
        now_ms = NOON_MS + minute * MINUTE_MS
        assert ledger.charge(10, now_ms) is None
        refusal = ledger.charge(1, now_ms)
        assert refusal is not None
        assert refusal.status == 429


def test_funding_has_an_allowance_of_its_own() -> None:
    ledger = RequestLedger.of(weight_limit=10, funding_limit=2)
    assert [ledger.charge_funding(NOON_MS) for _ in range(2)] == [None, None]
    refusal = ledger.charge_funding(NOON_MS + 4 * MINUTE_MS)
    assert refusal is not None
    assert refusal.retry_after_s == 60
    assert ledger.used_weight(NOON_MS) == 0
    assert ledger.charge_funding(NOON_MS + FUNDING_WINDOW_MS) is None


def cost(exchange: RunningExchange, path: str, **query: str | int) -> int:
    """By how much the used-weight header rises with one request."""
    market = "/fapi/v1/ping" if path.startswith("/fapi") else "/api/v3/ping"
    before = int(get(exchange, market).headers["X-MBX-USED-WEIGHT-1M"])
    return int(get(exchange, path, **query).headers["x-mbx-used-weight-1m"]) - before


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("/fapi/v1/klines", {"limit": 99}, 1),
        ("/fapi/v1/klines", {"limit": 100}, 2),
        ("/fapi/v1/klines", {"limit": 499}, 2),
        ("/fapi/v1/klines", {}, 5),
        ("/fapi/v1/klines", {"limit": 1000}, 5),
        ("/fapi/v1/klines", {"limit": 1001}, 10),
        ("/fapi/v1/klines", {"limit": 1500}, 10),
        ("/fapi/v1/klines", {"limit": 9999}, 10),  # refused, and yet it counts
        ("/fapi/v1/klines", {"limit": "many"}, 1),
        ("/fapi/v1/depth", {"limit": 50}, 2),
        ("/fapi/v1/depth", {"limit": 100}, 5),
        ("/fapi/v1/depth", {}, 10),
        ("/fapi/v1/depth", {"limit": 1000}, 20),
        ("/fapi/v1/exchangeInfo", {}, 1),
        ("/fapi/v1/fundingRate", {}, 0),
        ("/fapi/v1/fundingInfo", {}, 0),
        ("/fapi/v1/premiumIndex", {}, 1),
        ("/fapi/v1/premiumIndex", {"symbol": ""}, 10),
        ("/fapi/v1/ticker/bookTicker", {}, 2),
        ("/fapi/v1/ticker/bookTicker", {"symbol": ""}, 5),
        ("/fapi/v1/ticker/24hr", {"symbol": ""}, 40),
        ("/api/v3/klines", {"limit": 1000}, 2),
        ("/api/v3/depth", {"limit": 100}, 5),
        ("/api/v3/depth", {"limit": 5000}, 250),
        ("/api/v3/exchangeInfo", {}, 20),
        ("/api/v3/ticker/24hr", {"symbol": ""}, 80),
        ("/api/v3/ticker/bookTicker", {}, 2),
    ],
)
def test_a_request_costs_what_is_documented(
    standing_exchange: RunningExchange, path: str, query: dict[str, str | int], weight: int
) -> None:
    whole = {"symbol": "BTCUSDT", "interval": "1h", **query}
    assert cost(standing_exchange, path, **whole) == weight


def test_the_limits_a_client_reads_are_those_that_hold() -> None:
    limits = RequestLimits(spot_weight=300, usdm_weight=120)
    config = ExchangeConfig(symbols=4, bars=100, ticking=False, limits=limits)
    with start_exchange(config) as exchange:
        for path, limit in (("/fapi/v1", 120), ("/api/v3", 300)):
            told = get(exchange, f"{path}/exchangeInfo").json()["rateLimits"][0]
            assert told["limit"] == limit
            assert (told["rateLimitType"], told["interval"]) == ("REQUEST_WEIGHT", "MINUTE")
            answers = [get(exchange, f"{path}/ping") for _ in range(limit)]
            used = [int(answer.headers["X-MBX-USED-WEIGHT-1M"]) for answer in answers]
            refused = [answer.status_code for answer in answers if answer.status_code != 200]
            within = [u for u, a in zip(used, answers, strict=True) if a.status_code == 200]
            assert max(within) == limit
            assert refused[0] == 429


def test_the_defaults_are_binance_s_own() -> None:
    assert (SMALL.limits.usdm_weight, SMALL.limits.spot_weight) == (2400, 6000)
    assert SMALL.limits.funding_requests == 500


@pytest.mark.parametrize("market", ["/fapi/v1", "/api/v3"])
def test_a_429_and_a_418_say_how_long_to_wait(market: str) -> None:
    limits = RequestLimits(spot_weight=10, usdm_weight=10)
    config = ExchangeConfig(symbols=4, bars=100, ticking=False, limits=limits)
    with start_exchange(config) as exchange:
        answers = [get(exchange, f"{market}/ping") for _ in range(10 + REFUSALS_BEFORE_BAN + 1)]
        first, last = answers[10], answers[-1]
        assert first.status_code == 429
        assert first.json()["code"] == -1003
        assert "banned" not in first.json()["msg"]
        assert 1 <= int(first.headers["Retry-After"]) <= 60
        assert last.status_code == 418
        assert f"banned until {exchange.now_ms + 120_000}" in last.json()["msg"]
        assert last.headers["Retry-After"] == "120"
        exchange.clock.advance(119_000)
        assert get(exchange, f"{market}/ping").status_code == 418
        exchange.clock.advance(1_000)
        assert get(exchange, f"{market}/ping").status_code == 200


def test_the_markets_count_separately() -> None:
    limits = RequestLimits(spot_weight=5, usdm_weight=5)
    config = ExchangeConfig(symbols=4, bars=100, ticking=False, limits=limits)
    with start_exchange(config) as exchange:
        for _ in range(6):
            spot = get(exchange, "/api/v3/ping")
        assert spot.status_code == 429
        assert get(exchange, "/fapi/v1/ping").status_code == 200


def test_the_library_sees_a_429_as_it_does_on_binance() -> None:
    limits = RequestLimits(usdm_weight=1)
    config = ExchangeConfig(symbols=4, bars=100, ticking=False, limits=limits)
    with start_exchange(config) as exchange:
        get(exchange, "/fapi/v1/ping")
        with pytest.raises(BinanceAPIException) as caught:
            ask(exchange, lambda client: client.futures_ping())
        assert (caught.value.status_code, caught.value.code) == (429, -1003)
        assert caught.value.response.headers["Retry-After"]
