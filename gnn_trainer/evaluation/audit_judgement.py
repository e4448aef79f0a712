"""Does any score of the test span depend on the outcomes that it is judged by?"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from gnn_trainer.evaluation.audit_fit import Stretch, reversed_labels, unheard
from gnn_trainer.evaluation.audit_poison import by_row
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.evaluation.backtest import Holding
from gnn_trainer.evaluation.calibration import calibrate
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.evaluate import evaluate
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.evaluation.series import judge_bars
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.model.baselines import Effort, Samples, learned_score, ridge
from gnn_trainer.training.fit import FitPlan
from gnn_trainer.training.rank_ic import mean_rank_ic, rank_ic_by_bar
from gnn_trainer.training.samples import normal_scores, usable_rows
from gnn_trainer.training.trained import TrainedModel

BRIEF = Effort(tree_rounds=(5, 10, 20), perceptron_epochs=5)  # a choice shows itself in few
SHUFFLES = 20
SHUFFLE_CONFIDENCE = 0.9999  # one honest run in ten thousand is taken for a leak
SUSPICIOUS_IC = 0.12  # twice what an honest model reaches
IMPOSSIBLE_IC = 0.4  # of a single feature over many bars
PROBED_BARS = 1500
MIN_PROBED_BARS = 50
SIGN_TOLERANCE = 1e-6


def check_evaluation(
    model: TrainedModel,
    stretch: Stretch,
    plan: FitPlan,
    holding: Holding,
    should_stop: Callable[[], bool],
) -> Check:
    """Judge a stretch twice, the second time with every outcome of its test span reversed.

    What was said must stay as it is, and every correlation turn into its opposite.
    """
    folds = []
    for graph in (stretch.graph, reversed_labels(stretch.graph, stretch.validation_end)):
        fold = evaluate(
            model,
            graph,
            stretch.split,
            plan,
            EvaluationConfig(placebos=""),
            holding,
            calibration=calibrate(model, graph, stretch.split.validation_T),
            on_progress=unheard,
            should_stop=should_stop,
            effort=BRIEF,
        )
        folds.append(fold)
    honest, other = folds
    breaches = []
    if not np.array_equal(honest.known_TN, other.known_TN):
        breaches.append("which samples are judged depends on their outcome")
    if not np.array_equal(honest.known_TN.any(axis=1), _tested(stretch, honest)):
        breaches.append("other bars are judged than those of the test span")
    for name in honest.predictors:
        for what, before, after in _said(name, honest, other):
            if not np.array_equal(before[honest.known_TN], after[honest.known_TN]):
                breaches.append(f"the {what} of {name!r} depend on the outcomes of the test span")
    if not breaches:
        breaches = _not_opposite(honest, other)
    compared = honest.known_TN.size * len(honest.predictors)
    return check_of("evaluation", "reversed outcomes", compared, breaches)


def check_shuffled_labels(stretch: Stretch, scaler: Scaler) -> Check:
    """Ridge on labels dealt out anew among the symbols of each bar: no skill may be left.

    Shuffled within their bar, labels say nothing whatever a symbol's features are, so the mean
    RankIC on the test span is zero but for chance. Chance is measured over the draws.
    """
    graph, split = stretch.graph, stretch.split
    usable_TN = usable_rows(graph)
    x_TNF = scaler.apply(graph.x_TNF)
    rng = np.random.default_rng(graph.num_bars)
    skill_D = np.full(SHUFFLES, np.nan)
    for draw in range(SHUFFLES):
        ret_TN = _dealt_anew(graph.ret_TN, usable_TN, rng)
        samples = Samples(
            x_TNF,
            normal_scores(ret_TN, usable_TN),
            train_TN=usable_TN & split.train_T[:, None],
            validation_T=split.validation_T,
            scored_T=split.validation_T | split.test_T,
        )

        def judge(score_TN: FloatArray, ret_TN: FloatArray = ret_TN) -> float:
            return mean_rank_ic(score_TN, ret_TN, usable_TN & split.validation_T[:, None])

        score_TN = learned_score(ridge, samples, judge, seed=draw, pulse=_no_pulse)
        skill_D[draw] = mean_rank_ic(score_TN, ret_TN, usable_TN & split.test_T[:, None])
    known_D = skill_D[np.isfinite(skill_D)]
    if len(known_D) < 2:
        return check_of("probe", "label shuffle", 0, [])
    mean = float(known_D.mean())
    reach = student_t.ppf((1 + SHUFFLE_CONFIDENCE) / 2, len(known_D) - 1)
    half = float(reach * known_D.std(ddof=1) / np.sqrt(len(known_D)))
    breaches = []
    if abs(mean) > half:
        breaches.append(
            f"ridge on shuffled labels has RankIC {mean:.4f}, interval [{mean - half:.4f}, "
            f"{mean + half:.4f}] over {len(known_D)} draws: it has seen what it is judged by"
        )
    figures = {"rank_ic": mean, "low": mean - half, "high": mean + half}
    return check_of("probe", "label shuffle", len(known_D), breaches, figures)


def check_single_features(graph: GraphSequence) -> Check:
    """No feature alone ranks the symbols as no honest one can."""
    skills = _single_skills(graph)
    breaches = [
        f"{name} alone has a RankIC of {skill:.3f} with the label"
        for name, skill in skills.items()
        if abs(skill) > IMPOSSIBLE_IC
    ]
    return check_of("probe", "single features", len(skills), breaches)


def suspicious_features(graph: GraphSequence) -> tuple[str, ...]:
    """Features that rank the symbols better than an honest model does, for people to look at."""
    return tuple(
        f"{name} alone has a RankIC of {skill:.3f} with the label"
        for name, skill in _single_skills(graph).items()
        if SUSPICIOUS_IC < abs(skill) <= IMPOSSIBLE_IC
    )


def _single_skills(graph: GraphSequence) -> dict[str, float]:
    """Mean RankIC of each feature with the label, where it is known at enough bars."""
    usable_TN = usable_rows(graph)
    rows = np.flatnonzero(by_row(usable_TN))
    rows = rows[:: max(1, len(rows) // PROBED_BARS)]
    skills = {}
    for place, name in enumerate(graph.feature_names):
        feature_TN = graph.x_TNF[rows, :, place].astype(np.float64)
        known_TN = usable_TN[rows] & np.isfinite(feature_TN)
        by_bar = rank_ic_by_bar(feature_TN, graph.ret_TN[rows], known_TN)
        by_bar = by_bar[np.isfinite(by_bar)]
        if len(by_bar) >= MIN_PROBED_BARS:
            skills[name] = float(by_bar.mean())
    return skills


def _tested(stretch: Stretch, fold: Fold) -> BoolArray:
    """Bars of the fold that lie in the test span and have a sample, [T] of the fold."""
    rows = np.searchsorted(stretch.graph.open_time_T, fold.open_time_T)
    usable_TN = usable_rows(stretch.graph) & stretch.split.test_T[:, None]
    tested_T: BoolArray = by_row(usable_TN)[rows]
    return tested_T


def _said(
    name: str, honest: Fold, other: Fold
) -> list[tuple[str, npt.NDArray[np.generic], npt.NDArray[np.generic]]]:
    said: list[tuple[str, npt.NDArray[np.generic], npt.NDArray[np.generic]]] = [
        ("scores", honest.score(name), other.score(name)),
        ("classes", honest.guess(name), other.guess(name)),
    ]
    before, after = honest.probability(name), other.probability(name)
    if before is not None and after is not None:
        said.append(("probabilities", before, after))
    return said


def _not_opposite(honest: Fold, other: Fold) -> list[str]:
    before, after = judge_bars([honest]).series, judge_bars([other]).series
    return [
        f"the RankIC of {name!r} does not turn round with the outcomes"
        for name in before
        if not np.allclose(before[name].rank_ic_T, -after[name].rank_ic_T, atol=SIGN_TOLERANCE)
    ]


def _dealt_anew(ret_TN: FloatArray, usable_TN: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Each bar's usable labels in random order among the symbols that have one."""
    slot_TN = np.argsort(~usable_TN, axis=1, kind="stable")  # usable symbols first, in order
    random_TN = np.where(usable_TN, rng.random(usable_TN.shape), 2.0)
    dealt_TN = np.full(ret_TN.shape, np.nan)
    taken_TN = np.take_along_axis(ret_TN, np.argsort(random_TN, axis=1, kind="stable"), axis=1)
    np.put_along_axis(dealt_TN, slot_TN, taken_TN, axis=1)
    return np.where(usable_TN, dealt_TN, np.nan)


def _no_pulse() -> None:
    """A probe takes a moment; nobody needs to end it."""
