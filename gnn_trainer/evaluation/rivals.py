"""The plain baselines of one fold: what they score, from what the network is given."""

from collections.abc import Callable

import numpy as np

from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.neighbours import neighbour_means
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.splits import Split
from gnn_trainer.model.baselines import (
    FULL_EFFORT,
    Effort,
    Learner,
    Pulse,
    Samples,
    boosted_trees,
    learned_score,
    low_volatility_score,
    perceptron,
    persistence_score,
    reversal_score,
    ridge,
    zero_score,
)
from gnn_trainer.training.rank_ic import mean_rank_ic
from gnn_trainer.training.samples import normal_scores, usable_rows

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


def rule_scores(graph: GraphSequence) -> dict[str, FloatArray]:
    """Baselines that learn nothing, [T, N] by name."""
    return {
        ZERO: zero_score(graph.num_bars, graph.num_symbols),
        "persistence": persistence_score(graph.past_ret_TN),
        "reversal": reversal_score(graph.past_ret_TN),
        "low volatility": low_volatility_score(graph.sigma_TN),
    }


def learned_scores(
    graph: GraphSequence,
    split: Split,
    scaler: Scaler,
    *,
    seed: int,
    pulse: Pulse,
    tell: Callable[[str], None],
    effort: Effort = FULL_EFFORT,
) -> dict[str, FloatArray]:
    """Baselines that learn, [T, N] by name; scored are validation and test span.

    They learn what the network learns first: the rank of a symbol's return within its bar, as a
    normal score. `tell` hears the name of each before it is fitted.
    """
    usable_TN = usable_rows(graph)
    validation_TN = usable_TN & split.validation_T[:, None]
    target_TN = normal_scores(graph.ret_TN, usable_TN)

    def judge(score_TN: FloatArray) -> float:
        rows = split.validation_T
        return mean_rank_ic(score_TN[rows], graph.ret_TN[rows], validation_TN[rows])

    scores: dict[str, FloatArray] = {}
    own_TNF = scaler.apply(graph.x_TNF)
    for learners in (LEARNERS, NEIGHBOUR_LEARNERS):
        x_TNF = own_TNF
        if learners is NEIGHBOUR_LEARNERS:
            x_TNF = np.concatenate((own_TNF, neighbour_means(graph, own_TNF)), axis=-1)
        samples = Samples(
            x_TNF,
            target_TN,
            train_TN=usable_TN & split.train_T[:, None],
            validation_T=split.validation_T,
            scored_T=split.validation_T | split.test_T,
            effort=effort,
        )
        for name, learner in learners.items():
            tell(name)
            scores[name] = learned_score(learner, samples, judge, seed=seed, pulse=pulse)
    return scores
