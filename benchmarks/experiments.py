"""What makes the model better: named variants, judged inside the training and validation spans.

    python -m benchmarks.experiments --data FOLDER [--variants NAME ...] [--seeds N ...] [--rivals]
    python -m benchmarks.experiments --generated SEED [the same]

The last fifth of the bars, the test span of a run with default settings, is cut off before
anything is computed. What is left is judged in two folds: on the bars from 45 to 60 % and from 60
to 80 % of the whole, each after fitting on the bars before. Figures are RankIC of the return that
can be traded, mean over the judged bars of both folds, with 95 % block-bootstrap intervals;
differences are to the first line and paired by bar. Several seeds are averaged bar by bar and
shown one by one behind. docs/experiments.md keeps what was found.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from gnn_trainer.evaluation.intervals import block_length, bootstrap_mean
from gnn_trainer.evaluation.metrics import filled_rank_ic
from gnn_trainer.evaluation.rivals import fit_scorers, learned_scores
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.generated import Candles, GeneratedMarket
from gnn_trainer.exchange.replay import ReplayedMarket
from gnn_trainer.exchange.truth import Bars, FundingHistory
from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.assembly import load_frame
from gnn_trainer.market.candles import CANDLE_SCHEMA
from gnn_trainer.market.frame import BOOK_FIELDS, FloatArray, MarketFrame
from gnn_trainer.market.funding import FUNDING_SCHEMA
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.market.splits import Split, SplitConfig, chronological_split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.progress import Progress
from gnn_trainer.training.config import FitConfig
from gnn_trainer.training.fit import FitPlan, fit
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.samples import usable_rows

FOLD_ENDS = (0.6, 0.8)  # shares of all bars; nothing after the last is looked at
INNER_SPLIT = SplitConfig(train=0.6, validation=0.15)
Changes = Mapping[str, Mapping[str, Any]]  # config -> setting -> value

VARIANTS: dict[str, Changes] = {
    "default": {},
    "without graph": {"plan": {"use_graph": False}},
    "start": {"plan": {"epochs": 1, "learning_rate": 1e-9}},  # the regression, untrained
    "one member": {"fit": {"members": 1}},
    "three members": {"fit": {"members": 3}},
    "five members": {"fit": {"members": 5}},
    "neighbours 12": {"graph": {"neighbours": 12}},
    "half-life 500": {"graph": {"half_life_bars": 500}},
    "half-life 8000": {"graph": {"half_life_bars": 8000}},
    "max lag 1": {"graph": {"max_lag": 1}},
    "learning rate 3e-4": {"plan": {"learning_rate": 3e-4}},
    "learning rate 3e-3": {"plan": {"learning_rate": 3e-3}},
    "20 epochs": {"plan": {"epochs": 20}},
    "hidden 16": {"model": {"hidden": 16}},
    "hidden 64": {"model": {"hidden": 64}},
    "head dropout 0.7": {"model": {"head_dropout": 0.7}},
    "temporal layers 2": {"model": {"temporal_layers": 2}},
    "graph layers 2": {"model": {"graph_layers": 2}},
    "weight decay 0.1": {"fit": {"weight_decay": 0.1}},
    "batch 64": {"fit": {"batch_bars": 64}},
    "bf16": {"fit": {"precision": "bf16"}},
    "horizon 4": {"labels": {"horizon": 4}},
}


@dataclass(frozen=True)
class Outcome:
    """RankIC by judged bar, both folds in time order, one row for each seed."""

    by_seed_ST: FloatArray
    seconds: float
    epochs: int

    @property
    def by_bar(self) -> FloatArray:
        mean_T: FloatArray = self.by_seed_ST.mean(axis=0)
        return mean_T


class Laboratory:
    """A market cut off before its test span, and what has been made of it so far."""

    def __init__(self, frame: MarketFrame, seeds: Sequence[int]) -> None:
        self._frame = frame.bars(0, int(FOLD_ENDS[-1] * frame.num_bars))
        self._num_bars = frame.num_bars
        self._seeds = seeds
        self._graphs: dict[str, GraphSequence] = {}

    def graph(self, changes: Changes, fold_end: float) -> GraphSequence:
        """Cut at `fold_end` before features and labels are made, as if it had ended there."""
        features = FeatureConfig(**changes.get("features", {}))
        edges = GraphConfig(**changes.get("graph", {}))
        labels = LabelConfig(**changes.get("labels", {}))
        key = f"{features} {edges} {labels} {fold_end}"
        if key not in self._graphs:
            frame = self._frame.bars(0, int(fold_end * self._num_bars))
            self._graphs[key] = assemble_graph(
                frame, build_features(frame, features), edges, labels
            )
        return self._graphs[key]

    def plan(self, changes: Changes, seed: int) -> FitPlan:
        plan = FitPlan(
            model=ModelConfig(**changes.get("model", {})),
            fit=FitConfig(**changes.get("fit", {})),
            labels=LabelConfig(**changes.get("labels", {})),
            epochs=100,
            learning_rate=1e-3,
            seed=seed,
        )
        return replace(plan, **changes.get("plan", {}))

    def fold(self, changes: Changes, fold_end: float) -> tuple[GraphSequence, Split]:
        graph = self.graph(changes, fold_end)
        return graph, chronological_split(graph.open_time_T, graph.end_time_T, INNER_SPLIT)

    def run(self, changes: Changes) -> Outcome:
        """Fit the variant in every fold and judge it on the bars behind."""
        began = time.process_time()
        parts, epochs = [], 0
        for fold_end in FOLD_ENDS:
            graph, split = self.fold(changes, fold_end)
            by_seed = []
            for seed in self._seeds:
                model = fit(graph, split, self.plan(changes, seed), on_progress=_ignore)
                score_TN = score_bars(model, graph, 0, graph.num_bars).rank_CN
                by_seed.append(_judge(score_TN.astype(np.float64), graph, split))
                epochs += len(model.history)
            parts.append(np.stack(by_seed))
        return Outcome(np.concatenate(parts, axis=1), time.process_time() - began, epochs)

    def rivals(self) -> dict[str, Outcome]:
        """The learning baselines of an evaluation on the same bars."""
        parts: dict[str, list[FloatArray]] = defaultdict(list)
        for fold_end in FOLD_ENDS:
            graph, split = self.fold({}, fold_end)
            scaler = fit_scaler(graph.x_TNF, usable_rows(graph) & split.train_T[:, None])
            scorers = fit_scorers(graph, split, scaler, seed=0, on_progress=_ignore)
            scores = learned_scores(graph, split, scaler, scorers)
            for name, score_TN in scores.items():
                parts[name].append(_judge(score_TN, graph, split))
        return {name: _single(by_fold) for name, by_fold in parts.items()}

    def known(self, market: GeneratedMarket) -> Outcome:
        """The best that can be known of a generated market."""
        folds = (self.fold({}, fold_end) for fold_end in FOLD_ENDS)
        parts = [
            _judge(market.oracle_scores(graph.open_time_T), graph, split) for graph, split in folds
        ]
        return _single(parts)


def _ignore(progress: Progress) -> None:
    """Nobody is watching."""


def _single(by_fold: Sequence[FloatArray]) -> Outcome:
    return Outcome(np.concatenate(by_fold)[None], 0.0, 0)


def _judge(score_TN: FloatArray, graph: GraphSequence, split: Split) -> FloatArray:
    known_TN = usable_rows(graph) & split.test_T[:, None]
    return filled_rank_ic(score_TN, graph.ret_TN, known_TN)


def recorded_frame(folder: Path, count: int | None) -> MarketFrame:
    """The first `count` symbols of a recorded set, or all, cleaned and masked as in a run."""
    market = ReplayedMarket(ExchangeConfig(replay=folder / "klines.parquet"))
    interval = next(name for name, ms in INTERVAL_MS.items() if ms == market.interval_ms)
    symbols = [listing.symbol for listing in market.listings()][:count]
    with tempfile.TemporaryDirectory() as root:
        history = History(Path(root))
        for symbol in symbols:
            history.upsert_klines("replay", interval, symbol, _candles(market.bars(symbol)))
            history.upsert_funding("replay", symbol, _funding(market.funding(symbol)))
        start_ms = min(listing.listed_ms for listing in market.listings())
        return load_frame(history, "replay", interval, symbols, start_ms, market.now_ms)[0]


def _candles(bars: Bars) -> pl.DataFrame:
    table = pl.DataFrame({name: getattr(bars, name) for name in CANDLE_SCHEMA})
    return table.filter(pl.Series(bars.complete)).cast(pl.Schema(CANDLE_SCHEMA))


def _funding(funding: FundingHistory) -> pl.DataFrame:
    columns = {"funding_time": funding.time, "rate": funding.rate, "mark_price": funding.mark_price}
    return pl.DataFrame(columns).cast(pl.Schema(FUNDING_SCHEMA))


def generated_frame(market: GeneratedMarket) -> MarketFrame:
    """The market as a run would see it; no funding, no order book."""
    candles = market.candles(market.interval)
    shape = candles.close_TN.shape
    arrays = {field.name: getattr(candles, field.name) for field in fields(Candles)}
    del arrays["taker_buy_quote_volume_TN"]
    return MarketFrame(
        symbols=market.symbols,
        interval_ms=market.interval_ms,
        valid_TN=np.ones(shape, dtype=np.bool_),
        funding_rate_TN=np.full(shape, np.nan),
        funding_time_TN=np.full(shape, np.nan),
        book_TNK=np.full((*shape, len(BOOK_FIELDS)), np.nan),
        **arrays,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    market = parser.add_mutually_exclusive_group(required=True)
    market.add_argument("--data", type=Path, help="folder of a recorded set (klines.parquet)")
    market.add_argument("--generated", type=int, metavar="SEED", help="a planted market instead")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--symbols", type=int, help="the first so many of the recorded set only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the fits, averaged")
    parser.add_argument("--rivals", action="store_true", help="the baselines that learn as well")
    arguments = parser.parse_args()
    reference = None
    for name, outcome in outcomes(arguments):
        reference = reference or outcome
        print(line(name, outcome, reference), flush=True)


def outcomes(arguments: argparse.Namespace) -> Iterator[tuple[str, Outcome]]:
    """Variants in the order asked for, then the oracle of a generated market and the rivals."""
    market = None
    if arguments.data is None:
        market = GeneratedMarket(ExchangeConfig(seed=arguments.generated))
    frame = (
        recorded_frame(arguments.data, arguments.symbols)
        if market is None
        else generated_frame(market)
    )
    laboratory = Laboratory(frame, arguments.seeds)
    for name in arguments.variants:
        yield name, laboratory.run(VARIANTS[name])
    if market is not None:
        yield "oracle", laboratory.known(market)
    if arguments.rivals:
        yield from laboratory.rivals().items()


def line(name: str, outcome: Outcome, reference: Outcome) -> str:
    """One result; a variant of another horizon has other bars and no paired difference."""
    block = block_length(len(outcome.by_bar), horizon=1)
    skill = bootstrap_mean(outcome.by_bar, block, seed=0)
    text = f"{name:22} {skill.mean:+.4f} ({skill.low:+.4f} .. {skill.high:+.4f})"
    if len(outcome.by_bar) == len(reference.by_bar):
        gain = bootstrap_mean(outcome.by_bar - reference.by_bar, block, seed=0)
        text += f"  difference {gain.mean:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})"
    if len(outcome.by_seed_ST) > 1:
        text += f"  seeds {' '.join(f'{mean:+.4f}' for mean in outcome.by_seed_ST.mean(axis=1))}"
    return f"{text}  {outcome.seconds:4.0f} s CPU, {outcome.epochs} epochs"


if __name__ == "__main__":
    main()
