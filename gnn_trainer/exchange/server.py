"""The HTTP server: connections, the faults of connections, and a list of what was asked."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from gnn_trainer.exchange.faults import FaultKind, FaultPlan
from gnn_trainer.exchange.gateway import Answer, Gateway

_REMEMBERED_REQUESTS = 100_000


@dataclass(frozen=True)
class SeenRequest:
    """One request and the status of its answer; 0 is a connection dropped without any."""

    path: str
    query: Mapping[str, str]
    status: int


class RequestLog:
    """The newest requests, oldest first."""

    def __init__(self) -> None:
        self._seen: deque[SeenRequest] = deque(maxlen=_REMEMBERED_REQUESTS)

    def add(self, request: SeenRequest) -> None:
        self._seen.append(request)

    def seen(self, path: str = "") -> list[SeenRequest]:
        """Requests whose path contains `path`."""
        return [request for request in tuple(self._seen) if path in request.path]

    def counts(self) -> Counter[str]:
        """How often each path was asked for."""
        return Counter(request.path for request in tuple(self._seen))

    def clear(self) -> None:
        self._seen.clear()


def make_application(gateway: Gateway, faults: FaultPlan, log: RequestLog) -> web.Application:
    """The aiohttp application that answers every GET request through the gateway."""

    async def handle(request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        fault = faults.next_fault(request.path, query)
        if fault is None:
            answer = gateway.answer(request.path, query)
        else:
            answer = gateway.faulty_answer(fault.kind, request.path, query)
        dropped = fault is not None and fault.kind is FaultKind.DROPPED
        log.add(SeenRequest(request.path, query, 0 if dropped else answer.status))
        if fault is not None and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.delay_s)
        if fault is not None and fault.kind in (FaultKind.DROPPED, FaultKind.CUT_OFF):
            return await _break_off(request, answer, fault.kind)
        return web.Response(
            status=answer.status,
            body=answer.body,
            content_type=answer.content_type,
            headers=answer.headers,
        )

    application = web.Application()
    application.router.add_get("/{path:.*}", handle)
    return application


async def _break_off(request: web.Request, answer: Answer, kind: FaultKind) -> web.StreamResponse:
    """Close the connection: at once, or after half of the body it has promised."""
    response = web.StreamResponse(headers={"Content-Length": str(len(answer.body))})
    response.content_type = answer.content_type
    if kind is FaultKind.CUT_OFF:
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
