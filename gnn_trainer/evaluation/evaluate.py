"""Judging a trained model on one test span, beside its baselines on the same samples."""

from dataclasses import replace

import numpy as np

from gnn_trainer.errors import DataError
from gnn_trainer.evaluation.backtest import Holding
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.protocol import MODEL, ORACLE, Fold, Prediction, Span
from gnn_trainer.evaluation.recovery import Truth, edge_recovery
from gnn_trainer.evaluation.rivals import (
    ZERO,
    Rivals,
    learned_scores,
    rival_graphs,
    rule_scores,
)
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.market.labels import DOWN, FLAT, UP, ClassArray, direction_classes
from gnn_trainer.market.splits import Split
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.samples import usable_rows
from gnn_trainer.training.trained import TrainedModel


def evaluate(
    model: TrainedModel,
    rivals: Rivals,
    graph: GraphSequence,
    split: Split,
    holding: Holding,
    *,
    calibration: Calibration,
    truth: Truth | None = None,
) -> Fold:
    """What the model and every baseline say of the test span, and what happened there.

    `rivals` were fitted beside the model, whose `calibration` is given; `holding` has the bars of
    `graph`. `truth` is known of generated markets only.

    Raises:
        DataError: the test span has no usable sample.
    """
    desk = _Desk(graph, split, model)
    if not desk.known_TN.any():
        raise DataError(f"no usable sample in the test span of {int(split.test_T.sum())} bars")
    said = {MODEL: desk.ask(model, graph, calibration)}
    for name, rival_graph in rival_graphs(graph, split, rivals.placebos, model.seed):
        network = rivals.networks[name]
        said[name] = desk.ask(network.model, rival_graph, network.calibration)
    scores = rule_scores(graph) | learned_scores(graph, split, model.scaler, rivals.scorers)
    if truth is not None:
        scores[ORACLE] = truth.oracle_TN
    said |= {name: desk.classify(score_TN) for name, score_TN in scores.items()}
    said[ZERO] = replace(said[ZERO], probability_TN3=desk.base_rates())
    return desk.close(said, holding, model.seed, truth)


class _Desk:
    """One fold's samples, and what is made of every predictor's answer."""

    def __init__(self, graph: GraphSequence, split: Split, model: TrainedModel) -> None:
        self.graph, self.split = graph, split
        self.usable_TN = usable_rows(graph)
        self.known_TN = self.usable_TN & split.test_T[:, None]
        self.class_TN = direction_classes(
            graph.ret_TN, graph.sigma_TN, model.class_threshold, model.label_config
        )
        tested = np.flatnonzero(split.test_T)
        last = min(int(tested[-1]) + graph.horizon, graph.num_bars) if len(tested) else 0
        self.rows = slice(int(tested[0]), last) if len(tested) else slice(0, 0)

    def ask(
        self, model: TrainedModel, graph: GraphSequence, calibration: Calibration
    ) -> Prediction:
        """A network's answer for the rows of the fold."""
        scores = score_bars(model, graph, self.rows.start, self.rows.stop)
        probability_TN3 = calibration.apply(scores.probability_CN3).astype(np.float32)
        guess_TN = probability_TN3.argmax(axis=-1).astype(np.int8)
        return Prediction(scores.rank_CN, guess_TN, probability_TN3)

    def classify(self, score_TN: FloatArray) -> Prediction:
        """A plain score, cut into classes where that splits the validation span's as they were.

        A score that never varies there names the most frequent class.
        """
        chosen_TN = self.usable_TN & self.split.validation_T[:, None]
        truth, score = self.class_TN[chosen_TN], score_TN[chosen_TN]
        tested_TN = score_TN[self.rows]
        guess_TN: ClassArray = np.full(tested_TN.shape, FLAT, np.int8)
        if score.min() == score.max():
            guess_TN[:] = np.bincount(truth, minlength=3).argmax()
        else:
            low, high = np.quantile(score, (np.mean(truth == DOWN), np.mean(truth != UP)))
            guess_TN[tested_TN > high] = UP
            guess_TN[tested_TN < low] = DOWN
        return Prediction(tested_TN.astype(np.float32), guess_TN, None)

    def base_rates(self) -> np.ndarray:
        """How often each class was right in the training span, for every sample, [T, N, 3]."""
        truth = self.class_TN[self.usable_TN & self.split.train_T[:, None]]
        shares = np.bincount(truth, minlength=3) / len(truth)
        shape = (*self.known_TN[self.rows].shape, 3)
        return np.broadcast_to(shares.astype(np.float32), shape)

    def close(
        self,
        said: dict[str, Prediction],
        holding: Holding,
        seed: int,
        truth: Truth | None,
    ) -> Fold:
        graph, rows, split = self.graph, self.rows, self.split
        sure = [p.probability_TN3 for p in said.values() if p.probability_TN3 is not None]
        leads = () if truth is None else truth.leads
        return Fold(
            symbols=graph.symbols,
            interval_ms=graph.interval_ms,
            horizon=graph.horizon,
            seed=seed,
            train=self._span(split.train_T),
            validation=self._span(split.validation_T),
            test=self._span(split.test_T),
            open_time_T=graph.open_time_T[rows],
            known_TN=self.known_TN[rows],
            scorable_TN=(graph.mask_TN & split.test_T[:, None])[rows],
            ret_TN=graph.ret_TN[rows],
            close_ret_TN=graph.close_ret_TN[rows],
            late_ret_TN=graph.late_ret_TN[rows],
            past_ret_TN=graph.past_ret_TN[rows],
            sigma_TN=graph.sigma_TN[rows],
            class_TN=self.class_TN[rows],
            gain_TN=holding.gain_TN[rows],
            funding_TN=holding.funding_TN[rows],
            half_spread_TN=holding.half_spread_TN[rows],
            predictors=tuple(said),
            score_PTN=np.stack([p.score_TN for p in said.values()]),
            guess_PTN=np.stack([p.guess_TN for p in said.values()]),
            probabilistic=tuple(n for n, p in said.items() if p.probability_TN3 is not None),
            probability_QTN3=np.stack(sure),
            graph_density=graph.density(),
            graph_churn=graph.churn(),
            recovery=edge_recovery(graph, split.test_T, leads),
        )

    def _span(self, rows_T: BoolArray) -> Span:
        times = self.graph.open_time_T[rows_T]
        usable = self.usable_TN[rows_T]
        return Span(
            first_ms=int(times[0]),
            last_ms=int(times[-1]),
            bars=int(usable.any(axis=1).sum()),
            samples=int(usable.sum()),
        )
