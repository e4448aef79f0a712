import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.adapters.weights import Cost, WeightGovernor, shared_governor
from gnn_trainer.errors import ServiceBanned, ServiceError, StopRequested
from tests.adapters.scripted_exchange import VirtualTime

LIMIT = 200
ALLOWANCE = 180


async def never(_seconds: float) -> None:
    raise StopRequested("would have to wait")


def spend(governor: WeightGovernor, weight: int, *, used: int | None = None) -> None:
    """One call that fits at once, answered in the same moment."""
    governor.settle(asyncio.run(governor.admit(Cost(weight), never)), used)


def seconds_until_admitted(governor: WeightGovernor, time: VirtualTime, cost: Cost) -> float:
    before = time()
    asyncio.run(governor.admit(cost, time.wait))
    return time() - before


@given(
    calls=st.lists(
        st.tuples(
            st.integers(1, 40),  # weight
            st.floats(0, 20),  # seconds until the exchange counts it
            st.floats(0, 20),  # seconds from there to the answer
            st.floats(0, 30),  # pause before the worker's next call
        ),
        min_size=1,
        max_size=60,
    ),
    workers=st.integers(1, 8),
)
def test_no_minute_of_any_alignment_ever_sees_more_than_90_percent(
    calls: list[tuple[int, float, float, float]], workers: int
) -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    counted: list[tuple[float, int]] = []

    async def work(todo: "Sequence[tuple[int, float, float, float]]") -> None:
        for weight, way, back, pause in todo:
            ticket = await governor.admit(Cost(weight), time.wait)
            await time.wait(way)
            counted.append((time(), weight))
            await time.wait(back)
            governor.settle(ticket, None)
            await time.wait(pause)

    async def all_workers() -> None:
        await asyncio.gather(*(work(calls[start::workers]) for start in range(workers)))

    asyncio.run(all_workers())
    assert len(counted) == len(calls)
    for start, _ in counted:
        within = sum(weight for at, weight in counted if start <= at < start + 60)
        assert within <= ALLOWANCE


def test_the_whole_allowance_is_used_each_minute() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)

    async def spend_five_minutes_worth() -> None:
        for _ in range(5 * ALLOWANCE // 2):
            governor.settle(await governor.admit(Cost(2), time.wait), None)

    asyncio.run(spend_five_minutes_worth())
    assert 240 <= time() < 241


def test_a_call_in_flight_counts_until_a_minute_after_its_answer() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    ticket = asyncio.run(governor.admit(Cost(ALLOWANCE), never))
    time.now_s = 300.0  # a very slow answer
    with pytest.raises(StopRequested):
        asyncio.run(governor.admit(Cost(1), never))
    governor.settle(ticket, None)
    assert seconds_until_admitted(governor, time, Cost(1)) == pytest.approx(60)


def test_weight_of_other_processes_is_respected() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    spend(governor, 10, used=10 + 160)
    spend(governor, 10, used=20 + 160)
    assert seconds_until_admitted(governor, time, Cost(1)) == pytest.approx(60)


def test_own_weight_in_the_header_is_not_counted_twice() -> None:
    governor = WeightGovernor(LIMIT, clock=VirtualTime(0.0))
    used = 0
    for _ in range(ALLOWANCE // 20):
        used += 20
        spend(governor, 20, used=used)
    assert used == ALLOWANCE


def test_foreign_weight_is_seen_right_after_the_exchange_began_a_new_minute() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    spend(governor, 100, used=100)
    time.now_s = 10.0  # the exchange's minute turned; another process spent 40 in it
    spend(governor, 2, used=42)
    with pytest.raises(StopRequested):
        asyncio.run(governor.admit(Cost(ALLOWANCE - 102 - 40 + 1), never))
    spend(governor, ALLOWANCE - 102 - 40)


def test_an_answer_that_was_overtaken_is_not_believed() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    early = asyncio.run(governor.admit(Cost(5), never))
    late = asyncio.run(governor.admit(Cost(5), never))
    governor.settle(late, 175)
    governor.settle(early, 5)
    with pytest.raises(StopRequested):
        asyncio.run(governor.admit(Cost(10), never))


def test_a_learned_limit_replaces_the_assumed_one() -> None:
    governor = WeightGovernor(LIMIT, clock=VirtualTime(0.0))
    governor.learn_limit(100, 60.0)
    spend(governor, 90)
    with pytest.raises(StopRequested):
        asyncio.run(governor.admit(Cost(1), never))


def test_a_call_larger_than_the_budget_is_an_error_and_not_an_endless_wait() -> None:
    with pytest.raises(ServiceError, match="one call costs 20"):
        asyncio.run(WeightGovernor(20, clock=VirtualTime()).admit(Cost(20), never))


def test_funding_requests_have_their_own_five_minute_budget() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    for _ in range(450):
        governor.settle(asyncio.run(governor.admit(Cost(funding_requests=1), never)), None)
    spend(governor, ALLOWANCE)
    assert seconds_until_admitted(governor, time, Cost(funding_requests=1)) == pytest.approx(300)


def test_an_exchange_that_is_ours_may_allow_more_funding_requests() -> None:
    governor = WeightGovernor(LIMIT, funding_limit=10_000, clock=VirtualTime(0.0))
    for _ in range(1000):
        governor.settle(asyncio.run(governor.admit(Cost(funding_requests=1), never)), None)


def test_nobody_is_admitted_while_the_exchange_asked_for_a_wait() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    governor.hold(37)
    governor.hold(5)
    assert seconds_until_admitted(governor, time, Cost(1)) == pytest.approx(37)


def test_a_ban_turns_everybody_away_until_it_ends() -> None:
    time = VirtualTime(0.0)
    governor = WeightGovernor(LIMIT, clock=time)
    governor.ban(ServiceBanned("banned", until_ms=123), 120)
    time.now_s = 119.0
    with pytest.raises(ServiceBanned) as caught:
        asyncio.run(governor.admit(Cost(1), time.wait))
    assert caught.value.until_ms == 123
    time.now_s = 120.0
    assert seconds_until_admitted(governor, time, Cost(1)) == 0


@pytest.mark.parametrize(
    ("cost", "seconds"),
    [(Cost(0), 0), (Cost(ALLOWANCE), 0), (Cost(2 * ALLOWANCE), 60), (Cost(0, 900), 300)],
)
def test_time_needed_is_what_exceeds_the_free_allowance(cost: Cost, seconds: float) -> None:
    governor = WeightGovernor(LIMIT, clock=VirtualTime(0.0))
    assert governor.seconds_for(cost) == pytest.approx(seconds)


def test_pace_is_told_by_the_budget_that_binds() -> None:
    governor = WeightGovernor(2400, clock=VirtualTime(0.0))
    assert governor.describe_pace(Cost(5000)) == "about 2.3 min at 90 % of 2,400/min"
    funding = governor.describe_pace(Cost(funding_requests=500))
    assert funding == "about 5.6 min at 90 % of 500/5 min"


def test_one_host_has_one_governor() -> None:
    assert shared_governor("test://a", 10) is shared_governor("test://a", 20)
    assert shared_governor("test://a", 10) is not shared_governor("test://b", 10)


def test_threads_share_one_budget() -> None:
    governor = WeightGovernor(LIMIT, clock=VirtualTime(0.0))
    admitted: list[int] = []

    def take_all() -> None:
        while True:
            try:
                admitted.append(asyncio.run(governor.admit(Cost(3), never)))
            except StopRequested:
                return

    run_together([take_all] * 4)
    assert len(admitted) == len(set(admitted)) == ALLOWANCE // 3


def run_together(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
