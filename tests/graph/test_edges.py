"""Edge rules against plain numpy, and against the planted truth."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.graph import correlations, kernels, leaders
from gnn_trainer.graph.assemble import EDGE_UNIT, draw_edges
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.correlations import NOISE_T, Correlations, RunningCorrelations
from gnn_trainer.graph.edges import EdgeRule, Signals, edge_rules
from gnn_trainer.graph.leaders import draw, draw_plain, shrink
from tests.graph.plain_edges import plain_edges
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


def last_correlations(rule: EdgeRule, half_life_bars: float, first: int, every: int) -> np.ndarray:
    *_, last = RunningCorrelations([rule], half_life_bars).over(first, every)
    return last.of_rule(0)[0]


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize(("first", "every"), [(90, 1), (10, 20), (89, 1), (30, 30)])
def test_running_correlation_equals_the_plain_one_whatever_the_blocks(
    lag: int, first: int, every: int
) -> None:
    rng = np.random.default_rng(0)
    follower, leader = 0.5 + rng.standard_normal((2, 90, 3)).clip(-3, 3)
    follower[20:30, 1] = np.nan
    leader[5:12, 2] = np.nan
    leader[23, 0] = np.nan
    rule = EdgeRule("rule", "x", follower, leader, lag)
    correlation = last_correlations(rule, 40, first, every)
    weight = 0.5 ** (np.arange(89 - lag, -1, -1.0) / 40)
    for i in range(3):
        for j in range(3):
            now, past = follower[lag:, i], leader[: 90 - lag, j]
            assert correlation[j, i] == pytest.approx(
                weighted_correlation(now, past, weight), abs=2e-6
            )


def test_noise_falls_with_the_bars_when_nothing_decays() -> None:
    series = np.random.default_rng(0).standard_normal((200, 2))
    (found,) = RunningCorrelations([EdgeRule("rule", "x", series, series, 1)], 1e9).over(200, 1)
    _, noise = found.of_rule(0)
    assert noise == pytest.approx(np.full((2, 2), NOISE_T**2 / 199.0))


def market_with_gaps(num_bars: int, num_symbols: int) -> Signals:
    """Sectors and leaders; values missing here and there, one symbol listed late, one gone."""
    rng = np.random.default_rng(4)
    shape = (num_bars, num_symbols)
    sectors = rng.standard_normal((num_bars, 3)) @ rng.standard_normal((3, num_symbols))
    returns = rng.standard_t(4, shape) + 0.3 * sectors
    returns[1:] += 0.2 * np.roll(returns[:-1], 1, axis=1)
    series = [returns, 0.5 * rng.standard_normal(shape), rng.standard_normal(shape) + 0.3 * sectors]
    for values in series:
        values[rng.random(shape) < 0.01] = np.nan
        values[: num_bars // 3, 0] = np.nan
        values[num_bars // 2 :, 1] = np.nan
    return Signals(*(values.astype(np.float32) for values in series))


@pytest.fixture(params=["compiled", "plain"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        for module in (correlations, leaders):
            monkeypatch.setattr(module, "numba_is_there", lambda: False)
    return str(request.param)


@pytest.mark.parametrize("half_life_bars", [20, 2000])  # 20: sums come back to scale often
def test_edges_are_those_of_the_plain_definition(half_life_bars: int, form: str) -> None:
    config = GraphConfig(half_life_bars=half_life_bars, neighbours=6)
    rules = edge_rules(market_with_gaps(1300, 30), config)
    leader_RNk, attr_RNkE, _ = draw_edges(rules, config)
    assert form == "plain" or kernels.draw.signatures, "nothing was compiled"
    for refresh in range(0, len(leader_RNk), 9):
        stop = config.warmup_bars + refresh * config.refresh_bars
        leader_Nk, strength_ENN = plain_edges(rules, config, stop)
        np.testing.assert_array_equal(leader_RNk[refresh], leader_Nk)
        rows = np.arange(len(leader_Nk))[:, None]
        expected_ENk = strength_ENN[:, rows, leader_Nk] * (leader_Nk >= 0)
        attributes = np.moveaxis(expected_ENk, 0, -1) / EDGE_UNIT
        np.testing.assert_allclose(attr_RNkE[refresh], attributes, atol=1e-4)


def test_a_memory_far_shorter_than_a_block_has_only_the_newest_bars() -> None:
    series = np.random.default_rng(0).standard_normal((60_000, 3))
    newest = series[50_000:]
    of_all = last_correlations(EdgeRule("rule", "x", series, series, 1), 20, 30_000, 30_000)
    of_few = last_correlations(EdgeRule("rule", "x", newest, newest, 1), 20, 10_000, 10_000)
    np.testing.assert_allclose(of_all, of_few, atol=1e-6)


def test_shrinking_silences_noise() -> None:
    size = np.array([0.5, 0.05, 0.0])
    shrunken = shrink(size, np.full(3, NOISE_T**2 / 400.0))
    assert 0.4 < shrunken[0] < 0.5
    assert shrunken[1] == shrunken[2] == 0.0


def without_noise(*correlation_NN: np.ndarray) -> Correlations:
    """Correlations [follower, leader] of rules, as if measured over countless bars."""
    correlation_ENN = np.stack(correlation_NN).astype(np.float32)
    num_rules, num_symbols, _ = correlation_ENN.shape
    moments_E23N = np.ones((num_rules, 2, 3, num_symbols))
    moments_E23N[:, :, 1] = 0.0
    return Correlations(
        product_ENN=np.ascontiguousarray(correlation_ENN.swapaxes(1, 2)),
        both_unknown_ENN=np.zeros_like(correlation_ENN),
        moments_E23N=moments_E23N,
        bars_E2=np.tile((1.0, 1e-12), (num_rules, 1)),
        scale=1.0,
    )


Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
in_both_forms = pytest.mark.parametrize("draw", [draw, draw_plain])


@in_both_forms
def test_a_clear_leader_is_chosen_before_a_crowd_that_moves_together(draw: Draw) -> None:
    together = np.full((4, 4), 0.6)
    lead = np.zeros((4, 4))
    lead[2, 3] = 0.1
    leader_Nk, _ = draw(without_noise(together, lead), np.full(2, -1.0), 1)
    assert leader_Nk[2, 0] == 3


@in_both_forms
def test_symbols_never_lead_themselves_and_weak_edges_are_absent(draw: Draw) -> None:
    strength = np.eye(3)
    strength[0, 1] = 0.2
    leader_Nk, _ = draw(without_noise(strength), np.full(1, -1.0), 2)
    assert leader_Nk.tolist() == [[1, -1], [-1, -1], [-1, -1]]


@in_both_forms
@given(seed=st.integers(0, 999), levels=st.sampled_from([2, 3, 1000]))
def test_leaders_are_the_strongest_and_of_equals_the_first(
    draw: Draw, seed: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, (7, 7)) / levels
    np.fill_diagonal(score, 0.0)
    leader_Nk, strength_ENN = draw(without_noise(score), np.full(1, -1.0), 3)
    np.testing.assert_allclose(strength_ENN[0].T, score, atol=1e-6)
    for row, chosen in zip(score, leader_Nk, strict=True):
        expected = sorted(range(7), key=lambda leader: (-row[leader], leader))[:3]
        assert chosen.tolist() == [leader if row[leader] > 0.0 else -1 for leader in expected]


@in_both_forms
def test_a_single_symbol_has_no_leader(draw: Draw) -> None:
    leader_Nk, _ = draw(without_noise(np.ones((1, 1))), np.full(1, -1.0), 8)
    assert leader_Nk.shape == (1, 0)


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


@in_both_forms
@pytest.mark.parametrize(
    ("rule", "leaders_of_the_first"),
    [("comovement", [1, -1]), ("lead_2", [2, 1]), ("volume_comovement", [-1, -1])],
)
def test_only_what_says_something_of_direction_makes_a_leader(
    draw: Draw, rule: str, leaders_of_the_first: Sequence[int]
) -> None:
    series = np.zeros((5, 3))
    rules = {rule.name: rule for rule in edge_rules(Signals(series, series, series), GraphConfig())}
    correlation = np.array([[0.0, 0.25, -0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = without_noise(correlation)
    leader_Nk, _ = draw(found, np.array([rules[rule].least_counted]), 2)
    assert leader_Nk[0].tolist() == leaders_of_the_first  # opposites are no peers
