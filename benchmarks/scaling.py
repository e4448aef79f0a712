"""How costs grow with symbols and with bars: `python -m benchmarks.scaling [--small]`.

CPU seconds of features, graph and one epoch of training on generated markets of 1h bars, and of
training steps on random numbers by edges (symbols times neighbours); at full size, a few minutes,
as curves in benchmarks/scaling.svg too. The power of growth: 1 is linear.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Picture

from benchmarks.experiments import generated_frame
from benchmarks.figures import Figure, main
from benchmarks.side_by_side import Contestant, in_turns
from benchmarks.training import DEFAULT, Shape, ours
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
LINEAR = 1.15  # powers up to this count as linear: short epochs scatter by a tenth


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
            LINEAR if stage.startswith("training") else None,
            more_is_better=False,
            note=", ".join(
                f"{size:,}: {seconds:.{2 if seconds > 0.1 else 3}f} s"
                for size, seconds in zip(curve.sizes, cpu_s, strict=True)
            ),
        )
        for curve in curves
        for stage, cpu_s in curve.cpu_s.items()
    ]


def measured(small: bool) -> tuple[Curve, ...]:
    symbols = (10, 20, 50, 100) if small else (10, 20, 50, 100, 200, 400)
    bars = (1000, 2000, 4000) if small else (1000, 2000, 4000, 8000, 16_000)
    return (
        _curve("symbols", "2,000 bars", symbols, [_costs(count, 2000) for count in symbols]),
        _curve("bars", "20 symbols", bars, [_costs(20, count) for count in bars]),
        *_steps(),
    )


def _steps() -> tuple[Curve, Curve]:
    """A training step by edges: of more symbols, and of more neighbours of 500 symbols."""
    by_symbols = [replace(DEFAULT, symbols=count) for count in (20, 50, 100, 200, 500)]
    by_neighbours = [replace(DEFAULT, symbols=500, neighbours=count) for count in (4, 8, 16, 32)]
    shapes = dict.fromkeys((*by_symbols, *by_neighbours))
    costs = in_turns([Contestant(_name(shape), partial(ours, shape)) for shape in shapes])

    def curve(fixed: str, along: Sequence[Shape]) -> Curve:
        sizes = tuple(shape.symbols * shape.neighbours for shape in along)
        cpu_s = [costs[_name(shape)].cpu_s for shape in along]
        return Curve("symbols x neighbours", fixed, sizes, {f"training step, {fixed}": cpu_s})

    return curve("8 neighbours", by_symbols), curve("500 symbols", by_neighbours)


def _name(shape: Shape) -> str:
    return f"{shape.symbols} symbols, {shape.neighbours} neighbours"


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
    """All curves side by side, log-log."""
    with mpl.rc_context({"svg.hashsalt": "scaling", "svg.fonttype": "none"}):
        picture = Picture(figsize=(16, 4), layout="constrained")
        for axes, curve in zip(picture.subplots(1, len(curves)), curves, strict=True):
            for stage in curve.cpu_s:
                label = f"{stage}, power {curve.power(stage):.2f}"
                axes.loglog(curve.sizes, curve.cpu_s[stage], marker="o", label=label)
            axes.set_xlabel(f"{curve.along} ({curve.fixed})")
            axes.set_ylabel("CPU seconds")
            axes.grid(visible=True, which="both", alpha=0.3)
            axes.legend()
        picture.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main(lines)
