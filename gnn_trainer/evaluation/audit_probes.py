"""Can what should be noise be predicted, and does any feature predict more than it can?"""

import numpy as np
from scipy.stats import t as student_t

from gnn_trainer.evaluation.audit_fit import Stretch
from gnn_trainer.evaluation.audit_poison import by_row
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.model.baselines import Samples, fit_learner, ridge, scores_of
from gnn_trainer.training.rank_ic import mean_rank_ic, rank_ic_by_bar
from gnn_trainer.training.samples import normal_scores, usable_rows

SHUFFLES = 20
SHUFFLE_CONFIDENCE = 0.9999  # one honest run in ten thousand is taken for a leak
SUSPICIOUS_IC = 0.12  # twice what an honest model reaches
IMPOSSIBLE_IC = 0.4  # of a single feature over many bars
PROBED_BARS = 600
MIN_PROBED_BARS = 50


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
        )

        def judge(score_TN: FloatArray, ret_TN: FloatArray = ret_TN) -> float:
            return mean_rank_ic(score_TN, ret_TN, usable_TN & split.validation_T[:, None])

        scorer = fit_learner(ridge, samples, judge, seed=draw, pulse=_no_pulse)
        score_TN = scores_of(scorer, x_TNF, split.test_T)
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
    return check_of("probe", "single features", len(skills), breaches, skills)


def suspicious_features(probe: Check) -> tuple[str, ...]:
    """Features that rank the symbols better than an honest model does, for people to look at."""
    return tuple(
        f"{name} alone has a RankIC of {skill:.3f} with the label"
        for name, skill in probe.figures.items()
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
