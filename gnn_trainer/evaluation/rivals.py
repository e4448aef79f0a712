"""The baselines of one fold: fitted on what the model was fitted on, and what they then score."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from gnn_trainer.errors import StopRequested
from gnn_trainer.evaluation.calibration import Calibration, calibrate
from gnn_trainer.evaluation.placebos import Placebo, placebo_graph
from gnn_trainer.evaluation.protocol import NO_GRAPH, placebo_name
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.neighbours import neighbour_means
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.splits import Split
from gnn_trainer.model.baselines import (
    FULL_EFFORT,
    Effort,
    Learner,
    Samples,
    boosted_trees,
    fit_learner,
    low_volatility_score,
    perceptron,
    persistence_score,
    reversal_score,
    ridge,
    scores_of,
    zero_score,
)
from gnn_trainer.model.scorers import Scorer
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.training.fit import FitPlan, fit, without_graph
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import normal_scores, usable_rows
from gnn_trainer.training.trained import TrainedModel

ZERO = "zero"
NEIGHBOURS = " + neighbours"
LEARNERS: dict[str, Learner] = {
    "ridge": ridge,
    "lightgbm": boosted_trees,
    "mlp": perceptron,
}
NEIGHBOUR_LEARNERS: dict[str, Learner] = {
    f"ridge{NEIGHBOURS}": ridge,
    f"lightgbm{NEIGHBOURS}": boosted_trees,
}


@dataclass(frozen=True)
class RivalNetwork:
    """A network like the model, but for its edges."""

    model: TrainedModel
    calibration: Calibration


@dataclass(frozen=True)
class Rivals:
    """All baselines that had to learn, by name."""

    networks: Mapping[str, RivalNetwork]
    scorers: Mapping[str, Scorer]

    @property
    def placebos(self) -> tuple[Placebo, ...]:
        """The placebo graphs that networks were fitted on."""
        return tuple(kind for kind in get_args(Placebo) if placebo_name(kind) in self.networks)


def fit_rivals(
    graph: GraphSequence,
    split: Split,
    plan: FitPlan,
    placebos: tuple[Placebo, ...],
    scaler: Scaler,
    *,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
    effort: Effort = FULL_EFFORT,
) -> Rivals:
    """Fit them on the training span and choose on the validation span, like the model by `plan`.

    `scaler` is the model's; `effort` is that of the baselines that are no networks.

    Raises:
        StopRequested: `should_stop`, asked before every batch, said yes.
    """
    networks = {}
    plans = {NO_GRAPH: without_graph(plan)}
    for name, rival_graph in rival_graphs(graph, split, placebos, plan.seed):
        fitted = fit(
            rival_graph,
            split,
            plans.get(name, plan),
            on_progress=_about(name, on_progress),
            should_stop=should_stop,
        )
        calibration = calibrate(fitted, rival_graph, split.validation_T)
        networks[name] = RivalNetwork(fitted, calibration)
    scorers = fit_scorers(
        graph,
        split,
        scaler,
        seed=plan.seed,
        on_progress=on_progress,
        should_stop=should_stop,
        effort=effort,
    )
    return Rivals(networks, scorers)


def rival_graphs(
    graph: GraphSequence, split: Split, placebos: tuple[Placebo, ...], seed: int
) -> Iterator[tuple[str, GraphSequence]]:
    """What each rival network is given; the one without a graph does not look at its edges."""
    yield NO_GRAPH, graph
    for kind in placebos:
        yield placebo_name(kind), placebo_graph(kind, graph, split, seed)


def fit_scorers(
    graph: GraphSequence,
    split: Split,
    scaler: Scaler,
    *,
    seed: int,
    on_progress: ProgressListener,
    should_stop: Callable[[], bool] = lambda: False,
    effort: Effort = FULL_EFFORT,
) -> dict[str, Scorer]:
    """The baselines that are no networks, by name; errors as for `fit_rivals`.

    They learn what the network learns first: the rank of a symbol's return within its bar, as a
    normal score.
    """
    usable_TN = usable_rows(graph)
    validation_TN = usable_TN & split.validation_T[:, None]
    target_TN = normal_scores(graph.ret_TN, usable_TN)

    def judge(score_TN: FloatArray) -> float:
        rows = split.validation_T
        return mean_rank_ic(score_TN[rows], graph.ret_TN[rows], validation_TN[rows])

    def pulse() -> None:
        if should_stop():
            raise StopRequested("stopped while fitting the baselines")

    scorers: dict[str, Scorer] = {}
    for learners, x_TNF in _lessons(graph, scaler):
        samples = Samples(
            x_TNF,
            target_TN,
            train_TN=usable_TN & split.train_T[:, None],
            validation_T=split.validation_T,
            effort=effort,
        )
        for name, learner in learners.items():
            on_progress(Progress(f"baseline {name}", 0, 1))
            scorers[name] = fit_learner(learner, samples, judge, seed=seed, pulse=pulse)
    return scorers


def _lessons(
    graph: GraphSequence, scaler: Scaler
) -> Iterator[tuple[dict[str, Learner], npt.NDArray[np.float32]]]:
    """Learners, and the features [T, N, F] that they are given."""
    own_TNF = scaler.apply(graph.x_TNF)
    yield LEARNERS, own_TNF
    yield (
        NEIGHBOUR_LEARNERS,
        np.concatenate((own_TNF, neighbour_means(graph, own_TNF)), axis=-1),
    )


def rule_scores(graph: GraphSequence) -> dict[str, FloatArray]:
    """Baselines that learn nothing, [T, N] by name."""
    return {
        ZERO: zero_score(graph.num_bars, graph.num_symbols),
        "persistence": persistence_score(graph.past_ret_TN),
        "reversal": reversal_score(graph.past_ret_TN),
        "low volatility": low_volatility_score(graph.sigma_TN),
    }


def learned_scores(
    graph: GraphSequence, split: Split, scaler: Scaler, scorers: Mapping[str, Scorer]
) -> dict[str, FloatArray]:
    """What fitted baselines say of validation and test span, [T, N] by name."""
    rows_T = split.validation_T | split.test_T
    return {
        name: scores_of(scorers[name], x_TNF, rows_T)
        for learners, x_TNF in _lessons(graph, scaler)
        for name in learners
    }


def _about(name: str, on_progress: ProgressListener) -> ProgressListener:
    """The progress of a baseline's fit, under its name."""

    def tell(progress: Progress, /) -> None:
        on_progress(replace(progress, stage=f"baseline {name}"))

    return tell
