"""Prepared relations in the graph: only while valid, beside the measured edges, never over them."""

import numpy as np
import pytest

from gnn_trainer.features.build import build_features
from gnn_trainer.graph.assemble import assemble_graph, draw_edges
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.edges import Signals, edge_rules
from gnn_trainer.graph.relation_documents import read_relations
from gnn_trainer.graph.relations import (
    VALUE_CLIP,
    PlacedRelations,
    Relations,
    add_leaders,
    place_relations,
)
from gnn_trainer.market.labels import LabelConfig
from tests.features.small_markets import SMALL_WINDOWS, small_market
from tests.planted import HOUR_MS, small_graph

START_MS = 1_704_067_200_000
NUM_BARS, NUM_SYMBOLS = 300, 6
SYMBOLS = tuple(f"S{number}USDT" for number in range(NUM_SYMBOLS))
OPEN_TIME_T = START_MS + HOUR_MS * np.arange(NUM_BARS, dtype=np.int64)


def edge(leader: int, follower: int, **more: object) -> dict[str, object]:
    return {"source": SYMBOLS[leader], "target": SYMBOLS[follower], **more}


def relations_of(*documents: object) -> Relations:
    end_ms = int(OPEN_TIME_T[-1]) + HOUR_MS
    return read_relations(
        documents, source="test", symbols=SYMBOLS, start_ms=START_MS, end_ms=end_ms
    )


def placed(*documents: object) -> PlacedRelations:
    return place_relations(relations_of(*documents), SYMBOLS, OPEN_TIME_T, HOUR_MS)


def drawn(
    relations: PlacedRelations | None, config: GraphConfig | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Leaders and attributes by bar, [T, N, k] and [T, N, k, E]; and the number of rules."""
    config = config or small_graph()
    rng = np.random.default_rng(3)
    rules = edge_rules(Signals(*rng.standard_normal((3, NUM_BARS, NUM_SYMBOLS))), config)
    leader_RNk, attr_RNkE, refresh_T = draw_edges(rules, config, relations)
    leader_TNk, attr_TNkE = leader_RNk[refresh_T], attr_RNkE[refresh_T]
    leader_TNk[refresh_T < 0], attr_TNkE[refresh_T < 0] = -1, 0.0
    return leader_TNk, attr_TNkE, len(rules)


def related(relations: PlacedRelations, leader: int, follower: int) -> np.ndarray:
    """The first relation value of a pair at every bar, 0 where it is not in the graph."""
    leader_TNk, attr_TNkE, rules = drawn(relations)
    there = leader_TNk[:, follower] == leader
    values: np.ndarray = (attr_TNkE[:, follower, :, rules] * there).sum(axis=1)
    return values


@pytest.mark.parametrize("offset_ms", [0, 1, HOUR_MS - 1])
def test_a_relation_is_used_only_at_bars_that_lie_wholly_inside_its_dates(offset_ms: int) -> None:
    valid_from = int(OPEN_TIME_T[100]) + offset_ms
    valid_to = int(OPEN_TIME_T[150]) + offset_ms
    used = related(placed(edge(0, 1, valid_from=valid_from, valid_to=valid_to)), 0, 1) != 0.0
    inside = (valid_from <= OPEN_TIME_T) & (valid_to >= OPEN_TIME_T + HOUR_MS)
    np.testing.assert_array_equal(used, inside)


def test_random_relations_are_in_force_exactly_while_one_of_them_is_valid() -> None:
    rng = np.random.default_rng(8)
    documents = []
    for _ in range(60):
        leader, follower = rng.choice(NUM_SYMBOLS, 2, replace=False).tolist()
        first, last = sorted(rng.choice(NUM_BARS, 2, replace=False).tolist())
        span = {"valid_from": int(OPEN_TIME_T[first]), "valid_to": int(OPEN_TIME_T[last])}
        documents.append((leader, follower, first, last, edge(leader, follower, **span)))
    relations = placed(*(document for *_, document in documents))
    expected = np.zeros((NUM_BARS, NUM_SYMBOLS, NUM_SYMBOLS), dtype=bool)
    for leader, follower, first, last, _ in documents:
        expected[first:last, follower, leader] = True
    leader_TNk, attr_TNkE, rules = drawn(relations)
    found = np.zeros_like(expected)
    bar, follower, slot = np.nonzero((leader_TNk >= 0) & (attr_TNkE[..., rules] != 0.0))
    found[bar, follower, leader_TNk[bar, follower, slot]] = True
    warm = small_graph().warmup_bars - 1
    assert not found[:warm].any()
    np.testing.assert_array_equal(found[warm:], expected[warm:])


def test_measured_edges_are_what_they_are_without_relations() -> None:
    plain_leader, plain_attr, rules = drawn(None)
    relations = placed(edge(0, 1), edge(4, 2, valid_from=int(OPEN_TIME_T[130]), weight=-3))
    leader, attr, _ = drawn(relations)
    places = plain_leader.shape[2]
    np.testing.assert_array_equal(leader[..., :places], plain_leader)
    np.testing.assert_array_equal(attr[..., :places, :rules], plain_attr)


def test_no_pair_is_linked_twice() -> None:
    everybody = [edge(i, j) for i in range(NUM_SYMBOLS) for j in range(NUM_SYMBOLS) if i != j]
    leader_TNk, _, _ = drawn(placed(*everybody))
    for leader_k in leader_TNk[-1]:
        there = leader_k[leader_k >= 0]
        assert len(set(there)) == len(there) == NUM_SYMBOLS - 1


def test_the_strongest_relations_get_the_places() -> None:
    none = np.full((3, 1), -1, dtype=np.int32)
    value_NNA = np.zeros((3, 3, 2), dtype=np.float32)
    value_NNA[0, 1] = (0.5, 0.0)
    value_NNA[0, 2] = (0.1, -2.0)
    assert add_leaders(none, value_NNA, 1).tolist() == [[-1, 2], [-1, -1], [-1, -1]]
    measured = np.array([[2], [-1], [-1]], dtype=np.int32)
    assert add_leaders(measured, value_NNA, 2)[0].tolist() == [2, 1, -1]


def test_values_are_compressed_and_bounded() -> None:
    relations = placed(edge(0, 1, weight=0.3), edge(1, 2, weight=1e12), edge(2, 3, weight=-1))
    values = relations.value_MA[:, 0]
    assert values == pytest.approx([np.arcsinh(0.3), VALUE_CLIP, -np.arcsinh(1.0)], rel=1e-6)


def test_of_two_relations_of_a_pair_the_later_holds_while_it_lasts() -> None:
    first, last = int(OPEN_TIME_T[100]), int(OPEN_TIME_T[120])
    values = related(
        placed(edge(0, 1, weight=1), edge(0, 1, weight=2, valid_from=first, valid_to=last)), 0, 1
    )
    assert values[99] == values[120] == pytest.approx(np.arcsinh(1.0))
    assert values[100:120] == pytest.approx(np.full(20, np.arcsinh(2.0)))


def test_a_weight_told_as_zero_ends_an_edge() -> None:
    cut = int(OPEN_TIME_T[120])
    values = related(placed(edge(0, 1, weight=1), edge(0, 1, weight=0, ts=cut)), 0, 1)
    assert values[119] != 0.0
    assert (values[120:] == 0.0).all()


def test_relations_of_symbols_that_are_not_in_the_frame_drop_out() -> None:
    relations = relations_of(edge(0, 1), edge(2, 3))
    fewer = place_relations(relations, SYMBOLS[:2], OPEN_TIME_T, HOUR_MS)
    assert (fewer.leader_M.tolist(), fewer.follower_M.tolist()) == ([0], [1])


@pytest.mark.parametrize("num_bars", [120, 30])
def test_an_assembled_graph_has_an_attribute_for_each_value_of_the_relations(num_bars: int) -> None:
    frame = small_market(num_bars)
    features = build_features(frame, SMALL_WINDOWS)
    config = GraphConfig(neighbours=2, relation_neighbours=2, warmup_bars=50, refresh_bars=25)
    labels = LabelConfig(horizon=1)
    relations = relations_of(edge(0, 1, attributes={"size": 2}))
    plain = assemble_graph(frame, features, config, labels)
    graph = assemble_graph(frame, features, config, labels, relations)
    assert graph.edge_names == (*plain.edge_names, *relations.names)
    assert len(graph.edge_readings) == graph.num_edge_attrs == graph.edge_attr_RNkE.shape[-1]
    assert graph.leader_RNk.shape[-1] == 4
    assert graph.snapshot(num_bars - 1).validate(raise_on_error=True)


def test_later_relations_change_no_earlier_bar() -> None:
    cut = int(OPEN_TIME_T[200])
    now = edge(0, 1, valid_from=int(OPEN_TIME_T[60]))
    before = drawn(placed(now))
    after = drawn(placed(now, edge(3, 4, valid_from=cut), edge(0, 1, weight=9, ts=cut)))
    for one, other in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(one[:200], other[:200])
