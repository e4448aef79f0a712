"""What the network must beat: scores made from the same features on the same bars.

Scores are [T, N], higher = expected to outperform. Nothing here has read a bar of the test span;
learners are fitted on the training span, and `judge` (RankIC on the validation span) chooses
among a small fixed grid of settings, which is all the tuning that any of them gets.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from threadpoolctl import ThreadpoolController

from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.model.scorers import LinearScorer, PerceptronScorer, Scorer, TreesScorer

RIDGE_PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
TREE_LEAVES = (7, 31)
TREE_SETTINGS = {
    "objective": "regression",
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
PERCEPTRON_PENALTIES = (1e-3, 1.0)
PERCEPTRON_LAYERS = (64, 32)
PERCEPTRON_BATCH = 1024  # rows, or as many as there are
PATIENCE = 3  # steps of more effort without a better validation score

Judge = Callable[[FloatArray], float]
Pulse = Callable[[], None]
Path = Iterator[Scorer]  # one setting with more and more effort
Learner = Callable[["Samples", int, Pulse], Iterator[Path]]


@dataclass(frozen=True)
class Effort:
    """How far a learner goes before it has tried enough."""

    tree_rounds: tuple[int, ...] = (25, 50, 100, 200, 400)  # at which trees are judged
    perceptron_epochs: int = 30


FULL_EFFORT = Effort()


@dataclass(frozen=True)
class Samples:
    """What a learner is given: scaled features, what to learn, and where it may learn it."""

    x_TNF: npt.NDArray[np.float32]
    target_TN: FloatArray
    train_TN: BoolArray
    validation_T: BoolArray  # bars to choose settings on
    effort: Effort = FULL_EFFORT

    @property
    def training_rows(self) -> tuple[npt.NDArray[np.float32], FloatArray]:
        """Features [S, F] and targets [S]."""
        return self.x_TNF[self.train_TN], self.target_TN[self.train_TN]


def scores_of(scorer: Scorer, x_TNF: npt.NDArray[np.float32], rows_T: BoolArray) -> FloatArray:
    """Scores of some bars in their places, [T, N]; 0 elsewhere."""
    x_CNF = x_TNF[rows_T]
    score_TN = np.zeros(x_TNF.shape[:2])
    score_TN[rows_T] = scorer.score(x_CNF.reshape(-1, x_CNF.shape[-1])).reshape(x_CNF.shape[:2])
    return score_TN


def fit_learner(
    learner: Learner, samples: Samples, judge: Judge, *, seed: int, pulse: Pulse
) -> Scorer:
    """The setting and effort that `judge` likes best on the validation bars.

    `pulse` is called often, and raises what shall end the fitting.
    """
    best, chosen = -np.inf, None
    for path in learner(samples, seed, pulse):
        best_here, stale = -np.inf, 0
        for scorer in path:
            skill = judge(scores_of(scorer, samples.x_TNF, samples.validation_T))
            stale = 0 if skill > best_here else stale + 1
            best_here = max(best_here, skill)
            if chosen is None or skill > best:
                best, chosen = skill, scorer
            if stale >= PATIENCE:
                break
    if chosen is None:
        raise ValueError("the learner offered no setting")
    return chosen


def zero_score(num_bars: int, num_symbols: int) -> FloatArray:
    """No opinion: the expected return of every symbol is zero."""
    return np.zeros((num_bars, num_symbols))


def persistence_score(past_ret_TN: FloatArray) -> FloatArray:
    """What moved will go on moving: the log return of the bar just closed, 0 where unknown."""
    return np.nan_to_num(past_ret_TN)


def reversal_score(past_ret_TN: FloatArray) -> FloatArray:
    """What moved will come back."""
    return -persistence_score(past_ret_TN)


def low_volatility_score(sigma_TN: FloatArray) -> FloatArray:
    """What moves least does best; the least opinion where the volatility is unknown."""
    return -np.where(np.isfinite(sigma_TN), sigma_TN, np.nanmax(sigma_TN, initial=0.0))


def ridge(samples: Samples, seed: int, pulse: Pulse) -> Iterator[Path]:
    """Ridge regression; there is no effort to vary."""
    x, y = samples.training_rows
    for penalty in RIDGE_PENALTIES:
        pulse()
        yield iter((LinearScorer.of(Ridge(alpha=penalty, random_state=seed).fit(x, y)),))


def boosted_trees(samples: Samples, seed: int, pulse: Pulse) -> Iterator[Path]:
    """LightGBM; more and more rounds of two sizes of tree."""
    x, y = samples.training_rows
    for leaves in TREE_LEAVES:
        settings = {**TREE_SETTINGS, "num_leaves": leaves, "seed": seed}
        data = lightgbm.Dataset(x, y, params=settings)
        yield _more_rounds(lightgbm.Booster(settings, data), samples.effort, pulse)


def _more_rounds(booster: lightgbm.Booster, effort: Effort, pulse: Pulse) -> Path:
    for rounds in effort.tree_rounds:
        while booster.current_iteration() < rounds:
            pulse()
            booster.update()
        yield TreesScorer.of(booster)


def perceptron(samples: Samples, seed: int, pulse: Pulse) -> Iterator[Path]:
    """Multilayer perceptron (Adam); more and more epochs of two penalties.

    On one thread: its batches are so small that a second one costs more than it does.
    """
    threads = ThreadpoolController()
    for penalty in PERCEPTRON_PENALTIES:
        network = MLPRegressor(
            hidden_layer_sizes=PERCEPTRON_LAYERS,
            alpha=penalty,
            batch_size=min(PERCEPTRON_BATCH, int(samples.train_TN.sum())),
            random_state=seed,
        )
        yield _more_epochs(network, samples, np.random.default_rng(seed), pulse, threads)


def _more_epochs(
    network: MLPRegressor,
    samples: Samples,
    rng: np.random.Generator,
    pulse: Pulse,
    threads: ThreadpoolController,
) -> Path:
    x, y = samples.training_rows
    for _ in range(samples.effort.perceptron_epochs):
        pulse()
        order = rng.permutation(len(x))
        with threads.limit(limits=1, user_api="blas"):
            network.partial_fit(x[order], y[order])
        yield PerceptronScorer.of(network)
