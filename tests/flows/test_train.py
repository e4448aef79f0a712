"""The flow end to end, on a small generated market behind a real HTTP server."""

import json
import shutil

import pytest

from gnn_trainer.artifact import load_model
from gnn_trainer.errors import ConfigError, DataError
from gnn_trainer.market.intervals import INTERVAL_MS
from tests.flows.laboratory import Laboratory, Outcome

FETCHING = {"fetch_klines", "fetch_order_book", "fetch_funding"}
BUILDING = {"build_features", "assemble_graph"}
JUDGING = {"audit", "evaluate_model", "upload_model"}
LEARNING = {"train_model", "audit_learning", "fit_baselines"} | JUDGING
ASKED_EVERY_TIME = {"/fapi/v1/time", "/fapi/v1/exchangeInfo", "/fapi/v1/ticker/24hr"}


def test_a_first_run_does_everything_and_publishes_a_model_that_loads(
    first: tuple[Laboratory, Outcome],
) -> None:
    _, outcome = first

    assert outcome.worked == FETCHING | {"load_relations"} | BUILDING | LEARNING
    predictor = load_model(outcome.published.uri)
    assert predictor.manifest.version == outcome.published.version
    assert len(predictor.bundle.symbols) == 5


def test_the_summary_has_baselines_and_the_place_of_the_model(
    first: tuple[Laboratory, Outcome],
) -> None:
    _, outcome = first

    for shown in ("gnn", "no graph", "persistence", "ridge", "zero", "graph contribution"):
        assert shown in outcome.summary
    assert outcome.published.uri in outcome.summary.replace("\n", "")


def test_a_second_run_does_nothing_and_announces_the_version_it_found(
    laboratory: Laboratory, first: tuple[Laboratory, Outcome]
) -> None:
    again = laboratory.train()

    assert again.worked == set()
    assert again.published == first[1].published
    assert f"found challenger small {again.published.version}" in again.summary
    assert set(again.requests) <= ASKED_EVERY_TIME


def test_fresh_does_everything_again(laboratory: Laboratory) -> None:
    again = laboratory.train(fresh=True)

    assert again.worked == FETCHING | {"load_relations"} | BUILDING | LEARNING


def test_another_seed_learns_again_and_nothing_else(laboratory: Laboratory) -> None:
    assert laboratory.train(seed=1).worked == LEARNING


def test_another_feature_setting_builds_from_features_on_and_fetches_nothing(
    laboratory: Laboratory,
) -> None:
    windows = {"short_window": 3, "medium_window": 12, "long_window": 24, "beta_window": 24}

    again = laboratory.train(features=windows)

    assert again.worked == BUILDING | LEARNING
    assert set(again.requests) <= ASKED_EVERY_TIME


def test_another_name_publishes_the_same_model_without_training(
    laboratory: Laboratory, first: tuple[Laboratory, Outcome]
) -> None:
    again = laboratory.train(model_name="other")

    assert again.worked == {"evaluate_model", "upload_model"}  # it has a champion of its own
    assert again.published.uri != first[1].published.uri
    load_model(again.published.uri)


def test_an_hour_later_only_the_new_bars_are_fetched(laboratory: Laboratory) -> None:
    laboratory.exchange.clock.advance(INTERVAL_MS["1h"])

    again = laboratory.train()

    assert again.worked == FETCHING | BUILDING | LEARNING
    spans = [
        int(request.query["endTime"]) - int(request.query["startTime"])
        for request in laboratory.exchange.requests.seen("/klines")
    ]
    assert len(spans) == 5
    assert max(spans) <= 3 * INTERVAL_MS["1h"]


def test_within_a_step_new_bars_are_judged_and_nothing_is_learned_anew(
    laboratory: Laboratory,
) -> None:
    split = {"embargo_bars": 2, "step_days": 7}
    earlier = laboratory.train(split=split, time_range="12d")
    laboratory.exchange.clock.advance(24 * INTERVAL_MS["1h"])

    later = laboratory.train(split=split, time_range="12d")

    assert later.worked == FETCHING | BUILDING | JUDGING
    before, after = (load_model(run.published.uri).manifest for run in (earlier, later))
    assert before.version != after.version
    assert before.files["model.safetensors"] == after.files["model.safetensors"]


def test_a_run_on_other_symbols_in_between_makes_nothing_stale(laboratory: Laboratory) -> None:
    laboratory.train(symbols="top:4", model_name="other")

    assert laboratory.train().worked == set()


def test_a_result_whose_product_is_gone_is_made_again(laboratory: Laboratory) -> None:
    shutil.rmtree(laboratory.workspace / "cache" / "GraphSequence")

    assert laboratory.train().worked == {"assemble_graph"}


def test_bars_that_were_deleted_are_fetched_again(laboratory: Laboratory) -> None:
    shutil.rmtree(laboratory.workspace / "history" / "klines")

    again = laboratory.train()

    assert again.worked == {"fetch_klines"}
    assert again.requests["/fapi/v1/klines"] == 5


def test_a_result_cut_short_by_a_kill_is_not_taken(laboratory: Laboratory) -> None:
    (kept,) = (laboratory.workspace / "results").glob("train_model-*")
    kept.write_text(kept.read_text()[:40])

    again = laboratory.train()

    assert "train_model" in again.worked
    assert not again.worked & (FETCHING | BUILDING)


def test_results_hold_references_and_no_pickle(laboratory: Laboratory) -> None:
    kept = list((laboratory.workspace / "results").iterdir())

    assert len(kept) == 12
    assert {json.loads(path.read_text())["metadata"]["serializer"]["type"] for path in kept} == {
        "json"
    }
    assert max(path.stat().st_size for path in kept) < 10_000


def test_a_symbol_that_does_not_exist_is_a_configuration_error(laboratory: Laboratory) -> None:
    with pytest.raises(ConfigError, match="NOSUCHUSDT"):
        laboratory.train(symbols="NOSUCHUSDT")


def test_too_few_bars_are_a_data_error_with_the_numbers(laboratory: Laboratory) -> None:
    with pytest.raises(DataError, match=r"\d+"):
        laboratory.train(time_range="2d")
