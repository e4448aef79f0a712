"""Order, spacing and coalescing, with a clock that only the test moves."""

from itertools import pairwise
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.telemetry.events import TERMINAL, Status
from gnn_trainer.telemetry.lineup import SPACING_S, Draft, Lineup


def draft(status: Status, message: str = "") -> Draft:
    return Draft(status, message, "training", {"epoch": 1})


def drain(lineup: Lineup, now: float) -> list[Draft]:
    """Everything that waits, each at its time."""
    found = []
    while (wait_s := lineup.due_in(now)) is not None:
        now += wait_s
        taken = lineup.take(now)
        assert taken is not None
        found.append(taken)
    return found


def test_nothing_waits_at_first() -> None:
    assert Lineup().due_in(0.0) is None
    assert Lineup().take(0.0) is None


def test_of_loading_events_that_come_too_fast_the_newest_wins() -> None:
    lineup = Lineup()
    lineup.put(draft("started"))
    assert lineup.take(0.0) == draft("started")
    for message in "abc":
        lineup.put(draft("loading", message))
    assert lineup.due_in(0.25) == 0.75
    assert lineup.take(0.999) is None
    assert lineup.take(1.0) == draft("loading", "c")
    assert lineup.due_in(1.0) is None


def test_an_ending_waits_for_its_second_and_overtakes_what_is_not_sent() -> None:
    lineup = Lineup()
    lineup.put(draft("started"))
    lineup.take(0.0)
    lineup.put(draft("loading"))
    assert lineup.put(draft("error"))
    assert lineup.take(0.5) is None
    assert drain(lineup, 0.5) == [draft("error")]


def test_there_is_one_ending_and_nothing_after_it() -> None:
    lineup = Lineup()
    lineup.put(draft("interrupted"))
    for status in ("finished", "error", "loading", "started"):
        assert not lineup.put(draft(status))
    assert [item.status for item in drain(lineup, 0.0)] == ["started", "interrupted"]
    assert not lineup.put(draft("finished"))
    lineup.ping(1)
    assert lineup.due_in(9.0) is None


def test_a_ping_is_answered_by_the_newest_loading_said_again() -> None:
    lineup = Lineup()
    lineup.put(draft("started"))
    lineup.take(0.0)
    lineup.put(draft("loading", "epoch 3"))
    lineup.take(1.0)
    lineup.ping(17)
    lineup.ping("later")
    first, second = drain(lineup, 1.0)
    assert (first.status, first.message, first.extra) == (
        "loading",
        "epoch 3",
        {"epoch": 1, "pong": 17},
    )
    assert second.extra["pong"] == "later"


def test_a_ping_before_the_beginning_is_answered_after_it() -> None:
    lineup = Lineup()
    lineup.ping(1)
    assert lineup.due_in(0.0) is None
    lineup.put(draft("started", "here"))
    assert [item.status for item in drain(lineup, 0.0)] == ["started", "loading"]


def test_a_pong_is_not_lost_to_a_newer_loading() -> None:
    lineup = Lineup(has_started=True)
    lineup.ping(5)
    lineup.put(draft("loading", "newer"))
    (answer,) = drain(lineup, 0.0)
    assert (answer.message, answer.extra["pong"]) == ("newer", 5)


MOVES = st.lists(
    st.one_of(
        st.sampled_from(get_args(Status)),
        st.none(),  # a ping
        st.integers(0, 24).map(lambda eighths: eighths / 8),
    ),
    max_size=40,
)


@given(MOVES)
def test_whatever_is_put_the_stream_is_well_formed(moves: list[Status | float | None]) -> None:
    lineup, now, sent = Lineup(), 0.0, list[tuple[float, Draft]]()
    for move in moves:
        if isinstance(move, float):
            now += move
            taken = lineup.take(now)
            if taken is not None:
                sent.append((now, taken))
        elif move is None:
            lineup.ping(1)
        else:
            lineup.put(draft(move))
    end = now + SPACING_S
    sent += [(end + index, item) for index, item in enumerate(drain(lineup, end))]
    statuses = [item.status for _, item in sent]
    times = [time for time, _ in sent]
    assert statuses.count("started") == (1 if statuses else 0)
    assert statuses[:1] in ([], ["started"])
    assert not set(statuses[:-1]) & set(TERMINAL)
    assert all(later - earlier >= SPACING_S for earlier, later in pairwise(times))
    assert (statuses[-1:] != [] and statuses[-1] in TERMINAL) == bool(set(TERMINAL) & set(moves))
