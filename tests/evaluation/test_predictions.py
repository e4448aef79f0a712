"""Whoever has the published tables can compute the report's figures again, without this code."""

import io

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, log_loss

from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.predictions import write_bars, write_predictions
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.evaluation.report import EvaluationReport
from tests.evaluation.made_folds import made_fold


@pytest.fixture(scope="module")
def folds() -> list[Fold]:
    return [made_fold(test=0), made_fold(test=1)]


@pytest.fixture(scope="module")
def report(folds: list[Fold]) -> EvaluationReport:
    return pool(folds, EvaluationConfig(), audit=AuditReport(checks=()))


@pytest.fixture(scope="module")
def table(folds: list[Fold]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(write_predictions(folds))).filter("known")


@pytest.mark.parametrize("name", ["gnn", "no graph", "ridge"])
def test_rank_ic(table: pl.DataFrame, report: EvaluationReport, name: str) -> None:
    by_bar = [
        spearmanr(bar[f"score:{name}"], bar["ret"]).statistic
        for bar in table.partition_by("fold", "open_time")
    ]
    assert np.mean(by_bar) == pytest.approx(report.metrics[name].rank_ic.mean, abs=1e-9)


def test_classes_and_probabilities(table: pl.DataFrame, report: EvaluationReport) -> None:
    found = report.metrics["gnn"]
    probability = table.select("p_down:gnn", "p_flat:gnn", "p_up:gnn").to_numpy().astype(float)
    probability /= probability.sum(axis=1, keepdims=True)  # they were written in single precision
    assert accuracy_score(table["class"], table["guess:gnn"]) == pytest.approx(found.accuracy)
    assert found.log_loss is not None
    assert log_loss(table["class"], probability) == pytest.approx(found.log_loss)


def test_the_rank_ics_by_bar_are_there_as_well(folds: list[Fold], report: EvaluationReport) -> None:
    bars = pl.read_parquet(io.BytesIO(write_bars(folds)))
    gain = (bars["gnn"] - bars["no graph"]).mean()
    assert gain == pytest.approx(report.graph_contribution.mean, abs=1e-12)


def test_the_same_folds_give_the_same_bytes(folds: list[Fold]) -> None:
    assert write_predictions(folds) == write_predictions(folds)
