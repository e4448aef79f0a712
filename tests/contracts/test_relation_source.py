"""What every source of a prepared graph does, wherever the documents lie."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gnn_trainer.adapters.arango import ArangoRelations
from gnn_trainer.adapters.relations_file import RelationsFile
from gnn_trainer.ports import RelationSource
from tests.adapters.arango_server import running_arango

Documents = list[dict[str, object]]
Placing = tuple[RelationSource, Callable[[Documents], None]]

DOCUMENTS: Documents = [
    {"_key": "1", "type": "node", "symbol": "BTCUSDT"},
    {"_key": "2", "source": "1", "target": "ETHUSDT", "weight": 0.1, "attributes": {"lag": 2}},
]


@pytest.fixture(params=["arango", "file"])
def placing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Placing]:
    """An empty source, and a way to change what it holds."""
    if request.param == "file":
        path = tmp_path / "graph.json"
        path.write_text("[]")
        yield RelationsFile(path), lambda documents: _ignore(path.write_text(json.dumps(documents)))
        return
    with running_arango() as server:
        yield (
            ArangoRelations(server.settings()),
            lambda documents: server.collections.update(graph=documents),
        )


def _ignore(written: int) -> None:
    """How much was written is of no interest."""


def test_an_empty_source_has_no_documents(placing: Placing) -> None:
    source, _ = placing
    assert source.extent().documents == 0
    assert list(source.documents()) == []


def test_documents_come_as_they_are_and_in_their_order(placing: Placing) -> None:
    source, place = placing
    place(DOCUMENTS)
    assert source.extent().documents == len(DOCUMENTS)
    assert list(source.documents()) == DOCUMENTS


def test_the_revision_stays_until_the_content_changes(placing: Placing) -> None:
    source, place = placing
    place(DOCUMENTS)
    before = source.extent()
    assert source.extent() == before
    place([DOCUMENTS[0], DOCUMENTS[1] | {"weight": 0.2}])
    assert source.extent().documents == before.documents
    assert source.extent().revision != before.revision


def test_the_name_says_no_address(placing: Placing) -> None:
    source, _ = placing
    assert "://" not in source.name
    assert not Path(source.name).is_absolute()
