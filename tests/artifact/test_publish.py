"""What a published version consists of, and how the pointers follow it."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.manifest import MANIFEST, FileRecord
from gnn_trainer.artifact.publish import Provenance, Published, publish
from gnn_trainer.errors import ServiceError
from gnn_trainer.evaluation.exhibits import Exhibits, Importance
from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.market.report import DataReport

FILES = {
    "model.safetensors",
    "novelty.safetensors",
    "config.json",
    "metrics.json",
    "model_card.md",
    "report.html",
}


@pytest.fixture
def published(
    store: FolderStore,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> Published:
    return publish(store, bundle, refused_report, model_name="m", provenance=provenance)


def pointer(store: FolderStore, name: str) -> dict[str, str]:
    document: dict[str, str] = json.loads(store.read(f"m/{name}.json"))
    return document


def test_a_version_has_the_files_of_the_contract_and_nothing_else(
    store: FolderStore,
    published: Published,
) -> None:
    names = {key.removeprefix(f"m/{published.version}/") for key in store.keys("m/2")}
    assert names == {*FILES, MANIFEST}


def test_tables_are_published_and_hashed_like_everything_else(
    store: FolderStore,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    tables = {"predictions.parquet": b"rows"}
    published = publish(
        store, bundle, refused_report, model_name="m", provenance=provenance, tables=tables
    )
    manifest = json.loads(store.read(f"{published.prefix}/{MANIFEST}"))
    assert manifest["files"]["predictions.parquet"] == FileRecord.of(b"rows").model_dump()
    assert store.read(f"{published.prefix}/predictions.parquet") == b"rows"


def test_the_version_says_when_and_what(published: Published) -> None:
    assert published.version.startswith("20240501T123000Z-")
    assert len(published.version.rpartition("-")[2]) == 8


def test_the_manifest_lists_every_other_file_with_size_and_hash(
    store: FolderStore,
    published: Published,
) -> None:
    manifest = json.loads(store.read(f"{published.prefix}/{MANIFEST}"))
    assert set(manifest["files"]) == FILES
    for name, record in manifest["files"].items():
        assert FileRecord(**record) == FileRecord.of(store.read(f"{published.prefix}/{name}"))


def test_the_manifest_tells_where_the_model_comes_from(
    store: FolderStore,
    published: Published,
    provenance: Provenance,
) -> None:
    manifest = json.loads(store.read(f"{published.prefix}/{MANIFEST}"))
    assert manifest["data"]["fingerprint"] == provenance.data.fingerprint
    assert manifest["data"]["symbols"] == list(provenance.data.symbols)
    assert manifest["seed"] == 7
    assert manifest["parent"] is None
    assert "torch" in manifest["dependencies"]
    assert manifest["code_version"] == "0.1.0"


def test_publishing_again_changes_nothing(
    store: FolderStore,
    published: Published,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    before = {key: store.read(key) for key in store.keys("")}
    again = publish(store, bundle, refused_report, model_name="m", provenance=provenance)
    assert again == published
    assert {key: store.read(key) for key in store.keys("")} == before


def test_a_challenger_becomes_latest_but_not_champion(
    store: FolderStore,
    published: Published,
) -> None:
    assert pointer(store, "latest")["version"] == published.version
    assert pointer(store, "latest")["manifest_sha256"] == published.manifest_sha256
    assert not published.promoted
    assert not store.exists("m/champion.json")


def test_a_promoted_version_becomes_champion(
    store: FolderStore,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    published = publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    assert published.promoted
    assert pointer(store, "champion")["version"] == published.version


def test_an_older_run_that_ends_later_does_not_move_the_pointers_back(
    store: FolderStore,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    earlier = replace(provenance, created=provenance.created - timedelta(hours=1))
    newer = publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    older = publish(store, bundle, promoted_report, model_name="m", provenance=earlier)
    assert not older.promoted
    assert pointer(store, "latest")["version"] == newer.version
    assert pointer(store, "champion")["version"] == newer.version


class StoreThatFailsAt(FolderStore):
    """A folder that refuses one file, as a full disk would."""

    failing = MANIFEST

    def put_bytes(self, key: str, data: bytes) -> None:
        if key.endswith(self.failing):
            raise ServiceError("disk full")
        super().put_bytes(key, data)


@pytest.mark.parametrize("failing", [*sorted(FILES), MANIFEST])
def test_a_publication_cut_short_leaves_no_manifest_and_no_pointer(
    tmp_path: Path,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
    failing: str,
) -> None:
    store = StoreThatFailsAt(tmp_path)
    store.failing = failing
    with pytest.raises(ServiceError):
        publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    assert not [key for key in store.keys("") if key.endswith((MANIFEST, "latest.json"))]


def test_metrics_are_strict_json_even_where_a_figure_is_undefined(
    store: FolderStore,
    published: Published,
) -> None:
    text = store.read(f"{published.prefix}/metrics.json").decode()
    metrics = json.loads(text, parse_constant=pytest.fail)
    assert metrics["metrics"]["gnn"]["icir"] is None


def test_the_card_shows_model_and_baselines_and_the_verdict(
    store: FolderStore,
    published: Published,
) -> None:
    card = store.read(f"{published.prefix}/model_card.md").decode()
    assert "| gnn | 0.0400 | 0.0100 .. 0.0700 |" in card
    assert "| no graph |" in card
    assert "Graph contribution" in card
    assert "challenger; a <reason>" in card


def test_what_the_page_shows_beyond_the_metrics_is_published_as_well(
    store: FolderStore,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    data = DataReport("simulated-usdm", "1h", 0, 1, 200, market_holes=(), symbols=())
    lost = Importance("ret_1", Interval(0.02, 0.01, float("nan")))
    published = publish(
        store,
        bundle,
        refused_report,
        model_name="m",
        provenance=replace(provenance, data_report=data),
        exhibits=Exhibits((), None, None, importance=(lost,), portrait=None),
    )
    manifest = json.loads(store.read(f"{published.prefix}/{MANIFEST}"))
    assert {"exhibits.json", "data_report.json"} <= set(manifest["files"])
    exhibits = json.loads(store.read(f"{published.prefix}/exhibits.json"))
    assert exhibits["importance"][0]["lost"] == {"mean": 0.02, "low": 0.01, "high": None}
    assert json.loads(store.read(f"{published.prefix}/data_report.json"))["num_bars"] == 200
    page = store.read(f"{published.prefix}/report.html").decode()
    assert "ret_1" in page
    assert "200 bars of 1h" in page


def test_the_report_is_one_page_with_text_escaped(store: FolderStore, published: Published) -> None:
    page = store.read(f"{published.prefix}/report.html").decode()
    assert "a &lt;reason&gt;" in page
    assert "<td>gnn</td>" in page
    assert "://" not in page
    assert "<svg" in page
