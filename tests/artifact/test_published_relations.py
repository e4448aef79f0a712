"""A model trained with prepared relations takes them along, and uses newer ones if given any."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact import load_model
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.manifest import MANIFEST, read_manifest
from gnn_trainer.artifact.predictor import Predictor
from gnn_trainer.artifact.publish import Provenance, publish
from gnn_trainer.artifact.relations_record import RELATIONS
from gnn_trainer.errors import ArtifactError
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.graph.relation_documents import read_relations
from gnn_trainer.graph.relations import STATIC, Relations
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.model.ensemble import Ensemble


def relations_in(frame: MarketFrame, *documents: object) -> Relations:
    span = int(frame.open_time_T[0]), int(frame.close_time_T[-1]) + 1
    return read_relations(
        documents, source="test", symbols=frame.symbols, start_ms=span[0], end_ms=span[1]
    )


def sector(leader: str, follower: str, **more: object) -> dict[str, object]:
    return {"source": leader, "target": follower, "relation": "sector", **more}


@pytest.fixture
def related(bundle: Bundle, frame: MarketFrame) -> Bundle:
    """The bundle as a training with relations would have left it."""
    start_ms = int(frame.open_time_T[100])
    relations = relations_in(
        frame,
        sector("AUSDT", "BUSDT", attributes={"size": 3}),
        sector("CUSDT", "DUSDT", valid_from=start_ms, valid_to=start_ms + 10**12),
    )
    edge_names = (*bundle.model.edge_names, *relations.names)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = Ensemble(
            bundle.model.model_config,
            num_features=len(bundle.model.feature_names),
            num_edge_attrs=len(edge_names),
        )
        torch.nn.init.normal_(network.members[0].plain.weight)
    model = replace(bundle.model, network=network, edge_names=edge_names)
    return replace(bundle, model=model, relations=relations)


@pytest.fixture
def predictor(
    related: Bundle,
    store: FolderStore,
    promoted_report: EvaluationReport,
    provenance: Provenance,
) -> Predictor:
    published = publish(store, related, promoted_report, model_name="m", provenance=provenance)
    return load_model(published.uri)


def test_a_saved_model_predicts_as_before_with_the_relations_it_carries(
    predictor: Predictor, related: Bundle, frame: MarketFrame
) -> None:
    original = Predictor("memory", predictor.manifest, related)
    assert_frame_equal(predictor.predict(frame), original.predict(frame), check_exact=True)


def test_relations_survive_the_way_through_their_file(related: Bundle) -> None:
    files = related.to_files()
    again = Bundle.from_files(files)
    assert again.to_files() == files
    assert again.relations is not None
    assert related.relations is not None
    np.testing.assert_array_equal(again.relations.value_MA, related.relations.value_MA)
    np.testing.assert_array_equal(again.relations.valid_from_M, related.relations.valid_from_M)
    assert again.relations.report == related.relations.report


def test_newer_relations_replace_those_of_the_model(
    predictor: Predictor, frame: MarketFrame
) -> None:
    own = predictor.predict(frame)
    newer = relations_in(frame, sector("DUSDT", "AUSDT", weight=5), sector("BUSDT", "AUSDT", x=1))
    assert not predictor.predict(frame, newer).equals(own)
    same = predictor.bundle.relations
    assert_frame_equal(predictor.predict(frame, same), own, check_exact=True)


def test_values_the_model_does_not_know_change_nothing(
    predictor: Predictor, frame: MarketFrame
) -> None:
    known = sector("DUSDT", "AUSDT")
    unknown = sector("DUSDT", "AUSDT") | {"relation": "rumour"}
    one, both = relations_in(frame, known), relations_in(frame, known, unknown)
    assert_frame_equal(
        predictor.predict(frame, both), predictor.predict(frame, one), check_exact=True
    )


def test_the_model_card_says_what_was_used_and_what_is_a_risk(
    predictor: Predictor, store: FolderStore
) -> None:
    version = predictor.manifest.version
    card = store.read(f"m/{version}/model_card.md").decode()
    assert "2 used" in card
    assert f"1 of 2 relations are {STATIC}" in card


@pytest.mark.parametrize(
    ("found", "instead"),
    [(b'"leader":[0,2]', b'"leader":[0,9]'), (b'"leader":[0,2]', b'"leader":[0]')],
)
def test_relations_that_do_not_fit_together_are_refused(
    related: Bundle, found: bytes, instead: bytes
) -> None:
    files = related.to_files()
    assert found in files[RELATIONS]
    with pytest.raises(ArtifactError, match=r"relations\.json"):
        Bundle.from_files(files | {RELATIONS: files[RELATIONS].replace(found, instead)})


def test_the_manifest_lists_the_relations(predictor: Predictor, store: FolderStore) -> None:
    key = f"m/{predictor.manifest.version}/{MANIFEST}"
    assert RELATIONS in read_manifest(store.read(key), key).files
