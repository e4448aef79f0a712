"""Datasets between machines: sent once, received whole or not at all."""

from pathlib import Path

import pytest

from flows.parcels import Parcels
from gnn_trainer.adapters.datasets import DatasetRef, DatasetStore
from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.errors import ArtifactError, DataError

PREFIX = "small/walk-forward/parts/1"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def machine(store: FolderStore, folder: Path, prefix: str | None = PREFIX) -> Parcels:
    return Parcels(DatasetStore(folder), store, prefix)


def put(folder: Path) -> DatasetRef:
    return DatasetStore(folder).put_bytes("Thing", b"content", rows=3)


def test_what_one_machine_sends_another_has(store: FolderStore, tmp_path: Path) -> None:
    ref = put(tmp_path / "one")
    machine(store, tmp_path / "one").send(ref)

    machine(store, tmp_path / "other").receive(ref)

    assert DatasetStore(tmp_path / "other").get_bytes(ref) == b"content"


def test_what_nobody_sent_does_not_arrive(store: FolderStore, tmp_path: Path) -> None:
    ref = put(tmp_path / "one")
    other = machine(store, tmp_path / "other")

    assert not other.arrives(ref)
    with pytest.raises(ArtifactError):
        other.receive(ref)


def test_what_was_altered_on_the_way_does_not_arrive(store: FolderStore, tmp_path: Path) -> None:
    ref = put(tmp_path / "one")
    store.put_bytes(f"{PREFIX}/{ref.uri}", b"altered")
    other = machine(store, tmp_path / "other")

    assert not other.arrives(ref)
    with pytest.raises(DataError, match="altered"):
        other.receive(ref)


def test_in_a_shared_workspace_nothing_travels(store: FolderStore, tmp_path: Path) -> None:
    ref = put(tmp_path / "one")
    shared = machine(store, tmp_path / "one", None)

    shared.send(ref)

    assert store.keys("") == []
    assert shared.arrives(ref)
    assert not machine(store, tmp_path / "other", None).arrives(ref)
