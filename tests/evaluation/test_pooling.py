"""Folds and seeds merged into one report."""

import json
from pathlib import Path

import numpy as np
import pytest

from gnn_trainer.adapters.datasets import DatasetStore
from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.protocol import MODEL, Fold
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.evaluation.series import judge_bars
from tests.evaluation.made_folds import BARS, SYMBOLS, made_fold


def pooled(*folds: Fold) -> EvaluationReport:
    return pool(folds, EvaluationConfig(), audit=AuditReport(checks=()))


@pytest.fixture(scope="module")
def walked() -> EvaluationReport:
    """Two test spans, two seeds each, in no order."""
    return pooled(
        *(made_fold(test=test, seed=seed) for seed, test in ((1, 1), (0, 0), (1, 0), (0, 1)))
    )


def test_bars_of_all_folds_count_once_whatever_the_seeds(walked: EvaluationReport) -> None:
    assert walked.test.bars == 2 * BARS
    assert sum(part.bars for part in walked.sliced("fold")) == 2 * BARS
    assert [part.bars for part in walked.sliced("seed")] == [2 * BARS, 2 * BARS]
    assert len(walked.folds) == 4


def test_seeds_are_averaged_bar_by_bar(walked: EvaluationReport) -> None:
    of_seeds = [part.rank_ic.mean for part in walked.sliced("seed")]
    assert of_seeds[0] != of_seeds[1]
    assert walked.metrics[MODEL].rank_ic.mean == pytest.approx(np.mean(of_seeds))


def test_two_seeds_leave_less_doubt_than_one(walked: EvaluationReport) -> None:
    def width(report: EvaluationReport) -> float:
        return report.graph_contribution.high - report.graph_contribution.low

    assert width(walked) < width(pooled(made_fold(test=0), made_fold(test=1)))


@pytest.mark.parametrize("kind", ["fold", "volatility", "hour"])
def test_slices_share_out_all_samples(walked: EvaluationReport, kind: str) -> None:
    parts = [part for part in walked.slices if part.kind == kind]
    assert sum(part.samples for part in parts) == walked.test.samples
    weighted = sum(part.rank_ic.mean * part.bars for part in parts) / walked.test.bars
    assert weighted == pytest.approx(walked.metrics[MODEL].rank_ic.mean)


def test_symbols_together_have_the_rank_ic_of_the_whole() -> None:
    judged = judge_bars([made_fold(test=0)])
    assert len(judged.symbols) == SYMBOLS
    by_bar = judged.shares_TN.sum(axis=1) / judged.known_TN.sum(axis=1)
    np.testing.assert_allclose(by_bar, judged.series[MODEL].rank_ic_T, atol=1e-12)


def test_one_fold_of_one_seed_is_not_cut_by_fold_or_seed() -> None:
    kinds = {part.kind for part in pooled(made_fold(test=0)).slices}
    assert kinds == {"symbol", "volatility", "hour"}


def test_a_predictor_that_one_fold_lacks_is_left_out() -> None:
    fold = made_fold(test=1)
    fewer = Fold(
        **{**vars(fold), "predictors": fold.predictors[:-1], "score_PTN": fold.score_PTN[:-1]}
    )
    assert set(pooled(made_fold(test=0), fewer).metrics) == {MODEL, "no graph", "ridge"}


def test_capital_is_shared_among_seeds() -> None:
    one = pooled(made_fold(test=0))
    same = pooled(made_fold(test=0), made_fold(test=0))
    assert same.backtest == one.backtest


def test_three_symbols_have_no_rank_ic_and_no_champion() -> None:
    report = pooled(made_fold(test=0, symbols=3))
    assert np.isnan(report.metrics[MODEL].rank_ic.mean)
    assert not report.verdict.promoted
    assert 0.0 < report.metrics[MODEL].accuracy < 1.0


def test_a_late_entry_and_a_longer_horizon_are_judged_too() -> None:
    report = pooled(made_fold(test=0, horizon=4))
    assert abs(report.metrics[MODEL].rank_ic_late) < 0.1 < report.metrics[MODEL].rank_ic.mean
    assert report.backtest.bars == BARS


def test_folds_and_reports_survive_being_stored(tmp_path: Path) -> None:
    store = DatasetStore(tmp_path)
    fold = made_fold(test=0)
    kept = store.get(store.put(fold, rows=BARS), Fold)
    assert pooled(kept) == pooled(fold)
    report = pooled(fold)
    kept_report = store.get(store.put(report, rows=BARS), EvaluationReport)
    before, after = (json.dumps(r.to_dict(), sort_keys=True) for r in (report, kept_report))
    assert after == before  # as text, because NaN is not equal to itself
