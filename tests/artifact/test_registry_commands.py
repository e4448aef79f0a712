"""`gnn-trainer publish`, `models`, `promote` and `rollback`, on a folder and on a bucket."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from gnn_trainer.adapters import model_store
from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact import load_model
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.catalogue import champion_moves
from gnn_trainer.artifact.pointers import read_pointer
from gnn_trainer.artifact.publish import (
    Provenance,
    Published,
    Version,
    deliver,
    make_files,
    publish,
    write_files,
)
from gnn_trainer.cli import BAD_CONFIGURATION, FAILED, SUCCESS, run
from gnn_trainer.errors import ArtifactError, ConfigError
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.ports import ModelStore
from gnn_trainer.settings import build_config
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, s3_server

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as serving:
        yield serving


@pytest.fixture
def bucket_environ(server: S3Server) -> dict[str, str]:
    return {
        "MINIO_ENDPOINT": server.url,
        "MINIO_ACCESS_KEY": ACCESS_KEY,
        "MINIO_SECRET_KEY": SECRET_KEY,
        "MINIO_BUCKET_NAME": server.settings().bucket,
    }


@pytest.fixture(params=["folder", "bucket"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    own = {"WORKSPACE": str(tmp_path / "ws"), "MODEL_NAME": "m"}
    if request.param == "bucket":
        own |= request.getfixturevalue("bucket_environ")
    return own


@pytest.fixture
def models(environ: dict[str, str]) -> ModelStore:
    """Where the commands look; named otherwise than the fixture of a mere folder."""
    return model_store(build_config(environ, {})[0])


def command(environ: dict[str, str], *argv: str) -> tuple[int, str]:
    printed = io.StringIO()
    out = Console(file=printed, width=240)
    code = run(argv, environ, out, out, clock=NOW.timestamp)
    return code, printed.getvalue()


@pytest.fixture
def older(
    models: ModelStore,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> Published:
    return publish(models, bundle, promoted_report, model_name="m", provenance=provenance)


@pytest.fixture
def newer(
    models: ModelStore,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
    older: Published,
) -> Published:
    later = replace(provenance, created=provenance.created + timedelta(hours=1))
    return publish(models, bundle, promoted_report, model_name="m", provenance=later)


def champion(models: ModelStore) -> str | None:
    found = read_pointer(models, "m", "champion")
    return None if found is None else found.version


def test_versions_are_listed_with_metrics_and_pointers(
    environ: dict[str, str],
    older: Published,
    newer: Published,
) -> None:
    code, printed = command(environ, "models")
    assert code == SUCCESS
    lines = {
        v: next(line for line in printed.splitlines() if v in line)
        for v in (older.version, newer.version)
    }
    assert "latest, champion" in lines[newer.version]
    assert "latest" not in lines[older.version]
    assert all("0.0400" in line and "0.0100 .. 0.0700" in line for line in lines.values())
    assert "a <reason>" in printed


def test_a_store_without_models_says_so(environ: dict[str, str]) -> None:
    code, printed = command(environ, "models")
    assert code == SUCCESS
    assert "no version of m in" in printed


def test_other_models_are_listed_on_demand(environ: dict[str, str], older: Published) -> None:
    assert older.version not in command(environ | {"MODEL_NAME": "other"}, "models")[1]
    assert older.version in command(environ | {"MODEL_NAME": "other"}, "models", "--all")[1]
    named = command(environ | {"MODEL_NAME": "other"}, "models", "--model-name", "m")
    assert older.version in named[1]


def test_half_a_version_is_not_listed(environ: dict[str, str], models: ModelStore) -> None:
    models.put_bytes("m/20240101T000000Z-aaaaaaaa/config.json", b"{}")
    assert "no version" in command(environ, "models")[1]


def test_a_rollback_moves_the_champion_back_and_keeps_the_reason(
    environ: dict[str, str],
    models: ModelStore,
    older: Published,
    newer: Published,
) -> None:
    code, printed = command(environ, "rollback", older.version, "--reason", "loses money [!]")
    assert code == SUCCESS, printed
    assert champion(models) == older.version
    last = champion_moves(models, "m")[0]
    assert (last.action, last.reason, last.at) == ("rollback", "loses money [!]", NOW)
    assert (last.version, last.previous) == (older.version, newer.version)
    assert "loses money [!]" in command(environ, "models")[1]


def test_after_a_rollback_the_next_better_version_is_promoted_but_not_the_same_again(
    models: ModelStore,
    environ: dict[str, str],
    older: Published,
    newer: Published,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    command(environ, "rollback", older.version, "--reason", "bad")

    def published_after(hours: int) -> Published:
        later = replace(provenance, created=provenance.created + timedelta(hours=hours))
        return publish(models, bundle, promoted_report, model_name="m", provenance=later)

    assert not published_after(1).promoted
    assert champion(models) == older.version
    assert published_after(2).promoted


def test_a_challenger_is_promoted_by_a_person(
    environ: dict[str, str],
    models: ModelStore,
    older: Published,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    later = replace(provenance, created=provenance.created + timedelta(hours=1))
    challenger = publish(models, bundle, refused_report, model_name="m", provenance=later)
    assert champion(models) == older.version
    code, printed = command(environ, "promote", challenger.version, "--reason", "wanted")
    assert code == SUCCESS, printed
    assert champion(models) == challenger.version
    assert [move.action for move in champion_moves(models, "m")] == ["promote", "gate"]


@pytest.mark.parametrize(
    ("action", "which", "hint"),
    [
        ("promote", "older", "`rollback`"),
        ("rollback", "newer", "already"),
        ("promote", "newer", ""),
    ],
)
def test_a_move_in_the_wrong_direction_is_refused(
    environ: dict[str, str],
    models: ModelStore,
    older: Published,
    newer: Published,
    action: str,
    which: str,
    hint: str,
) -> None:
    version = {"older": older, "newer": newer}[which].version
    code, printed = command(environ, action, version, "--reason", "why not")
    assert code == BAD_CONFIGURATION
    assert hint in printed
    assert champion(models) == newer.version


def test_a_version_that_is_not_there_cannot_become_champion(
    environ: dict[str, str],
    models: ModelStore,
    older: Published,
) -> None:
    code, printed = command(environ, "promote", "20990101T000000Z-00000000", "--reason", "x")
    assert code == FAILED
    assert older.version in printed
    assert champion(models) == older.version


def test_a_version_that_was_altered_cannot_become_champion(
    environ: dict[str, str],
    models: ModelStore,
    older: Published,
    newer: Published,
) -> None:
    models.put_bytes(f"{older.prefix}/config.json", b"{}")
    code, printed = command(environ, "rollback", older.version, "--reason", "x")
    assert code == FAILED
    assert "altered" in printed


def test_an_interrupted_version_cannot_become_champion(
    environ: dict[str, str],
    models: ModelStore,
    bundle: Bundle,
    provenance: Provenance,
) -> None:
    stopped = deliver(models, make_files(bundle, None, model_name="m", provenance=provenance))
    code, printed = command(environ, "promote", stopped.version, "--reason", "x")
    assert code == FAILED
    assert "never judged" in printed
    assert "interrupted" in command(environ, "models")[1]


def test_a_blank_reason_is_none(environ: dict[str, str], older: Published) -> None:
    assert command(environ, "rollback", older.version, "--reason", " ")[0] == BAD_CONFIGURATION


@pytest.fixture
def kept(
    environ: dict[str, str],
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> Version:
    """A version that did not reach its store."""
    version = make_files(bundle, promoted_report, model_name="m", provenance=provenance)
    write_files(FolderStore(Path(environ["WORKSPACE"]) / "unpublished"), version)
    return version


def test_what_was_kept_is_published_and_kept_no_longer(
    environ: dict[str, str],
    models: ModelStore,
    kept: Version,
) -> None:
    code, printed = command(environ, "publish")
    assert code == SUCCESS
    assert f"published champion {models.location}/m/{kept.name}" in printed
    assert champion(models) == kept.name
    assert "nothing is kept" in command(environ, "publish")[1]


def test_one_of_the_kept_versions_can_be_published_by_name(
    environ: dict[str, str],
    models: ModelStore,
    kept: Version,
) -> None:
    assert command(environ, "publish", "20990101T000000Z-00000000")[0] == FAILED
    assert champion(models) is None
    assert command(environ, "publish", kept.name)[0] == SUCCESS
    assert champion(models) == kept.name


def test_a_store_that_is_still_away_leaves_the_version_where_it_is(
    bucket_environ: dict[str, str],
    tmp_path: Path,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    version = make_files(bundle, promoted_report, model_name="m", provenance=provenance)
    unpublished = FolderStore(tmp_path / "unpublished")
    write_files(unpublished, version)
    away = bucket_environ | {"MINIO_ENDPOINT": "127.0.0.1:9", "WORKSPACE": str(tmp_path)}
    code, printed = command(away, "publish")
    assert code == FAILED
    assert "does not answer" in printed
    assert SECRET_KEY not in printed
    assert unpublished.exists(f"m/{version.name}/manifest.json")


@pytest.fixture
def in_bucket(
    bucket_environ: dict[str, str],
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> Published:
    store = model_store(build_config(bucket_environ, {})[0])
    return publish(store, bundle, promoted_report, model_name="m", provenance=provenance)


@pytest.mark.parametrize("version", ["latest", "champion", None])
def test_a_model_is_loaded_from_its_bucket(
    bucket_environ: dict[str, str],
    in_bucket: Published,
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
) -> None:
    bucket = bucket_environ["MINIO_BUCKET_NAME"]
    for name in ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
        monkeypatch.setenv(name, bucket_environ[name])
    loaded = load_model(f"s3://{bucket}/m/{version or in_bucket.version}")
    assert loaded.uri == in_bucket.uri == f"s3://{bucket}/m/{in_bucket.version}"


def test_a_model_in_a_bucket_needs_to_know_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIO_ENDPOINT", raising=False)
    with pytest.raises(ConfigError, match="MINIO_ENDPOINT"):
        load_model("s3://models/m/latest")


@pytest.mark.parametrize("uri", ["s3://models", "s3://models/m", "s3:///m/latest", "s3://b/m/v/f"])
def test_an_uri_that_names_no_version_is_refused(uri: str) -> None:
    with pytest.raises(ArtifactError, match="expected s3://"):
        load_model(uri)
