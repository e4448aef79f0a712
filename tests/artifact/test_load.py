"""A saved model predicts the same after loading; anything altered is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.numpy import save
from scipy.special import softmax

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact import load_model
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.location import files_in
from gnn_trainer.artifact.manifest import MANIFEST, FileRecord, read_manifest
from gnn_trainer.artifact.predictor import Predictor, load_published
from gnn_trainer.artifact.publish import Provenance, Published, publish
from gnn_trainer.errors import ArtifactError, DataError
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.market.frame import MarketFrame
from tests.artifact.conftest import NUM_BARS

ONE = np.zeros(1)


@pytest.fixture
def published(
    store: FolderStore,
    bundle: Bundle,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> Published:
    return publish(store, bundle, promoted_report, model_name="m", provenance=provenance)


@pytest.fixture
def folder(published: Published) -> Path:
    return Path(published.uri)


@pytest.fixture
def original(bundle: Bundle, published: Published, folder: Path) -> Predictor:
    """The model as it was in memory before it was saved."""
    return Predictor("memory", read_manifest((folder / MANIFEST).read_bytes(), "memory"), bundle)


def test_a_saved_model_predicts_bit_for_bit_the_same(
    original: Predictor,
    folder: Path,
    frame: MarketFrame,
) -> None:
    expected, loaded = original.predict(frame), load_model(str(folder)).predict(frame)
    assert_frame_equal(loaded, expected, check_exact=True)
    assert loaded["rank_score"].n_unique() > 1


def test_a_bundle_survives_the_way_through_its_files(bundle: Bundle) -> None:
    files = bundle.to_files()
    again = Bundle.from_files(files)
    assert again.to_files() == files
    assert again.model.history == bundle.model.history
    assert again.model.class_threshold == bundle.model.class_threshold
    assert again.calibration.temperature == bundle.calibration.temperature
    assert again.fitted_until_ms == bundle.fitted_until_ms
    np.testing.assert_array_equal(again.novelty.reference_MF, bundle.novelty.reference_MF)
    np.testing.assert_array_equal(again.model.scaler.mean_F, bundle.model.scaler.mean_F)
    assert again.model.scaler.mean_F.dtype == np.float32


def test_loading_leaves_torch_random_state_alone(bundle: Bundle) -> None:
    files = bundle.to_files()
    before = torch.random.get_rng_state()
    Bundle.from_files(files)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_prediction_says_everything_of_every_symbol_at_the_newest_bar(
    folder: Path,
    frame: MarketFrame,
) -> None:
    table = load_model(str(folder)).predict(frame)
    usable = table.filter(~pl.col("masked"))
    assert set(table["symbol"]) == set(frame.symbols)
    assert set(table["open_time"]) == {int(frame.open_time_T[-1])}
    total = usable["p_down"] + usable["p_flat"] + usable["p_up"]
    np.testing.assert_allclose(total.to_numpy(), 1.0, atol=1e-6)
    assert usable["rank_score"].is_sorted(descending=True)


def test_a_masked_symbol_is_named_and_has_no_scores(folder: Path, frame: MarketFrame) -> None:
    table = load_model(str(folder)).predict(frame)
    masked = table.filter(pl.col("masked"))
    assert masked["symbol"].to_list() == ["EUSDT"]
    for column in ("p_down", "p_flat", "p_up", "expected_return", "rank_score", "novelty"):
        assert masked[column].to_list() == [None]


def test_probabilities_are_calibrated_and_ranks_untouched(
    original: Predictor, frame: MarketFrame
) -> None:
    plain = replace(original, bundle=replace(original.bundle, calibration=Calibration()))
    raw, calibrated = plain.predict(frame), original.predict(frame)
    classes = ["p_down", "p_flat", "p_up"]
    stated = raw.filter(~pl.col("masked")).select(classes).to_numpy()
    expected = softmax(np.log(stated) / 1.7, axis=1)
    found = calibrated.filter(~pl.col("masked")).select(classes).to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert_frame_equal(calibrated.drop(classes), raw.drop(classes), check_exact=True)


def test_novelty_tells_a_calm_market_from_one_gone_wild(folder: Path, frame: MarketFrame) -> None:
    predictor = load_model(str(folder))
    calm = predictor.predict(frame.bars(0, 190))
    assert calm["market_novelty"].n_unique() == 1
    assert calm["novelty"].is_between(0.0, 1.0).all()
    volume_TN = frame.volume_TN[:190] * np.exp(3.0 * (np.arange(190) == 189))[:, None]
    high_TN = frame.high_TN[:190].copy()
    high_TN[-1] *= 1.5
    wild = replace(frame.bars(0, 190), volume_TN=volume_TN, high_TN=high_TN)
    assert predictor.predict(wild)["market_novelty"][0] > calm["market_novelty"][0]
    assert predictor.predict(wild)["market_novelty"][0] > 0.95


def test_a_market_without_a_usable_symbol_has_no_novelty(folder: Path, frame: MarketFrame) -> None:
    masked = replace(frame, valid_TN=frame.valid_TN & (np.arange(NUM_BARS) < 199)[:, None])
    table = load_model(str(folder)).predict(masked)
    assert table["masked"].all()
    assert table["market_novelty"].to_list() == [None] * frame.num_symbols


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"reference": np.zeros((3, 1), np.float32)},
        {"reference": np.zeros(3, np.float32), "row_distance": ONE, "bar_distance": ONE},
    ],
)
def test_a_novelty_index_of_another_shape_is_refused(
    folder: Path, arrays: dict[str, np.ndarray]
) -> None:
    (folder / "novelty.safetensors").write_bytes(save(arrays))
    relist(folder, "novelty.safetensors")
    with pytest.raises(ArtifactError, match="reference rows of"):
        load_model(str(folder))


@pytest.mark.parametrize("temperature", [0.0, -1.0, "NaN"])
def test_a_temperature_that_is_none_is_refused(folder: Path, temperature: object) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    config["calibration"]["temperature"] = temperature
    (folder / "config.json").write_text(json.dumps(config))
    relist(folder, "config.json")
    with pytest.raises(ArtifactError, match="temperature"):
        load_model(str(folder))


def test_the_newest_bar_is_the_last_of_the_frame_given(folder: Path, frame: MarketFrame) -> None:
    predictor = load_model(str(folder))
    before = predictor.predict(frame.bars(0, frame.num_bars - 1))
    assert set(before["open_time"]) == {int(frame.open_time_T[-2])}
    assert not before["masked"].any()


def test_a_frame_of_another_interval_is_refused(folder: Path, frame: MarketFrame) -> None:
    predictor = load_model(str(folder))
    with pytest.raises(DataError, match="the model needs bars of 1h"):
        predictor.predict(frame.bars(0, 0))


def test_every_way_to_name_a_version_finds_it(
    folder: Path,
    store: FolderStore,
    published: Published,
) -> None:
    for uri in (
        str(folder),
        folder.as_uri(),
        str(folder.parent / "latest"),
        (folder.parent / "champion").as_uri(),
    ):
        assert load_model(uri).manifest.version == published.version
    for version in (published.version, "latest", "champion"):
        assert load_published(files_in(store, "m", version)).uri == str(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "novelty.safetensors",
        "config.json",
        "metrics.json",
        "model_card.md",
        "report.html",
    ],
)
def test_a_file_with_one_bit_changed_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        load_model(str(folder))


def test_a_truncated_file_is_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="altered"):
        load_model(str(folder))


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "report.html").unlink()
    with pytest.raises(ArtifactError, match=r"missing \['report.html'\]"):
        load_model(str(folder))


def test_a_file_nobody_listed_is_refused(folder: Path) -> None:
    (folder / "weights.pkl").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"not listed \['weights.pkl'\]"):
        load_model(str(folder))


def test_a_version_without_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match="cut short"):
        load_model(str(folder))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def relist(folder: Path, name: str) -> None:
    """Make the manifest agree with a changed file, as a forger would."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][name] = FileRecord.of((folder / name).read_bytes()).model_dump()
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("version", [1, 3, "2", None])
def test_an_unknown_format_is_refused(folder: Path, version: object) -> None:
    edit(folder / MANIFEST, format=version)
    with pytest.raises(ArtifactError, match="expected format 2"):
        load_model(str(folder))


def test_an_unknown_config_format_is_refused(folder: Path) -> None:
    edit(folder / "config.json", format=3)
    relist(folder, "config.json")
    with pytest.raises(ArtifactError, match="format 2"):
        load_model(str(folder))


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a/b", "..", ""])
def test_a_manifest_cannot_name_files_outside_its_folder(folder: Path, name: str) -> None:
    record = FileRecord.of(b"").model_dump()
    edit(folder / MANIFEST, files={name: record})
    with pytest.raises(ArtifactError, match="lead out of"):
        load_model(str(folder))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, text: bytes) -> None:
    (folder / MANIFEST).write_bytes(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        load_model(str(folder))


def test_weights_that_do_not_fit_the_config_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    config["network"]["hidden"] = 16
    (folder / "config.json").write_text(json.dumps(config))
    relist(folder, "config.json")
    with pytest.raises(ArtifactError, match="cannot be read as a model"):
        load_model(str(folder))


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04pickle")
    relist(folder, "model.safetensors")
    with pytest.raises(ArtifactError, match="cannot be read as a model"):
        load_model(str(folder))


def test_a_model_of_other_features_is_refused_with_its_code_version(
    folder: Path,
    frame: MarketFrame,
) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    config["feature_names"][0] = "lost_feature"
    (folder / "config.json").write_text(json.dumps(config))
    relist(folder, "config.json")
    predictor = load_model(str(folder))
    with pytest.raises(ArtifactError, match=r"the code version that published it, 0\.1\.0"):
        predictor.predict(frame)


@pytest.mark.parametrize("uri", ["nowhere", "nowhere/latest", "http://h/m"])
def test_a_place_without_a_model_is_named_in_the_error(uri: str) -> None:
    with pytest.raises(ArtifactError, match=uri):
        load_model(uri)


@pytest.mark.parametrize("pointer", ['{"version": "../../etc"}', "{}", "[]", "x", '{"version": 1}'])
def test_a_pointer_that_leads_astray_is_refused(folder: Path, pointer: str) -> None:
    (folder.parent / "latest.json").write_text(pointer)
    with pytest.raises(ArtifactError, match=r"latest\.json"):
        load_model(str(folder.parent / "latest"))
