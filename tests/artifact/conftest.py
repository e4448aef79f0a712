"""A small market, an untrained network with a fitted scaler, and a report to publish it with."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from gnn_trainer.adapters.folder import FolderStore
from gnn_trainer.artifact.bundle import Bundle
from gnn_trainer.artifact.manifest import DataRecord
from gnn_trainer.artifact.publish import Provenance
from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.backtest import Ledger, backtest
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.gate import Verdict
from gnn_trainer.evaluation.intervals import Difference, Interval
from gnn_trainer.evaluation.metrics import Metrics
from gnn_trainer.evaluation.novelty import fit_novelty
from gnn_trainer.evaluation.protocol import Span
from gnn_trainer.evaluation.report import EvaluationReport, FoldSpans, Slice
from gnn_trainer.evaluation.terms import CostConfig
from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.market.frame import BOOK_FIELDS, MarketFrame
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.training.trained import EpochRecord, TrainedModel

NUM_BARS, NUM_SYMBOLS = 200, 5
START_MS = 1_700_006_400_000
CREATED = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def frame() -> MarketFrame:
    rng = np.random.default_rng(3)
    shape = (NUM_BARS, NUM_SYMBOLS)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, shape), axis=0))
    open_ = np.vstack((close[:1], close[:-1]))
    volume = rng.lognormal(3.0, 0.3, shape)
    valid = np.ones(shape, np.bool_)
    valid[-1, -1] = False
    blank = np.where(valid, 1.0, np.nan)
    return MarketFrame(
        symbols=("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT"),
        interval_ms=INTERVAL_MS["1h"],
        open_time_T=START_MS + np.arange(NUM_BARS) * INTERVAL_MS["1h"],
        open_TN=open_ * blank,
        high_TN=np.maximum(open_, close) * 1.001 * blank,
        low_TN=np.minimum(open_, close) * 0.999 * blank,
        close_TN=close * blank,
        volume_TN=volume * blank,
        quote_volume_TN=volume * close * blank,
        trades_TN=np.round(volume * 10) * blank,
        taker_buy_volume_TN=volume * rng.uniform(0.3, 0.7, shape) * blank,
        valid_TN=valid,
        funding_rate_TN=np.full(shape, 1e-4),
        funding_time_TN=np.full(shape, float(START_MS)),
        book_TNK=np.full((*shape, len(BOOK_FIELDS)), np.nan),
    )


@pytest.fixture(scope="session")
def bundle(frame: MarketFrame) -> Bundle:
    features = FeatureConfig(short_window=4, medium_window=8, long_window=16, beta_window=20)
    edges = GraphConfig(neighbours=3, refresh_bars=10, half_life_bars=50, warmup_bars=60)
    labels = LabelConfig(volatility_window=16)
    shape = ModelConfig(hidden=8, heads=2, graph_layers=1, temporal_layers=2)
    table = build_features(frame, features)
    graph = assemble_graph(frame, table, edges, labels)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Ensemble(
            shape,
            num_features=len(graph.feature_names),
            num_edge_attrs=graph.num_edge_attrs,
        )
    model = TrainedModel(
        network=network,
        scaler=fit_scaler(table.x_TNF, table.mask_TN),
        class_threshold=1 / 3,
        feature_names=graph.feature_names,
        edge_names=graph.edge_names,
        model_config=shape,
        label_config=labels,
        history=(EpochRecord(epoch=1, loss=1.1, val_rank_ic=0.1 + 0.2, seconds=0.5),),
        best_epoch=1,
        seed=7,
    )
    return Bundle(
        model=model,
        features=features,
        graph=edges,
        interval="1h",
        symbols=frame.symbols,
        fitted_until_ms=int(frame.open_time_T[150]),
        calibration=Calibration(temperature=1.7, samples=100, ece_before=0.09, ece_after=0.02),
        novelty=fit_novelty(graph.x_TNF[:150], model.scaler, graph.mask_TN[:150], seed=0),
    )


def report_with(*, promoted: bool) -> EvaluationReport:
    skill = Interval(0.04, 0.01, 0.07)
    gain = Difference(Interval(0.003, -0.001, 0.007), t=1.2)
    metrics = Metrics(
        rank_ic=skill,
        ic=0.03,
        icir=float("nan"),
        newey_west_t=2.5,
        positive_share=0.55,
        rank_ic_net=Interval(0.03, 0.0, 0.06),
        rank_ic_close=0.03,
        rank_ic_late=0.02,
        accuracy=0.36,
        macro_f1=0.35,
        mcc=0.02,
        auc=0.51,
        log_loss=None,
        ece=None,
    )
    span = Span(first_ms=START_MS, last_ms=START_MS, bars=1, samples=5)
    nothing = np.zeros(1)
    ledger = Ledger(np.array([START_MS]), nothing, nothing, nothing, nothing)
    return EvaluationReport(
        train=span,
        validation=span,
        test=span,
        folds=(FoldSpans(seed=7, train=span, validation=span, test=span),),
        metrics={"no graph": metrics, "gnn": metrics},
        differences={"no graph": gain},
        graph_contribution=gain.interval,
        slices=(Slice("hour", "13", 1, 5, skill, gain.interval),),
        class_shares={"DOWN": 0.3, "FLAT": 0.4, "UP": 0.3},
        coverage=1.0,
        graph_density=0.5,
        graph_churn=0.1,
        recovery=None,
        backtest=backtest(ledger, INTERVAL_MS["1h"], CostConfig(), trials=1),
        calibration=Calibration(temperature=1.7),
        novelty=None,
        audit=AuditReport(checks=()),
        champion=None,
        verdict=Verdict(promoted=promoted, reasons=("a <reason>",)),
    )


@pytest.fixture
def promoted_report() -> EvaluationReport:
    return report_with(promoted=True)


@pytest.fixture
def refused_report() -> EvaluationReport:
    return report_with(promoted=False)


@pytest.fixture
def provenance(bundle: Bundle) -> Provenance:
    data = DataRecord(
        source="simulated-usdm",
        fingerprint="ab" * 32,
        interval="1h",
        symbols=bundle.symbols,
        start_ms=START_MS,
        end_ms=START_MS + NUM_BARS * INTERVAL_MS["1h"],
    )
    return Provenance(created=CREATED, data=data, code_version="0.1.0")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "models")
