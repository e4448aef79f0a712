import pytest

from gnn_trainer.adapters.binance_market import SPOT, USDM
from gnn_trainer.adapters.binance_plan import FetchPlan, plan_books, plan_funding, plan_klines
from gnn_trainer.adapters.weights import Cost, WeightGovernor
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS
from gnn_trainer.market.listing import SpanRequest

SYMBOLS = [f"S{number}USDT" for number in range(500)]


def spans(days: int) -> list[SpanRequest]:
    return [SpanRequest(symbol, 0, days * DAY_MS) for symbol in SYMBOLS]


def test_the_plan_of_500_symbols_reads_as_one_line() -> None:
    line = plan_klines(spans(90), "1h", USDM).describe(WeightGovernor(2400))
    assert line == (
        "500 symbols x 90 d of 1h: 2,500 pages, weight 5,000, about 2.3 min at 90 % of 2,400/min"
    )


def test_a_year_of_hours_costs_what_the_documentation_says() -> None:
    plan = plan_klines(spans(365), "1h", USDM)
    assert plan.pages == 500 * 18
    assert plan.cost == Cost(weight=500 * 18 * 2)


def test_spot_pages_hold_a_thousand_bars() -> None:
    plan = plan_klines(spans(90), "1h", SPOT)
    assert (plan.pages, plan.cost.weight) == (500 * 3, 500 * 3 * 2)


def test_a_few_newest_bars_cost_one_each() -> None:
    plan = plan_klines(spans(1), "1h", USDM)
    assert (plan.pages, plan.cost.weight) == (500, 500)


def test_funding_is_planned_in_requests_of_its_own_budget() -> None:
    line = plan_funding(spans(90)).describe(WeightGovernor(2400))
    assert line == "500 symbols x 90 d of funding: 500 pages, about 5.6 min at 90 % of 500/5 min"


def test_books_are_planned_by_their_weight() -> None:
    assert plan_books(SYMBOLS, USDM).cost == Cost(weight=1000)
    assert plan_books(SYMBOLS, SPOT).cost == Cost(weight=2500)


@pytest.mark.parametrize("plan", [plan_klines([], "1h", USDM), plan_funding([])])
def test_nothing_to_fetch_costs_nothing(plan: FetchPlan) -> None:
    assert (plan.symbols, plan.size, plan.pages, plan.cost) == ((), 0, 0, Cost())


@pytest.mark.parametrize(
    ("bars", "words"), [(1, "0.042 d"), (36, "1.5 d"), (2159, "90 d"), (24 * 1095 + 12, "1095.5 d")]
)
def test_lengths_read_well(bars: int, words: str) -> None:
    span = SpanRequest("X", 0, bars * INTERVAL_MS["1h"])
    assert plan_klines([span], "1h", USDM).what == f"{words} of 1h"
