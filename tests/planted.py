"""A market in arrays with planted leaders, small enough to train on in a test."""

from dataclasses import dataclass

import numpy as np

from gnn_trainer.evaluation.backtest import Holding
from gnn_trainer.evaluation.recovery import PlantedLead, Truth
from gnn_trainer.graph.assemble import draw_edges
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import (
    FLOW_FEATURE,
    RETURN_FEATURES,
    VOLUME_FEATURE,
    Signals,
    edge_rules,
)
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.market.splits import Split, SplitConfig, chronological_split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.training.config import FitConfig
from gnn_trainer.training.fit import FitPlan

HOUR_MS = 3_600_000
VOLATILITY = 0.01  # log return of one bar


@dataclass(frozen=True)
class PlantedMarket:
    """`leader_N[i]` moves symbol i one bar later; `expected_TN` is the best possible score."""

    graph: GraphSequence
    split: Split
    leader_N: np.ndarray
    expected_TN: FloatArray

    @property
    def truth(self) -> Truth:
        symbols = self.graph.symbols
        leads = (
            PlantedLead(symbols[leader], follower, delay_bars=1)
            for leader, follower in zip(self.leader_N, symbols, strict=True)
        )
        return Truth(self.expected_TN, tuple(leads))

    @property
    def holding(self) -> Holding:
        """Prices as the labels have them; no funding, no order book."""
        gain_TN = np.expm1(np.nan_to_num(self.graph.ret_TN))
        return Holding(
            open_time_T=self.graph.open_time_T,
            interval_ms=self.graph.interval_ms,
            gain_TN=gain_TN,
            funding_TN=np.zeros_like(gain_TN),
            half_spread_TN=np.full_like(gain_TN, np.nan),
        )


def planted_market(
    *, strength: float, num_bars: int = 900, num_symbols: int = 10, seed: int = 7
) -> PlantedMarket:
    """Unit shocks; each symbol's return adds `strength` times its leader's last shock."""
    rng = np.random.default_rng(seed)
    shock_TN = rng.standard_normal((num_bars, num_symbols))
    leader_N = (np.arange(num_symbols) + 1 + rng.integers(num_symbols - 1)) % num_symbols
    heard_TN = np.zeros_like(shock_TN)
    heard_TN[1:] = strength * shock_TN[:-1, leader_N]
    return_TN = heard_TN + shock_TN
    expected_TN = strength * shock_TN[:, leader_N]
    graph = sequence_of(return_TN, rng)
    split = chronological_split(graph.open_time_T, graph.end_time_T, SplitConfig())
    return PlantedMarket(graph, split, leader_N, expected_TN)


def sequence_of(return_TN: FloatArray, rng: np.random.Generator) -> GraphSequence:
    """A GraphSequence whose only informative features are the returns at lags 0, 1 and 2."""
    num_bars, num_symbols = return_TN.shape
    columns = [_lagged(return_TN, lag) for lag in range(len(RETURN_FEATURES))]
    columns += [rng.standard_normal(return_TN.shape) for _ in range(2)]
    names = (*RETURN_FEATURES, FLOW_FEATURE, VOLUME_FEATURE)
    rules = edge_rules(Signals(columns[0], columns[3], columns[4]), small_graph())
    leader_RNk, attr_RNkE, refresh_T = draw_edges(rules, small_graph())
    ahead_TN = np.full_like(return_TN, np.nan)
    ahead_TN[:-2] = VOLATILITY * return_TN[1:-1]  # the label's entry and exit bars must exist
    open_time_T = HOUR_MS * np.arange(num_bars, dtype=np.int64)
    return GraphSequence(
        symbols=tuple(f"S{number}USDT" for number in range(num_symbols)),
        interval_ms=HOUR_MS,
        horizon=1,
        feature_names=names,
        edge_names=tuple(rule.name for rule in rules),
        edge_readings=tuple(rule.reading for rule in rules),
        open_time_T=open_time_T,
        x_TNF=np.stack(columns, axis=-1).astype(np.float32),
        mask_TN=np.ones(return_TN.shape, dtype=np.bool_),
        ret_TN=ahead_TN,
        close_ret_TN=ahead_TN,
        late_ret_TN=_lagged(ahead_TN[::-1], 1)[::-1],
        past_ret_TN=VOLATILITY * return_TN,
        sigma_TN=np.full(return_TN.shape, VOLATILITY),
        end_time_T=open_time_T + 2 * HOUR_MS,
        leader_RNk=leader_RNk,
        edge_attr_RNkE=attr_RNkE,
        refresh_T=refresh_T,
    )


def small_graph() -> GraphConfig:
    return GraphConfig(neighbours=4, warmup_bars=50, refresh_bars=25)


def small_plan(**changes: object) -> FitPlan:
    settings: dict[str, object] = {
        "model": ModelConfig(hidden=16, heads=2, graph_layers=1, temporal_layers=2),
        "fit": FitConfig(members=2, batch_bars=64, device="cpu"),
        "labels": LabelConfig(horizon=1),
        "epochs": 6,
        "learning_rate": 3e-3,
        "seed": 1,
    }
    return FitPlan(**{**settings, **changes})  # type: ignore[arg-type]


def _lagged(values_TN: FloatArray, bars: int) -> FloatArray:
    lagged = np.full_like(values_TN, np.nan)
    lagged[bars:] = values_TN[: len(values_TN) - bars]
    return lagged
