"""From features and labels to a GraphSequence; edges at bar t read bars <= t only."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from gnn_trainer.errors import StopRequested
from gnn_trainer.features.frame import FeatureFrame, Float32Array
from gnn_trainer.features.returns import log_returns
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.correlations import RunningCorrelations
from gnn_trainer.graph.edges import (
    FLOW_FEATURE,
    RETURN_FEATURES,
    VOLUME_FEATURE,
    EdgeRule,
    Signals,
    edge_rules,
)
from gnn_trainer.graph.leaders import Leaders, draw
from gnn_trainer.graph.relations import (
    PlacedRelations,
    Relations,
    add_leaders,
    place_relations,
)
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import IntArray, MarketFrame
from gnn_trainer.market.labels import LabelConfig, make_labels

EDGE_UNIT = 0.1  # edge attributes are shrunken correlations in tenths, so they are of order one


def assemble_graph(
    frame: MarketFrame,
    features: FeatureFrame,
    config: GraphConfig,
    labels: LabelConfig,
    relations: Relations | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> GraphSequence:
    """Join features, labels and a dynamic graph over the same bars and symbols.

    `relations` add one edge attribute for each of their values, behind those of the rules.

    Raises:
        StopRequested: `should_stop`, asked before every redrawing, said yes.
    """
    signals = signals_of(features)
    rules = edge_rules(signals, config)
    placed = None
    if relations is not None:
        placed = place_relations(
            relations, features.symbols, features.open_time_T, features.interval_ms
        )
    leader_RNk, attr_RNkE, refresh_T = draw_edges(rules, config, placed, should_stop)
    related = () if relations is None else relations.names
    targets = make_labels(frame, labels)
    return GraphSequence(
        symbols=features.symbols,
        interval_ms=features.interval_ms,
        horizon=labels.horizon,
        feature_names=features.names,
        edge_names=(*(rule.name for rule in rules), *related),
        edge_readings=(*(rule.reading for rule in rules), *(RETURN_FEATURES[0] for _ in related)),
        open_time_T=features.open_time_T,
        x_TNF=features.x_TNF,
        mask_TN=features.mask_TN,
        ret_TN=targets.ret_TN,
        close_ret_TN=targets.close_ret_TN,
        late_ret_TN=targets.late_ret_TN,
        past_ret_TN=log_returns(frame),
        sigma_TN=targets.sigma_TN,
        end_time_T=targets.end_time_T,
        leader_RNk=leader_RNk,
        edge_attr_RNkE=attr_RNkE,
        refresh_T=refresh_T,
    )


def signals_of(features: FeatureFrame) -> Signals:
    """The features that edge rules compare; NaN wherever the symbol is masked."""

    def column(name: str) -> Float32Array:
        values = features.x_TNF[:, :, features.names.index(name)].copy()
        values[~features.mask_TN] = np.nan
        return values

    return Signals(column(RETURN_FEATURES[0]), column(FLOW_FEATURE), column(VOLUME_FEATURE))


def draw_edges(
    rules: Sequence[EdgeRule],
    config: GraphConfig,
    relations: PlacedRelations | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[np.ndarray, np.ndarray, IntArray]:
    """Leaders and edge attributes at each refresh, and the refresh in force at each bar.

    With relations, a bar at which one of them comes into force or ends is a refresh as well, at
    which the measured edges stay as they are.

    Returns:
        leader_RNk int32 (-1 = none), attr_RNkE float32 (0 where none), refresh_T int64 (-1 = none).

    Raises:
        StopRequested: `should_stop`, asked before every redrawing, said yes.
    """
    with _libraries().limit(limits=1, user_api="blas"):  # products are too thin to be shared out
        return _draw(rules, config, relations, should_stop)


@cache
def _libraries() -> ThreadpoolController:
    """Looked up once: that takes as long as drawing twenty graphs of 100 symbols."""
    return ThreadpoolController()


def _draw(
    rules: Sequence[EdgeRule],
    config: GraphConfig,
    relations: PlacedRelations | None,
    should_stop: Callable[[], bool],
) -> tuple[np.ndarray, np.ndarray, IntArray]:
    num_bars, num_symbols = rules[0].follower_TN.shape
    least_counted_E = np.array([rule.least_counted for rule in rules])
    running = RunningCorrelations(rules, config.half_life_bars)
    drawings = running.over(config.warmup_bars, config.refresh_bars)
    edges = _Edges(num_bars)
    for stop in range(config.warmup_bars, num_bars + 1, config.refresh_bars):
        if should_stop():
            taken = stop - config.refresh_bars if edges.leaders else 0
            raise StopRequested(f"stopped at bar {taken} of {num_bars}")
        leader_Nk, strength_ENN = draw(next(drawings), least_counted_E, config.neighbours)
        if relations is None:
            edges.add(stop - 1, leader_Nk, _of_pairs(strength_ENN, leader_Nk) / EDGE_UNIT)
            continue
        last = min(stop - 1 + config.refresh_bars, num_bars)
        for bar in (stop - 1, *relations.changes(stop - 1, last)):
            value_NNA = relations.at(bar)
            both_Nk = add_leaders(leader_Nk, value_NNA, config.relation_neighbours)
            measured = _of_pairs(strength_ENN, both_Nk) / EDGE_UNIT
            related = _of_pairs(value_NNA.transpose(2, 1, 0), both_Nk)
            edges.add(bar, both_Nk, np.concatenate((measured, related), axis=-1))
    if not edges.leaders:
        count = min(config.neighbours, num_symbols - 1)
        num_attrs = len(rules)
        if relations is not None:
            count += min(config.relation_neighbours, num_symbols)
            num_attrs += len(relations.names)
        empty = (0, num_symbols, count)
        return (
            np.empty(empty, np.int32),
            np.empty((*empty, num_attrs), np.float32),
            edges.refresh_T(),
        )
    return np.stack(edges.leaders), np.stack(edges.attrs), edges.refresh_T()


class _Edges:
    """The refreshes drawn so far, and which of them holds at each bar."""

    def __init__(self, num_bars: int) -> None:
        self.leaders: list[Leaders] = []
        self.attrs: list[Float32Array] = []
        self._first_bars: list[int] = []
        self._num_bars = num_bars

    def add(self, first_bar: int, leader_Nk: Leaders, attr_NkE: Float32Array) -> None:
        self.leaders.append(leader_Nk)
        self.attrs.append(attr_NkE)
        self._first_bars.append(first_bar)

    def refresh_T(self) -> IntArray:
        bar_T = np.arange(self._num_bars)
        return np.searchsorted(np.array(self._first_bars, np.int64), bar_T, side="right") - 1


def _of_pairs(value_ENN: Float32Array, leader_Nk: Leaders) -> Float32Array:
    """Values [rule, leader, follower] of the chosen pairs, [N, k, E]; 0 where there is no edge."""
    num_values, num_symbols, _ = value_ENN.shape
    pair_Nk = leader_Nk * num_symbols + np.arange(num_symbols)[:, None]
    value_ENk = value_ENN.reshape(num_values, -1).take(pair_Nk, axis=1, mode="clip")
    value_NkE: Float32Array = (value_ENk * (leader_Nk >= 0)).transpose(1, 2, 0)
    return value_NkE
