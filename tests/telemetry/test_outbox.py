"""Events on their way."""

from collections.abc import Callable

from gnn_trainer.telemetry.outbox import Outbox
from tests.telemetry.recorder import Recorder


def filled(sink: Recorder, count: int, most_kept: int = 10) -> Outbox:
    outbox = Outbox("queue-1", sink, most_kept)
    for number in range(count):
        outbox.add(b"%d" % number, may_drop=number > 0)
    return outbox


def test_what_arrived_is_forgotten() -> None:
    sink = Recorder()
    outbox = filled(sink, 3)
    outbox.push(0.0)
    assert sink.values == [b"0", b"1", b"2"]
    assert (outbox.undelivered, outbox.delivered, outbox.dropped) == ((), 3, 0)


def test_a_refused_event_is_not_overtaken() -> None:
    sink = Recorder(is_away=True)
    outbox = filled(sink, 3)
    outbox.push(0.0)
    assert sink.refused == 1
    sink.is_away = False
    outbox.push(1.0)
    assert sink.values == []
    outbox.push(5.0)
    assert sink.values == [b"0", b"1", b"2"]


def test_when_there_are_too_many_the_oldest_go_but_not_those_that_must_stay() -> None:
    sink = Recorder(is_away=True)
    outbox = filled(sink, 12)
    assert outbox.undelivered == tuple(b"%d" % number for number in (0, *range(3, 12)))
    assert outbox.dropped == 2
    sink.is_away = False
    outbox.push(0.0)
    assert sink.values[:2] == [b"0", b"3"]
    assert (outbox.delivered, outbox.dropped) == (10, 2)


def test_the_sink_is_not_given_more_than_can_still_be_dropped() -> None:
    held: list[Callable[[bool], None]] = []

    class Slow(Recorder):
        def send(self, key: str, value: bytes, on_outcome: Callable[[bool], None]) -> None:
            held.append(on_outcome)

    outbox = filled(Slow(), 300, most_kept=1000)
    outbox.push(0.0)
    assert len(held) == 100
    for on_outcome in held[:50]:
        on_outcome(True)
    outbox.push(0.1)
    assert len(held) == 150
