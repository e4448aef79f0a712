"""What the exchange counts against one client address, and how it says no.

Two counters per market: request weight in fixed minutes, and on USD-M the number of funding
requests in fixed five minutes. Over a limit the answer is 429 until the window ends; a client that
goes on regardless is banned with 418, for two minutes first and longer each time.
"""

from dataclasses import dataclass, field

from gnn_trainer.market.intervals import INTERVAL_MS

MINUTE_MS = INTERVAL_MS["1m"]
FUNDING_WINDOW_MS = INTERVAL_MS["5m"]
REFUSALS_BEFORE_BAN = 10
_FIRST_BAN_MS = 2 * MINUTE_MS
_LONGEST_BAN_MS = 3 * INTERVAL_MS["1d"]


@dataclass
class WindowCounter:
    """A count that starts again at each multiple of `length_ms`."""

    limit: int
    length_ms: int
    _window: int = -1
    _used: int = 0

    def used(self, now_ms: int) -> int:
        return self._used if now_ms // self.length_ms == self._window else 0

    def add(self, amount: int, now_ms: int) -> bool:
        """Count it; True while the total is within the limit."""
        self._used = self.used(now_ms) + amount
        self._window = now_ms // self.length_ms
        return self._used <= self.limit

    def ends_in_s(self, now_ms: int) -> int:
        """Whole seconds until the count starts again, at least 1."""
        return -(-(self.length_ms - now_ms % self.length_ms) // 1000)


@dataclass(frozen=True)
class Refusal:
    """A request over the limit: `banned_until_ms` is set for 418, None for 429."""

    retry_after_s: int
    banned_until_ms: int | None = None

    @property
    def status(self) -> int:
        return 429 if self.banned_until_ms is None else 418


@dataclass
class RequestLedger:
    """All that one market counts. Time enters with each call."""

    weight: WindowCounter
    funding: WindowCounter
    _refusals: int = 0
    _bans: int = 0
    _banned_until_ms: int = field(default=0)

    @classmethod
    def of(cls, weight_limit: int, funding_limit: int) -> "RequestLedger":
        return cls(
            WindowCounter(weight_limit, MINUTE_MS), WindowCounter(funding_limit, FUNDING_WINDOW_MS)
        )

    def charge(self, weight: int, now_ms: int) -> Refusal | None:
        """Count a request of this weight; None when it may pass."""
        return self._charge(self.weight, weight, now_ms)

    def charge_funding(self, now_ms: int) -> Refusal | None:
        """Count a funding request, which weighs nothing but has its own allowance."""
        return self._charge(self.funding, 1, now_ms)

    def used_weight(self, now_ms: int) -> int:
        """Running total of this minute, as sent in X-MBX-USED-WEIGHT-1M."""
        return self.weight.used(now_ms)

    def _charge(self, counter: WindowCounter, amount: int, now_ms: int) -> Refusal | None:
        if now_ms < self._banned_until_ms:
            return self._ban(now_ms)
        if counter.add(amount, now_ms):
            self._refusals = 0
            return None
        self._refusals += 1
        if self._refusals <= REFUSALS_BEFORE_BAN:
            return Refusal(counter.ends_in_s(now_ms))
        self._refusals = 0
        self._banned_until_ms = now_ms + min(_FIRST_BAN_MS * 2**self._bans, _LONGEST_BAN_MS)
        self._bans += 1
        return self._ban(now_ms)

    def _ban(self, now_ms: int) -> Refusal:
        return Refusal(-(-(self._banned_until_ms - now_ms) // 1000), self._banned_until_ms)
