"""A run without a leak passes; one with a leak does not, and says which."""

import json
from dataclasses import replace

import pytest

from gnn_trainer.errors import LeakFound, StopRequested
from gnn_trainer.evaluation.audit import PARTS, Subject, audit
from gnn_trainer.evaluation.audit_report import MAX_NAMED, AuditReport, Check, check_of
from gnn_trainer.progress import Progress
from tests.leaks.small_run import never, unheard


def test_an_honest_run_passes_and_the_report_is_json(honest: Subject) -> None:
    heard: list[Progress] = []
    report = audit(honest, on_progress=heard.append)
    assert report.breaches == ()
    report.require_passed()
    document = json.loads(json.dumps(report.to_dict()))
    assert document["passed"] is True
    assert [progress.stage for progress in heard] == [f"audit: {part}" for part in PARTS]
    assert all(check.compared > 0 for check in report.checks)
    assert "1 relations are static (survivorship risk)" in report.suspicions[-1]


def test_a_breach_is_an_error_that_names_every_one() -> None:
    report = AuditReport(
        (Check("features", "poison", 9, ("return_rank knows later bars",)), Check("fit", "x", 1))
    )
    with pytest.raises(LeakFound, match=r"features \(poison\): return_rank") as caught:
        report.require_passed()
    assert caught.value.breaches == report.breaches


def test_many_breaches_are_told_and_the_rest_counted() -> None:
    check = check_of("edges", "poison", 1, [str(number) for number in range(MAX_NAMED + 3)])
    assert check.breaches[-1] == "and 3 more"


def test_a_stop_ends_the_audit(honest: Subject) -> None:
    with pytest.raises(StopRequested, match="before the audit of split"):
        audit(honest, on_progress=unheard, should_stop=lambda: True)


def test_bars_that_were_still_forming_are_named(honest: Subject) -> None:
    early = replace(honest.origin, closed_ms=honest.origin.closed_ms - 3_600_000)
    checks = PARTS["bars"](replace(honest, origin=early), never)
    assert any("1 bars were not closed" in breach for c in checks for breach in c.breaches)
