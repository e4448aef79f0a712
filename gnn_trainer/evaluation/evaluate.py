"""Judging a trained model on one test span, beside its baselines on the same samples."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gnn_trainer.errors import DataError, StopRequested
from gnn_trainer.evaluation.backtest import Holding
from gnn_trainer.evaluation.calibration import Calibration, calibrate
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.placebos import placebo_graph
from gnn_trainer.evaluation.protocol import (
    MODEL,
    NO_GRAPH,
    ORACLE,
    Fold,
    Prediction,
    Span,
    placebo_name,
)
from gnn_trainer.evaluation.recovery import Truth, edge_recovery
from gnn_trainer.evaluation.rivals import ZERO, learned_scores, rule_scores
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.market.labels import DOWN, FLAT, UP, ClassArray, direction_classes
from gnn_trainer.market.splits import Split
from gnn_trainer.model.baselines import FULL_EFFORT, Effort
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.training.fit import FitPlan, fit, without_graph
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.samples import usable_rows
from gnn_trainer.training.trained import TrainedModel


def evaluate(
    model: TrainedModel,
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    config: EvaluationConfig,
    holding: Holding,
    *,
    calibration: Calibration,
    on_progress: ProgressListener,
    truth: Truth | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    effort: Effort = FULL_EFFORT,
) -> Fold:
    """What the model and every baseline say of the test span, and what happened there.

    Networks among the baselines are fitted and calibrated like the model, by the same plan.
    `calibration` is the model's; `holding` has the bars of `graph`. `truth` is known of generated
    markets only; `effort` is that of the baselines that are no networks.

    Raises:
        DataError: the test span has no usable sample.
        StopRequested: `should_stop`, asked before every batch of a baseline, said yes.
    """
    desk = _Desk(graph, split, model)
    if not desk.known_TN.any():
        raise DataError(f"no usable sample in the test span of {int(split.test_T.sum())} bars")

    def rivals() -> Iterator[tuple[str, FitPlan, GraphSequence]]:
        yield NO_GRAPH, without_graph(plan), graph
        for kind in config.placebo_graphs:
            yield placebo_name(kind), plan, placebo_graph(kind, graph, split, plan.seed)

    said = {MODEL: desk.ask(model, graph, calibration)}
    for name, rival_plan, rival_graph in rivals():
        fitted = fit(
            rival_graph,
            split,
            rival_plan,
            on_progress=_about(name, on_progress),
            should_stop=should_stop,
        )
        sureness = calibrate(fitted, rival_graph, split.validation_T)
        said[name] = desk.ask(fitted, rival_graph, sureness)

    def pulse() -> None:
        if should_stop():
            raise StopRequested("stopped while fitting the baselines")

    def tell(name: str) -> None:
        on_progress(Progress(f"baseline {name}", 0, 1))

    scores = rule_scores(graph) | learned_scores(
        graph, split, model.scaler, seed=plan.seed, pulse=pulse, tell=tell, effort=effort
    )
    if truth is not None:
        scores[ORACLE] = truth.oracle_TN
    said |= {name: desk.classify(score_TN) for name, score_TN in scores.items()}
    said[ZERO] = replace(said[ZERO], probability_TN3=desk.base_rates())
    return desk.close(said, holding, plan.seed, truth)


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


def _about(name: str, on_progress: ProgressListener) -> ProgressListener:
    """The progress of a baseline's fit, under its name."""

    def tell(progress: Progress, /) -> None:
        on_progress(replace(progress, stage=f"baseline {name}"))

    return tell
