"""Leaks planted in splits, samples, fitting and what is fitted: each is caught, by its name."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gnn_trainer.evaluation import (
    audit_fit,
    audit_model,
)
from gnn_trainer.evaluation.audit import Subject
from gnn_trainer.evaluation.calibration import Calibration, calibrate
from gnn_trainer.evaluation.novelty import fit_novelty
from gnn_trainer.features.scaler import Scaler, fit_scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market import labels
from gnn_trainer.market.history import History
from gnn_trainer.market.splits import Split, chronological_split
from gnn_trainer.training import fit as fitting
from gnn_trainer.training import samples
from gnn_trainer.training.inference import run_network
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import InputTensors, usable_rows
from tests.leaks.small_run import PLAN, SPLIT, breaches_of, made_of

Run = Callable[[str], str]


@pytest.fixture
def run(stored: History) -> Run:
    """Make and fit everything again with the leak; all breaches that parts of the audit find."""
    return lambda part: breaches_of(made_of(stored), part)


def moved(rows_T: np.ndarray, bars: int) -> np.ndarray:
    """The span reaches `bars` further."""
    longer_T = rows_T.copy()
    last = int(np.flatnonzero(rows_T)[-1])
    longer_T[last : last + 1 + bars] = True
    return longer_T


SPLIT_LEAKS: dict[str, tuple[str, Callable[[Split], Split]]] = {
    "no purge before validation": (
        "labels of the training span end less than 4 bars before the validation span",
        lambda split: replace(split, train_T=moved(split.train_T, 2)),
    ),
    "no purge before test": (
        "labels of the validation span end less than 4 bars before the test span",
        lambda split: replace(split, validation_T=moved(split.validation_T, 2)),
    ),
    "test bars to train on": (
        "bars are in the training and in the test span",
        lambda split: replace(split, train_T=split.train_T | split.test_T),
    ),
    "shuffled bars": (
        "bars before the validation span",
        lambda split: replace(split, train_T=split.train_T[::-1].copy()),
    ),
    "labels that end after all bars": (
        "labels of the test span end after all bars",
        lambda split: replace(split, test_T=moved(split.test_T, 2)),
    ),
}


@pytest.mark.parametrize("leak", SPLIT_LEAKS)
def test_a_split_with(leak: str, honest: Subject) -> None:
    expected, make = SPLIT_LEAKS[leak]
    assert expected in breaches_of(replace(honest, split=make(honest.split)), "split")


def test_a_split_that_believes_what_is_said_of_label_ends(honest: Subject) -> None:
    graph = honest.graph
    split = chronological_split(graph.open_time_T, graph.open_time_T, SPLIT)
    assert "labels of the training span end less" in breaches_of(
        replace(honest, split=split), "split"
    )


def test_a_bar_that_is_there_twice(honest: Subject) -> None:
    times_T = honest.frame.open_time_T.copy()
    times_T[100:] -= honest.frame.interval_ms
    frame = replace(honest.frame, open_time_T=times_T)
    assert "1 bars do not follow the one before" in breaches_of(
        replace(honest, frame=frame), "split"
    )


def test_a_scaler_of_the_whole_series(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_everything(x_TNF: Any, rows_TN: Any) -> Scaler:
        return fit_scaler(x_TNF, np.ones_like(rows_TN))

    monkeypatch.setattr(fitting, "fit_scaler", of_everything)
    monkeypatch.setattr(audit_model, "fit_scaler", of_everything)
    assert "scaler of volume_surprise depends on bars after its span" in run("fit")
    assert "scaler of residual_lag_0 is not that of the training span" in run("model")


def test_a_threshold_of_the_whole_series(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_everything(found: Any, rows_T: Any, config: Any) -> float:
        return labels.fit_class_threshold(found, np.ones_like(rows_T), config)

    monkeypatch.setattr(fitting, "fit_class_threshold", of_everything)
    monkeypatch.setattr(audit_model, "fit_class_threshold", of_everything)
    assert "class threshold depends on bars after its span" in run("fit")
    assert "class threshold" in run("model")


def test_targets_ranked_over_bars(honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = samples.normal_scores
    monkeypatch.setattr(
        samples, "normal_scores", lambda values_TN, known_TN: real(values_TN.T, known_TN.T).T
    )
    assert "training loss depends on bars after its span" in breaches_of(honest, "fit")


def test_training_on_all_bars(honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fitting._Session.__init__

    def greedy(self: Any, *args: Any) -> None:
        real(self, *args)
        self.train_T = torch.ones_like(self.train_T)
        self.split = replace(self.split, train_T=np.ones_like(self.split.train_T))

    monkeypatch.setattr(fitting._Session, "__init__", greedy)
    assert "training loss depends on bars after its span" in breaches_of(honest, "fit")


def test_training_on_the_purged_bars(honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fitting._Session.__init__

    def greedy(self: Any, graph: Any, split: Split, *args: Any) -> None:
        real(self, graph, replace(split, train_T=moved(split.train_T, 3)), *args)

    monkeypatch.setattr(fitting._Session, "__init__", greedy)
    assert "training loss depends on bars after its span" in breaches_of(honest, "fit")


def test_stopping_on_the_test_span(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fitting._Session.validate

    def on_the_test_span(self: Any, state: Any) -> float:
        honest_split = self.split
        if self.split.test_T.any():
            self.split = replace(honest_split, validation_T=honest_split.test_T)
        skill = real(self, state)
        self.split = honest_split
        return skill

    monkeypatch.setattr(fitting._Session, "validate", on_the_test_span)
    assert "validation RankIC depends on bars after its span" in run("fit")
    assert "they were chosen on other bars" in run("model")


def test_stopping_on_the_test_span_while_recording_the_validation_span(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fitting._Session.finish

    def best_on_test(self: Any, state: Any) -> Any:
        model = real(self, state)
        rows = np.flatnonzero(self.split.test_T)
        if not len(rows):
            return model
        span = slice(int(rows[0]), int(rows[-1]) + 1)
        known = usable_rows(self.graph)[span]
        skills = {}
        for name, weights in (("best", state.best), ("average", state.average)):
            self.network.load_state_dict(weights)
            rank, _, _ = run_network(self.network, self.inputs, span.start, span.stop)
            skills[name] = mean_rank_ic(rank, self.graph.ret_TN[span], known)
        chosen = state.best if skills["best"] >= skills["average"] else state.average
        self.network.load_state_dict(chosen)
        return model

    monkeypatch.setattr(fitting._Session, "finish", best_on_test)
    assert "network weights depends on bars after its span" in breaches_of(honest, "fit")


def test_a_network_that_hears_the_next_bar(
    honest: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InputTensors.chunk

    def late(self: Any, start: int, stop: int) -> Any:
        inputs = real(self, start, stop)
        return replace(inputs, x_TNF=inputs.x_TNF.roll(-1, dims=0))

    monkeypatch.setattr(InputTensors, "chunk", late)
    assert "rank score of a bar changes when later bars are" in breaches_of(honest, "fit")


def test_edges_looked_up_too_late(honest: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = GraphSequence.refreshes_of

    def of_the_next_refresh(self: Any, start: int, stop: int) -> Any:
        newer_T = np.minimum(self.refresh_T + 1, len(self.leader_RNk) - 1)
        return real(replace(self, refresh_T=newer_T), start, stop)

    monkeypatch.setattr(GraphSequence, "refreshes_of", of_the_next_refresh)
    assert "rank score of a bar changes when later bars are changed" in breaches_of(honest, "fit")


def test_a_temperature_fitted_on_everything(honest: Subject) -> None:
    fitted = replace(honest.fitted, calibration=Calibration(temperature=1.5))
    found = breaches_of(replace(honest, fitted=fitted), "model")
    assert "temperature 1.5 is not that of the validation span" in found


@pytest.mark.parametrize("span", ["test", "validation and test"])
def test_a_temperature_fitted_on_the_test_span(span: str, honest: Subject) -> None:
    split, graph = honest.split, honest.graph
    rows_T = split.test_T if span == "test" else split.test_T | split.validation_T
    fitted = replace(honest.fitted, calibration=calibrate(honest.fitted.model, graph, rows_T))
    found = breaches_of(replace(honest, fitted=fitted), "model")
    assert "temperature" in found


def test_reference_rows_of_the_test_span(honest: Subject) -> None:
    rows_TN = honest.graph.mask_TN & honest.split.test_T[:, None]
    of_test = fit_novelty(honest.graph.x_TNF, honest.fitted.model.scaler, rows_TN, PLAN.seed)
    mixed = replace(honest.fitted.novelty, reference_MF=of_test.reference_MF)
    found = breaches_of(replace(honest, fitted=replace(honest.fitted, novelty=mixed)), "model")
    assert "novelty index is not that of the training span" in found


def test_a_novelty_index_fitted_on_everything(honest: Subject) -> None:
    index = honest.fitted.novelty
    wider = replace(index, row_distance_Q=1.1 * index.row_distance_Q)
    fitted = replace(honest.fitted, novelty=wider)
    found = breaches_of(replace(honest, fitted=fitted), "model")
    assert "novelty index is not that of the training span" in found


def test_a_rehearsal_is_short_and_its_spans_lie_apart(honest: Subject) -> None:
    stretch = audit_fit.stretch_of(honest.graph, honest.split)
    ends = [np.flatnonzero(rows_T)[[0, -1]] for rows_T in vars(stretch.split).values()]
    assert stretch.graph.num_bars <= audit_fit.REHEARSED_BARS[1] + 9
    assert all(later[0] - earlier[1] > 3 for earlier, later in itertools.pairwise(ends))
