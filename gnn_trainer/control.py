"""How a run is asked to end: many may ask, the first one counts, everybody polls."""

import threading
from dataclasses import dataclass

from gnn_trainer.errors import StopRequested


@dataclass(frozen=True)
class StopRequest:
    """Who asked (`kafka`, `sigterm`, `ctrl-c`, `prefect`, ...) and what they said."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"stopped by {self.source}" + (f": {self.reason}" if self.reason else "")


class StopController:
    """One per run; safe to use from any thread. Pass `lambda: stop.is_requested` to long loops."""

    def __init__(self) -> None:
        self._claim = threading.Lock()
        self._stopped = threading.Event()
        self._request: StopRequest | None = None

    def request(self, source: str, reason: str = "") -> bool:
        """Ask the run to end; False if somebody else asked before."""
        with self._claim:
            if self._request is not None:
                return False
            self._request = StopRequest(source, reason)
        self._stopped.set()
        return True

    @property
    def is_requested(self) -> bool:
        return self._stopped.is_set()

    @property
    def source(self) -> str:
        """Who asked first; empty while nobody has."""
        return self._request.source if self._request else ""

    @property
    def reason(self) -> str:
        """What the first one said; empty while nobody has."""
        return self._request.reason if self._request else ""

    def wait(self, timeout_s: float) -> bool:
        """Pause that a stop cuts short; says whether one was requested."""
        return self._stopped.wait(timeout_s)

    def check(self) -> None:
        """Raises StopRequested once somebody has asked."""
        if self._request is not None:
            raise StopRequested(str(self._request))
