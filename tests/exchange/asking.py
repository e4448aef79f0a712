"""Two ways to ask an exchange: plain HTTP, to see status and headers, and python-binance."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from binance import AsyncClient

from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.process import RunningExchange

HOUR_MS = 3_600_000
SMALL = ExchangeConfig(symbols=6, bars=1000, ticking=False)
"""Enough of a market for every rule; its time stands still unless it is advanced."""


def get(exchange: RunningExchange, path: str, **query: str | int) -> httpx.Response:
    # Without certificates to load, which cost more than the request.
    return httpx.get(exchange.url + path, params=query, verify=False)


def refusal(exchange: RunningExchange, path: str, **query: str | int) -> tuple[int, int]:
    """HTTP status and Binance's error code of an answer that is an error object."""
    response = get(exchange, path, **query)
    return response.status_code, response.json()["code"]


def ask(exchange: RunningExchange, call: Callable[[Any], Awaitable[Any]]) -> Any:
    """What python-binance makes of the exchange: `call` is given its client."""

    class Client(AsyncClient):  # type: ignore[misc]
        API_URL = f"{exchange.url}/api"
        FUTURES_URL = f"{exchange.url}/fapi"
        FUTURES_DATA_URL = f"{exchange.url}/futures/data"

    async def session() -> Any:
        client = await Client.create()
        try:
            return await call(client)
        finally:
            await client.close_connection()

    return asyncio.run(session())
