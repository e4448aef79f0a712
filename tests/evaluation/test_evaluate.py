"""The whole judgement on small planted and empty markets."""

import json

import numpy as np
import pytest

from gnn_trainer.errors import DataError
from gnn_trainer.evaluation.evaluate import evaluate
from gnn_trainer.evaluation.metrics import Interval, Metrics
from gnn_trainer.evaluation.report import (
    MODEL,
    NO_GRAPH,
    ORACLE,
    EvaluationReport,
    give_verdict,
)
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import fit
from tests.planted import PlantedMarket, planted_market, small_plan


def ignore(progress: Progress) -> None:
    """Nobody is watching."""


def judged(market: PlantedMarket) -> EvaluationReport:
    plan = small_plan(epochs=10)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    return evaluate(
        model,
        market.graph,
        market.split,
        plan,
        on_progress=ignore,
        oracle_TN=market.expected_TN,
    )


@pytest.fixture(scope="module")
def planted() -> EvaluationReport:
    return judged(planted_market(strength=0.5))


@pytest.fixture(scope="module")
def noise() -> EvaluationReport:
    return judged(planted_market(strength=0.0, num_bars=1500, seed=3))


def test_the_planted_lead_is_found_and_promoted(planted: EvaluationReport) -> None:
    model, oracle = planted.metrics[MODEL].rank_ic, planted.metrics[ORACLE].rank_ic
    assert model.mean > 0.7 * oracle.mean
    assert model.low > planted.metrics[NO_GRAPH].rank_ic.mean
    assert planted.graph_contribution.low > 0.0
    assert planted.verdict.promoted


def test_pure_noise_is_refused_with_the_reason(noise: EvaluationReport) -> None:
    model = noise.metrics[MODEL].rank_ic
    assert model.low <= 0.0 <= model.high
    assert not noise.verdict.promoted
    assert any("not above zero" in reason for reason in noise.verdict.reasons)


def test_all_predictors_are_judged_and_the_report_is_json(planted: EvaluationReport) -> None:
    expected = {MODEL, NO_GRAPH, ORACLE, "zero", "persistence", "ridge"}
    assert set(planted.metrics) == expected
    assert planted.metrics["zero"].rank_ic.mean == 0.0
    document = json.loads(json.dumps(planted.to_dict()))
    assert document["metrics"][MODEL]["rank_ic"]["mean"] == planted.metrics[MODEL].rank_ic.mean
    assert sum(planted.class_shares.values()) == pytest.approx(1.0)


def test_spans_follow_one_another_without_touching(planted: EvaluationReport) -> None:
    assert planted.train.last_ms < planted.validation.first_ms
    assert planted.validation.last_ms < planted.test.first_ms
    assert planted.test.samples > 0


def test_an_empty_test_span_is_an_error() -> None:
    market = planted_market(strength=0.0, num_bars=300)
    plan = small_plan(epochs=1)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    empty = Split(
        market.split.train_T, market.split.validation_T, np.zeros_like(market.split.test_T)
    )
    with pytest.raises(DataError, match="test span of 0 bars"):
        evaluate(model, market.graph, empty, plan, on_progress=ignore)


def metrics_of(mean: float, low: float, high: float) -> Metrics:
    return Metrics(Interval(mean, low, high), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_baseline_that_is_as_good_refuses_the_model() -> None:
    verdict = give_verdict(
        {MODEL: metrics_of(0.05, 0.03, 0.07), "ridge": metrics_of(0.06, 0.04, 0.08)}
    )
    assert not verdict.promoted
    assert "'ridge'" in verdict.reasons[0]


def test_the_oracle_is_no_baseline() -> None:
    verdict = give_verdict(
        {
            MODEL: metrics_of(0.05, 0.03, 0.07),
            "zero": metrics_of(0.0, 0.0, 0.0),
            ORACLE: metrics_of(0.2, 0.1, 0.3),
        }
    )
    assert verdict.promoted
