"""`gnn-trainer predict`: a published model scores the newest bar of the simulated market."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.adapters.s3 import S3Store
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.publish import Provenance, Published, publish
from gnn_trainer.cli import BAD_CONFIGURATION, FAILED, SUCCESS, run
from gnn_trainer.evaluation.report import EvaluationReport
from tests.s3_server import ACCESS_KEY, SECRET_KEY, s3_server


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "WORKSPACE": str(tmp_path / "ws"),
        "SIMULATED_SYMBOLS": "4",
        "MODEL_NAME": "m",
        "SIMULATED_SEED": "3",
    }


@pytest.fixture
def symbols(environ: dict[str, str]) -> tuple[str, ...]:
    """Names that the simulated market of `environ` has."""
    from gnn_trainer.adapters import open_adapters
    from gnn_trainer.settings import build_config

    with open_adapters(*build_config(environ, {})) as adapters:
        volumes = adapters.source.quote_volumes()
        trading = [listing.symbol for listing in adapters.source.listings() if listing.is_trading]
    return tuple(sorted(trading, key=lambda symbol: -volumes.get(symbol, 0.0))[:4])


@pytest.fixture
def published(
    environ: dict[str, str],
    symbols: tuple[str, ...],
    tmp_path: Path,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> Published:
    store = FolderStore(tmp_path / "ws" / "models")
    known = replace(bundle, symbols=(*symbols, "GONEUSDT"))
    return publish(store, known, refused_report, model_name="m", provenance=provenance)


def predict(environ: dict[str, str], *argv: str) -> tuple[int, str, str]:
    """Exit code, what was printed, and what was printed on standard error."""
    printed, errors = io.StringIO(), io.StringIO()
    out, err = (Console(file=file, width=160) for file in (printed, errors))
    code = run(("predict", *argv), environ, out, err)
    return code, printed.getvalue(), errors.getvalue()


def test_the_latest_version_scores_every_symbol_of_the_market(
    environ: dict[str, str],
    published: Published,
    symbols: tuple[str, ...],
) -> None:
    code, printed, _ = predict(environ)
    assert code == SUCCESS
    assert published.version in printed
    assert all(symbol in printed for symbol in symbols)
    assert "left out: GONEUSDT" in printed
    assert "novelty of the market: " in printed


def test_a_second_prediction_is_the_same(environ: dict[str, str], published: Published) -> None:
    assert predict(environ)[1] == predict(environ, "--model", published.uri)[1]


def test_where_models_go_to_a_bucket_the_latest_is_taken_from_there(
    environ: dict[str, str],
    symbols: tuple[str, ...],
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    with s3_server() as server:
        minio = server.settings()
        known = replace(bundle, symbols=symbols)
        publish(S3Store(minio), known, refused_report, model_name="m", provenance=provenance)
        in_bucket = {
            "MINIO_ENDPOINT": server.url,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": SECRET_KEY,
            "MINIO_BUCKET_NAME": minio.bucket,
        }
        code, printed, _ = predict(environ | in_bucket)
    assert code == SUCCESS
    assert f"s3://{minio.bucket}/m/2024" in printed


def test_without_a_model_the_error_says_where_it_was_looked_for(environ: dict[str, str]) -> None:
    code, printed, error = predict(environ)
    assert (code, printed) == (FAILED, "")
    assert "ArtifactError: no model at" in error


def test_a_model_that_was_altered_is_refused(
    environ: dict[str, str],
    published: Published,
    tmp_path: Path,
) -> None:
    (tmp_path / "ws" / "models" / published.prefix / "config.json").write_text("{}")
    code, _, error = predict(environ)
    assert code == FAILED
    assert "config.json was altered" in error


def test_bad_configuration_is_a_table_on_standard_error(environ: dict[str, str]) -> None:
    code, _, error = predict(environ | {"MARKET": "coinm"})
    assert code == BAD_CONFIGURATION
    assert "MARKET" in error
    assert "expected one of 'usdm' or 'spot'" in error
