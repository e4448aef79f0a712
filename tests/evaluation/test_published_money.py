"""The figures of the backtest and of the champion, once more from the published tables alone."""

import io

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.champion import Rival, Standing
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.predictions import write_predictions
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.training.rank_ic import MIN_SYMBOLS
from tests.evaluation.made_folds import BARS, HOUR_MS, SYMBOLS, made_fold


@pytest.fixture(scope="module")
def folds() -> list[Fold]:
    return [made_fold(test=0), made_fold(test=1)]


@pytest.fixture(scope="module")
def standing() -> Standing:
    """A champion that was fitted until the 21st bar of the second fold."""
    rng = np.random.default_rng(5)
    shape = (2 * BARS, SYMBOLS)
    rival = Rival(
        version="v1",
        score_TN=rng.standard_normal(shape),
        known_TN=rng.random(shape) < 0.9,
        open_time_T=HOUR_MS * np.arange(2 * BARS),
        fitted_until_ms=HOUR_MS * (BARS + 20),
    )
    return Standing(trials=4, version="v1", rival=rival)


def published(folds: list[Fold], standing: Standing) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(write_predictions(folds, standing.rival)))


def test_break_even_and_costs(folds: list[Fold], standing: Standing) -> None:
    config = EvaluationConfig()
    report = pool(folds, config, audit=AuditReport(checks=()), standing=standing)
    score = pl.col("score:gnn")
    bar = ("fold", "open_time")
    rows = (
        published(folds, standing)
        .filter("scorable")
        .with_columns(centred=score.rank().over(bar) - score.rank().mean().over(bar))
        .with_columns(weight=pl.col("centred") / pl.col("centred").abs().sum().over(bar))
    )
    gain = rows.select((pl.col("weight") * pl.col("gain")).sum()).item()
    wide = rows.pivot("symbol", index=bar, values="weight").fill_null(0.0)
    traded = 0.0
    for fold in wide.partition_by("fold"):
        held = fold.drop(bar).to_numpy()
        edges = np.zeros((1, SYMBOLS))
        traded += np.abs(np.diff(np.concatenate((edges, held, edges)), axis=0)).sum()
    assert report.backtest.break_even_bps == pytest.approx(1e4 * gain / traded)
    assert report.backtest.turnover == pytest.approx(traded / (2 * BARS))
    paid = traded * (config.costs.fee_bps + config.costs.half_spread_bps) / 1e4
    assert report.backtest.curve_net[-1] == pytest.approx(gain - paid)


def test_the_difference_to_the_champion(folds: list[Fold], standing: Standing) -> None:
    report = pool(folds, EvaluationConfig(), audit=AuditReport(checks=()), standing=standing)
    assert report.champion is not None
    assert report.champion.difference is not None
    table = published(folds, standing)
    assert not table.filter(fold=0)["compared"].any()
    assert table.height == 2 * BARS * SYMBOLS
    gains = [
        spearmanr(bar["score:gnn"], bar["ret"]).statistic
        - spearmanr(bar["score:champion"], bar["ret"]).statistic
        for bar in table.filter("compared").partition_by("open_time")
        if bar.height >= MIN_SYMBOLS
    ]
    assert 80 < len(gains) == report.champion.bars <= BARS - 20
    assert np.mean(gains) == pytest.approx(report.champion.difference.mean, abs=1e-9)


def test_without_a_champion_nothing_is_said_of_one(folds: list[Fold]) -> None:
    assert "score:champion" not in published(folds, Standing()).columns
