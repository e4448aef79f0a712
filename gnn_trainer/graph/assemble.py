"""From features and labels to a GraphSequence; edges at bar t read bars <= t only."""

from collections.abc import Sequence

import numpy as np

from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.features.returns import log_returns
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import (
    FLOW_FEATURE,
    RETURN_FEATURES,
    VOLUME_FEATURE,
    EdgeRule,
    RunningCorrelation,
    Signals,
    choose_leaders,
    edge_rules,
    shrink,
)
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray, IntArray, MarketFrame
from gnn_trainer.market.labels import LabelConfig, make_labels

EDGE_UNIT = 0.1  # edge attributes are shrunken correlations in tenths, so they are of order one


def assemble_graph(
    frame: MarketFrame, features: FeatureFrame, config: GraphConfig, labels: LabelConfig
) -> GraphSequence:
    """Join features, labels and a dynamic graph over the same bars and symbols."""
    signals = signals_of(features)
    rules = edge_rules(signals, config)
    leader_RNk, attr_RNkE, refresh_T = draw_edges(rules, config)
    targets = make_labels(frame, labels)
    return GraphSequence(
        symbols=features.symbols,
        interval_ms=features.interval_ms,
        horizon=labels.horizon,
        feature_names=features.names,
        edge_names=tuple(rule.name for rule in rules),
        edge_readings=tuple(rule.reading for rule in rules),
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

    def column(name: str) -> FloatArray:
        values = features.x_TNF[:, :, features.names.index(name)].astype(np.float64)
        return np.where(features.mask_TN, values, np.nan)

    return Signals(column(RETURN_FEATURES[0]), column(FLOW_FEATURE), column(VOLUME_FEATURE))


def draw_edges(
    rules: Sequence[EdgeRule], config: GraphConfig
) -> tuple[np.ndarray, np.ndarray, IntArray]:
    """Leaders and edge attributes at each refresh, and the refresh in force at each bar.

    Returns:
        leader_RNk int32 (-1 = none), attr_RNkE float32 (0 where none), refresh_T int64 (-1 = none).
    """
    num_bars, num_symbols = rules[0].follower_TN.shape
    running = [RunningCorrelation(rule, config.half_life_bars) for rule in rules]
    drawn_after = range(config.warmup_bars, num_bars + 1, config.refresh_bars)
    leaders, attrs, taken = [], [], 0
    for stop in drawn_after:
        for correlation in running:
            correlation.advance(taken, stop)
        taken = stop
        strength_ENN = np.stack([shrink(*correlation.correlation()) for correlation in running])
        leader_Nk, _ = choose_leaders(strength_ENN, config.neighbours)
        leaders.append(leader_Nk)
        attrs.append(_attributes(strength_ENN, leader_Nk))
    count = min(config.neighbours, num_symbols - 1)
    refresh_T = np.full(num_bars, -1, dtype=np.int64)
    for index, stop in enumerate(drawn_after):
        refresh_T[stop - 1 :] = index
    if not leaders:
        empty = (0, num_symbols, count)
        return np.empty(empty, np.int32), np.empty((*empty, len(rules)), np.float32), refresh_T
    return np.stack(leaders), np.stack(attrs), refresh_T


def _attributes(strength_ENN: FloatArray, leader_Nk: np.ndarray) -> np.ndarray:
    rows = np.arange(len(leader_Nk))[:, None]
    chosen_ENk = strength_ENN[:, rows, np.maximum(leader_Nk, 0)] * (leader_Nk >= 0)
    attr_NkE = np.moveaxis(chosen_ENk, 0, -1) / EDGE_UNIT
    return attr_NkE.astype(np.float32)
