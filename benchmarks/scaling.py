"""How costs grow with symbols and with bars: `python -m benchmarks.scaling [--small]`.

CPU seconds of features, graph and one epoch of training on generated markets of 1h bars; at full
size, a few minutes, as curves in benchmarks/scaling.svg too. Power of growth: 1 is linear.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Picture

from benchmarks.experiments import generated_frame
from benchmarks.figures import Figure, main
from gnn_trainer.exchange.config import ExchangeConfig
from gnn_trainer.exchange.generated import GeneratedMarket
from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.graph.assemble import assemble_graph
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.market.splits import SplitConfig, chronological_split
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.progress import Progress
from gnn_trainer.training.config import FitConfig
from gnn_trainer.training.fit import FitPlan, fit

PICTURE = Path(__file__).with_name("scaling.svg")
STAGES = ("features", "graph", "training epoch")
EPOCHS = 3
ROUNDS = 3  # of features and graph; the fastest counts


@dataclass(frozen=True)
class Curve:
    """CPU seconds of every stage by size."""

    along: str  # what grows
    fixed: str  # and what does not
    sizes: tuple[int, ...]
    cpu_s: dict[str, list[float]]

    def power(self, stage: str) -> float:
        """Of a power law through the points."""
        slope, _ = np.polyfit(np.log(self.sizes), np.log(self.cpu_s[stage]), 1)
        return float(slope)


def lines(small: bool) -> list[Figure]:
    curves = measured(small)
    if not small:
        draw(curves, PICTURE)
    return [
        Figure(
            f"scaling: {stage}, power of {curve.along}",
            curve.power(stage),
            "",
            note=", ".join(
                f"{size:,}: {cpu_s:.2f} s"
                for size, cpu_s in zip(curve.sizes, curve.cpu_s[stage], strict=True)
            ),
        )
        for curve in curves
        for stage in STAGES
    ]


def measured(small: bool) -> tuple[Curve, Curve]:
    symbols = (10, 20, 50, 100) if small else (10, 20, 50, 100, 200, 400)
    bars = (1000, 2000, 4000) if small else (1000, 2000, 4000, 8000, 16_000)
    return (
        _curve("symbols", "2,000 bars", symbols, [_costs(count, 2000) for count in symbols]),
        _curve("bars", "20 symbols", bars, [_costs(20, count) for count in bars]),
    )


def _curve(
    along: str, fixed: str, sizes: tuple[int, ...], found: Sequence[dict[str, float]]
) -> Curve:
    return Curve(along, fixed, sizes, {stage: [cost[stage] for cost in found] for stage in STAGES})


def _costs(num_symbols: int, num_bars: int) -> dict[str, float]:
    frame = generated_frame(GeneratedMarket(ExchangeConfig(symbols=num_symbols, bars=num_bars)))
    features = build_features(frame, FeatureConfig())

    def assemble() -> GraphSequence:
        return assemble_graph(frame, features, GraphConfig(), LabelConfig())

    return {
        "features": _fastest(lambda: build_features(frame, FeatureConfig())),
        "graph": _fastest(assemble),
        "training epoch": _epoch(assemble()),
    }


def _fastest(work: Callable[[], object]) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def _epoch(graph: GraphSequence) -> float:
    """The fastest epoch but the first, which pays for the start."""
    ends: list[float] = []

    def note(progress: Progress, /) -> None:
        if progress.fields.get("epoch") == len(ends) + 1:
            ends.append(time.process_time())

    plan = FitPlan(
        model=ModelConfig(),
        fit=FitConfig(),
        labels=LabelConfig(),
        epochs=EPOCHS,
        learning_rate=1e-3,
        seed=0,
    )
    split = chronological_split(graph.open_time_T, graph.end_time_T, SplitConfig())
    fit(graph, split, plan, on_progress=note)
    return float(np.diff(ends).min())


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Both curves side by side, log-log."""
    with mpl.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "none"}):
        picture = Picture(figsize=(10, 4), layout="constrained")
        for axes, curve in zip(picture.subplots(1, len(curves)), curves, strict=True):
            for stage in STAGES:
                label = f"{stage}, power {curve.power(stage):.2f}"
                axes.loglog(curve.sizes, curve.cpu_s[stage], marker="o", label=label)
            axes.set_xlabel(f"{curve.along} ({curve.fixed})")
            axes.set_ylabel("CPU seconds")
            axes.grid(visible=True, which="both", alpha=0.3)
            axes.legend()
        picture.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main(lines)
