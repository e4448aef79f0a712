"""A model reaches its store, or stays where it can be found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.delivery import Patience, deliver_or_keep, versions_kept
from gnn_trainer.artifact.location import files_in
from gnn_trainer.artifact.pointers import CHAMPION, LATEST, read_pointer
from gnn_trainer.artifact.predictor import load_published
from gnn_trainer.artifact.publish import Provenance, Version, deliver, make_files, write_files
from gnn_trainer.errors import ConfigError, ServiceError, StopRequested, TransientServiceError
from gnn_trainer.evaluation.report import EvaluationReport

AWAY = TransientServiceError("MinIO does not answer")


class FlakyStore(FolderStore):
    """A folder that refuses the first writes with the given errors."""

    def __init__(self, root: Path, *errors: Exception) -> None:
        super().__init__(root)
        self._errors = list(errors)

    def put_bytes(self, key: str, data: bytes) -> None:
        if self._errors:
            raise self._errors.pop(0)
        super().put_bytes(key, data)


class Hours:
    """A clock that only pauses move."""

    def __init__(self, *, stop_at_s: float = float("inf")) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self._stop_at_s = stop_at_s

    def pause(self, seconds: float) -> bool:
        self.now_s += seconds
        self.pauses.append(seconds)
        return self.now_s >= self._stop_at_s

    def patience(self, total_s: float) -> Patience:
        return Patience(total_s, self.pause, lambda: self.now_s)


@pytest.fixture
def make(bundle: Bundle, provenance: Provenance) -> Callable[[EvaluationReport | None], Version]:
    return lambda report: make_files(bundle, report, model_name="m", provenance=provenance)


@pytest.fixture
def version(
    make: Callable[[EvaluationReport | None], Version],
    promoted_report: EvaluationReport,
) -> Version:
    return make(promoted_report)


@pytest.fixture
def unpublished(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "unpublished")


def test_what_was_delivered_is_kept_no_longer(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    store = FolderStore(tmp_path / "models")
    published = deliver_or_keep(store, unpublished, version, Hours().patience(0.0))
    assert published.promoted
    assert load_published(files_in(store, "m", "latest")).manifest == version.manifest
    assert unpublished.keys("") == []


def test_a_store_that_comes_back_gets_the_model(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    hours, store = Hours(), FlakyStore(tmp_path / "models", *[AWAY] * 7)
    published = deliver_or_keep(store, unpublished, version, hours.patience(300.0))
    assert published.version == version.name
    assert hours.pauses == [1, 2, 4, 8, 16, 30, 30]
    assert unpublished.keys("") == []


def test_a_store_that_stays_away_leaves_the_model_in_the_workspace(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    hours, store = Hours(), FlakyStore(tmp_path / "models", *[AWAY] * 99)
    with pytest.raises(ServiceError, match="gnn-trainer publish") as caught:
        deliver_or_keep(store, unpublished, version, hours.patience(20.0))
    assert hours.now_s == pytest.approx(20.0)
    assert not caught.value.is_transient
    assert f"{unpublished.location}/m/{version.name}" in str(caught.value)
    assert load_published(files_in(unpublished, "m", version.name)).manifest == version.manifest


def test_a_store_that_refuses_is_not_asked_again(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    hours, store = Hours(), FlakyStore(tmp_path / "models", ConfigError("access denied"))
    with pytest.raises(ConfigError, match=r"access denied.*kept in"):
        deliver_or_keep(store, unpublished, version, hours.patience(300.0))
    assert hours.pauses == []
    assert [kept.name for kept in versions_kept(unpublished)] == [version.name]


def test_a_stop_while_the_store_is_away_keeps_the_model(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    hours, store = Hours(stop_at_s=3.0), FlakyStore(tmp_path / "models", *[AWAY] * 99)
    with pytest.raises(StopRequested, match="kept in"):
        deliver_or_keep(store, unpublished, version, hours.patience(300.0))
    assert hours.now_s == pytest.approx(3.0)
    assert [kept.name for kept in versions_kept(unpublished)] == [version.name]


def test_the_model_is_kept_before_its_first_byte_leaves(
    tmp_path: Path,
    unpublished: FolderStore,
    version: Version,
) -> None:
    class Watching(FolderStore):
        seen: list[str]

        def put_bytes(self, key: str, data: bytes) -> None:
            self.seen = [kept.name for kept in versions_kept(unpublished)]
            super().put_bytes(key, data)

    store = Watching(tmp_path / "models")
    deliver_or_keep(store, unpublished, version, Hours().patience(0.0))
    assert store.seen == [version.name]


def test_the_next_attempt_delivers_the_version_that_the_last_one_left(
    tmp_path: Path,
    unpublished: FolderStore,
    bundle: Bundle,
    provenance: Provenance,
    version: Version,
    promoted_report: EvaluationReport,
) -> None:
    with pytest.raises(ServiceError):
        deliver_or_keep(
            FlakyStore(tmp_path / "m", AWAY), unpublished, version, Hours().patience(0.0)
        )
    later = replace(provenance, created=provenance.created + timedelta(hours=1))
    again = make_files(bundle, promoted_report, model_name="m", provenance=later)
    store = FolderStore(tmp_path / "m")
    published = deliver_or_keep(store, unpublished, again, Hours().patience(0.0))
    assert published.version == version.name != again.name
    assert unpublished.keys("") == []


def test_a_version_that_was_kept_half_is_no_version(
    unpublished: FolderStore,
    version: Version,
) -> None:
    unpublished.put_bytes(f"m/{version.name}/config.json", b"{}")
    assert list(versions_kept(unpublished)) == []


def test_a_version_that_was_damaged_does_not_hold_up_the_others(
    unpublished: FolderStore,
    version: Version,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_files(unpublished, version)
    unpublished.put_bytes("m/20240101T000000Z-aaaaaaaa/manifest.json", b"{}")
    assert [kept.name for kept in versions_kept(unpublished)] == [version.name]
    assert "20240101T000000Z-aaaaaaaa" in caplog.text


def test_an_interrupted_training_is_a_version_that_nobody_points_at(
    tmp_path: Path,
    unpublished: FolderStore,
    make: Callable[[EvaluationReport | None], Version],
) -> None:
    store = FolderStore(tmp_path / "models")
    published = deliver_or_keep(store, unpublished, make(None), Hours().patience(0.0))
    assert not published.promoted
    assert read_pointer(store, "m", LATEST) is None
    assert read_pointer(store, "m", CHAMPION) is None
    loaded = load_published(files_in(store, "m", published.version))
    assert loaded.manifest.outcome == "interrupted"
    card = store.read(f"{published.prefix}/model_card.md").decode()
    assert "not judged" in card


def test_delivering_again_changes_nothing(tmp_path: Path, version: Version) -> None:
    store = FolderStore(tmp_path)
    first = deliver(store, version)
    before = {key: store.read(key) for key in store.keys("")}
    assert deliver(store, version) == first
    assert {key: store.read(key) for key in store.keys("")} == before
