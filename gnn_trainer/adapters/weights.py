"""Spending an exchange's request budget: never more than 90 % of it, whoever else spends too.

Binance counts weight per address and minute, but where its minute begins is not documented. So a
call counts here from before it is sent until a whole window after its answer: whichever minute the
exchange counts, the calls of this process that fall into it fit the budget together. What other
processes behind the same address spend is read from the used-weight header of every answer, so it
is known a moment late; the 10 % left over are for that moment.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gnn_trainer.errors import ServiceBanned, ServiceError

logger = logging.getLogger(__name__)

BUDGET_SHARE = 0.9
MINUTE_S = 60.0
FUNDING_REQUESTS = 500  # per FUNDING_WINDOW_S and address, apart from the weight (USD-M docs)
FUNDING_WINDOW_S = 300.0
SHORTEST_WAIT_S = 0.001
IN_FLIGHT_POLL_S = 0.25

Clock = Callable[[], float]
Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Cost:
    """What one call takes from the budgets."""

    weight: int = 0
    funding_requests: int = 0

    def part(self, share: float) -> "Cost":
        """The same calls, `share` of them (0..1)."""
        return Cost(round(self.weight * share), round(self.funding_requests * share))


@dataclass(frozen=True)
class _Observation:
    """The exchange's count, told in the answer to `ticket`. Own totals are of answered calls."""

    ticket: int = -1
    used: int = 0
    own_total: int = 0
    minute_began: int = 0  # own total when the exchange's present minute began, or earlier


class RollingBudget:
    """At most 90 % of `limit` within any window, counting calls in flight. Not thread-safe."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._in_flight: dict[int, tuple[int, int]] = {}  # ticket: amount, own total before it
        self._answered: deque[tuple[float, int]] = deque()  # (when, amount), oldest first
        self._own_total = 0  # of all answered calls ever
        self._foreign = 0
        self._foreign_until = 0.0
        self._newest = _Observation()

    def __str__(self) -> str:
        minutes = self.window_s / MINUTE_S
        return f"{self.limit:,}/min" if minutes == 1 else f"{self.limit:,}/{minutes:g} min"

    @property
    def allowance(self) -> int:
        return int(self.limit * BUDGET_SHARE)

    def spending_s(self, amount: int) -> float:
        """How long `amount` takes at the allowed pace."""
        return amount * self.window_s / self.allowance

    def spent(self, now: float) -> int:
        """What counts against the allowance at this moment."""
        while self._answered and self._answered[0][0] <= now - self.window_s:
            self._answered.popleft()
        if now >= self._foreign_until:
            self._foreign = 0
        in_flight = sum(amount for amount, _ in self._in_flight.values())
        return in_flight + self._own_answered() + self._foreign

    def delay(self, amount: int, now: float) -> float:
        """Seconds until `amount` may fit; 0 when it fits now."""
        excess = self.spent(now) + amount - self.allowance
        if excess <= 0:
            return 0.0
        releases = [(at + self.window_s, spent) for at, spent in self._answered]
        for at, spent in sorted([*releases, (self._foreign_until, self._foreign)]):
            excess -= spent
            if excess <= 0:
                return max(at - now, SHORTEST_WAIT_S)
        return IN_FLIGHT_POLL_S

    def begin(self, ticket: int, amount: int) -> None:
        """A call is about to be sent; tickets ascend."""
        self._in_flight[ticket] = (amount, self._own_total)

    def finish(self, ticket: int, now: float, used: int | None) -> None:
        """Its answer came, with the exchange's own count of what is `used` if it told.

        Of answers that overtake each other the one to the call sent last is believed.
        """
        amount, own_before = self._in_flight.pop(ticket)
        if amount:
            self._answered.append((now, amount))
            self._own_total += amount
        if used is not None and ticket > self._newest.ticket:
            self._observe(_Observation(ticket, used, self._own_total), amount, own_before, now)

    def _observe(self, seen: "_Observation", amount: int, own_before: int, now: float) -> None:
        """What of the count is not ours.

        Own calls answered before this one was sent, in the exchange's present minute, are surely
        counted. Others only may be and are taken for foreign, an error to the safe side.
        """
        self.spent(now)
        minute_began = self._newest.minute_began
        if seen.used < self._newest.used / 2:  # fell back: a new minute; overtaking explains less
            minute_began = self._newest.own_total
        own_counted = own_before - max(minute_began, self._own_total - self._own_answered())
        self._foreign = max(0, seen.used - amount - max(0, own_counted))
        self._foreign_until = now + self.window_s
        self._newest = replace(seen, minute_began=minute_began)

    def _own_answered(self) -> int:
        return sum(amount for _, amount in self._answered)


class WeightGovernor:
    """Admits calls to one exchange host; shared by every thread and loop of the process."""

    def __init__(
        self,
        weight_limit: int,
        *,
        funding_limit: int = FUNDING_REQUESTS,
        clock: Clock = time.monotonic,
    ) -> None:
        self.knows_limits = False
        self._clock = clock
        self._lock = threading.Lock()
        self._weight = RollingBudget(weight_limit, MINUTE_S)
        self._funding = RollingBudget(funding_limit, FUNDING_WINDOW_S)
        self._next_ticket = 0
        self._hold_until = 0.0
        self._ban: tuple[float, ServiceBanned] | None = None

    @property
    def weight_limit(self) -> int:
        """Weight the exchange allows per minute."""
        return self._weight.limit

    def learn_limit(self, weight_limit: int, window_s: float) -> None:
        """Replace the assumed limit by the one in exchangeInfo.rateLimits."""
        with self._lock:
            self._weight.limit = weight_limit
            self._weight.window_s = window_s
            self.knows_limits = True

    async def admit(self, cost: Cost, wait: Wait) -> int:
        """Wait until the call fits the budgets; returns the ticket to `settle` after its answer.

        Raises:
            ServiceBanned: the host has banned this address and the ban has not ended.
            ServiceError: the call alone is more than the budget.
        """
        while True:
            with self._lock:
                delay = self._delay(cost)
                if delay <= 0:
                    return self._begin(cost)
            await wait(delay)

    def settle(self, ticket: int, used_weight: int | None) -> None:
        """The answer to the call came, or will not come; `used_weight` is its header, if any."""
        with self._lock:
            self._weight.finish(ticket, self._clock(), used_weight)
            self._funding.finish(ticket, self._clock(), None)

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long: the exchange asked for it (HTTP 429)."""
        with self._lock:
            self._hold_until = max(self._hold_until, self._clock() + seconds)

    def ban(self, ban: ServiceBanned, seconds: float) -> None:
        """Nobody sends until the ban (HTTP 418) has ended; callers get the error at once."""
        with self._lock:
            self._ban = (self._clock() + seconds, ban)

    def seconds_for(self, cost: Cost) -> float:
        """How long spending `cost` would take from now on, at the full allowance."""
        with self._lock:
            now = self._clock()
            return max(
                budget.spending_s(max(0, budget.spent(now) + amount - budget.allowance))
                for budget, amount in self._amounts(cost)
            )

    def describe_pace(self, cost: Cost) -> str:
        """For people, e.g. `about 2.3 min at 90 % of 2,400/min`."""
        with self._lock:
            budget, amount = max(self._amounts(cost), key=lambda pair: pair[0].spending_s(pair[1]))
            minutes = budget.spending_s(amount) / MINUTE_S
            return f"about {minutes:.1f} min at {BUDGET_SHARE * 100:.0f} % of {budget}"

    def _delay(self, cost: Cost) -> float:
        now = self._clock()
        if self._ban is not None and now < self._ban[0]:
            raise ServiceBanned(str(self._ban[1]), until_ms=self._ban[1].until_ms)
        for budget, amount in self._amounts(cost):
            if amount > budget.allowance:
                raise ServiceError(
                    f"one call costs {amount}, but at most {budget.allowance} may be spent at a "
                    f"time ({BUDGET_SHARE * 100:.0f} % of {budget}); the limit is too small"
                )
        delays = [budget.delay(amount, now) for budget, amount in self._amounts(cost) if amount]
        return max([self._hold_until - now, *delays])

    def _begin(self, cost: Cost) -> int:
        ticket = self._next_ticket
        self._next_ticket += 1
        for budget, amount in self._amounts(cost):
            budget.begin(ticket, amount)
        return ticket

    def _amounts(self, cost: Cost) -> tuple[tuple[RollingBudget, int], ...]:
        return (self._weight, cost.weight), (self._funding, cost.funding_requests)


_governors: dict[str, WeightGovernor] = {}
_governors_lock = threading.Lock()


def shared_governor(host: str, weight_limit: int) -> WeightGovernor:
    """The one governor of this process for `host`; `weight_limit` is assumed until learned."""
    with _governors_lock:
        if host not in _governors:
            _governors[host] = WeightGovernor(weight_limit)
        return _governors[host]
