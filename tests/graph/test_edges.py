"""Edge rules against plain numpy, and against the planted truth."""

import numpy as np
import pytest

from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import (
    EdgeRule,
    RunningCorrelation,
    Signals,
    choose_leaders,
    edge_rules,
    shrink,
)
from tests.planted import planted_market


def weighted_correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Decayed correlation over the bars where both are known; mean and deviation of each series
    come from all the bars where it is known itself."""

    def moments(series: np.ndarray) -> tuple[float, float]:
        known = np.isfinite(series)
        mean = np.average(series[known], weights=weight[known])
        return mean, np.sqrt(np.average((series[known] - mean) ** 2, weights=weight[known]))

    both = np.isfinite(x) & np.isfinite(y)
    (mean_x, deviation_x), (mean_y, deviation_y) = moments(x), moments(y)
    product = np.average((x * y)[both], weights=weight[both])
    return float((product - mean_x * mean_y) / (deviation_x * deviation_y))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_running_correlation_equals_the_plain_one_whatever_the_blocks(lag: int) -> None:
    rng = np.random.default_rng(0)
    follower, leader = 0.5 + rng.standard_normal((2, 90, 3)).clip(-3, 3)
    follower[20:30, 1] = np.nan
    leader[5:12, 2] = np.nan
    running = RunningCorrelation(EdgeRule("rule", "x", follower, leader, lag), half_life_bars=40)
    for start, stop in ((0, 10), (10, 11), (11, 60), (60, 90)):
        running.advance(start, stop)
    correlation, _ = running.correlation()
    weight = 0.5 ** (np.arange(89 - lag, -1, -1.0) / 40)
    for i in range(3):
        for j in range(3):
            now, past = follower[lag:, i], leader[: 90 - lag, j]
            assert correlation[i, j] == pytest.approx(
                weighted_correlation(now, past, weight), abs=1e-12
            )


def test_observations_count_bars_when_nothing_decays() -> None:
    series = np.random.default_rng(0).standard_normal((200, 2))
    running = RunningCorrelation(EdgeRule("rule", "x", series, series, 1), half_life_bars=1e9)
    running.advance(0, 200)
    _, observations = running.correlation()
    assert observations == pytest.approx(np.full((2, 2), 199.0))


def test_shrinking_keeps_the_sign_and_silences_noise() -> None:
    correlation = np.array([0.5, -0.5, 0.05, 0.0])
    shrunken = shrink(correlation, np.full(4, 400.0))
    assert shrunken[0] == pytest.approx(-shrunken[1])
    assert 0.4 < shrunken[0] < 0.5
    assert shrunken[2] == shrunken[3] == 0.0


def test_a_clear_leader_is_chosen_before_a_crowd_that_moves_together() -> None:
    together = np.full((4, 4), 0.6)
    lead = np.zeros((4, 4))
    lead[2, 3] = 0.1
    leader_Nk, _ = choose_leaders(np.stack((together, lead)), neighbours=1)
    assert leader_Nk[2, 0] == 3


def test_symbols_never_lead_themselves_and_weak_edges_are_absent() -> None:
    strength = np.zeros((1, 3, 3))
    strength[0, 0, 1] = 0.2
    np.fill_diagonal(strength[0], 1.0)
    leader_Nk, _ = choose_leaders(strength, neighbours=2)
    assert leader_Nk.tolist() == [[1, -1], [-1, -1], [-1, -1]]


def test_planted_leaders_are_found() -> None:
    market = planted_market(strength=0.4)
    drawn = market.graph.leader_RNk[-1]
    assert all(market.leader_N[i] in drawn[i] for i in range(len(drawn)))


def test_edge_attributes_follow_the_order_of_the_rules() -> None:
    market = planted_market(strength=0.4)
    slot = [
        list(market.graph.leader_RNk[-1][i]).index(leader)
        for i, leader in enumerate(market.leader_N)
    ]
    lead_1 = market.graph.edge_names.index("lead_1")
    attributes = market.graph.edge_attr_RNkE[-1][np.arange(len(slot)), slot]
    assert (attributes.argmax(axis=1) == lead_1).all()


def test_rules_are_named_once_and_cover_every_lag() -> None:
    series = np.zeros((5, 2))
    names = [rule.name for rule in edge_rules(Signals(series, series, series), GraphConfig())]
    assert len(set(names)) == len(names)
    assert {"lead_1", "lead_2", "lead_3", "comovement"} <= set(names)


def test_only_what_says_something_of_direction_makes_a_leader() -> None:
    series = np.zeros((5, 2))
    rules = {rule.name: rule for rule in edge_rules(Signals(series, series, series), GraphConfig())}
    strength = np.array([[0.3, -0.2]])
    assert rules["comovement"].merit(strength).tolist() == [[0.3, 0.0]]  # opposites are no peers
    assert rules["lead_2"].merit(strength).tolist() == [[0.3, 0.2]]
    assert rules["volume_comovement"].merit(strength).tolist() == [[0.0, 0.0]]
