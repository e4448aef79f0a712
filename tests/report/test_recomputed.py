"""Every headline figure of the page can be computed again from the published tables."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from gnn_trainer.evaluation.exhibits import Exhibits, periods
from gnn_trainer.evaluation.predictions import write_bars, write_predictions
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.report.material import Material


@pytest.fixture(scope="module")
def bars(folds: list[Fold]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(write_bars(folds)))


@pytest.fixture(scope="module")
def samples(folds: list[Fold]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(write_predictions(folds))).filter("known")


@pytest.fixture(scope="module")
def shown(page: str) -> dict[str, float]:
    """The large figures as the page prints them."""
    found = re.findall(r"<div>([^<]+)<b [^>]*>([-+.0-9]+)", page)
    return {name: float(value) for name, value in found}


def test_rank_ic(shown: dict[str, float], samples: pl.DataFrame) -> None:
    by_bar = [
        spearmanr(bar["score:gnn"], bar["ret"]).statistic
        for bar in samples.partition_by("fold", "open_time")
    ]
    assert shown["RankIC"] == pytest.approx(np.mean(by_bar), abs=5e-5)


def test_graph_contribution_and_best_baseline(shown: dict[str, float], bars: pl.DataFrame) -> None:
    rivals = [name for name in bars.columns[4:] if name != "gnn"]
    gaps = {name: float((bars["gnn"] - bars[name]).to_numpy().mean()) for name in rivals}
    best = min(gaps, key=lambda name: gaps[name])
    assert shown["graph contribution"] == pytest.approx(gaps["no graph"], abs=5e-5)
    assert shown[f"over best baseline, {best}"] == pytest.approx(gaps[best], abs=5e-5)


def test_break_even(shown: dict[str, float], folds: list[Fold]) -> None:
    table = pl.read_parquet(io.BytesIO(write_predictions(folds)))
    earned = traded = 0.0
    for fold in table.partition_by("fold"):
        held = np.zeros(len(folds[0].symbols))
        for bar in fold.partition_by("open_time"):
            known = bar["scorable"].to_numpy()
            rank = bar["score:gnn"].to_numpy()[known].argsort().argsort()
            wanted = np.zeros(len(known))
            wanted[known] = rank - rank.mean()
            wanted /= np.abs(wanted).sum()
            traded += float(np.abs(wanted - held).sum())
            earned += float(wanted @ (bar["gain"] - bar["funding"]).to_numpy())
            held = wanted
        traded += float(np.abs(held).sum())
    assert shown["break-even cost"] == pytest.approx(1e4 * earned / traded, abs=0.01)


def test_periods_cover_the_judged_bars_and_agree(exhibits: Exhibits, bars: pl.DataFrame) -> None:
    counts = [period.bars for period in exhibits.periods]
    assert sum(counts) == len(bars)
    ends = np.cumsum([0, *counts])
    for period, start, stop in zip(exhibits.periods, ends, ends[1:], strict=False):
        part = bars.slice(int(start), int(stop - start))
        assert period.first_ms == part["open_time"][0]
        assert period.rank_ic.mean == pytest.approx(part["gnn"].mean(), abs=1e-12)
        assert period.rank_ic.low <= period.rank_ic.mean <= period.rank_ic.high


def test_no_judged_bar_means_no_period(folds: list[Fold]) -> None:
    empty = replace(folds[0], known_TN=np.zeros_like(folds[0].known_TN))
    assert periods([empty]) == ()


def test_reliability(exhibits: Exhibits, samples: pl.DataFrame, material: Material) -> None:
    probability = samples.select("p_down:gnn", "p_flat:gnn", "p_up:gnn").to_numpy()
    found = exhibits.reliability
    assert found is not None
    assert found.samples == sum(found.counts) == len(samples)
    right = np.average(found.right, weights=found.counts)
    assert right == pytest.approx(
        np.mean(probability.argmax(axis=1) == samples["class"].to_numpy())
    )
    assert found.ece == pytest.approx(
        sum(c * abs(r - s) for c, r, s in zip(found.counts, found.right, found.sure, strict=True))
        / found.samples
    )
    assert material.report is not None
    assert found.ece == pytest.approx(material.report.metrics["gnn"].ece)


def test_exhibits_are_plain_json(exhibits: Exhibits, tmp_path: Path) -> None:
    path = tmp_path / "exhibits.json"
    path.write_text(json.dumps(exhibits.to_dict(), allow_nan=False))
    assert len(json.loads(path.read_text())["periods"]) == len(exhibits.periods)
