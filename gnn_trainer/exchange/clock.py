"""The exchange's own time."""

import time
from datetime import UTC, datetime


class ServerClock:
    """Starts at `start_ms` and goes on with real time if `ticking`; `advance` moves it forward.

    A clock that does not tick lets a test decide when a minute, a bar or a ban is over.
    """

    def __init__(self, start_ms: int, *, ticking: bool) -> None:
        self._start_ms = start_ms
        self._ticking = ticking
        self._started_s = time.monotonic()

    def now_ms(self) -> int:
        elapsed_s = time.monotonic() - self._started_s if self._ticking else 0.0
        return self._start_ms + int(elapsed_s * 1000)

    def advance(self, duration_ms: int) -> None:
        self._start_ms += duration_ms


def utc_text(time_ms: int) -> str:
    """Unix milliseconds for people: 2025-06-30 00:07:00 UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
