"""Is the test span judged by what happened on it, and by nothing that knew it?"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from gnn_trainer.evaluation.audit_fit import Stretch, reversed_labels, unheard
from gnn_trainer.evaluation.audit_poison import poison_graph
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.evaluation.backtest import holding_of, keep_ledger
from gnn_trainer.evaluation.calibration import calibrate
from gnn_trainer.evaluation.evaluate import evaluate
from gnn_trainer.evaluation.protocol import MODEL, Fold
from gnn_trainer.evaluation.rivals import fit_rivals
from gnn_trainer.evaluation.series import judge_bars
from gnn_trainer.evaluation.terms import CostConfig
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray, MarketFrame
from gnn_trainer.model.baselines import Effort
from gnn_trainer.training.fit import FitPlan
from gnn_trainer.training.rank_ic import MIN_SYMBOLS
from gnn_trainer.training.samples import usable_rows
from gnn_trainer.training.trained import TrainedModel

BRIEF = Effort(tree_rounds=(5, 10), perceptron_epochs=4)  # a choice shows itself between few
RANK_IC_TOLERANCE = 1e-6
PROBED = 5  # of so many judged bars one has its RankIC worked out anew
ROUNDING = 1e-5  # of a score, in its own standard deviations
MONEY_TOLERANCE = 1e-12  # of a fraction of the capital


def check_evaluation(
    model: TrainedModel,
    stretch: Stretch,
    plan: FitPlan,
    bars: MarketFrame,
    should_stop: Callable[[], bool],
) -> tuple[Check, ...]:
    """Judge a stretch again with its outcomes reversed, and again with other bars in the end.

    Reversed outcomes must change nothing that was said, and turn every correlation into its
    opposite; other bars must change nothing that was said before them. `bars` are the stretch's.
    """
    holding = holding_of(bars)
    reversed_graph = reversed_labels(stretch.graph, stretch.validation_end)
    middle = int(np.flatnonzero(stretch.split.test_T).mean())
    later_graph = poison_graph(stretch.graph, middle, np.random.default_rng(plan.seed))
    brief = replace(plan, epochs=1)  # how an epoch is chosen was asked of `fit` itself

    def judged(graph: GraphSequence) -> Fold:
        rivals = fit_rivals(
            graph,
            stretch.split,
            brief,
            (),
            model.scaler,
            on_progress=unheard,
            should_stop=should_stop,
            effort=BRIEF,
        )
        calibration = calibrate(model, graph, stretch.split.validation_T)
        return evaluate(model, rivals, graph, stretch.split, holding, calibration=calibration)

    honest, reversed_fold, later_fold = map(judged, (stretch.graph, reversed_graph, later_graph))
    samples = _samples(stretch, honest)
    before_T = honest.open_time_T < stretch.graph.open_time_T[middle]
    all_T = np.ones_like(before_T)
    said = _unlike(honest, reversed_fold, all_T, "the outcomes of the test span")
    said += _unlike(honest, later_fold, before_T, "later bars")
    size = honest.known_TN.size * len(honest.predictors)
    figures = [] if samples or said else _skills(honest, reversed_fold)
    return (
        check_of("evaluation", "samples", honest.known_TN.size, samples),
        check_of("evaluation", "reversed outcomes and poison", size, said),
        check_of("evaluation", "RankIC", size, figures),
        check_of("evaluation", "money", honest.known_TN.size, _money(honest, bars)),
    )


def _samples(stretch: Stretch, fold: Fold) -> list[str]:
    """The samples are all usable rows of the test span, and their outcomes the labels."""
    graph = stretch.graph
    rows = np.searchsorted(graph.open_time_T, fold.open_time_T)
    expected_TN = (usable_rows(graph) & stretch.split.test_T[:, None])[rows]
    breaches = []
    if not np.array_equal(fold.known_TN.any(axis=1), expected_TN.any(axis=1)):
        breaches.append("other bars are judged than those of the test span")
    elif not np.array_equal(fold.known_TN, expected_TN):
        breaches.append("other samples are judged than the usable ones of the test span")
    for name in ("ret_TN", "close_ret_TN", "late_ret_TN"):
        if not np.array_equal(getattr(fold, name), getattr(graph, name)[rows], equal_nan=True):
            breaches.append(f"{name} is not the label that was audited")
    return breaches


def _unlike(honest: Fold, other: Fold, rows_T: BoolArray, known: str) -> list[str]:
    """What predictors say of the samples at `rows_T`, twice."""
    rows_TN = honest.known_TN & rows_T[:, None]
    return [
        f"the {what} of {name!r} depend on {known}"
        for name in honest.predictors
        for what, before, after in _said(name, honest, other)
        if not _same(before[rows_TN], after[rows_TN])
    ]


def _said(
    name: str, honest: Fold, other: Fold
) -> list[tuple[str, npt.NDArray[np.number], npt.NDArray[np.number]]]:
    said: list[tuple[str, npt.NDArray[np.number], npt.NDArray[np.number]]] = [
        ("scores", honest.score(name), other.score(name)),
        ("classes", honest.guess(name), other.guess(name)),
    ]
    before, after = honest.probability(name), other.probability(name)
    if before is not None and after is not None:
        said.append(("probabilities", before, after))
    return said


def _same(before: npt.NDArray[np.number], after: npt.NDArray[np.number]) -> bool:
    """But for rounding, which may depend on what is computed beside a row."""
    spread = float(np.std(before)) if before.size else 0.0
    return bool(np.allclose(before, after, rtol=0.0, atol=ROUNDING * spread))


def _skills(honest: Fold, reversed_fold: Fold) -> list[str]:
    """Every RankIC is that of the scores with the labels, and turns round with them."""
    judged, opposite = judge_bars([honest]), judge_bars([reversed_fold]).series
    enough_T = honest.known_TN.sum(axis=1) >= MIN_SYMBOLS
    if not np.array_equal(judged.open_time_T, honest.open_time_T[enough_T]):
        return ["other bars have a RankIC than those with enough samples"]
    breaches = []
    for name, series in judged.series.items():
        if not _close(series.rank_ic_T, -opposite[name].rank_ic_T):
            breaches.append(f"the RankIC of {name!r} does not turn round with the outcomes")
        elif not _close(series.rank_ic_T[::PROBED], _rank_ic(honest, name, enough_T)):
            breaches.append(f"the RankIC of {name!r} is not that of its scores with the labels")
    return breaches


def _rank_ic(fold: Fold, name: str, judged_T: BoolArray) -> FloatArray:
    """Spearman correlation of every PROBED-th judged bar, 0 where the score does not vary."""
    bars = np.flatnonzero(judged_T)[::PROBED]
    by_bar = np.zeros(len(bars))
    for place, bar in enumerate(bars):
        known_N = fold.known_TN[bar]
        score_S, ret_S = fold.score(name)[bar, known_N], fold.ret_TN[bar, known_N]
        if np.ptp(score_S) > 0.0:
            by_bar[place] = spearmanr(score_S, ret_S).statistic
    return by_bar


def _close(left_T: FloatArray, right_T: FloatArray) -> bool:
    return len(left_T) == len(right_T) and np.allclose(left_T, right_T, atol=RANK_IC_TOLERANCE)


def _money(fold: Fold, bars: MarketFrame) -> list[str]:
    """A unit earns from open(t+1) to open(t+2); positions know neither that nor later scores."""
    breaches = []
    row_T = np.searchsorted(bars.open_time_T, fold.open_time_T)
    row_T = row_T[row_T + 2 < bars.num_bars]
    earned_TN = bars.open_TN[row_T + 2] / bars.open_TN[row_T + 1] - 1.0
    held_TN = bars.valid_TN[row_T + 1] & bars.valid_TN[row_T + 2]
    given_TN = fold.gain_TN[: len(row_T)]
    if not np.allclose(given_TN[held_TN], earned_TN[held_TN], rtol=0.0, atol=MONEY_TOLERANCE):
        breaches.append("gains are not those from open(t+1) to open(t+2)")

    costs, score_TN, scorable_TN = CostConfig(), fold.score(MODEL), fold.scorable_TN
    holding = fold.holding
    honest = keep_ledger(score_TN, scorable_TN, fold.horizon, holding, costs)
    lost = replace(holding, gain_TN=-holding.gain_TN, funding_TN=-holding.funding_TN)
    turned = keep_ledger(score_TN, scorable_TN, fold.horizon, lost, costs)
    if not (
        np.allclose(turned.gain_T, -honest.gain_T, rtol=0.0, atol=MONEY_TOLERANCE)
        and np.allclose(turned.funding_T, -honest.funding_T, rtol=0.0, atol=MONEY_TOLERANCE)
        and np.allclose(turned.turnover_T, honest.turnover_T, rtol=0.0, atol=MONEY_TOLERANCE)
    ):
        breaches.append("positions depend on what they will earn")
    middle = len(score_TN) // 2
    other_TN = score_TN.copy()
    other_TN[middle:] = score_TN[middle:][:, ::-1]
    later = keep_ledger(other_TN, scorable_TN, fold.horizon, holding, costs)
    if not np.allclose(
        later.gain_T[:middle], honest.gain_T[:middle], rtol=0.0, atol=MONEY_TOLERANCE
    ):
        breaches.append("positions depend on scores of later bars")
    return breaches
