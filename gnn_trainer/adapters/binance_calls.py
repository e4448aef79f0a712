"""One call to Binance: budget, send, judge the answer, try again where that may help.

python-binance neither limits its rate nor retries, and keeps only one `response` for all calls in
flight; so the status and headers of each answer are caught by an aiohttp trace.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
import numpy as np
from binance.async_client import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceRequestException,
)

from gnn_trainer.adapters.binance_market import BinanceMarket, Endpoint
from gnn_trainer.adapters.binance_refusals import Refusal, judge
from gnn_trainer.adapters.weights import Cost, WeightGovernor
from gnn_trainer.errors import (
    ConfigError,
    GnnTrainerError,
    RateLimited,
    ServiceBanned,
    ServiceError,
    StopRequested,
    TransientServiceError,
)

logger = logging.getLogger(__name__)

USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
STOP_CHECK_S = 0.25  # longest pause between two looks at `should_stop`

Parsed = TypeVar("Parsed")
Parameters = Mapping[str, str | int]


@dataclass(frozen=True)
class CallPolicy:
    """How hard and how patiently calls are made."""

    concurrency: int = 8  # calls in flight
    attempts: int = 5
    timeout_s: float = 20.0  # of one attempt
    backoff_s: float = 1.0  # before the second attempt; doubles with each further one
    longest_backoff_s: float = 30.0


@dataclass(frozen=True)
class Surroundings:
    """What calls need from the world: time, chance, and the wish to stop."""

    wait: Callable[[float], Awaitable[None]]
    now_ms: Callable[[], int]  # unix ms of this machine
    random: np.random.Generator  # spreads retries; no result depends on it
    should_stop: Callable[[], bool]


@dataclass(frozen=True)
class Credentials:
    """Sent when given; market data needs none."""

    api_key: str | None = field(default=None, repr=False)
    api_secret: str | None = field(default=None, repr=False)


@dataclass
class _Receipt:
    """What the trace saw of one answer; status 0 while there is none."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def number(self, header: str) -> int | None:
        text = self.headers.get(header, "")
        return int(text) if text.isascii() and text.isdigit() else None


_RECEIPT: ContextVar[_Receipt] = ContextVar("receipt")


async def _keep_receipt(
    _session: aiohttp.ClientSession,
    _context: SimpleNamespace,
    end: aiohttp.TraceRequestEndParams,
) -> None:
    receipt = _RECEIPT.get()
    receipt.status, receipt.headers = end.response.status, end.response.headers


class BinanceCalls:
    """Calls to one Binance market. Open, use and close within one event loop."""

    def __init__(
        self,
        source: str,
        market: BinanceMarket,
        base_url: str,
        credentials: Credentials,
        *,
        governor: WeightGovernor,
        policy: CallPolicy,
        surroundings: Surroundings,
    ) -> None:
        self.governor = governor
        self.market = market
        self.policy = policy
        self.requests_sent = 0
        self.weight_spent = 0
        self._source = source
        self._base_url = base_url
        self._credentials = credentials
        self._surroundings = surroundings
        # First come, first served: aiohttp's own limit lets who asks again overtake who waits.
        self._wire = asyncio.Semaphore(policy.concurrency)
        self._client: Any = None  # python-binance is untyped

    async def open(self) -> None:
        """Make the client unless it is there; sends nothing. It must be made inside the loop."""
        if self._client is not None:
            return
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(_keep_receipt)
        connector = aiohttp.TCPConnector(limit=self.policy.concurrency)
        self._client = AsyncClient(
            self._credentials.api_key,
            self._credentials.api_secret,
            requests_params={"timeout": aiohttp.ClientTimeout(total=self.policy.timeout_s)},
            session_params={"trace_configs": [trace], "connector": connector},
        )
        self._client.API_URL = f"{self._base_url}/api"
        self._client.FUTURES_URL = f"{self._base_url}/fapi"

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close_connection()
            self._client = None

    async def call(
        self,
        endpoint: Endpoint,
        cost: Cost,
        parse: Callable[[Any], Parsed],
        **parameters: str | int,
    ) -> Parsed:
        """The parsed answer, asked for at most `policy.attempts` times.

        Raises:
            TransientServiceError: every attempt failed in a way that passes (RateLimited: by 429).
            ServiceBanned: HTTP 418, now or in an earlier call to this host.
            SymbolRefused: the exchange does not serve the symbol.
            ConfigError: location, firewall, credentials, address or interval refused.
            ServiceError: any other refusal, or an answer of the wrong shape.
            StopRequested: asked to stop before the answer came.
        """
        name = f"{self._source} {endpoint.path} {parameters.get('symbol', '')}".rstrip()
        for attempt in range(1, self.policy.attempts):
            try:
                return await self._ask(name, endpoint, cost, parse, parameters)
            except RateLimited as failure:  # the governor makes the next attempt wait
                logger.warning("%s", failure)
            except TransientServiceError as failure:
                logger.info("attempt %d of %d: %s", attempt, self.policy.attempts, failure)
                await self.pause(self._backoff_s(attempt))
        return await self._ask(name, endpoint, cost, parse, parameters)

    async def pause(self, seconds: float) -> None:
        """Wait in slices, so that a stop is noticed soon.

        Raises:
            StopRequested: asked to stop before the time was over.
        """
        while seconds > 0:
            self._check_stop()
            step = min(seconds, STOP_CHECK_S)
            await self._surroundings.wait(step)
            seconds -= step
        self._check_stop()

    async def _ask(
        self,
        name: str,
        endpoint: Endpoint,
        cost: Cost,
        parse: Callable[[Any], Parsed],
        parameters: Parameters,
    ) -> Parsed:
        self._check_stop()
        ticket = await self.governor.admit(cost, self.pause)
        receipt = _Receipt()
        _RECEIPT.set(receipt)
        self.requests_sent += 1
        self.weight_spent += cost.weight
        try:
            async with self._wire:
                body = await self._send(name, endpoint, receipt, parameters)
        finally:
            self.governor.settle(ticket, receipt.number(USED_WEIGHT_HEADER))
        if body == {}:  # python-binance's word for an empty body
            raise TransientServiceError(f"{name}: the answer is empty")
        try:
            return parse(body)
        except ServiceError as exc:
            raise ServiceError(f"{name}: {exc}") from exc

    async def _send(
        self, name: str, endpoint: Endpoint, receipt: _Receipt, parameters: Parameters
    ) -> Any:
        try:
            return await getattr(self._client, endpoint.method)(**parameters)
        except BinanceAPIException as exc:
            raise self._refused(name, receipt, _refusal(exc, receipt)) from exc
        except AttributeError as exc:  # python-binance, on an error body that is not an object
            if receipt.status < 300:
                raise
            raise self._refused(name, receipt, Refusal(receipt.status)) from exc
        except (BinanceRequestException, UnicodeDecodeError) as exc:
            raise TransientServiceError(f"{name}: the answer is not whole JSON") from exc
        except aiohttp.InvalidURL as exc:
            raise ConfigError(
                f"{self.market.url_variable} is not an address; expected scheme://host:port"
            ) from exc
        except TimeoutError as exc:
            limit = f"{self.policy.timeout_s:g} s"
            raise TransientServiceError(f"{name}: no answer within {limit}") from exc
        except aiohttp.ClientError as exc:
            raise TransientServiceError(f"{name}: {_connection_trouble(exc)}") from exc

    def _refused(self, name: str, receipt: _Receipt, refusal: Refusal) -> GnnTrainerError:
        """The error to raise; a wait or ban it carries holds for the whole process."""
        now_ms = self._surroundings.now_ms()
        error = judge(refusal, name, url_variable=self.market.url_variable, now_ms=now_ms)
        if isinstance(error, RateLimited):
            self.governor.hold(error.retry_after_s)
        elif isinstance(error, ServiceBanned):
            self.governor.ban(error, (error.until_ms - now_ms) / 1000)
        return error

    def _backoff_s(self, attempt: int) -> float:
        """Doubling, with +-50 % jitter so that parallel calls do not come back together."""
        nominal = self.policy.backoff_s * 2.0 ** (attempt - 1)
        jitter = self._surroundings.random.uniform(0.5, 1.5)
        return min(nominal, self.policy.longest_backoff_s) * float(jitter)

    def _check_stop(self) -> None:
        if self._surroundings.should_stop():
            raise StopRequested(f"stopped while asking {self._source}")


def _refusal(exc: BinanceAPIException, receipt: _Receipt) -> Refusal:
    # For a body that is not JSON the library's code is 0 and its message a method's repr.
    is_json = receipt.headers.get("Content-Type", "").startswith("application/json")
    return Refusal(
        status=exc.status_code,
        code=exc.code if isinstance(exc.code, int) else 0,
        text=str(exc.message)[:300] if is_json and exc.message else "",
        retry_after_s=receipt.number("Retry-After"),
    )


def _connection_trouble(exc: aiohttp.ClientError) -> str:
    if isinstance(exc, aiohttp.ContentTypeError):
        return "the answer is not JSON but a page of another kind"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"cannot connect ({exc.os_error.strerror or exc.os_error})"
    return f"connection lost ({type(exc).__name__})"
