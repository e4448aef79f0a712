"""A whole small run, from stored rows to a fitted model, to plant leaks in."""

from pathlib import Path

import numpy as np
import polars as pl

from gnn_trainer.evaluation.audit import PARTS, Subject
from gnn_trainer.evaluation.audit_bars import Origin
from gnn_trainer.evaluation.audit_model import Fitted
from gnn_trainer.evaluation.calibration import calibrate
from gnn_trainer.evaluation.novelty import fit_novelty
from gnn_trainer.features import build
from gnn_trainer.graph import assemble
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.relation_documents import read_relations
from gnn_trainer.market import assembly
from gnn_trainer.market.book import BOOK_SCHEMA
from gnn_trainer.market.history import History
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.market.splits import SplitConfig, chronological_split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.progress import Progress
from gnn_trainer.training import fit as fitting
from gnn_trainer.training.config import FitConfig
from tests.features.small_markets import SMALL_WINDOWS
from tests.market.market_tables import HOUR, JANUARY, candles, funding

SOURCE = "binance-usdm"
SYMBOLS = tuple(f"S{number}USDT" for number in range(6))
BARS = 560
END = JANUARY + BARS * HOUR
GRAPH = GraphConfig(neighbours=2, warmup_bars=40, refresh_bars=10, half_life_bars=100)
LABELS = LabelConfig(horizon=2, volatility_window=24)
SPLIT = SplitConfig(embargo_bars=4)
PLAN = fitting.FitPlan(
    model=ModelConfig(hidden=8, heads=2, graph_layers=1, temporal_layers=2),
    fit=FitConfig(members=2, batch_bars=64, device="cpu"),
    labels=LABELS,
    epochs=2,
    learning_rate=3e-3,
    seed=1,
)
RELATIONS = read_relations(
    [
        {"source": SYMBOLS[0], "target": SYMBOLS[1], "weight": 0.7},
        {
            "source": SYMBOLS[2],
            "target": SYMBOLS[3],
            "weight": 0.9,
            "valid_from": JANUARY + 300 * HOUR,
            "valid_to": JANUARY + 470 * HOUR,
        },
    ],
    source="test",
    symbols=SYMBOLS,
    start_ms=JANUARY,
    end_ms=END,
)


def stored_market(root: Path) -> History:
    """Bars with holes, funding every 8 hours, and order books of the bars 400 to 449."""
    history = History(root)
    rng = np.random.default_rng(5)
    for number, symbol in enumerate(SYMBOLS):
        table = candles(count=BARS, seed=number, price=10.0 * (number + 1))
        there_B = rng.random(BARS) >= 0.02
        there_B[[0, -1]] = True
        history.upsert_klines(SOURCE, "1h", symbol, table.filter(pl.Series(there_B)))
        rates = ((JANUARY + 8 * HOUR * n + 3, rng.normal(0, 1e-4)) for n in range(BARS // 8 + 1))
        history.upsert_funding(SOURCE, symbol, funding(*rates))
        history.append_books(SOURCE, _books(symbol, rng))
    return history


def made_of(history: History, fitted: Fitted | None = None) -> Subject:
    """Run every step as the flow does; `fitted` saves the training where it does not matter."""
    origin = Origin(history, SOURCE, "1h", SYMBOLS, JANUARY, END, (), closed_ms=END)
    frame, _ = assembly.load_frame(history, SOURCE, "1h", SYMBOLS, JANUARY, END, ())
    features = build.build_features(frame, SMALL_WINDOWS)
    graph = assemble.assemble_graph(frame, features, GRAPH, LABELS, RELATIONS)
    split = chronological_split(graph.open_time_T, graph.end_time_T, SPLIT)
    if fitted is None:
        model = fitting.fit(graph, split, PLAN, on_progress=unheard)
        train_TN = graph.mask_TN & split.train_T[:, None]
        fitted = Fitted(
            model,
            calibrate(model, graph, split.validation_T),
            fit_novelty(graph.x_TNF, model.scaler, train_TN, PLAN.seed),
        )
    return Subject(
        origin=origin,
        frame=frame,
        features=features,
        feature_config=SMALL_WINDOWS,
        graph=graph,
        graph_config=GRAPH,
        relations=RELATIONS,
        split=split,
        embargo_bars=SPLIT.embargo_bars,
        plan=PLAN,
        fitted=fitted,
    )


def breaches_of(subject: Subject, part: str) -> str:
    """All breaches that one part of the audit finds, as one text."""
    return "\n".join(
        f"{check.step} ({check.test}): {breach}"
        for check in PARTS[part](subject, never)
        for breach in check.breaches
    )


def never() -> bool:
    return False


def unheard(progress: Progress) -> None:
    """Nobody is watching."""


def _books(symbol: str, rng: np.random.Generator) -> pl.DataFrame:
    rows = [
        {
            "symbol": symbol,
            "time": JANUARY + hour * HOUR + 1_200_000,
            "bid_prices": [99.0, 98.0],
            "bid_quantities": rng.uniform(1.0, 9.0, 2).tolist(),
            "ask_prices": [101.0, 102.0],
            "ask_quantities": rng.uniform(1.0, 9.0, 2).tolist(),
        }
        for hour in range(400, 450)
    ]
    return pl.DataFrame(rows, schema=BOOK_SCHEMA)
