"""Skill where the truth is known: the planted market is learned, the empty one is refused.

Small sizes and fixed seeds; `benchmarks/skill.py` has the full ones.
"""

import numpy as np
import pytest

from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.backtest import holding_of
from gnn_trainer.evaluation.calibration import calibrate
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.evaluate import evaluate
from gnn_trainer.evaluation.pooling import pool
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, ORACLE
from gnn_trainer.evaluation.recovery import PlantedLead, Truth
from gnn_trainer.evaluation.report import EvaluationReport
from gnn_trainer.evaluation.rivals import fit_rivals
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.generated import GeneratedMarket
from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.market.splits import SplitConfig, chronological_split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.progress import Progress
from gnn_trainer.training.config import FitConfig
from gnn_trainer.training.fit import FitPlan, fit

PLAN = FitPlan(
    model=ModelConfig(),
    fit=FitConfig(device="cpu", patience=4),
    labels=LabelConfig(horizon=1),
    epochs=100,
    learning_rate=1e-3,
    seed=0,
)
JUDGEMENT = EvaluationConfig(placebos="")


def frame_of(market: GeneratedMarket) -> MarketFrame:
    """The market as the flow would see it, short of fetching it; no funding, no order book."""
    candles = market.candles("1h")
    shape = candles.close_TN.shape
    return MarketFrame(
        symbols=market.symbols,
        interval_ms=market.interval_ms,
        open_time_T=candles.open_time_T,
        open_TN=candles.open_TN,
        high_TN=candles.high_TN,
        low_TN=candles.low_TN,
        close_TN=candles.close_TN,
        volume_TN=candles.volume_TN,
        quote_volume_TN=candles.quote_volume_TN,
        trades_TN=candles.trades_TN,
        taker_buy_volume_TN=candles.taker_buy_volume_TN,
        valid_TN=np.ones(shape, dtype=np.bool_),
        funding_rate_TN=np.full(shape, np.nan),
        funding_time_TN=np.full(shape, np.nan),
        book_TNK=np.full((*shape, len(BOOK_FIELDS)), np.nan),
    )


def judged(config: ExchangeConfig) -> EvaluationReport:
    def ignore(progress: Progress) -> None:
        """Nobody is watching."""

    market = GeneratedMarket(config)
    frame = frame_of(market)
    graph = assemble_graph(
        frame, build_features(frame, FeatureConfig()), GraphConfig(), PLAN.labels
    )
    split = chronological_split(graph.open_time_T, graph.end_time_T, SplitConfig())
    model = fit(graph, split, PLAN, on_progress=ignore)
    leads = (PlantedLead(e.leader, e.follower, e.delay_bars) for e in market.planted_edges)
    fold = evaluate(
        model,
        fit_rivals(graph, split, PLAN, JUDGEMENT.placebo_graphs, model.scaler, on_progress=ignore),
        graph,
        split,
        holding_of(frame),
        calibration=calibrate(model, graph, split.validation_T),
        truth=Truth(market.oracle_scores(graph.open_time_T), tuple(leads)),
    )
    return pool([fold], JUDGEMENT, audit=AuditReport(checks=()))


@pytest.fixture(scope="module")
def planted() -> EvaluationReport:
    return judged(ExchangeConfig(bars=2500))


@pytest.fixture(scope="module")
def noise() -> EvaluationReport:
    return judged(ExchangeConfig(bars=2500, strength=0.0))


def test_the_oracle_of_the_default_market_is_neither_blind_nor_all_seeing(
    planted: EvaluationReport,
) -> None:
    assert 0.10 < planted.metrics[ORACLE].rank_ic.mean < 0.20


def test_the_network_reaches_seven_tenths_of_the_oracle(planted: EvaluationReport) -> None:
    best = planted.metrics[ORACLE].rank_ic.mean
    assert planted.metrics[MODEL].rank_ic.mean >= 0.7 * best


def test_the_network_clearly_beats_itself_without_graph(planted: EvaluationReport) -> None:
    assert planted.graph_contribution.low > 0.05
    assert planted.metrics[NO_GRAPH].rank_ic.mean < 0.03


def test_most_planted_edges_are_drawn(planted: EvaluationReport) -> None:
    assert planted.recovery is not None
    assert planted.recovery.planted == 2 * 20
    assert planted.recovery.recall > 0.8
    assert planted.recovery.strongest > 0.7


def test_the_planted_market_is_promoted(planted: EvaluationReport) -> None:
    assert planted.verdict.promoted


def test_noise_has_a_rank_ic_interval_around_zero(noise: EvaluationReport) -> None:
    interval = noise.metrics[MODEL].rank_ic
    assert interval.low < 0.0 < interval.high


def test_noise_is_refused(noise: EvaluationReport) -> None:
    assert not noise.verdict.promoted
