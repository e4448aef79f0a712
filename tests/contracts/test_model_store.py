"""What every ModelStore owes, whatever it keeps its files in, and what pointers owe in any."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.adapters.s3 import PART_BYTES, S3Store
from gnn_trainer.adapters.s3_client import S3Client, connect
from gnn_trainer.artifact.pointers import (
    CHAMPION,
    LATEST,
    Move,
    Pointer,
    advance,
    place_champion,
    read_pointer,
)
from gnn_trainer.errors import ArtifactError
from gnn_trainer.ports import ModelStore
from tests.s3_server import S3Server, real_minio, s3_server

EARLY, LATE = "20240101T000000Z-aaaaaaaa", "20240102T000000Z-00000000"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def client(server: S3Server) -> S3Client:
    """One for all tests: a client takes longer to make than a test to run."""
    return connect(server.settings())


@pytest.fixture(params=["folder", "s3", "minio"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "models")
    if request.param == "s3":
        client = request.getfixturevalue("client")
        return S3Store(request.getfixturevalue("server").settings(), lambda minio: client)
    if (minio := real_minio()) is None:
        pytest.skip("no MinIO to test against; set GNN_TRAINER_TEST_MINIO_URL and its keys")
    return S3Store(minio)


def pointer(version: str) -> Pointer:
    return Pointer(model_name="m", version=version, manifest_sha256="ab" * 32)


def pointed(store: ModelStore, name: str = LATEST) -> str | None:
    found = read_pointer(store, "m", name)
    return None if found is None else found.version


def move(version: str, action: str = "rollback") -> Move:
    return Move.model_validate(
        {
            "version": version,
            "previous": None,
            "action": action,
            "reason": f"because of {version}",
            "at": datetime(2024, 5, 1, tzinfo=UTC),
        }
    )


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


def test_a_prepared_store_is_ready_and_empty(store: ModelStore) -> None:
    store.prepare()
    store.prepare()
    assert store.keys("") == []


def test_what_was_removed_is_absent_and_may_be_removed_again(store: ModelStore) -> None:
    store.put_bytes("m/v/file", b"")
    store.put_bytes("m/v/other", b"")
    store.remove("m/v/file")
    store.remove("m/v/file")
    assert store.keys("m/") == ["m/v/other"]


def test_nothing_is_in_a_store_that_nobody_wrote_to(store: ModelStore) -> None:
    assert not store.exists("m/v/file")
    store.remove("m/v/file")
    with pytest.raises(ArtifactError, match="m/v/file"):
        store.read("m/v/file")


def test_a_file_of_several_parts_is_put_whole(store: ModelStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * (PART_BYTES // 256) + b"the rest"
    (tmp_path / "large").write_bytes(data)
    store.put_file("m/v/large", tmp_path / "large")
    assert store.read("m/v/large") == data


def test_an_update_sees_what_is_there_and_replaces_it(store: ModelStore) -> None:
    assert store.update("m/count", lambda held: b"0" if held is None else held + b"?")
    assert store.update("m/count", lambda held: (held or b"") + b"1")
    assert store.read("m/count") == b"01"


def test_an_update_to_none_leaves_everything_as_it_is(store: ModelStore) -> None:
    assert not store.update("m/count", lambda held: None)
    assert not store.exists("m/count")
    store.put_bytes("m/count", b"7")
    assert not store.update("m/count", lambda held: None)
    assert store.read("m/count") == b"7"


def test_of_many_updates_at_once_none_is_lost(store: ModelStore) -> None:
    store.prepare()

    def add(letter: str) -> bool:
        return store.update("m/letters", lambda held: (held or b"") + letter.encode())

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(add, "abcdef"))
    assert sorted(store.read("m/letters").decode()) == list("abcdef")


def test_a_pointer_moves_forward(store: ModelStore) -> None:
    assert pointed(store) is None
    assert advance(store, LATEST, pointer(EARLY))
    assert advance(store, LATEST, pointer(LATE))
    assert pointed(store) == LATE


@pytest.mark.parametrize("version", [EARLY, LATE])
def test_a_pointer_moves_neither_back_nor_onto_itself(store: ModelStore, version: str) -> None:
    advance(store, LATEST, pointer(LATE))
    assert not advance(store, LATEST, pointer(version))
    assert pointed(store) == LATE


def test_of_many_movers_at_once_the_latest_wins(store: ModelStore) -> None:
    versions = [f"20240101T0000{second:02d}Z-aaaaaaaa" for second in range(12)]
    shuffled = versions[::3] + versions[1::3] + versions[2::3]
    with ThreadPoolExecutor(6) as pool:
        moved = list(pool.map(lambda v: advance(store, LATEST, pointer(v)), shuffled))
    assert pointed(store) == versions[-1]
    assert moved[shuffled.index(versions[-1])]


def test_a_pointer_that_was_damaged_can_be_moved_again(store: ModelStore) -> None:
    store.put_bytes("m/latest.json", b"{half")
    assert advance(store, LATEST, pointer(EARLY))


def test_a_person_moves_the_champion_anywhere_and_every_move_is_kept(store: ModelStore) -> None:
    advance(store, CHAMPION, pointer(LATE), move(LATE, "gate"))
    place_champion(store, pointer(EARLY), move(EARLY))
    champion = read_pointer(store, "m", CHAMPION)
    assert champion is not None
    assert champion.version == EARLY
    assert [(m.action, m.version, m.previous) for m in champion.moves] == [
        ("rollback", EARLY, LATE),
        ("gate", LATE, None),
    ]
    assert champion.moves[0].reason == f"because of {EARLY}"


def test_a_publication_repeated_does_not_undo_a_rollback(store: ModelStore) -> None:
    advance(store, CHAMPION, pointer(LATE))
    place_champion(store, pointer(EARLY), move(EARLY))
    assert not advance(store, CHAMPION, pointer(LATE))
    assert pointed(store, CHAMPION) == EARLY
    assert advance(store, CHAMPION, pointer("20240103T000000Z-00000000"))


@pytest.mark.parametrize("key", ["../out", "m/../../out", "/etc/x", "m//x", "", "m/.lock", "m/ä"])
def test_a_key_that_is_not_plain_is_refused(store: ModelStore, key: str) -> None:
    with pytest.raises(ArtifactError, match="not safe"):
        store.put_bytes(key, b"")
    with pytest.raises(ArtifactError, match="not safe"):
        store.read(key)


def test_the_location_is_a_text_for_people(store: ModelStore) -> None:
    assert store.location
    assert "\n" not in store.location
