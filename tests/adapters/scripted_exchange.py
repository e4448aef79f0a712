"""A tiny exchange on loopback whose every answer a test can dictate, and a clock that jumps."""

import asyncio
import heapq
import json
import threading
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from gnn_trainer.exchange.process import stop_listening

HOUR_MS = 3_600_000
NO_DELIVERY_MS = 4_133_404_800_000


class VirtualTime:
    """A clock for one event loop: when everybody waits, it jumps to the first to wake."""

    def __init__(self, start_s: float = 1_000.0) -> None:
        self.now_s = start_s
        self._targets: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def wait(self, seconds: float) -> None:
        target = self.now_s + seconds
        heapq.heappush(self._targets, target)
        try:
            while self.now_s < target:
                await asyncio.sleep(0)
                if self._targets[0] == target:
                    self.now_s = max(self.now_s, target)
        finally:
            self._targets.remove(target)
            heapq.heapify(self._targets)


@dataclass(frozen=True)
class Answer:
    """One scripted answer. `trouble`: none, `drop` the connection, `cut` the body, or `silence`."""

    status: int = 200
    body: object = ""  # text goes out as it is, anything else as JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    trouble: str = "none"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at_s: float  # by the exchange's clock


def kline(open_ms: int, interval_ms: int = HOUR_MS, price: str = "1.50") -> list[object]:
    close_ms = open_ms + interval_ms - 1
    return [open_ms, price, price, price, price, "2", close_ms, "3.0", 4, "1.0", "1.5", "0"]


class ScriptedExchange:
    """Speaks enough Binance REST for both markets; a context manager with its own thread.

    `script[path]` holds answers given before the regular ones. Weight is counted in fixed minutes
    of `clock`, as Binance does, with `foreign_weight` as if others behind the address spent it.
    """

    def __init__(self, clock: VirtualTime | None = None) -> None:
        self.clock = clock or VirtualTime()
        self.now_ms = 1_700_000_000_000 // HOUR_MS * HOUR_MS + 600_000
        self.opens: dict[str, Sequence[int]] = {}  # by symbol, ascending
        self.funding: dict[str, list[dict[str, Any]]] = {}
        self.symbols: list[dict[str, Any]] = []
        self.script: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.seen: list[Seen] = []
        self.weight_limit = 2400
        self.page_cap = 1500
        self.foreign_weight = 0
        self.used: defaultdict[int, int] = defaultdict(int)  # by minute
        self.minute_offset_s = 17.0
        self.in_flight = 0
        self.most_in_flight = 0
        self._rendezvous = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._over = asyncio.Event()
        self._met = asyncio.Event()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._met.set)
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def asked(self, path: str) -> list[Seen]:
        """Requests to a path that ends so."""
        return [seen for seen in self.seen if seen.path.endswith(path)]

    def gather_klines(self, requests: int) -> None:
        """Answer no request for klines until so many requests have been in flight at once."""
        self._rendezvous = requests

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_over())

    async def _until_over(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None  # it is set up
        server = await self._loop.create_server(runner.server, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._over.wait()
        await stop_listening(server)
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        query, headers = dict(request.query), dict(request.headers)
        self.seen.append(Seen(request.path, query, headers, self.clock()))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if request.path.endswith("/klines"):
            if self.in_flight >= self._rendezvous:
                self._met.set()
            await self._met.wait()
        try:
            scripted = self.script[request.path]
            answer = scripted.popleft() if scripted else self._regular(request)
            minute = int((self.clock() + self.minute_offset_s) // 60)
            self.used[minute] += _weight(request)
            used = {"x-mbx-used-weight-1m": str(self.used[minute] + self.foreign_weight)}
            return await self._deliver(request, answer, used)
        finally:
            self.in_flight -= 1

    async def _deliver(
        self, request: web.Request, answer: Answer, used: Mapping[str, str]
    ) -> web.StreamResponse:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        headers = {**used, **answer.headers}
        if answer.trouble == "silence":
            await self._over.wait()
        if answer.trouble in ("drop", "cut"):
            response = web.StreamResponse(headers={**headers, "Content-Length": "9999"})
            if answer.trouble == "cut":
                await response.prepare(request)
                await response.write(text.encode())
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(
            status=answer.status, text=text, headers=headers, content_type=answer.content_type
        )

    def _regular(self, request: web.Request) -> Answer:
        query = dict(request.query)
        name = request.path.split("/", 3)[-1]
        if name == "time":
            return Answer(body={"serverTime": self.now_ms})
        if name == "exchangeInfo":
            return Answer(body=self._exchange_info())
        if name == "ticker/24hr":
            volumes = [{"symbol": s, "quoteVolume": str(len(self.opens[s]))} for s in self.opens]
            return Answer(body=volumes)
        if query["symbol"] not in self.opens:
            return Answer(400, {"code": -1121, "msg": "Invalid symbol."})
        if name == "klines":
            return Answer(body=self._klines(query))
        if name == "fundingRate":
            return Answer(body=self._funding(query))
        return Answer(body=self._depth(request.path))

    def _exchange_info(self) -> dict[str, Any]:
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        return {
            "serverTime": self.now_ms,
            "rateLimits": [{**limit, "limit": self.weight_limit}],
            "symbols": self.symbols,
        }

    def _klines(self, query: Mapping[str, str]) -> list[list[object]]:
        limit = min(int(query["limit"]), self.page_cap)
        first, last = int(query["startTime"]), int(query["endTime"])
        return [kline(at) for at in self.opens[query["symbol"]] if first <= at <= last][:limit]

    def _funding(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        first, last = int(query["startTime"]), int(query["endTime"])
        rows = self.funding.get(query["symbol"], [])
        return [row for row in rows if first <= row["fundingTime"] <= last][: int(query["limit"])]

    def _depth(self, path: str) -> dict[str, Any]:
        side = [[f"{100 + level}.5", "2"] for level in range(3)]
        times = {"E": self.now_ms, "T": self.now_ms - 3} if path.startswith("/fapi") else {}
        return {"lastUpdateId": 1, "bids": side[::-1], "asks": side, **times}


def _weight(request: web.Request) -> int:
    """Weights of the market-data endpoints, as in the REST documentation."""
    name, limit = request.path.split("/", 3)[-1], int(request.query.get("limit", 500))
    is_spot = request.path.startswith("/api")
    if name == "klines":
        steps = ((1000, 2),) if is_spot else ((99, 1), (499, 2), (1000, 5), (1500, 10))
        return next(weight for up_to, weight in steps if limit <= up_to)
    fixed = {"time": (1, 1), "exchangeInfo": (1, 20), "ticker/24hr": (40, 80), "depth": (2, 5)}
    return fixed.get(name, (0, 0))[is_spot]
