"""A prepared graph on its way through the flow: ArangoDB in, model with relations, graph back."""

from collections.abc import Iterator

import pytest

from gnn_trainer.artifact import load_model
from gnn_trainer.errors import DataError
from tests.adapters.arango_server import DATABASE, PASSWORD, USER, ArangoServer, running_arango
from tests.flows.laboratory import Laboratory, Outcome

FROM_RELATIONS_ON = {
    "load_relations",
    "assemble_graph",
    "train_model",
    "audit_learning",
    "audit",
    "fit_baselines",
    "evaluate_model",
    "upload_model",
    "write_back_graph",
}


@pytest.fixture
def arango() -> Iterator[ArangoServer]:
    with running_arango() as server:
        yield server


@pytest.fixture
def environ(arango: ArangoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a run that reads one collection and writes another."""
    for name, value in {
        "ARANGO_URL": arango.url,
        "ARANGO_DB": DATABASE,
        "ARANGO_USER": USER,
        "ARANGO_PASSWORD": PASSWORD,
        "GRAPH_COLLECTION_NAME": "prepared",
        "GRAPH_OUTPUT_COLLECTION": "drawn",
        "GRAPH_WAIT_S": "30",
    }.items():
        monkeypatch.setenv(name, value)


def prepared(symbols: tuple[str, ...]) -> list[dict[str, object]]:
    return [
        {"_key": "n", "type": "node", "symbol": symbols[0], "attributes": {"size": 1}},
        {"_key": "e", "_from": "pairs/n", "_to": f"pairs/{symbols[1]}", "weight": 2.0},
        {"_key": "x", "type": "edge", "source": "NOSUCH", "target": symbols[0]},
    ]


@pytest.mark.usefixtures("environ")
def test_prepared_relations_are_trained_on_published_and_answered_with_the_graph(
    laboratory: Laboratory, first: tuple[Laboratory, Outcome], arango: ArangoServer
) -> None:
    symbols = load_model(first[1].published.uri).bundle.symbols
    arango.collections["prepared"] = prepared(symbols)

    outcome = laboratory.train()

    assert outcome.worked == FROM_RELATIONS_ON
    bundle = load_model(outcome.published.uri).bundle
    assert bundle.model.edge_names[-1] == "relation:related"
    assert bundle.relations is not None
    assert (bundle.relations.report.used, bundle.relations.report.static) == (1, 1)
    assert sum(bundle.relations.report.ignored.values()) == 1
    drawn = arango.collections["drawn"]
    assert {document["version"] for document in drawn} == {outcome.published.version}
    assert sum(document["type"] == "node" for document in drawn) == len(symbols)
    assert any(document["type"] == "edge" for document in drawn)

    assert laboratory.train().worked == set()
    arango.collections["prepared"][1]["weight"] = 3.0
    assert laboratory.train().worked == FROM_RELATIONS_ON


@pytest.mark.usefixtures("environ")
def test_a_prepared_graph_that_never_comes_ends_the_run_with_what_to_do(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPH_WAIT_S", "0")
    with pytest.raises(DataError, match="no usable relation after 0 s, nothing there yet"):
        laboratory.train()
