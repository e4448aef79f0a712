"""Which event goes next, and when: order, spacing, coalescing. No threads, no clock of its own."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gnn_trainer.telemetry.events import TERMINAL, Status

SPACING_S = 1.0  # one consumer keys events by whole second
_MOST_PINGS = 16
Pong = int | float | str | None


@dataclass(frozen=True)
class Draft:
    """An event that has no number and no time yet."""

    status: Status
    message: str
    stage: str
    extra: Mapping[str, object] = field(default_factory=dict)


class Lineup:
    """Drafts in, at most one out per SPACING_S of the caller's clock.

    `started` comes first even if nobody put it, of `loading` the newest wins, one ending is taken
    and nothing after it. A ping is answered by the newest `loading`, said again if need be.
    """

    def __init__(self, *, has_started: bool = False, last_sent: float = float("-inf")) -> None:
        self._has_started = has_started
        self._opening: Draft | None = None
        self._loading: Draft | None = None
        self._ending: Draft | None = None
        self._pongs: deque[Pong] = deque(maxlen=_MOST_PINGS)
        self._newest = Draft("loading", "alive", "starting")
        self._last_sent = last_sent

    @property
    def has_ended(self) -> bool:
        return self._ending is not None or self._newest.status in TERMINAL

    def put(self, draft: Draft) -> bool:
        """Whether the draft has a place: not after an ending, nor a second `started`."""
        if self.has_ended or (draft.status == "started" and self._has_started):
            return False
        if not self._has_started:
            self._has_started = True
            self._opening = draft if draft.status == "started" else Draft("started", "", "starting")
        if draft.status == "loading":
            self._loading = draft
        elif draft.status in TERMINAL:
            self._ending = draft
            self._loading = None
            self._pongs.clear()
        return True

    def ping(self, pong: Pong) -> None:
        """Answer with the next `loading`; of too many pings the oldest are forgotten."""
        if not self.has_ended:
            self._pongs.append(pong)

    def due_in(self, now: float) -> float | None:
        """Seconds until `take` has something to give; None while nothing waits."""
        if not (self._opening or self._loading or self._ending or self._answerable):
            return None
        return max(0.0, self._last_sent + SPACING_S - now)

    def take(self, now: float) -> Draft | None:
        """The next draft, if it is time for one."""
        if self.due_in(now) != 0.0:
            return None
        self._last_sent = now
        draft = self._next()
        self._newest = draft
        return draft

    @property
    def _answerable(self) -> bool:
        return bool(self._pongs) and self._has_started

    def _next(self) -> Draft:
        if self._opening is not None:
            draft, self._opening = self._opening, None
            return draft
        if self._ending is not None:
            draft, self._ending = self._ending, None
            return draft
        draft, self._loading = self._loading or self._newest, None
        extra = {name: value for name, value in draft.extra.items() if name != "pong"}
        if self._pongs:
            extra["pong"] = self._pongs.popleft()
        return replace(draft, status="loading", extra=extra)
