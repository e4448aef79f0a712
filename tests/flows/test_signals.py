"""Signals as requests to stop."""

import os
import signal

import pytest

from flows.signals import CTRL_C, SIGTERM, obeying_signals
from gnn_trainer.control import StopController

DEADLINE_S = 10.0


@pytest.mark.parametrize(("number", "source"), [(signal.SIGTERM, SIGTERM), (signal.SIGINT, CTRL_C)])
def test_a_signal_is_a_request_and_interrupts_nothing(number: signal.Signals, source: str) -> None:
    stop = StopController()
    before = signal.getsignal(number)

    with obeying_signals(stop):
        os.kill(os.getpid(), number)
        assert stop.wait(DEADLINE_S)

    assert stop.source == source
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_ends_at_once() -> None:
    stop = StopController()

    with obeying_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(DEADLINE_S)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
