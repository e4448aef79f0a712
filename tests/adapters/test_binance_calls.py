"""Faults on the wire, in exact order, seen through the source that the flow uses."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gnn_trainer.adapters.binance import BinanceSource
from gnn_trainer.adapters.binance_calls import CallPolicy
from gnn_trainer.adapters.weights import WeightGovernor
from gnn_trainer.errors import (
    ConfigError,
    GnnTrainerError,
    RateLimited,
    ServiceBanned,
    ServiceError,
    StopRequested,
    TransientServiceError,
)
from tests.adapters.scripted_exchange import Answer, ScriptedExchange, VirtualTime

TIME = "/fapi/v1/time"
HTML = "<html><body>Request blocked.</body></html>"


@pytest.fixture
def exchange() -> Iterator[ScriptedExchange]:
    with ScriptedExchange() as exchange:
        yield exchange


def open_source(
    exchange: ScriptedExchange,
    *,
    policy: CallPolicy | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    api_key: str | None = None,
    api_secret: str | None = None,
) -> BinanceSource:
    return BinanceSource(
        "usdm",
        exchange.url,
        api_key,
        api_secret,
        policy=policy,
        should_stop=should_stop,
        governor=WeightGovernor(2400, clock=exchange.clock),
        clock=exchange.clock,
        wait=exchange.clock.wait,
        now_ms=lambda: exchange.now_ms,
        random=np.random.default_rng(5),
    )


TROUBLES = {
    "server error": Answer(500, {"code": -1000, "msg": "unknown"}),
    "overload": Answer(503, {"code": -1008, "msg": "busy"}),
    "request timeout": Answer(408, {"code": -1007, "msg": "timeout"}),
    "gateway page": Answer(502, HTML, content_type="text/html"),
    "error body that is a list": Answer(500, ["oops"]),
    "page with status 200": Answer(200, HTML, content_type="text/html"),
    "truncated JSON": Answer(200, '{"serverTime":17'),
    "empty body": Answer(200, ""),
    "dropped connection": Answer(trouble="drop"),
    "half an answer": Answer(200, '{"serverTime":17', trouble="cut"),
    "no answer": Answer(trouble="silence"),
    "busy code with status 400": Answer(400, {"code": -1008, "msg": "busy"}),
}
QUICK = CallPolicy(timeout_s=0.3)


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_that_passes_is_tried_again(exchange: ScriptedExchange, name: str) -> None:
    exchange.script[TIME].extend([TROUBLES[name], TROUBLES[name]])
    with open_source(exchange, policy=QUICK) as source:
        assert source.server_time_ms() == exchange.now_ms
    assert len(exchange.seen) == 3


@pytest.mark.parametrize("name", sorted(set(TROUBLES) - {"no answer"}))
def test_trouble_that_stays_ends_in_an_error_naming_the_call(
    exchange: ScriptedExchange, name: str
) -> None:
    exchange.script[TIME].extend([TROUBLES[name]] * 99)
    with (
        open_source(exchange) as source,
        pytest.raises(TransientServiceError, match="binance-usdm /fapi/v1/time: "),
    ):
        source.server_time_ms()
    # aiohttp itself repeats a GET once whose connection was dropped without an answer.
    assert len(exchange.seen) == (10 if name == "dropped connection" else 5)


def test_silence_ends_in_an_error_that_tells_the_limit(exchange: ScriptedExchange) -> None:
    exchange.script[TIME].extend([Answer(trouble="silence")] * 2)
    policy = CallPolicy(timeout_s=0.1, attempts=2)
    with (
        open_source(exchange, policy=policy) as source,
        pytest.raises(TransientServiceError, match=r"no answer within 0\.1 s"),
    ):
        source.server_time_ms()


def test_waits_between_attempts_double_with_jitter_and_are_bounded(
    exchange: ScriptedExchange,
) -> None:
    policy = CallPolicy(attempts=8, backoff_s=1.0, longest_backoff_s=10.0)
    exchange.script[TIME].extend([TROUBLES["server error"]] * 7)
    with open_source(exchange, policy=policy) as source:
        source.server_time_ms()
    waits = np.diff([seen.at_s for seen in exchange.seen])
    nominal = np.minimum(2.0 ** np.arange(7), 10.0)
    assert ((waits >= 0.5 * nominal) & (waits <= 1.5 * nominal)).all()
    assert not np.allclose(waits, nominal)


def test_unreachable_exchange_is_an_error_after_all_attempts(exchange: ScriptedExchange) -> None:
    nobody = "http://127.0.0.1:9"
    time = VirtualTime()
    source = BinanceSource(
        "usdm", nobody, governor=WeightGovernor(100, clock=time), wait=time.wait, clock=time
    )
    with source, pytest.raises(TransientServiceError, match="cannot connect"):
        source.server_time_ms()
    assert time() - 1_000 > 5  # it did back off


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Answer(451, {"code": 0, "msg": "restricted location"}), ConfigError, "restricted"),
        (Answer(403, HTML, content_type="text/html"), ConfigError, "firewall"),
        (Answer(404, HTML, content_type="text/html"), ConfigError, "BINANCE_FUTURES_URL"),
        (Answer(401, {"code": -2015, "msg": "Invalid API-key"}), ConfigError, "BINANCE_API_KEY"),
        (Answer(400, {"code": -2014, "msg": "bad key"}), ConfigError, "BINANCE_API_SECRET"),
        (Answer(400, {"code": -1022, "msg": "bad signature"}), ConfigError, "BINANCE_API_KEY"),
        (Answer(400, {"code": -1100, "msg": "Illegal characters"}), ServiceError, "-1100"),
        (Answer(400, {"odd": 1}), ServiceError, "HTTP 400"),
        (Answer(200, {"status": "ERROR", "code": "99"}), ServiceError, "serverTime"),
        (Answer(200, [1]), ServiceError, "serverTime"),
    ],
)
def test_trouble_that_stays_by_nature_is_not_tried_again(
    exchange: ScriptedExchange, answer: Answer, kind: type[GnnTrainerError], words: str
) -> None:
    exchange.script[TIME].append(answer)
    with open_source(exchange) as source, pytest.raises(kind, match=words) as caught:
        source.server_time_ms()
    assert type(caught.value) is kind
    assert "binance-usdm /fapi/v1/time" in str(caught.value)
    assert len(exchange.seen) == 1


@pytest.mark.parametrize(("header", "waits"), [({"Retry-After": "37"}, 37), ({}, 60)])
def test_after_429_the_run_goes_on_when_the_exchange_said(
    exchange: ScriptedExchange, header: dict[str, str], waits: float
) -> None:
    exchange.script[TIME].append(Answer(429, {"code": -1003, "msg": "Too many"}, header))
    before = exchange.clock()
    with open_source(exchange) as source:
        assert source.server_time_ms() == exchange.now_ms
    assert exchange.clock() - before == pytest.approx(waits)
    assert len(exchange.seen) == 2


def test_after_429_no_other_call_of_the_process_is_sent_either(exchange: ScriptedExchange) -> None:
    governor = WeightGovernor(2400, clock=exchange.clock)
    refused = Answer(429, {"code": -1003, "msg": "Too many"}, {"Retry-After": "30"})
    exchange.script[TIME].append(refused)
    sources = [
        BinanceSource(
            "usdm",
            exchange.url,
            governor=governor,
            policy=CallPolicy(attempts=1),
            clock=exchange.clock,
            wait=exchange.clock.wait,
        )
        for _ in range(2)
    ]
    before = exchange.clock()
    with sources[0] as first, sources[1] as second:
        with pytest.raises(RateLimited) as caught:
            first.server_time_ms()
        assert caught.value.retry_after_s == 30
        second.server_time_ms()
    assert exchange.clock() - before == pytest.approx(30)


def test_endless_429_ends_after_the_attempts(exchange: ScriptedExchange) -> None:
    refused = Answer(429, {"code": -1003, "msg": "Too many"}, {"Retry-After": "2"})
    exchange.script[TIME].extend([refused] * 9)
    with open_source(exchange) as source, pytest.raises(RateLimited):
        source.server_time_ms()
    assert len(exchange.seen) == 5


def test_418_stops_at_once_and_nothing_is_sent_until_the_ban_ends(
    exchange: ScriptedExchange,
) -> None:
    text = f"Way too many requests; IP banned until {exchange.now_ms + 180_000}. Please"
    exchange.script[TIME].append(Answer(418, {"code": -1003, "msg": text}))
    with open_source(exchange) as source:
        for _ in range(3):
            with pytest.raises(ServiceBanned) as caught:
                source.server_time_ms()
            assert caught.value.until_ms == exchange.now_ms + 180_000
        assert len(exchange.seen) == 1
        exchange.clock.now_s += 180
        assert source.server_time_ms() == exchange.now_ms


def test_a_stop_is_noticed_before_a_request(exchange: ScriptedExchange) -> None:
    with open_source(exchange, should_stop=lambda: True) as source, pytest.raises(StopRequested):
        source.server_time_ms()
    assert not exchange.seen


def test_a_stop_is_noticed_within_a_long_wait(exchange: ScriptedExchange) -> None:
    told = {"Retry-After": "3000"}
    exchange.script[TIME].append(Answer(429, {"code": -1003, "msg": "Too many"}, told))
    stop_at = exchange.clock() + 5
    source = open_source(exchange, should_stop=lambda: exchange.clock() >= stop_at)
    with source, pytest.raises(StopRequested):
        source.server_time_ms()
    assert exchange.clock() <= stop_at + 1


def test_key_is_sent_when_given_and_never_shown(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    exchange.script[TIME].append(Answer(401, {"code": -2015, "msg": "Invalid API-key"}))
    with open_source(exchange, api_key="k-e-y", api_secret="s-e-c") as source:
        with pytest.raises(ConfigError) as caught:
            source.server_time_ms()
        source.server_time_ms()
        shown = f"{caught.value} {caught.value.__cause__} {vars(source)} {caplog.text}"
    assert [seen.headers["X-MBX-APIKEY"] for seen in exchange.seen] == ["k-e-y"] * 2
    assert "k-e-y" not in shown
    assert "s-e-c" not in shown


def test_without_a_key_none_is_sent_and_opening_pings_nobody(exchange: ScriptedExchange) -> None:
    with open_source(exchange) as source:
        assert not exchange.seen
        source.server_time_ms()
    assert [seen.path for seen in exchange.seen] == [TIME]
    assert "X-MBX-APIKEY" not in exchange.seen[0].headers


@pytest.mark.parametrize("url", ["exchange:8080", "ftp://exchange", "http://", "http://{tld}"])
def test_an_address_of_another_form_is_refused_by_its_variable(url: str) -> None:
    with pytest.raises(ConfigError, match="BINANCE_API_URL is not an address"):
        BinanceSource("spot", url)


def test_the_loop_of_the_calling_thread_stays_its_own(exchange: ScriptedExchange) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with open_source(exchange) as source:
            source.server_time_ms()
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
