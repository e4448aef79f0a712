"""Edge rules: what makes one symbol a leader of another, measured from the past only.

Each rule is a decayed correlation between a signal of the follower now and a signal of the
leader some bars earlier.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from gnn_trainer.graph.config import GraphConfig

Series = npt.NDArray[np.floating]

COMOVEMENT = "comovement"
RETURN_FEATURES = ("residual_lag_0", "residual_lag_1", "residual_lag_2")
FLOW_FEATURE = "flow_lag_0"
VOLUME_FEATURE = "volume_surprise"


@dataclass(frozen=True)
class Signals:
    """Causal, unit-free series the rules compare, each [T, N] with NaN where unknown."""

    residual_return_TN: Series  # market mode removed, in units of its own volatility
    flow_TN: Series  # taker buying against selling
    volume_TN: Series  # traded volume against its own recent normal


@dataclass(frozen=True)
class EdgeRule:
    """corr(follower at t, leader at t - lag); `lag` in bars.

    `reading` names the feature in which the leader's signal stands when it is about to act on
    the follower's next bar. `chosen_for` says which correlations make a leader: any, positive ones
    only, or none, for a rule that merely describes the edges others chose.
    """

    name: str
    reading: str
    follower_TN: Series
    leader_TN: Series
    lag: int
    chosen_for: Literal["any", "positive", "none"] = "any"

    @property
    def least_counted(self) -> float:
        """The least correlation that can make a leader; more than 1 if none can."""
        return {"any": -1.0, "positive": 0.0, "none": 2.0}[self.chosen_for]


def comovement(signals: Signals) -> EdgeRule:
    """Residual returns that move together in the same bar; opposites are no peers."""
    returns = signals.residual_return_TN
    return EdgeRule(COMOVEMENT, RETURN_FEATURES[0], returns, returns, 0, chosen_for="positive")


def lead_lag(signals: Signals, lag: int) -> EdgeRule:
    """The leader's residual return `lag` bars before the follower's (Guo et al. 2021)."""
    returns = signals.residual_return_TN
    reading = RETURN_FEATURES[min(lag, len(RETURN_FEATURES)) - 1]
    return EdgeRule(f"lead_{lag}", reading, returns, returns, lag)


def flow_lead(signals: Signals) -> EdgeRule:
    """The leader's taker flow one bar before the follower's return (Cont et al. 2021)."""
    return EdgeRule("flow_lead", FLOW_FEATURE, signals.residual_return_TN, signals.flow_TN, lag=1)


def volume_comovement(signals: Signals) -> EdgeRule:
    """Trading activity that rises and falls together; says risk, not direction."""
    volume = signals.volume_TN
    return EdgeRule("volume_comovement", VOLUME_FEATURE, volume, volume, 0, chosen_for="none")


def edge_rules(signals: Signals, config: GraphConfig) -> tuple[EdgeRule, ...]:
    """All rules, in the order of the edge attributes."""
    leads = (lead_lag(signals, lag) for lag in range(1, config.max_lag + 1))
    return (comovement(signals), *leads, flow_lead(signals), volume_comovement(signals))
