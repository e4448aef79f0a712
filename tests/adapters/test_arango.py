"""ArangoDB: every document is read, what it refuses is understood, the graph can be written."""

import json
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from gnn_trainer.adapters.arango import BATCH, ArangoRelations, write_graph
from gnn_trainer.errors import ConfigError, ServiceError, TransientServiceError
from gnn_trainer.graph.export import newest_graph
from gnn_trainer.graph.relation_documents import read_relations
from gnn_trainer.services import ArangoSettings
from tests.adapters.arango_server import PASSWORD, ArangoServer, running_arango
from tests.planted import planted_market


@pytest.fixture
def server() -> Iterator[ArangoServer]:
    with running_arango() as server:
        yield server


def numbered(count: int) -> list[dict[str, object]]:
    return [{"_key": str(number), "type": "node"} for number in range(count)]


def test_all_documents_are_read_over_several_batches(server: ArangoServer) -> None:
    server.collections["graph"] = numbered(2 * BATCH + 7)
    documents = list(ArangoRelations(server.settings()).documents())
    assert documents == server.collections["graph"]


def test_several_collections_are_one_graph(server: ArangoServer) -> None:
    server.collections |= {"pairs": numbered(3), "links": numbered(2)}
    source = ArangoRelations(server.settings("pairs, links"))
    assert source.extent().documents == 5
    assert len(list(source.documents())) == 5


def test_an_absent_collection_is_empty(server: ArangoServer) -> None:
    source = ArangoRelations(server.settings())
    assert source.extent().documents == 0
    assert list(source.documents()) == []


@pytest.mark.parametrize("knows_revisions", [True, False])
def test_the_revision_tells_of_a_new_document(server: ArangoServer, knows_revisions: bool) -> None:
    server.knows_revisions = knows_revisions
    server.collections["graph"] = numbered(3)
    source = ArangoRelations(server.settings())
    before = source.extent()
    assert source.extent() == before
    server.collections["graph"] += [{"_key": "new"}]
    assert source.extent().revision != before.revision


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"password": SecretStr("wrong")}, "ARANGO_PASSWORD"),
        ({"database": "other"}, "ARANGO_DB"),
    ],
)
def test_what_the_user_can_correct_is_a_configuration_error(
    server: ArangoServer, changes: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(ConfigError, match=remedy) as caught:
        ArangoRelations(server.settings(**changes)).extent()
    assert PASSWORD not in str(caught.value)


def test_missing_rights_name_the_user(server: ArangoServer) -> None:
    server.instead = [(403, json.dumps({"errorNum": 11, "errorMessage": "forbidden"}).encode())]
    with pytest.raises(ConfigError, match="ARANGO_USER rights"):
        ArangoRelations(server.settings()).extent()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_worth_another_try(server: ArangoServer, status: int) -> None:
    server.instead = [(status, b'{"error": true, "errorNum": 4, "errorMessage": "busy"}')]
    with pytest.raises(TransientServiceError):
        ArangoRelations(server.settings()).extent()


@pytest.mark.parametrize("garbage", [b"<html>hello</html>", b"[]", b"{}", b'"text"', b"null"])
def test_a_server_that_is_no_arangodb_is_named_as_such(
    server: ArangoServer, garbage: bytes
) -> None:
    server.instead = [(200, garbage)]
    with pytest.raises(ServiceError, match="ARANGO_URL"):
        ArangoRelations(server.settings()).extent()
    server.instead = [(201, garbage)]
    with pytest.raises(ServiceError, match="ARANGO_URL"):
        list(ArangoRelations(server.settings()).documents())


def test_nobody_there_is_a_passing_failure_that_does_not_name_the_address() -> None:
    with running_arango() as server:
        settings = server.settings()
    with pytest.raises(TransientServiceError, match="does not answer") as caught:
        ArangoRelations(settings).extent()
    assert "127.0.0.1" not in str(caught.value)


def test_the_final_graph_is_written_once_and_can_be_read_as_relations(
    server: ArangoServer,
) -> None:
    graph = planted_market(strength=0.4, num_bars=300).graph
    documents = newest_graph(graph, model_name="m", version="20240101T000000Z-00000000")
    settings = server.settings(write_back="market_graph")
    for _ in range(2):
        assert write_graph(settings, documents) == len(documents)
    assert len(server.collections["market_graph"]) == len(documents)
    known_ms = int(graph.open_time_T[-1]) + graph.interval_ms
    source = ArangoRelations(server.settings("market_graph"))
    relations = read_relations(
        source.documents(),
        source=source.name,
        symbols=graph.symbols,
        start_ms=0,
        end_ms=known_ms + 1,
    )
    leader_Nk, _ = graph.edges_of(graph.num_bars - 1, graph.num_bars)
    assert relations.count == (leader_Nk >= 0).sum()
    assert (relations.valid_from_M == known_ms).all()


def test_a_real_arangodb_gives_back_what_was_written() -> None:
    """Set GNN_TRAINER_TEST_ARANGO_URL (and ..._DB, ..._USER, ..._PASSWORD) to run it."""
    prefix = "GNN_TRAINER_TEST_ARANGO_"
    if f"{prefix}URL" not in os.environ:
        pytest.skip(f"no ArangoDB to test against; set {prefix}URL")
    name = f"gnn_trainer_test_{secrets.token_hex(6)}"
    settings = ArangoSettings(
        url=os.environ[f"{prefix}URL"],
        database=os.environ.get(f"{prefix}DB", "_system"),
        user=os.environ.get(f"{prefix}USER", "root"),
        password=SecretStr(os.environ.get(f"{prefix}PASSWORD", "")),
        write_back=name,
    )
    source = ArangoRelations(settings.model_copy(update={"collection": name}))
    assert source.extent().documents == 0
    assert write_graph(settings, numbered(BATCH + 1)) == BATCH + 1
    assert source.extent().documents == BATCH + 1
    keys = {document["_key"] for document in source.documents() if isinstance(document, dict)}
    assert keys == {str(number) for number in range(BATCH + 1)}


def test_the_server_of_these_tests_is_asked_nothing_before_the_first_call(
    server: ArangoServer,
) -> None:
    ArangoRelations(server.settings())
    assert server.requests == []
