"""The gate says yes to what earned it, and names what was missing otherwise."""

import json
import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gnn_trainer.evaluation.champion import ChampionComparison
from gnn_trainer.evaluation.gate import Evidence, decide
from gnn_trainer.evaluation.intervals import Interval, bootstrap_mean
from gnn_trainer.evaluation.terms import GateConfig

DIFFERENCES = {
    "ridge": Interval(0.01, -0.002, 0.02),
    "no graph": Interval(0.004, 0.001, 0.007),
}
GOOD = Evidence(
    audit_passed=True,
    rank_ic=Interval(0.05, 0.03, 0.07),
    differences=DIFFERENCES,
    ece=0.02,
    coverage=0.99,
    break_even_bps=1.5,
    trials=3,
    champion=ChampionComparison("v1", 500, Interval(0.001, -0.003, 0.005)),
)


def test_what_passes_every_check_is_promoted_with_all_figures() -> None:
    verdict = decide(GOOD, GateConfig())
    assert verdict.promoted
    assert all(check.passed for check in verdict.checks)
    assert len(verdict.reasons) == len(verdict.checks)
    names = {check.name for check in verdict.checks}
    assert {"audit", "skill", "luck", "baseline ridge", "champion", "costs"} <= names
    document = json.loads(json.dumps(asdict(verdict)))
    assert document["checks"][0] == asdict(verdict.checks[0])


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"audit_passed": False}, "audit", "did not pass"),
        ({"rank_ic": Interval(0.02, 0.0, 0.04)}, "skill", "not above zero"),
        ({"rank_ic": Interval(math.nan, math.nan, math.nan)}, "skill", "not above zero"),
        ({"trials": 100_000}, "luck", "best of 100000 trial"),
        ({"differences": {"lightgbm": Interval(-0.001, -0.02, 0.02)}}, "baseline lightgbm", "-0.0"),
        ({"ece": 0.051}, "calibration", "at most 0.05"),
        ({"ece": math.nan}, "calibration", "nan"),
        ({"coverage": 0.94}, "coverage", "at least 0.95"),
        ({"break_even_bps": -0.1}, "costs", "at least 0"),
        ({"break_even_bps": math.nan}, "costs", "nan"),
        (
            {"champion": ChampionComparison("v1", 500, Interval(-0.0021, -0.01, 0.01))},
            "champion",
            "v1 on 500 bars",
        ),
        ({"champion": ChampionComparison("v1", 3, None, "too new")}, "champion", "too new"),
    ],
)
def test_each_check_alone_refuses_and_says_so(
    change: dict[str, Any], name: str, words: str
) -> None:
    verdict = decide(replace(GOOD, **change), GateConfig())
    assert not verdict.promoted
    failed = [check for check in verdict.checks if not check.passed]
    assert name in {check.name for check in failed}
    assert verdict.reasons == tuple(check.reason for check in failed)
    assert any(words in reason for reason in verdict.reasons)


def test_a_placebo_graph_must_not_be_better_beyond_chance() -> None:
    as_good = DIFFERENCES | {"static graph": Interval(-0.002, -0.006, 0.001)}
    better = DIFFERENCES | {"static graph": Interval(-0.02, -0.03, -0.01)}
    assert decide(replace(GOOD, differences=as_good), GateConfig()).promoted
    verdict = decide(replace(GOOD, differences=better), GateConfig())
    assert not verdict.promoted
    assert "'static graph'" in verdict.reasons[0]


def test_the_first_version_needs_no_champion() -> None:
    assert decide(replace(GOOD, champion=None), GateConfig()).promoted


def test_thresholds_are_what_the_configuration_says() -> None:
    worse = replace(GOOD, ece=0.08, coverage=0.5, differences={"ridge": Interval(-0.01, -0.02, 0)})
    lenient = GateConfig(max_ece=0.1, min_coverage=0.4, baseline_tolerance=0.01)
    assert not decide(worse, GateConfig()).promoted
    assert decide(worse, lenient).promoted
    assert not decide(GOOD, GateConfig(min_break_even_bps=5.0)).promoted


@pytest.mark.parametrize(
    "change",
    [{"baseline_tolerance": -0.1}, {"max_ece": 0.0}, {"min_coverage": 1.1}, {"audit": False}],
)
def test_nonsense_thresholds_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GateConfig(**change)


def test_noise_that_is_tried_again_and_again_is_hardly_ever_promoted() -> None:
    """Who trains on noise until something shines is held back by the count of trials."""
    rng = np.random.default_rng(0)
    promoted = 0
    for _ in range(10):  # people
        for trial in range(1, 31):
            by_bar = rng.normal(0.0, 0.2, 400)
            evidence = replace(
                GOOD,
                rank_ic=bootstrap_mean(by_bar, block=7, seed=trial),
                trials=trial,
                champion=None,
            )
            promoted += decide(evidence, GateConfig()).promoted
    assert promoted <= 3  # of 300, where the plain interval lets through about 8
