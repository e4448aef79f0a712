"""The whole judgement on small planted and empty markets."""

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from gnn_trainer.errors import DataError, StopRequested
from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.evaluate import evaluate
from gnn_trainer.evaluation.placebos import Placebo
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, ORACLE, Fold, placebo_name
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.evaluation.rivals import fit_rivals
from gnn_trainer.market.splits import Split
from gnn_trainer.progress import Progress
from gnn_trainer.training.fit import fit
from tests.planted import PlantedMarket, planted_market, small_plan

NO_LEAK = AuditReport(checks=())
PLAIN = {
    "zero",
    "persistence",
    "reversal",
    "low volatility",
    "ridge",
    "ridge + neighbours",
    "lightgbm",
    "lightgbm + neighbours",
    "mlp",
}


def ignore(progress: Progress) -> None:
    """Nobody is watching."""


def judged(
    market: PlantedMarket, placebos: str = "random,shuffled,static", epochs: int = 8
) -> Fold:
    plan = small_plan(epochs=epochs)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    kinds = EvaluationConfig(placebos=placebos).placebo_graphs
    rivals = fit_rivals(market.graph, market.split, plan, kinds, model.scaler, on_progress=ignore)
    return evaluate(
        model,
        rivals,
        market.graph,
        market.split,
        market.holding,
        calibration=Calibration(),
        truth=market.truth,
    )


@pytest.fixture(scope="module")
def planted_fold() -> Fold:
    return judged(planted_market(strength=0.5))


@pytest.fixture(scope="module")
def planted(planted_fold: Fold) -> EvaluationReport:
    return pool([planted_fold], EvaluationConfig(), audit=NO_LEAK)


@pytest.fixture(scope="module")
def noise() -> EvaluationReport:
    fold = judged(planted_market(strength=0.0, seed=3), placebos="", epochs=4)
    return pool([fold], EvaluationConfig(), audit=NO_LEAK)


def test_the_planted_lead_is_found(planted: EvaluationReport) -> None:
    model, oracle = planted.metrics[MODEL].rank_ic, planted.metrics[ORACLE].rank_ic
    assert model.mean > 0.7 * oracle.mean
    assert model.low > planted.metrics[NO_GRAPH].rank_ic.mean
    assert planted.graph_contribution.low > 0.0
    assert planted.metrics[MODEL].newey_west_t > 5.0


def test_a_graph_that_means_nothing_helps_less(planted: EvaluationReport) -> None:
    assert planted.differences["random graph"].interval.low > 0.0
    assert abs(planted.metrics["random graph"].rank_ic.mean) < 0.1


def test_the_planted_edges_are_recovered(planted: EvaluationReport) -> None:
    assert planted.recovery is not None
    assert planted.recovery.planted == 10
    assert planted.recovery.recall > 0.9
    assert planted.recovery.strongest > 0.9
    assert planted.recovery.delay > 0.9


def test_pure_noise_is_refused_with_the_reason(noise: EvaluationReport) -> None:
    model = noise.metrics[MODEL].rank_ic
    assert model.low <= 0.0 <= model.high
    assert not noise.verdict.promoted
    assert any("not above zero" in reason for reason in noise.verdict.reasons)
    assert abs(noise.metrics["lightgbm"].rank_ic.mean) < 0.05
    assert abs(noise.metrics["mlp"].rank_ic.mean) < 0.05


def test_all_predictors_are_judged_and_the_report_is_json(planted: EvaluationReport) -> None:
    networks = {MODEL, NO_GRAPH, *map(placebo_name, get_args(Placebo))}
    assert set(planted.metrics) == networks | PLAIN | {ORACLE}
    assert set(planted.differences) == (networks | PLAIN) - {MODEL}
    assert planted.metrics["zero"].rank_ic.mean == 0.0
    document = json.loads(json.dumps(planted.to_dict()))
    assert document["metrics"][MODEL]["rank_ic"]["mean"] == planted.metrics[MODEL].rank_ic.mean
    assert sum(planted.class_shares.values()) == pytest.approx(1.0)


def test_only_who_says_how_sure_he_is_can_be_wrong_about_it(planted: EvaluationReport) -> None:
    assert planted.metrics["ridge"].log_loss is None
    model, climate = planted.metrics[MODEL].log_loss, planted.metrics["zero"].log_loss
    assert model is not None
    assert climate == pytest.approx(np.log(3.0), abs=0.05)
    assert model < 1.1


def test_spans_follow_one_another_without_touching(planted: EvaluationReport) -> None:
    assert planted.train.last_ms < planted.validation.first_ms
    assert planted.validation.last_ms < planted.test.first_ms
    assert planted.test.samples > 0


def test_an_unaudited_model_is_refused(planted_fold: Fold) -> None:
    report = pool([planted_fold], EvaluationConfig(), audit=None)
    assert not report.verdict.promoted


def test_an_empty_test_span_is_an_error() -> None:
    market = planted_market(strength=0.0, num_bars=300)
    empty = np.zeros_like(market.split.test_T)
    split = Split(market.split.train_T, market.split.validation_T, empty)
    with pytest.raises(DataError, match="test span of 0 bars"):
        judged(replace(market, split=split))


def test_a_stop_ends_the_baselines() -> None:
    market = planted_market(strength=0.0, num_bars=300)
    plan = small_plan(epochs=1)
    model = fit(market.graph, market.split, plan, on_progress=ignore)
    seen: list[str] = []
    with pytest.raises(StopRequested):
        fit_rivals(
            market.graph,
            market.split,
            plan,
            (),
            model.scaler,
            on_progress=lambda progress: seen.append(progress.stage),
            should_stop=lambda: "baseline lightgbm" in seen,
        )
    assert seen[-1] == "baseline lightgbm"
