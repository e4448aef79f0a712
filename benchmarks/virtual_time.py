"""A clock that jumps while everybody waits: minutes of pacing in seconds of real time."""

import asyncio
import heapq
from collections import Counter

from gnn_trainer.adapters.weights import FUNDING_REQUESTS, Cost, Wait, WeightGovernor
from gnn_trainer.exchange.process import RunningExchange


class VirtualTime:
    """Time of one event loop and of the exchange it talks to.

    It stands still while a request is on the wire and otherwise jumps to the first who wakes.
    """

    def __init__(self, exchange: RunningExchange) -> None:
        self.exchange = exchange
        self.on_the_wire = 0
        self._now_ms = 0
        self._targets_ms: list[int] = []

    def __call__(self) -> float:
        return self._now_ms / 1000

    async def wait(self, seconds: float) -> None:
        target_ms = self._now_ms + max(1, round(seconds * 1000))
        heapq.heappush(self._targets_ms, target_ms)
        while self._now_ms < target_ms:
            await asyncio.sleep(0.001 if self.on_the_wire else 0)
            if not self.on_the_wire and self._targets_ms[0] == target_ms:
                self.exchange.clock.advance(target_ms - self._now_ms)
                self._now_ms = target_ms
        heapq.heappop(self._targets_ms)


class ObservedGovernor(WeightGovernor):
    """A governor whose calls take `latency_s` each, and what the exchange said it had counted."""

    def __init__(
        self,
        weight_limit: int,
        time: VirtualTime,
        latency_s: float,
        funding_limit: int = FUNDING_REQUESTS,
    ) -> None:
        super().__init__(weight_limit, funding_limit=funding_limit, clock=time)
        self.used: Counter[int] = Counter()  # most weight told, by the exchange's minute
        self._time, self._latency_s = time, latency_s

    async def admit(self, cost: Cost, wait: Wait) -> int:
        ticket = await super().admit(cost, wait)
        await self._time.wait(self._latency_s)
        self._time.on_the_wire += 1
        return ticket

    def settle(self, ticket: int, used_weight: int | None) -> None:
        self._time.on_the_wire -= 1
        minute = self._time.exchange.now_ms // 60_000
        self.used[minute] = max(self.used[minute], used_weight or 0)
        super().settle(ticket, used_weight)
