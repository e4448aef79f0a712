"""What a store says of a name: trials counted once, the champion asked or named as obstacle."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.publish import Provenance, publish
from gnn_trainer.artifact.standing import consult
from gnn_trainer.artifact.trials import TRIALS, count_trial, trial_name
from gnn_trainer.errors import TransientServiceError
from gnn_trainer.evaluation.champion import Standing
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.features.build import build_features
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.training.inference import score_bars


@pytest.fixture(scope="module")
def graph(bundle: Bundle, frame: MarketFrame) -> GraphSequence:
    features = build_features(frame, bundle.features)
    return assemble_graph(frame, features, bundle.graph, bundle.model.label_config)


class AwayStore(FolderStore):
    """A store on a server that does not answer."""

    def update(self, key: str, change: object) -> bool:
        raise TransientServiceError("store: no answer")


def test_a_trial_counts_once_whatever_becomes_of_it(store: FolderStore) -> None:
    assert [count_trial(store, "m", name) for name in ("a", "b", "a", "c", "b")] == [1, 2, 2, 3, 3]
    assert count_trial(store, "other", "a") == 1


def test_versions_of_before_anybody_counted_are_trials_too(
    store: FolderStore,
    bundle: Bundle,
    refused_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    for day in (1, 2, 3):
        made = replace(provenance, created=datetime(2024, 5, day, tzinfo=UTC))
        publish(store, bundle, refused_report, model_name="m", provenance=made)
    assert count_trial(store, "m", "new") == 3
    assert count_trial(store, "m", "newer") == 3
    assert [count_trial(store, "m", name) for name in ("c", "d")] == [3, 4]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"trials": 3}', b"\xff"])
def test_a_damaged_count_is_begun_anew(store: FolderStore, content: bytes) -> None:
    store.put_bytes(f"m/{TRIALS}", content)
    assert count_trial(store, "m", "a") == 1
    assert json.loads(store.read(f"m/{TRIALS}")) == {"trials": ["a"]}


def test_a_trial_is_named_after_its_weights(bundle: Bundle) -> None:
    assert trial_name(bundle) == trial_name(replace(bundle, fitted_until_ms=1))
    assert len(trial_name(bundle)) == 16


def test_without_a_champion_there_is_nothing_to_compare(
    store: FolderStore, frame: MarketFrame, graph: GraphSequence
) -> None:
    assert consult(store, "m", "a", frame, graph) == Standing(trials=1)


def test_the_champion_scores_the_same_bars(
    store: FolderStore,
    bundle: Bundle,
    frame: MarketFrame,
    graph: GraphSequence,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    published = publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    found = consult(store, "m", "a", frame, graph)
    assert found.version == published.version
    assert found.rival is not None
    expected = score_bars(bundle.model, graph, 0, graph.num_bars).rank_CN
    np.testing.assert_array_equal(found.rival.score_TN, expected.astype(np.float64))
    np.testing.assert_array_equal(found.rival.known_TN, graph.mask_TN)
    assert found.rival.fitted_until_ms == bundle.fitted_until_ms


def test_a_champion_of_another_horizon_is_an_obstacle(
    store: FolderStore,
    bundle: Bundle,
    frame: MarketFrame,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    published = publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    features = build_features(frame, bundle.features)
    other = assemble_graph(frame, features, bundle.graph, LabelConfig(horizon=3))
    found = consult(store, "m", "a", frame, other)
    assert (found.version, found.rival) == (published.version, None)
    assert "predicts 1 bar(s) of 1h, this model 3" in found.obstacle


def test_a_damaged_champion_is_an_obstacle(
    store: FolderStore,
    bundle: Bundle,
    frame: MarketFrame,
    graph: GraphSequence,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> None:
    published = publish(store, bundle, promoted_report, model_name="m", provenance=provenance)
    store.put_bytes(f"{published.prefix}/model.safetensors", b"x")
    found = consult(store, "m", "a", frame, graph)
    assert found.version == published.version
    assert "altered" in found.obstacle
    assert found.trials == 1


def test_a_store_that_is_away_is_an_obstacle_and_no_error(
    tmp_path: Path, frame: MarketFrame, graph: GraphSequence
) -> None:
    found = consult(AwayStore(tmp_path), "m", "a", frame, graph)
    assert found.rival is None
    assert found.version is not None
    assert "no answer" in found.obstacle
