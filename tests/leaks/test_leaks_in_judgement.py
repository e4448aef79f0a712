"""Leaks planted in choosing, scoring and judging: each is caught, by its name."""

import pkgutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gnn_trainer.evaluation import (
    audit_judgement,
    audit_probes,
    evaluate,
    rivals,
)
from gnn_trainer.evaluation.audit import Subject
from gnn_trainer.evaluation.audit_split import check_judged
from gnn_trainer.evaluation.series import judge_bars
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.splits import Split
from gnn_trainer.model import baselines
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import usable_rows
from tests.evaluation.made_folds import BARS, HOUR_MS, made_fold
from tests.leaks.small_run import breaches_of


@pytest.fixture
def only_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge fewer baselines: those left show what the others would."""
    monkeypatch.setattr(rivals, "LEARNERS", {"ridge": baselines.ridge})
    monkeypatch.setattr(rivals, "NEIGHBOUR_LEARNERS", {"ridge + neighbours": baselines.ridge})


@pytest.mark.usefixtures("only_ridge")
def test_a_baseline_chosen_on_the_test_span(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = rivals.learned_scores

    def turned(
        graph: GraphSequence, split: Split, *args: Any, **more: Any
    ) -> dict[str, FloatArray]:
        scores = real(graph, split, *args, **more)
        known = usable_rows(graph) & split.test_T[:, None]
        skill = mean_rank_ic(scores["ridge"], graph.ret_TN, known)
        return scores | {"ridge": scores["ridge"] * np.sign(skill)}

    monkeypatch.setattr(evaluate, "learned_scores", turned)
    found = breaches_of(honest, "evaluation")
    assert "the scores of 'ridge' depend on the outcomes of the test span" in found
    assert "'ridge + neighbours'" not in found


@pytest.mark.usefixtures("only_ridge")
def test_a_model_turned_round_on_the_test_span(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluate._Desk.ask

    def turned(self: Any, model: Any, graph: GraphSequence, *args: Any) -> Any:
        prediction = real(self, model, graph, *args)
        skill = mean_rank_ic(
            prediction.score_TN, self.graph.ret_TN[self.rows], self.known_TN[self.rows]
        )
        return replace(prediction, score_TN=prediction.score_TN * np.float32(np.sign(skill)))

    monkeypatch.setattr(evaluate._Desk, "ask", turned)
    assert "the scores of 'gnn' depend on the outcomes" in breaches_of(honest, "evaluation")


@pytest.mark.usefixtures("only_ridge")
def test_judging_by_the_size_of_the_correlation(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = judge_bars

    def sizes(folds: Any) -> Any:
        judged = real(folds)
        series = {
            name: replace(one, rank_ic_T=np.abs(one.rank_ic_T))
            for name, one in judged.series.items()
        }
        return replace(judged, series=series)

    monkeypatch.setattr(audit_judgement, "judge_bars", sizes)
    assert "the RankIC of 'gnn' does not turn round" in breaches_of(honest, "evaluation")


@pytest.mark.usefixtures("only_ridge")
def test_scores_standardised_over_the_test_span(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = evaluate._Desk.ask

    def standardised(self: Any, *args: Any) -> Any:
        prediction = real(self, *args)
        score_TN = prediction.score_TN
        return replace(prediction, score_TN=(score_TN - score_TN.mean(axis=0)) / score_TN.std())

    monkeypatch.setattr(evaluate._Desk, "ask", standardised)
    found = breaches_of(honest, "evaluation")
    assert "the scores of 'gnn' depend on later bars" in found
    assert "'reversal'" not in found


def without_extremes(real: Any) -> Any:
    def leaky(self: Any, graph: GraphSequence, *args: Any) -> None:
        real(self, graph, *args)
        size_TN = np.abs(graph.ret_TN)
        self.known_TN = self.known_TN & (size_TN < np.nanquantile(size_TN, 0.9))

    return leaky


def without_calm_bars(real: Any) -> Any:
    def leaky(outcome_TN: FloatArray, known_TN: Any) -> Any:
        spread_T = np.where(known_TN, outcome_TN, 0.0).std(axis=1)
        return real(outcome_TN, known_TN) & (spread_T > np.quantile(spread_T, 0.5))

    return leaky


def of_the_bar_before(real: Any) -> Any:
    def leaky(frame: Any) -> Any:
        holding = real(frame)
        return replace(holding, gain_TN=np.roll(holding.gain_TN, 1, axis=0))

    return leaky


def knowing_later_scores(real: Any) -> Any:
    return lambda score_TN, *args: real(np.roll(score_TN, -1, axis=0), *args)


def only_winners(real: Any) -> Any:
    def leaky(score_TN: FloatArray, known_TN: Any, horizon: int, holding: Any, costs: Any) -> Any:
        return real(
            score_TN, known_TN & (score_TN * holding.gain_TN > 0.0), horizon, holding, costs
        )

    return leaky


JUDGEMENT_LEAKS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "no wild samples": (
        "gnn_trainer.evaluation.evaluate._Desk.__init__",
        "other samples are judged than the usable ones",
        without_extremes,
    ),
    "no calm bars": (
        "gnn_trainer.evaluation.metrics.judged_bars",
        "the RankIC of 'gnn' is not that of its scores with the labels",
        without_calm_bars,
    ),
    "gains of the bar before": (
        "gnn_trainer.evaluation.audit_judgement.holding_of",
        "gains are not those from open(t+1) to open(t+2)",
        of_the_bar_before,
    ),
    "positions of the next bar": (
        "gnn_trainer.evaluation.audit_judgement.keep_ledger",
        "positions depend on scores of later bars",
        knowing_later_scores,
    ),
    "positions in winners only": (
        "gnn_trainer.evaluation.audit_judgement.keep_ledger",
        "positions depend on what they will earn",
        only_winners,
    ),
}


@pytest.mark.usefixtures("only_ridge")
@pytest.mark.parametrize("leak", JUDGEMENT_LEAKS)
def test_a_judgement_with(leak: str, honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    place, expected, make = JUDGEMENT_LEAKS[leak]
    monkeypatch.setattr(place, make(pkgutil.resolve_name(place)))
    assert expected in breaches_of(honest, "evaluation")


@pytest.mark.usefixtures("only_ridge")
def test_a_rank_ic_of_returns_entered_later(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(folds: Any) -> Any:
        return judge_bars([replace(f, ret_TN=np.nan_to_num(f.late_ret_TN)) for f in folds])

    monkeypatch.setattr(audit_judgement, "judge_bars", late)
    found = breaches_of(honest, "evaluation")
    assert "the RankIC of 'gnn' is not that of its scores with the labels" in found


@pytest.mark.usefixtures("only_ridge")
def test_shuffled_labels_that_still_score(honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = property(
        lambda self: (
            self.x_TNF[np.isfinite(self.target_TN)],
            self.target_TN[np.isfinite(self.target_TN)],
        )
    )
    monkeypatch.setattr(baselines.Samples, "training_rows", everything)
    assert "ridge on shuffled labels has RankIC" in breaches_of(honest, "evaluation")


def test_a_feature_that_is_the_label(honest: Subject) -> None:
    x_TNF = honest.graph.x_TNF.copy()
    x_TNF[..., 3] = honest.graph.ret_TN
    graph = replace(honest.graph, x_TNF=x_TNF)
    name = graph.feature_names[3]
    found = audit_probes.check_single_features(graph)
    assert found.breaches == (f"{name} alone has a RankIC of 1.000 with the label",)


def test_a_feature_that_is_nearly_too_good_is_suspicious(honest: Subject) -> None:
    noise_TN = np.random.default_rng(0).standard_normal(honest.graph.ret_TN.shape)
    x_TNF = honest.graph.x_TNF.copy()
    x_TNF[..., 3] = 100.0 * honest.graph.ret_TN + 2.5 * noise_TN
    graph = replace(honest.graph, x_TNF=x_TNF)
    probe = audit_probes.check_single_features(graph)
    assert probe.passed
    assert graph.feature_names[3] in audit_probes.suspicious_features(probe)[0]


def test_a_fold_judged_on_other_bars_than_its_test_span() -> None:
    fold = made_fold(test=1)
    open_time_T = np.arange(2 * BARS) * HOUR_MS
    row_T = np.arange(2 * BARS)
    split = Split(train_T=row_T <= BARS, validation_T=row_T <= BARS, test_T=row_T >= BARS)
    assert check_judged(fold, open_time_T, split).passed

    later = replace(split, test_T=row_T >= BARS + 5)
    found = check_judged(fold, open_time_T, later).breaches
    assert "the test span is that of 1970-01-06 00:00" in found[0]
    assert found[1] == "5 judged bars are not in the test span"
