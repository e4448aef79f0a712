"""What every ModelStore owes, whatever it keeps its files in."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.errors import ArtifactError
from gnn_trainer.ports import ModelStore

EARLY, LATE = "20240101T000000Z-aaaaaaaa", "20240102T000000Z-00000000"


def folder_store(tmp_path: Path) -> ModelStore:
    return FolderStore(tmp_path / "models")


STORES: list[Callable[[Path], ModelStore]] = [folder_store]


@pytest.fixture(params=STORES, ids=lambda factory: factory.__name__)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    factory: Callable[[Path], ModelStore] = request.param
    return factory(tmp_path)


def test_what_was_put_is_read_back(store: ModelStore) -> None:
    store.put_bytes("m/v/file.bin", b"\x00\xff")
    assert store.read("m/v/file.bin") == b"\x00\xff"


def test_put_overwrites(store: ModelStore) -> None:
    store.put_bytes("m/v/file", b"longer than what follows")
    store.put_bytes("m/v/file", b"new")
    assert store.read("m/v/file") == b"new"


def test_a_file_is_put_as_it_is(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"from disk")
    store.put_file("m/v/file", tmp_path / "local")
    assert store.read("m/v/file") == b"from disk"


def test_an_absent_key_is_an_artifact_error_that_names_it(store: ModelStore) -> None:
    with pytest.raises(ArtifactError, match="m/v/absent"):
        store.read("m/v/absent")


def test_a_prefix_is_no_key(store: ModelStore) -> None:
    store.put_bytes("m/v/file", b"")
    assert not store.exists("m/v")
    with pytest.raises(ArtifactError):
        store.read("m/v")


def test_exists_tells_what_was_put(store: ModelStore) -> None:
    assert not store.exists("m/v/file")
    store.put_bytes("m/v/file", b"")
    assert store.exists("m/v/file")


def test_keys_are_listed_by_prefix_in_order(store: ModelStore) -> None:
    for key in ("m/v2/b", "m/v1/a", "m/v2/a", "other/v2/a"):
        store.put_bytes(key, b"")
    assert store.keys("m/v2/") == ["m/v2/a", "m/v2/b"]
    assert store.keys("m/v") == ["m/v1/a", "m/v2/a", "m/v2/b"]
    assert store.keys("absent") == []


def test_an_empty_store_has_no_keys(store: ModelStore) -> None:
    assert store.keys("") == []


def test_a_pointer_moves_forward(store: ModelStore) -> None:
    assert store.move_pointer("m/latest.json", {"version": EARLY})
    assert store.move_pointer("m/latest.json", {"version": LATE, "note": "kept"})
    assert json.loads(store.read("m/latest.json")) == {"version": LATE, "note": "kept"}


@pytest.mark.parametrize("version", [EARLY, LATE])
def test_a_pointer_moves_neither_back_nor_onto_itself(store: ModelStore, version: str) -> None:
    store.move_pointer("m/latest.json", {"version": LATE})
    assert not store.move_pointer("m/latest.json", {"version": version})
    assert json.loads(store.read("m/latest.json"))["version"] == LATE


def test_of_many_movers_at_once_the_latest_wins(store: ModelStore) -> None:
    versions = [f"20240101T0000{second:02d}Z-aaaaaaaa" for second in range(16)]
    shuffled = versions[::3] + versions[1::3] + versions[2::3]
    with ThreadPoolExecutor(8) as pool:
        moved = list(
            pool.map(lambda v: store.move_pointer("m/latest.json", {"version": v}), shuffled)
        )
    assert json.loads(store.read("m/latest.json"))["version"] == versions[-1]
    assert moved[shuffled.index(versions[-1])]


def test_a_pointer_that_was_damaged_can_be_moved_again(store: ModelStore) -> None:
    store.put_bytes("m/latest.json", b"{half")
    assert store.move_pointer("m/latest.json", {"version": EARLY})


@pytest.mark.parametrize("key", ["../out", "m/../../out", "/etc/x", "m//x", "", "m/.lock", "m/ä"])
def test_a_key_that_is_not_plain_is_refused(store: ModelStore, key: str) -> None:
    with pytest.raises(ArtifactError, match="not safe"):
        store.put_bytes(key, b"")
    with pytest.raises(ArtifactError, match="not safe"):
        store.read(key)


def test_the_location_is_a_text_for_people(store: ModelStore) -> None:
    assert store.location
    assert "\n" not in store.location
