"""Asking a run to end."""

import threading

import pytest

from gnn_trainer.control import StopController
from gnn_trainer.errors import StopRequested


def test_of_two_requests_the_first_counts() -> None:
    stop = StopController()
    assert stop.request("kafka", "operator")
    assert not stop.request("sigterm")
    assert (stop.is_requested, stop.source, stop.reason) == (True, "kafka", "operator")


def test_of_many_requests_at_once_exactly_one_counts() -> None:
    stop, start, won = StopController(), threading.Barrier(8), []

    def ask(source: str) -> None:
        start.wait()
        if stop.request(source):
            won.append(source)

    threads = [threading.Thread(target=ask, args=(f"source {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [stop.source]


def test_nobody_is_stopped_before_somebody_asks() -> None:
    stop = StopController()
    stop.check()
    assert not stop.wait(0.0)
    assert (stop.is_requested, stop.source, stop.reason) == (False, "", "")


def test_a_check_after_a_request_says_who_asked() -> None:
    stop = StopController()
    stop.request("kafka", "maintenance")
    with pytest.raises(StopRequested, match="stopped by kafka: maintenance"):
        stop.check()


def test_a_request_cuts_a_pause_short() -> None:
    stop = StopController()
    threading.Timer(0.01, stop.request, ("prefect",)).start()
    assert stop.wait(30.0)
