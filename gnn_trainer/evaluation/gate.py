"""The gate: whether a model may become champion, check by check, with figures and thresholds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gnn_trainer.evaluation.champion import ChampionComparison
from gnn_trainer.evaluation.deflated import deflated_skill
from gnn_trainer.evaluation.intervals import CONFIDENCE, Interval
from gnn_trainer.evaluation.protocol import is_placebo
from gnn_trainer.evaluation.terms import GateConfig


@dataclass(frozen=True)
class Check:
    """One demand. `figure` is what the model showed, NaN where it showed nothing."""

    name: str
    passed: bool
    figure: float
    threshold: float
    reason: str  # one line for people, with both numbers


@dataclass(frozen=True)
class Verdict:
    """Whether the model may become champion, and why (not)."""

    promoted: bool
    reasons: tuple[str, ...]  # of the failed checks; of all where none failed
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What the gate decides on, all of the test span."""

    audit_passed: bool
    rank_ic: Interval
    differences: Mapping[str, Interval]  # RankIC(model) - RankIC(baseline), by baseline, paired
    ece: float  # of the calibrated probabilities
    coverage: float  # share of symbol-bars with a known label that were scored
    break_even_bps: float
    trials: int  # models tried under this name so far, this one included
    champion: ChampionComparison | None  # None: there is no champion yet


def decide(evidence: Evidence, config: GateConfig) -> Verdict:
    """Promote only what passes every check. An unknown figure fails its check."""
    checks = (
        _audit(evidence),
        _skill(evidence),
        _luck(evidence, config),
        *_baselines(evidence, config),
        _champion(evidence, config),
        _at_most("calibration", "expected calibration error", evidence.ece, config.max_ece),
        _at_least("coverage", "share scored", evidence.coverage, config.min_coverage),
        _at_least(
            "costs",
            "break-even cost in basis points",
            evidence.break_even_bps,
            config.min_break_even_bps,
        ),
    )
    failed = tuple(check.reason for check in checks if not check.passed)
    reasons = failed or tuple(check.reason for check in checks)
    return Verdict(promoted=not failed, reasons=reasons, checks=checks)


def _audit(evidence: Evidence) -> Check:
    word = "passed" if evidence.audit_passed else "did not pass"
    return Check(
        "audit",
        evidence.audit_passed,
        float(evidence.audit_passed),
        1.0,
        f"the leak audit {word}",
    )


def _skill(evidence: Evidence) -> Check:
    found = evidence.rank_ic
    passed = found.low > 0.0
    return Check(
        "skill",
        passed,
        found.low,
        0.0,
        f"RankIC {found.mean:.4f}, interval {_shown(found)} is {'' if passed else 'not '}above "
        "zero",
    )


def _luck(evidence: Evidence, config: GateConfig) -> Check:
    found = evidence.rank_ic
    figure = deflated_skill(found.mean, found.low, found.high, evidence.trials, CONFIDENCE)
    return _at_least(
        "luck",
        f"probability that the RankIC is more than the best of {evidence.trials} trial(s) by luck:",
        figure,
        config.min_confidence,
    )


def _baselines(evidence: Evidence, config: GateConfig) -> tuple[Check, ...]:
    """Every baseline somebody could use instead, and every placebo graph.

    A placebo is no alternative: where true leaders never change, a static or a shuffled graph has
    them as well. It only must not be better beyond chance.
    """
    tolerance = config.baseline_tolerance
    return tuple(
        _placebo(name, found, tolerance)
        if is_placebo(name)
        else _difference(f"baseline {name}", f"baseline {name!r}", found, tolerance)
        for name, found in sorted(evidence.differences.items(), key=lambda item: item[1].mean)
    )


def _placebo(name: str, found: Interval, tolerance: float) -> Check:
    return Check(
        f"placebo {name}",
        found.high >= -tolerance,
        found.high,
        0.0 - tolerance,
        f"RankIC {found.mean:+.4f} against placebo {name!r}, interval {_shown(found)} must reach "
        f"{0.0 - tolerance:g}",
    )


def _champion(evidence: Evidence, config: GateConfig) -> Check:
    found = evidence.champion
    threshold = 0.0 - config.champion_tolerance
    if found is None:
        return Check("champion", True, math.nan, threshold, "there is no champion to compare with")
    if found.difference is None:
        reason = f"cannot be compared with the champion {found.version}: {found.obstacle}"
        return Check("champion", False, math.nan, threshold, reason)
    name = f"the champion {found.version} on {found.bars} bars"
    return _difference("champion", name, found.difference, config.champion_tolerance)


def _difference(check: str, rival: str, found: Interval, tolerance: float) -> Check:
    return Check(
        check,
        found.mean >= -tolerance,
        found.mean,
        0.0 - tolerance,
        f"RankIC {found.mean:+.4f} against {rival}, interval {_shown(found)}, "
        f"{0.0 - tolerance:g} or more needed",
    )


def _at_most(check: str, what: str, figure: float, limit: float) -> Check:
    return Check(check, figure <= limit, figure, limit, f"{what} {figure:.4f}, at most {limit:g}")


def _at_least(check: str, what: str, figure: float, limit: float) -> Check:
    return Check(check, figure >= limit, figure, limit, f"{what} {figure:.4f}, at least {limit:g}")


def _shown(interval: Interval) -> str:
    return f"[{interval.low:.4f}, {interval.high:.4f}]"
