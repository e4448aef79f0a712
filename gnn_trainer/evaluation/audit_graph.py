"""Are edges, masks and volatilities made of their own bar and earlier ones?"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gnn_trainer.evaluation.audit_poison import (
    bars_of,
    by_row,
    differing,
    first_bar,
    poison_features,
    poison_frame,
    symbols_of,
    utc_minute,
)
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.relations import ALWAYS, OPEN_END, Relations
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, IntArray, MarketFrame
from gnn_trainer.market.labels import LabelConfig

CAUSAL_FIELDS = ("x_TNF", "mask_TN", "past_ret_TN", "sigma_TN")
CUT_SHARES = (0.35, 0.97)  # of the bars; each costs its share of drawing the graph
POISON_SHARE = 0.9  # of the bars; likewise
POISON_SYMBOLS = 64  # of a larger market so many are drawn twice, without the others
SAMPLES = 12  # short stretches, drawn twice each with quickly forgetting rules
SAMPLE_BARS = 96
SAMPLE_SYMBOLS = 20
BEGINNINGS = 8  # of relations, each with a short stretch around it
QUICK_RULES = {"warmup_bars": 20, "half_life_bars": 20, "refresh_bars": 5}


def check_graph(
    frame: MarketFrame,
    features: FeatureFrame,
    graph: GraphSequence,
    config: GraphConfig,
    labels: LabelConfig,
    relations: Relations | None,
) -> tuple[Check, ...]:
    """`graph` held against what the same code draws when the future is cut off or nonsense."""
    rng = np.random.default_rng(frame.num_bars)
    cut, poison, short = (_Differences() for _ in range(3))
    for stop in _cuts(graph):
        known = known_relations(relations, graph, stop)
        past = frame.bars(0, stop), bars_of(features, 0, stop)
        cut.compare(graph, assemble_graph(*past, config, labels, known), stop)

    def compare(
        found: _Differences, rules: GraphConfig, stop: int, part: MarketFrame, own: FeatureFrame
    ) -> None:
        honest = assemble_graph(part, own, rules, labels, relations)
        known = known_relations(relations, honest, stop)
        other = _poisoned(part, own, stop, rng)
        found.compare(honest, assemble_graph(*other, rules, labels, known), stop)

    late = max(1, int(graph.num_bars * POISON_SHARE))
    some = _some_symbols(graph, POISON_SYMBOLS, relations, late, rng)
    compare(poison, config, late, symbols_of(frame, some), symbols_of(features, some))
    quick = config.model_copy(update=QUICK_RULES)
    for start, stop in _samples(graph, relations, rng):
        part = frame.bars(start, start + SAMPLE_BARS)
        own = bars_of(features, start, start + SAMPLE_BARS)
        some = _some_symbols(graph, SAMPLE_SYMBOLS, relations, start + stop, rng)
        compare(short, quick, stop, symbols_of(part, some), symbols_of(own, some))
    return cut.check("truncation"), poison.check("poison"), short.check("poison, short memory")


def known_relations(
    relations: Relations | None, graph: GraphSequence, stop: int
) -> Relations | None:
    """What was known at the close of bar `stop` - 1: what had begun by then, and no end to come."""
    if relations is None:
        return None
    now_ms = int(graph.open_time_T[stop - 1]) + graph.interval_ms - 1
    begun_M = relations.valid_from_M <= now_ms
    ended_M = relations.valid_to_M <= now_ms
    return replace(
        relations,
        leader_M=relations.leader_M[begun_M],
        follower_M=relations.follower_M[begun_M],
        valid_from_M=relations.valid_from_M[begun_M],
        valid_to_M=np.where(ended_M, relations.valid_to_M, OPEN_END)[begun_M],
        value_MA=relations.value_MA[begun_M],
    )


def static_relations(relations: Relations | None) -> int:
    """How many relations say nothing of when they began, so that nobody knew them at the time."""
    return 0 if relations is None else int((relations.valid_from_M == ALWAYS).sum())


def _cuts(graph: GraphSequence) -> list[int]:
    """Just after the graph was redrawn, and in the middle of a graph's life."""
    stops = [int(graph.num_bars * share) + 1 for share in CUT_SHARES]
    redrawn = np.flatnonzero(np.diff(graph.refresh_T) > 0) + 1
    if len(redrawn):
        stops[::2] = [int(redrawn[np.abs(redrawn - stop).argmin()]) + 1 for stop in stops[::2]]
    return [stop for stop in stops if 1 < stop < graph.num_bars]


def _samples(
    graph: GraphSequence, relations: Relations | None, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """First bar of each short stretch, and the bar in it from which on everything is changed.

    Some anywhere, the others so that the change falls on the beginning of a relation.
    """
    last = max(1, graph.num_bars - SAMPLE_BARS)
    length = min(SAMPLE_BARS, graph.num_bars)
    for start in rng.integers(0, last, SAMPLES):
        yield int(start), int(rng.integers(min(length, QUICK_RULES["warmup_bars"]) - 1, length))
    if relations is None:
        return
    begun = np.unique(np.searchsorted(graph.open_time_T, relations.valid_from_M))
    begun = begun[(begun > QUICK_RULES["warmup_bars"]) & (begun < graph.num_bars)]
    for bar in begun[:: max(1, -(-len(begun) // BEGINNINGS))]:
        start = min(max(0, int(bar) - SAMPLE_BARS // 2), last)
        yield start, int(bar) - start


def _some_symbols(
    graph: GraphSequence,
    most: int,
    relations: Relations | None,
    bar: int,
    rng: np.random.Generator,
) -> IntArray:
    """At most so many of the symbols, ascending, with some of relations that begin near `bar`."""
    first: list[int] = []
    if relations is not None:
        place = {symbol: column for column, symbol in enumerate(graph.symbols)}
        away_M = np.abs(relations.valid_from_M - float(graph.open_time_T[bar]))
        chosen = np.argsort(away_M, kind="stable")[: most // 4]
        ends = np.stack((relations.leader_M[chosen], relations.follower_M[chosen]), axis=1)
        first = [place[name] for end in ends.ravel() if (name := relations.symbols[end]) in place]
    order = list(dict.fromkeys([*first, *rng.permutation(graph.num_symbols).tolist()]))
    return np.sort(np.array(order[:most]))


def _poisoned(
    frame: MarketFrame, features: FeatureFrame, stop: int, rng: np.random.Generator
) -> tuple[MarketFrame, FeatureFrame]:
    future_T = np.arange(frame.num_bars) >= stop
    return poison_frame(frame, future_T, rng), poison_features(features, future_T, rng)


class _Differences:
    """Collects, rule by rule, what differs at bars before a cut."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._compared = 0

    def compare(self, expected: GraphSequence, actual: GraphSequence, stop: int) -> None:
        for name in CAUSAL_FIELDS:
            before, after = (getattr(graph, name)[:stop] for graph in (expected, actual))
            differs = differing(before, after)
            differs_TN = by_row(differs) if differs.ndim == 3 else differs
            self._compared += differs.size
            if differs_TN.any():
                where = first_bar(differs_TN, expected.open_time_T, expected.symbols)
                self._note(f"{name} of the graph knows later bars ({where})")
        self._compare_edges(expected, actual, stop)

    def _compare_edges(self, expected: GraphSequence, actual: GraphSequence, stop: int) -> None:
        begun = [int(graph.refresh_T[:stop].max(initial=-1)) + 1 for graph in (expected, actual)]
        moved_T = expected.refresh_T[:stop] != actual.refresh_T[:stop]
        if moved_T.any():
            at = utc_minute(int(expected.open_time_T[:stop][moved_T][0]))
            self._note(f"when edges come into force depends on later bars (first {at})")
        drawn = min(begun)
        if expected.edge_names != actual.edge_names:
            self._note("which edge rules there are depends on later bars")
            return
        leaders = differing(expected.leader_RNk[:drawn], actual.leader_RNk[:drawn])
        self._compared += leaders.size
        self._tell("the choice of leaders", by_row(leaders), expected)
        for place, name in enumerate(expected.edge_names):
            attrs = [graph.edge_attr_RNkE[:drawn, ..., place] for graph in (expected, actual)]
            differs = differing(*attrs) & ~leaders  # another leader has other attributes
            self._compared += differs.size
            self._tell(f"edge rule {name}", by_row(differs), expected)

    def _tell(self, what: str, differs_RN: BoolArray, graph: GraphSequence) -> None:
        if not differs_RN.any():
            return
        refresh, follower = np.argwhere(differs_RN)[0]
        bar = int(np.argmax(graph.refresh_T == refresh))
        self._note(
            f"{what} knows later bars ({int(differs_RN.sum())} differ, first of "
            f"{graph.symbols[follower]} drawn at {utc_minute(int(graph.open_time_T[bar]))})"
        )

    def _note(self, breach: str) -> None:
        """The first breach of a kind is told; a kind is what stands before the bracket."""
        self._found.setdefault(breach.partition(" (")[0], breach)

    def check(self, test: str) -> Check:
        return check_of("edges", test, self._compared, list(self._found.values()))
