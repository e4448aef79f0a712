"""Copies of checkpoints: in the background, the newest, never in the way of training."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gnn_trainer.adapters.checkpoints import CheckpointMirror
from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.errors import TransientServiceError

DEADLINE_S = 10.0


def epochs_in(path: Path) -> int:
    return int(path.read_bytes()) if path.exists() else 0


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def mirror(store: FolderStore) -> Iterator[CheckpointMirror]:
    with CheckpointMirror(store, "queue-1") as running:
        yield running


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "here" / "train-ab.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"3")
    return path


def test_a_checkpoint_is_copied_under_the_queue_id(
    store: FolderStore,
    mirror: CheckpointMirror,
    checkpoint: Path,
) -> None:
    mirror.put(checkpoint)
    assert mirror.flush(DEADLINE_S)
    assert store.read("checkpoints/queue-1/train-ab.safetensors") == b"3"


def test_another_machine_resumes_from_the_copy(
    mirror: CheckpointMirror,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    mirror.put(checkpoint)
    mirror.flush(DEADLINE_S)
    elsewhere = tmp_path / "there" / checkpoint.name
    assert mirror.fetch(elsewhere, epochs_in)
    assert elsewhere.read_bytes() == b"3"


@pytest.mark.parametrize(("local", "kept"), [(b"2", b"3"), (b"3", b"3"), (b"4", b"4")])
def test_of_copy_and_file_the_one_that_came_further_is_taken(
    mirror: CheckpointMirror,
    checkpoint: Path,
    local: bytes,
    kept: bytes,
) -> None:
    mirror.put(checkpoint)
    mirror.flush(DEADLINE_S)
    checkpoint.write_bytes(local)
    assert mirror.fetch(checkpoint, epochs_in) == (local < kept)
    assert checkpoint.read_bytes() == kept
    assert [p.name for p in checkpoint.parent.iterdir() if p.name[0] != "."] == [checkpoint.name]


def test_another_run_has_other_checkpoints(
    store: FolderStore,
    mirror: CheckpointMirror,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    mirror.put(checkpoint)
    mirror.flush(DEADLINE_S)
    with CheckpointMirror(store, "queue-2") as other:
        assert not other.fetch(tmp_path / checkpoint.name, epochs_in)
        other.remove()
    assert store.exists("checkpoints/queue-1/train-ab.safetensors")


@pytest.mark.parametrize("queue_id", ["a/b", "../out", "*", "ä b", ".hidden"])
def test_any_queue_id_makes_a_key(
    store: FolderStore,
    checkpoint: Path,
    tmp_path: Path,
    queue_id: str,
) -> None:
    with CheckpointMirror(store, queue_id) as mirror:
        mirror.put(checkpoint)
        assert mirror.flush(DEADLINE_S)
        assert mirror.fetch(tmp_path / "there" / checkpoint.name, epochs_in)
    assert len(store.keys("checkpoints/")) == 1


def test_after_publication_no_copy_is_left(
    store: FolderStore,
    mirror: CheckpointMirror,
    checkpoint: Path,
) -> None:
    mirror.put(checkpoint)
    mirror.remove()
    assert store.keys("checkpoints/") == []


class SlowStore(FolderStore):
    """A store that writes nothing before it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.entered, self.released = threading.Event(), threading.Event()
        self.written: list[bytes] = []

    def put_bytes(self, key: str, data: bytes) -> None:
        self.entered.set()
        assert self.released.wait(DEADLINE_S)
        self.written.append(data)
        super().put_bytes(key, data)


def test_epochs_do_not_wait_and_the_newest_is_copied(tmp_path: Path, checkpoint: Path) -> None:
    store = SlowStore(tmp_path / "slow")
    with CheckpointMirror(store, "q") as mirror:
        mirror.put(checkpoint)
        assert store.entered.wait(DEADLINE_S)
        for epoch in (b"4", b"5", b"6"):
            checkpoint.write_bytes(epoch)
            mirror.put(checkpoint)
        assert not mirror.flush(0.0)
        store.released.set()
        assert mirror.flush(DEADLINE_S)
    assert store.written == [b"3", b"6"]


class AwayStore(FolderStore):
    def put_bytes(self, key: str, data: bytes) -> None:
        raise TransientServiceError("away")

    def read(self, key: str) -> bytes:
        raise TransientServiceError("away")

    def keys(self, prefix: str) -> list[str]:
        raise TransientServiceError("away")


@pytest.mark.parametrize(
    "use",
    [
        lambda mirror, path: mirror.put(path) or mirror.flush(DEADLINE_S),
        lambda mirror, path: not mirror.fetch(path, epochs_in),
        lambda mirror, path: mirror.remove() or True,
    ],
    ids=["put", "fetch", "remove"],
)
def test_a_store_that_is_away_costs_a_warning(
    tmp_path: Path,
    checkpoint: Path,
    caplog: pytest.LogCaptureFixture,
    use: Callable[[CheckpointMirror, Path], bool],
) -> None:
    with CheckpointMirror(AwayStore(tmp_path / "away"), "q") as mirror:
        assert use(mirror, checkpoint)
    assert "away" in caplog.text
    assert checkpoint.read_bytes() == b"3"
