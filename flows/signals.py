"""SIGTERM and Ctrl-C as requests to stop, for a run that nobody supervises."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gnn_trainer.control import StopController

SIGTERM, CTRL_C = "sigterm", "ctrl-c"
_SOURCES = {signal.SIGTERM: SIGTERM, signal.SIGINT: CTRL_C}


@contextmanager
def obeying_signals(stop: StopController) -> Iterator[None]:
    """Ask the run to stop instead of ending the process; a second Ctrl-C raises KeyboardInterrupt.

    Whatever is under way ends at its next look at `stop`, never in the middle of a write. Outside
    of the main thread, where Python allows no handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = 0

    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts > 1:
            raise KeyboardInterrupt
        source = _SOURCES[signal.Signals(number)]
        # Not from here: the interrupted code may hold the lock that `request` needs.
        threading.Thread(target=stop.request, args=(source,), daemon=True).start()

    before = {number: signal.signal(number, on_signal) for number in _SOURCES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
