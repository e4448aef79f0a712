"""Documents of a prepared graph: every shape is read, whatever is left out is counted."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.graph.relation_documents import MOST_VALUES, read_relations
from gnn_trainer.graph.relation_times import read_time_ms
from gnn_trainer.graph.relations import ALWAYS, OPEN_END, STATIC, Relations

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
START_MS, END_MS = 1_700_000_000_000, 1_710_000_000_000
INSIDE = "2024-01-01T00:00:00Z"
INSIDE_MS = 1_704_067_200_000


def read(*documents: object, start_ms: int = START_MS) -> Relations:
    return read_relations(
        documents, source="test", symbols=SYMBOLS, start_ms=start_ms, end_ms=END_MS
    )


def edge(**more: object) -> dict[str, object]:
    return {"type": "edge", "source": "BTCUSDT", "target": "ETHUSDT", **more}


def pairs(relations: Relations) -> list[tuple[str, str]]:
    return [
        (relations.symbols[leader], relations.symbols[follower])
        for leader, follower in zip(relations.leader_M, relations.follower_M, strict=True)
    ]


@pytest.mark.parametrize(
    "document",
    [
        {"_from": "pairs/BTCUSDT", "_to": "pairs/ETHUSDT", "_key": "1", "_rev": "x", "_id": "e/1"},
        {"source": "BTCUSDT", "target": "ETHUSDT"},
        {"type": "edge", "from": "BTC/USDT", "to": "ETH-USDT"},
        {"_from": "p/BTC", "_to": "p/ETH", "data": {"relationship": "correlates"}},
        {"type": "link", "attributes": {"source": "btcusdt", "target": "ETH/USDT:USDT"}},
        {"edges": [{"source": "BTCUSDT", "target": "ETHUSDT"}], "nodes": []},
        {"nodes": [{"id": "BTCUSDT"}, {"id": "ETHUSDT"}], "links": [{"source": 0, "target": 1}]},
    ],
)
def test_every_documented_way_to_write_an_edge_is_read(document: object) -> None:
    assert pairs(read(document)) == [("BTCUSDT", "ETHUSDT")]


@pytest.mark.parametrize("nodes_first", [True, False])
@pytest.mark.parametrize(
    "node",
    [
        {"_key": "n1", "type": "node", "attributes": {"symbol": "BTCUSDT"}},
        {"_key": "n1", "symbol": "BTCUSDT"},
        {"_id": "pairs/n1", "type": "vertex", "symbol": "BTC/USDT"},
    ],
)
def test_edges_may_name_nodes_that_stand_for_symbols(node: object, nodes_first: bool) -> None:
    link = {"_from": "pairs/n1", "_to": "pairs/ETHUSDT"}
    relations = read(*((node, link) if nodes_first else (link, node)))
    assert pairs(relations) == [("BTCUSDT", "ETHUSDT")]
    assert (relations.report.nodes, relations.report.edges) == (1, 1)


@pytest.mark.parametrize(
    "document",
    [edge(weight=0.5), edge(attributes={"weight": 0.5}), edge(data={"weight": 0.5})],
)
def test_the_weight_is_found_where_it_may_be(document: object) -> None:
    relations = read(document)
    assert relations.names == ("relation:related",)
    assert relations.value_MA.tolist() == [[0.5]]


def test_each_kind_and_each_further_number_is_an_attribute_of_its_own() -> None:
    relations = read(
        edge(relation="sector", attributes={"size": 3, "note": "big", "is_new": True}),
        edge(relation="chain", weight=2),
    )
    assert relations.names == ("relation:chain", "relation:sector", "relation:sector.size")
    np.testing.assert_array_equal(relations.value_MA, [[np.nan, 1.0, 3.0], [2.0, np.nan, np.nan]])
    assert relations.report.values == {name: 1 for name in relations.names}
    assert sum(relations.report.ignored_values.values()) == 2


def test_an_undirected_edge_goes_both_ways() -> None:
    relations = read(edge(directed=False))
    assert set(pairs(relations)) == {("BTCUSDT", "ETHUSDT"), ("ETHUSDT", "BTCUSDT")}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (edge(target="NOSUCHUSDT"), "edge of a symbol that is not in this market"),
        (edge(target="BTC"), "edge from a symbol to itself"),
        ({"type": "edge", "source": "BTCUSDT"}, "edge without two ends"),
        (edge(weight=float("nan")), "edge whose weight is not a finite number"),
        (edge(weight="0.7"), "edge whose weight is not a finite number"),
        (edge(weight=10**400), "edge whose weight is not a finite number"),
        (edge(valid_from="soon"), "edge with a date that cannot be read"),
        (edge(valid_from=INSIDE, valid_to=INSIDE), "edge that ends before it begins"),
        (edge(valid_to="2001-01-01"), "valid only outside the bars of this run"),
        (edge(valid_from="2030-01-01"), "valid only outside the bars of this run"),
        ({"symbol": "BTCUSDT", "open_time": 1, "close": 2.0}, "neither node nor edge"),
        ({"type": "node", "symbol": "DOGEUSDT"}, "node of a symbol that is not in this market"),
        ([1, 2], "not an object"),
        (None, "not an object"),
        ({"edges": ["x"]}, "not an object"),
        ({"edges": [], "ts": "noon"}, "snapshot with a time that cannot be read"),
    ],
)
def test_what_cannot_be_used_is_counted_by_reason_and_is_not_fatal(
    document: object, reason: str
) -> None:
    good = edge(source="SOLUSDT")
    relations = read(document, good)
    assert pairs(relations) == [("SOLUSDT", "ETHUSDT")]
    assert relations.report.ignored == {reason: 1}
    assert any(reason in line and "ignored 1" in line for line in relations.report.lines())


def test_an_edge_without_a_start_is_flagged_as_static() -> None:
    report = read(edge(), edge(target="SOLUSDT", valid_from=INSIDE)).report
    assert (report.used, report.static) == (2, 1)
    assert any(STATIC in line and "1 of 2" in line for line in report.lines())


@pytest.mark.parametrize(
    "value",
    [
        INSIDE,
        "2024-01-01",
        "2024-01-01T01:00:00+01:00",
        INSIDE_MS,
        INSIDE_MS // 1000,
        INSIDE_MS / 1000,
        INSIDE_MS * 1000,
        datetime(2024, 1, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC).date(),
    ],
)
def test_times_are_read_in_every_documented_unit(value: object) -> None:
    assert read_time_ms(value) == INSIDE_MS


@pytest.mark.parametrize("value", ["", "x", True, -5, float("inf"), float("nan"), 10**400, [], {}])
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_time_ms(value)


def test_an_edge_known_since_ts_is_used_since_then() -> None:
    relations = read(edge(ts=INSIDE_MS, attributes={"valid_until": INSIDE_MS + 5}))
    assert relations.valid_from_M.tolist() == [INSIDE_MS]
    assert relations.valid_to_M.tolist() == [INSIDE_MS + 5]


def test_a_snapshot_holds_until_the_next_one() -> None:
    later = {"ts": INSIDE_MS + 1000, "edges": [edge(source="SOLUSDT")]}
    relations = read(later, {"ts": INSIDE_MS, "edges": [edge()]})
    assert pairs(relations) == [("BTCUSDT", "ETHUSDT"), ("SOLUSDT", "ETHUSDT")]
    assert relations.valid_from_M.tolist() == [INSIDE_MS, INSIDE_MS + 1000]
    assert relations.valid_to_M.tolist() == [INSIDE_MS + 1000, OPEN_END]


def test_a_later_description_of_an_edge_takes_the_place_of_the_earlier() -> None:
    relations = read(edge(weight=2, ts=INSIDE_MS + 9), edge(weight=1, ts=INSIDE_MS))
    assert relations.value_MA[:, 0].tolist() == [1.0, 2.0]
    assert relations.valid_to_M.tolist() == [INSIDE_MS + 9, OPEN_END]


def test_a_passing_exception_gives_way_to_what_held_before() -> None:
    relations = read(edge(weight=1), edge(weight=2, valid_from=INSIDE, valid_to=INSIDE_MS + 9))
    assert relations.valid_from_M.tolist() == [ALWAYS, INSIDE_MS]
    assert relations.valid_to_M.tolist() == [OPEN_END, INSIDE_MS + 9]


def test_the_same_edge_twice_is_one_edge() -> None:
    relations = read(edge(weight=1), edge(weight=3))
    assert relations.value_MA.tolist() == [[3.0]]
    assert relations.report.ignored == {"edge described again": 1}


def test_only_the_most_frequent_values_become_attributes() -> None:
    rare = [edge(relation=f"kind{number:02}") for number in range(MOST_VALUES + 3)]
    relations = read(*rare, edge(relation="kind18", target="SOLUSDT"))
    assert len(relations.names) == MOST_VALUES
    assert "relation:kind18" in relations.names
    assert relations.count == MOST_VALUES + 1
    assert len(relations.report.ignored_values) == 3


def test_examples_of_what_was_ignored_are_few() -> None:
    report = read(*(edge(target=f"X{number}") for number in range(50))).report
    (examples,) = report.examples.values()
    assert len(examples) == 5
    assert sum(report.ignored.values()) == 50


FIELDS = (
    *("type", "symbol", "_key", "id", "nodes", "edges", "attributes"),
    *("source", "target", "_from", "_to", "weight", "relation", "directed"),
    *("ts", "valid_from", "valid_to"),
)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner | st.sampled_from(["edge", "node", "BTCUSDT", "ETHUSDT", INSIDE, 0, 1]),
            max_size=5,
        )
    ),
    max_leaves=8,
)


@given(documents=st.lists(json_like, max_size=6))
def test_no_document_whatever_is_fatal_and_none_is_lost_from_the_count(
    documents: list[Any],
) -> None:
    report = read(*documents).report
    assert report.documents == len(documents)
    assert report.used <= 2 * report.edges
