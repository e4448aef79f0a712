"""Judging a trained model on the test span, beside its baselines."""

from collections.abc import Callable

import numpy as np

from gnn_trainer.errors import DataError
from gnn_trainer.evaluation.metrics import (
    Outcomes,
    block_length,
    bootstrap_mean,
    filled_rank_ic,
    judge,
)
from gnn_trainer.evaluation.report import (
    MODEL,
    NO_GRAPH,
    ORACLE,
    EvaluationReport,
    Span,
    give_verdict,
)
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.market.labels import DOWN, FLAT, UP, ClassArray, direction_classes
from gnn_trainer.market.splits import Split
from gnn_trainer.model.baselines import persistence_score, ridge_scores, zero_score
from gnn_trainer.progress import ProgressListener
from gnn_trainer.training.fit import FitPlan, fit, without_graph
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import normal_scores, usable_rows
from gnn_trainer.training.trained import TrainedModel


def evaluate(
    model: TrainedModel,
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    *,
    on_progress: ProgressListener,
    oracle_TN: FloatArray | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> EvaluationReport:
    """Test-span metrics of the model, of zero, persistence, ridge and the network without graph.

    `oracle_TN` is the best possible score of a generated market, shown for comparison.

    Raises:
        DataError: the test span has no usable sample.
        StopRequested: `should_stop`, asked before every batch of a baseline, said yes.
    """
    usable = usable_rows(graph)
    spans = _Spans(graph, split, usable)
    outcomes = _outcomes(graph, usable & split.test_T[:, None], model)
    if not outcomes.known_TN.any():
        raise DataError(f"no usable sample in the test span of {int(split.test_T.sum())} bars")
    plain = fit(graph, split, without_graph(plan), on_progress=on_progress, should_stop=should_stop)
    scores: dict[str, tuple[FloatArray, ClassArray]] = {
        MODEL: _predict(model, graph),
        NO_GRAPH: _predict(plain, graph),
    }
    for name, score in _plain_scores(model, graph, split, usable).items():
        scores[name] = score, _classes_from(score, outcomes.class_TN, spans.train_TN)
    if oracle_TN is not None:
        scores[ORACLE] = oracle_TN, _classes_from(oracle_TN, outcomes.class_TN, spans.train_TN)
    metrics = {name: judge(*score, outcomes, plan.seed) for name, score in scores.items()}
    gain = _by_bar(scores[MODEL][0], outcomes) - _by_bar(scores[NO_GRAPH][0], outcomes)
    return EvaluationReport(
        train=spans.describe(split.train_T),
        validation=spans.describe(split.validation_T),
        test=spans.describe(split.test_T),
        metrics=metrics,
        graph_contribution=bootstrap_mean(gain, block_length(len(gain), graph.horizon), plan.seed),
        class_shares=_class_shares(outcomes),
        graph_density=graph.density(),
        graph_churn=graph.churn(),
        verdict=give_verdict(metrics),
    )


class _Spans:
    def __init__(self, graph: GraphSequence, split: Split, usable_TN: BoolArray) -> None:
        self._graph = graph
        self._usable_TN = usable_TN
        self.train_TN = usable_TN & split.train_T[:, None]

    def describe(self, rows_T: BoolArray) -> Span:
        times = self._graph.open_time_T[rows_T]
        usable = self._usable_TN[rows_T]
        return Span(
            first_ms=int(times[0]),
            last_ms=int(times[-1]),
            bars=int(usable.any(axis=1).sum()),
            samples=int(usable.sum()),
        )


def _outcomes(graph: GraphSequence, known_TN: BoolArray, model: TrainedModel) -> Outcomes:
    return Outcomes(
        ret_TN=graph.ret_TN,
        close_ret_TN=graph.close_ret_TN,
        late_ret_TN=graph.late_ret_TN,
        class_TN=direction_classes(
            graph.ret_TN, graph.sigma_TN, model.class_threshold, model.label_config
        ),
        known_TN=known_TN,
        horizon=graph.horizon,
    )


def _predict(model: TrainedModel, graph: GraphSequence) -> tuple[FloatArray, ClassArray]:
    scores = score_bars(model, graph, 0, graph.num_bars)
    classes = scores.probability_CN3.argmax(axis=-1).astype(np.int8)
    return scores.rank_CN.astype(np.float64), classes


def _plain_scores(
    model: TrainedModel, graph: GraphSequence, split: Split, usable_TN: BoolArray
) -> dict[str, FloatArray]:
    target_TN = normal_scores(graph.ret_TN, usable_TN)
    train_TN = usable_TN & split.train_T[:, None]
    validation_TN = usable_TN & split.validation_T[:, None]
    ridge = ridge_scores(model.scaler.apply(graph.x_TNF), target_TN, train_TN)
    best_ridge = max(
        ridge.values(), key=lambda score: mean_rank_ic(score, graph.ret_TN, validation_TN)
    )
    return {
        "zero": zero_score(graph.num_bars, graph.num_symbols),
        "persistence": persistence_score(graph.past_ret_TN),
        "ridge": best_ridge,
    }


def _classes_from(score_TN: FloatArray, class_TN: ClassArray, train_TN: BoolArray) -> ClassArray:
    """Classes of a plain score: cut where the training span's scores split like its classes.

    A score that never varies predicts the most frequent class of the training span.
    """
    truth, score = class_TN[train_TN], score_TN[train_TN]
    if score.min() == score.max():
        most_frequent = np.bincount(truth, minlength=3).argmax()
        return np.full(score_TN.shape, most_frequent, np.int8)
    low, high = np.quantile(score, (np.mean(truth == DOWN), np.mean(truth != UP)))
    classes = np.full(score_TN.shape, FLAT, np.int8)
    classes[score_TN > high] = UP
    classes[score_TN < low] = DOWN
    return classes


def _by_bar(score_TN: FloatArray, outcomes: Outcomes) -> FloatArray:
    return filled_rank_ic(score_TN, outcomes.ret_TN, outcomes.known_TN)


def _class_shares(outcomes: Outcomes) -> dict[str, float]:
    truth = outcomes.class_TN[outcomes.known_TN]
    return {
        name: float(np.mean(truth == value))
        for name, value in (("down", DOWN), ("flat", FLAT), ("up", UP))
    }
