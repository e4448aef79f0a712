"""Faults to switch on: the ways a real exchange and the network before it misbehave."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ALWAYS = 1_000_000_000


class FaultKind(StrEnum):
    """What happens to a request instead of its answer, or to its answer."""

    HTML_403 = "html_403"  # blocked by the firewall
    RESTRICTED_451 = "restricted_451"  # the client's country is not served
    UNAVAILABLE_503 = "unavailable_503"
    RATE_LIMITED_429 = "rate_limited_429"  # Retry-After: 1
    BANNED_418 = "banned_418"  # for two minutes
    DROPPED = "dropped"  # the connection closes without an answer
    SLOW = "slow"  # the right answer, `delay_s` late
    TRUNCATED = "truncated"  # half of the right JSON, with status 200 and a fitting length
    CUT_OFF = "cut_off"  # the connection closes in the middle of the right answer
    HTML_200 = "html_200"  # a web page with status 200
    ERROR_200 = "error_200"  # an error object with status 200
    WRONG_SHAPE = "wrong_shape"  # good JSON that is not what was asked for
    PLAIN_TEXT = "plain_text"  # the right JSON, but announced as text
    NO_RETRY_AFTER_429 = "no_retry_after_429"  # USD-M does not promise the header
    UNKNOWN_SYMBOL_400 = "unknown_symbol_400"


@dataclass(frozen=True)
class Fault:
    """Applies to requests whose path contains `path` (and to one `symbol`, if given).

    The first `after` such requests pass, the next `times` fail.
    """

    kind: FaultKind
    path: str = ""
    symbol: str | None = None
    times: int = ALWAYS
    after: int = 0
    delay_s: float = 0.5

    def concerns(self, path: str, query: Mapping[str, str]) -> bool:
        return self.path in path and self.symbol in (None, query.get("symbol"))


class FaultPlan:
    """The faults switched on, oldest first. May be changed while the exchange serves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, int]] = []  # with the number of requests it has seen

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append((fault, 0))

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def next_fault(self, path: str, query: Mapping[str, str]) -> Fault | None:
        """The fault this request meets, if any; counts the request."""
        with self._lock:
            for position, (fault, seen) in enumerate(self._faults):
                if not fault.concerns(path, query) or seen >= fault.after + fault.times:
                    continue
                self._faults[position] = (fault, seen + 1)
                if seen >= fault.after:
                    return fault
        return None
