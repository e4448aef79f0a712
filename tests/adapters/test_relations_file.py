"""A prepared graph in a file: the same documents whatever the format, clear words if broken."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from gnn_trainer.adapters.relations_file import RelationsFile
from gnn_trainer.errors import ConfigError

DOCUMENTS = [
    {"source": "BTCUSDT", "target": "ETHUSDT", "weight": 0.5, "attributes": {"size": 2.0}},
    {"source": "ETHUSDT", "target": "BTCUSDT", "valid_from": "2024-01-01"},
]


def test_every_format_gives_the_same_documents(tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(json.dumps(DOCUMENTS))
    (tmp_path / "graph.jsonl").write_text("\n".join(map(json.dumps, DOCUMENTS)) + "\n\n")
    pl.DataFrame(DOCUMENTS).write_parquet(tmp_path / "graph.parquet")
    for name in ("graph.json", "graph.jsonl", "graph.parquet"):
        source = RelationsFile(tmp_path / name)
        assert list(source.documents()) == DOCUMENTS
        assert source.extent().documents == 2
        assert source.name == name


def test_a_json_object_is_one_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"ts": 1, "edges": DOCUMENTS}))
    assert list(RelationsFile(path).documents()) == [{"ts": 1, "edges": DOCUMENTS}]


def test_times_of_a_table_stay_times(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    pl.DataFrame({"source": ["A"], "target": ["B"], "valid_from": [moment]}).write_parquet(
        tmp_path / "graph.parquet"
    )
    (row,) = RelationsFile(tmp_path / "graph.parquet").documents()
    assert isinstance(row, dict)
    assert row["valid_from"] == moment


def test_the_revision_is_the_content(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text("[1]")
    before = RelationsFile(path).extent()
    assert RelationsFile(path).extent() == before
    path.write_text("[2]")
    assert RelationsFile(path).extent().revision != before.revision


@pytest.mark.parametrize("name", ["graph.json", "graph.jsonl", "graph.parquet"])
@pytest.mark.parametrize("content", [b"{half", b"\xff\xfe\x00"])
def test_a_broken_file_is_a_configuration_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"RELATIONS_FILE {name} cannot be read"):
        list(RelationsFile(tmp_path / name).documents())
