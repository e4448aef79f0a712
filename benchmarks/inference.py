"""What one snapshot costs: every symbol of a market scored at its newest bar, on one thread.

Ours is what a Predictor runs once features are scaled and edges drawn. The other side is the same
network, layer by layer on torch_geometric, given the scaled window of every symbol.

    python -m benchmarks.inference [--small]
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.figures import Figure, main
from benchmarks.training import DEFAULT, JUDGED, Material, Shape
from gnn_trainer.model.reference import Reference
from gnn_trainer.training.inference import run_network

Scores = npt.NDArray[np.float32]
SYMBOLS = (20, 100, 400)
TOLERANCE = 1e-5
FLOORS = {20: 1.5, 100: 1.5, 400: 1.5}
GOALS = {20: 2.5, 100: 3.0, 400: 4.0}


def lines(small: bool) -> list[Figure]:
    """p50 and p99 of both sides in turns, and their ratio in CPU seconds."""
    torch.set_num_threads(1)
    shapes = (JUDGED,) if small else (JUDGED, DEFAULT)
    return [
        figure
        for shape in shapes
        for symbols in SYMBOLS
        for figure in _figures(replace(shape, symbols=symbols, bars=2), 100 if small else 400)
    ]


def _figures(shape: Shape, repeats: int) -> list[Figure]:
    material = Material(shape)
    network = material.ensemble.eval()
    bar = material.graph.num_bars - 1
    data = material.snapshot(bar, window=True)
    reference = Reference(material.network)

    def ours() -> Scores:
        rank_CN, _, _ = run_network(network, material.inputs, bar, bar + 1)
        rank: Scores = rank_CN[0]
        return rank

    @torch.no_grad()
    def theirs() -> Scores:
        heads = reference(data.x.transpose(0, 1), data.edge_index, data.edge_attr)
        heads.logits_CN3.softmax(dim=-1)
        rank: Scores = heads.rank_CN.numpy()
        return rank

    deviation = float(np.abs(ours() - theirs()).max())
    assert deviation < TOLERANCE, f"outputs differ by {deviation}"
    own_ms, other_ms = _in_turns(ours, theirs, repeats)
    what = f"inference, {shape.name}, {shape.symbols} symbols"
    p50, p99 = np.percentile(own_ms[:, 0], (50, 99))
    ratio = np.median(other_ms[:, 1]) / np.median(own_ms[:, 1])
    other_p50, other_p99 = np.percentile(other_ms[:, 0], (50, 99))
    return [
        Figure(f"{what}: p50", p50, "ms", more_is_better=False),
        Figure(f"{what}: p99", p99, "ms", more_is_better=False),
        Figure(
            f"{what}: over torch_geometric",
            float(ratio),
            "x",
            FLOORS[shape.symbols] if shape.name == JUDGED.name else None,
            GOALS[shape.symbols] if shape.name == JUDGED.name else None,
            note=f"CPU; its p50 {other_p50:.2f} ms, p99 {other_p99:.2f} ms",
        ),
    ]


def _in_turns(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Milliseconds [repeats, 2] of each side, wall and CPU."""
    taken = np.empty((2, repeats, 2))
    for works in (ours, theirs):
        for _ in range(5):
            works()
    for repeat in range(repeats):
        for side, work in enumerate((ours, theirs)):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken[side, repeat] = time.perf_counter() - wall, time.process_time() - cpu
    return 1e3 * taken[0], 1e3 * taken[1]


if __name__ == "__main__":
    main(lines)
