"""A report of folds made by hand, with everything a page can show."""

import numpy as np
import pytest

from gnn_trainer.evaluation.audit_report import AuditReport, check_of
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.exhibits import Exhibits, Importance, Lead, Portrait, exhibit
from gnn_trainer.evaluation.intervals import Interval
from gnn_trainer.evaluation.novelty import Novelty
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.market.report import DataReport, SymbolReport
from gnn_trainer.report.material import Material
from gnn_trainer.report.page import report_page
from gnn_trainer.training.trained import EpochRecord
from tests.evaluation.made_folds import HOUR_MS, made_fold

HOSTILE = "A$B$<script>alert(1)</script>|"
CALIBRATION = Calibration(temperature=1.4, samples=900, ece_before=0.08, ece_after=0.02)


@pytest.fixture(scope="session")
def folds() -> list[Fold]:
    return [made_fold(test=0), made_fold(test=1)]


@pytest.fixture(scope="session")
def exhibits(folds: list[Fold]) -> Exhibits:
    names = [*folds[0].symbols[1:], HOSTILE]
    rng = np.random.default_rng(0)
    leads = [
        Lead(names[place], names[place - 1], float(rng.random()), float(rng.random()))
        for place in range(len(names))
    ]
    days = np.arange(10) * 24 * HOUR_MS
    portrait = Portrait(
        symbols=len(names),
        refreshes=5,
        leads=tuple(leads),
        followers={name: 1.0 for name in names},
        time_ms=tuple(days.tolist()),
        density=tuple(rng.uniform(0.2, 0.3, len(days)).tolist()),
        churn=tuple(rng.uniform(0.0, 0.2, len(days)).tolist()),
    )
    importance = [Importance(f"feature_{n}", Interval(0.01 * n, 0.0, 0.02 * n)) for n in range(5)]
    return exhibit(folds, calibration=CALIBRATION, importance=importance, portrait=portrait)


@pytest.fixture(scope="session")
def material(folds: list[Fold], exhibits: Exhibits) -> Material:
    audit = AuditReport((check_of("features", "truncation", 100, []),), ("returns look good",))
    symbols = [_symbol(name) for name in (*folds[0].symbols, HOSTILE)]
    return Material(
        title="made 20240501T123000Z-00000000",
        about=("Trained on <what>.",),
        limits=("No costs are deducted.",),
        report=pool(
            folds,
            EvaluationConfig(),
            audit=audit,
            calibration=CALIBRATION,
            novelty=Novelty(100, 0.5, 0.06, 0.07),
        ),
        history=tuple(EpochRecord(n, 1.0 / n, 0.01 * n, 0.5) for n in range(1, 6)),
        best_epoch=5,
        data=DataReport("made", "1h", 0, 240 * HOUR_MS, 240, (), tuple(symbols)),
        exhibits=exhibits,
    )


@pytest.fixture(scope="session")
def page(material: Material) -> str:
    return report_page(material).decode()


def _symbol(name: str) -> SymbolReport:
    return SymbolReport(
        symbol=name,
        rows=240,
        valid_bars=230,
        first_ms=0,
        last_ms=239 * HOUR_MS,
        gaps=1,
        missing_bars=10,
        duplicates=0,
        unclosed=0,
        misaligned=0,
        impossible=0,
        outside_listing=0,
        frozen=0,
        jump_times_ms=(),
        funding_rates=30,
        book_snapshots=0,
    )
