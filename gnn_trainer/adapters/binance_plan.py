"""What a fetch will cost before it starts, and how far it has come while it runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gnn_trainer.adapters.binance_calls import BinanceCalls
from gnn_trainer.adapters.binance_market import FUNDING_PAGE_ROWS, BinanceMarket
from gnn_trainer.adapters.binance_paging import LONGEST_FUNDING_MS, bars_between
from gnn_trainer.adapters.weights import Clock, Cost, WeightGovernor
from gnn_trainer.market.intervals import DAY_MS, INTERVAL_MS
from gnn_trainer.market.listing import SpanRequest
from gnn_trainer.ports import Progress, ProgressListener


@dataclass(frozen=True)
class FetchPlan:
    """What a fetch will ask for; late listings and gaps make it less."""

    stage: str
    what: str  # for people, e.g. `90 d of 1h`
    symbols: tuple[str, ...]
    size: float  # what `FetchTracker.advance` adds up to: ms of all spans, or symbols
    pages: int
    cost: Cost

    def describe(self, governor: WeightGovernor) -> str:
        """E.g. `500 symbols x 90 d of 1h: 2,500 pages, weight 5,000, about 2.3 min at ...`."""
        weight = f"weight {self.cost.weight:,}, " if self.cost.weight else ""
        pace = governor.describe_pace(self.cost)
        return f"{len(self.symbols):,} symbols x {self.what}: {self.pages:,} pages, {weight}{pace}"


def plan_klines(spans: Sequence[SpanRequest], interval: str, market: BinanceMarket) -> FetchPlan:
    """Full pages of the cheapest size, then one page for the rest."""
    pages, weight = 0, 0
    for span in spans:
        bars = bars_between(span.start_ms, span.end_ms, INTERVAL_MS[interval])
        full, rest = divmod(bars, market.page_rows)
        pages += full + bool(rest)
        weight += full * market.page_weight(market.page_rows)
        weight += market.page_weight(rest) if rest else 0
    return _span_plan("fetch_klines", spans, interval, pages, Cost(weight=weight))


def plan_funding(spans: Sequence[SpanRequest]) -> FetchPlan:
    """Counted at 8 hours between settlements; symbols with shorter intervals need more pages."""
    page_ms = FUNDING_PAGE_ROWS * LONGEST_FUNDING_MS
    pages = sum(-(-_length_ms(span) // page_ms) for span in spans)
    return _span_plan("fetch_funding", spans, "funding", pages, Cost(funding_requests=pages))


def plan_books(symbols: Sequence[str], market: BinanceMarket) -> FetchPlan:
    count = len(symbols)
    return FetchPlan(
        stage="fetch_order_book",
        what="order book",
        symbols=tuple(symbols),
        size=count,
        pages=count,
        cost=Cost(weight=count * market.depth_weight),
    )


def _span_plan(
    stage: str, spans: Sequence[SpanRequest], what: str, pages: int, cost: Cost
) -> FetchPlan:
    longest_ms = max((_length_ms(span) for span in spans), default=0)
    return FetchPlan(
        stage=stage,
        what=f"{_days(longest_ms)} of {what}",
        symbols=tuple({span.symbol: None for span in spans}),
        size=sum(_length_ms(span) for span in spans),
        pages=pages,
        cost=cost,
    )


def _length_ms(span: SpanRequest) -> int:
    return max(0, span.end_ms - span.start_ms)


def _days(length_ms: int) -> str:
    days = length_ms / DAY_MS
    return f"{round(days, 1 if days >= 1 else 3):g} d"


class FetchTracker:
    """Adds up what has come of plans that are fetched side by side, and tells the listener with an
    estimate of the time left. The stage told is the first plan's."""

    def __init__(
        self,
        plans: Sequence[FetchPlan],
        calls: BinanceCalls,
        clock: Clock,
        listener: ProgressListener,
    ) -> None:
        self._done = dict.fromkeys(plans, 0.0)
        self._open = Counter(symbol for plan in plans for symbol in plan.symbols)
        self._symbols, self._symbols_done = len(self._open), 0
        self._stage = plans[0].stage
        self._calls = calls
        self._clock = clock
        self._listener = listener
        self._started = clock()
        self._weight_before = calls.weight_spent
        self._requests_before = calls.requests_sent
        self._rows = 0
        self._tell()

    def advance(self, plan: FetchPlan, covered: float, rows: int) -> None:
        """A page with so many rows came; it covers so much of the plan's size."""
        self._done[plan] += covered
        self._rows += rows
        self._tell()

    def finish_symbol(self, plan: FetchPlan, symbol: str, uncovered: float) -> None:
        """Nothing more will come for a symbol; `uncovered` is what the plan still held of it."""
        self._done[plan] += uncovered
        self._open[symbol] -= 1
        self._symbols_done += self._open[symbol] == 0
        self._tell()

    def _tell(self) -> None:
        fields = {
            "symbols_done": self._symbols_done,
            "symbols": self._symbols,
            "rows": self._rows,
            "requests": self._calls.requests_sent - self._requests_before,
            "weight_used": self._calls.weight_spent - self._weight_before,
            "eta_s": round(max(self._eta_s(plan) for plan in self._done), 1),
        }
        done, size = sum(self._done.values()), sum(plan.size for plan in self._done)
        self._listener(Progress(self._stage, done, size, fields))

    def _eta_s(self, plan: FetchPlan) -> float:
        """The slower of two: the pace so far, and what the budgets allow for the rest."""
        left = 1 - self._done[plan] / plan.size if plan.size else 0.0
        budget_s = self._calls.governor.seconds_for(plan.cost.part(left))
        if not 0 < left < 1:
            return budget_s
        return max(budget_s, (self._clock() - self._started) * left / (1 - left))
