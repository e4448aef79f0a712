"""What a training step costs, beside the ways others batch a market of dynamic graphs.

The same network with the same parameters, the same bars and graphs, threads and allocator settings:

- ours: a chunk of consecutive bars, each bar encoded once, neighbour lists;
- loader: a torch_geometric DataLoader of snapshots, each with the window of every symbol, which is
  how a snapshot model is usually trained: all windows are encoded again (best of several sizes);
- disjoint: the encoder shared as ours, the graph layers torch_geometric's on one disjoint graph
  made beforehand;
- A3TGCN and TGCN of torch-geometric-temporal: other models, what a user would take off the shelf.
  They need `pip install --no-deps torch-geometric-temporal`; it imports torch_sparse, which has no
  wheel and is not needed by them, so an empty stand-in takes its place.

    python -m benchmarks.training [--small]
"""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from benchmarks.figures import Figure, main
from benchmarks.side_by_side import Contestant, Cost, in_turns, peak_growth_mb
from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.model.network import Heads, MarketGNN
from gnn_trainer.model.reference import Reference
from gnn_trainer.training.loss import Targets, training_loss
from gnn_trainer.training.samples import InputTensors, TargetTensors
from gnn_trainer.training.step import take_step

NUM_FEATURES, REFRESH_BARS = 27, 24
EDGE_NAMES = ("co-movement", "lead 1", "lead 2", "lead 3", "flow", "volume")
HOUR_MS = 3_600_000
CPU = torch.device("cpu")
LOADER_SIZES = (4, 16, 64)  # snapshots per step
MEMORY_BARS = 64
PRODUCTS = (1024, 2048)  # sizes of the matrices whose product is the limit
CHECKED_BARS = 16
CLIP_NORM = 1.0
Work = Callable[[], object]


@dataclass(frozen=True)
class Shape:
    """A network and the chunk it is trained on."""

    name: str
    model: ModelConfig
    bars: int
    symbols: int = 100
    neighbours: int = 8


JUDGED = Shape(
    "judged shape", ModelConfig(hidden=64, heads=4, graph_layers=2, temporal_layers=5), bars=256
)
DEFAULT = Shape("default network", ModelConfig(), bars=128)


def random_market(shape: Shape) -> GraphSequence:
    """Random numbers in the form of a market: only the cost of a step is measured on them."""
    rng = np.random.default_rng(0)
    bars, symbols = shape.bars + 64, shape.symbols
    refreshes = -(-bars // REFRESH_BARS)
    merit_RNN = rng.random((refreshes, symbols, symbols))
    leader_RNk = np.argpartition(merit_RNN, -shape.neighbours, axis=-1)[..., -shape.neighbours :]
    open_time_T = HOUR_MS * np.arange(bars, dtype=np.int64)
    ret_TN = 0.01 * rng.standard_normal((bars, symbols))
    return GraphSequence(
        symbols=tuple(f"S{number}USDT" for number in range(symbols)),
        interval_ms=HOUR_MS,
        horizon=1,
        feature_names=tuple(f"feature {number}" for number in range(NUM_FEATURES)),
        edge_names=EDGE_NAMES,
        edge_readings=tuple("feature 0" for _ in EDGE_NAMES),
        open_time_T=open_time_T,
        x_TNF=rng.standard_normal((bars, symbols, NUM_FEATURES), dtype=np.float32),
        mask_TN=np.ones((bars, symbols), dtype=np.bool_),
        ret_TN=ret_TN,
        close_ret_TN=ret_TN,
        late_ret_TN=ret_TN,
        past_ret_TN=ret_TN,
        sigma_TN=np.full((bars, symbols), 0.01),
        end_time_T=open_time_T + 2 * HOUR_MS,
        leader_RNk=leader_RNk.astype(np.int32),
        edge_attr_RNkE=rng.standard_normal((*leader_RNk.shape, len(EDGE_NAMES)), dtype=np.float32),
        refresh_T=np.arange(bars, dtype=np.int64) // REFRESH_BARS,
    )


class Material:
    """One shape's network, optimiser and tensors; the last `shape.bars` bars are trained on."""

    def __init__(self, shape: Shape, device: torch.device = CPU) -> None:
        self.shape = shape
        self.graph = random_market(shape)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.ensemble = Ensemble(
                shape.model, num_features=NUM_FEATURES, num_edge_attrs=len(EDGE_NAMES)
            )
            for parameter in self.network.parameters():  # leave the quiet start
                if parameter.dim() > 1:
                    nn.init.normal_(parameter, std=0.1)
        self.ensemble.to(device)
        self.optimizer = torch.optim.AdamW(
            self.ensemble.parameters(), lr=1e-3, fused=True, capturable=device.type == "cuda"
        )
        self.scaler = fit_scaler(self.graph.x_TNF, self.graph.mask_TN)
        self.inputs = InputTensors(self.graph, self.scaler, self.network.history_bars, device)
        self.targets = TargetTensors(self.graph, 0.5, LabelConfig(horizon=1), device)
        self.all_T = torch.ones(self.graph.num_bars, dtype=torch.bool, device=device)
        self.x_TNF = torch.from_numpy(self.scaler.apply(self.graph.x_TNF))

    @property
    def network(self) -> MarketGNN:
        return self.ensemble.members[0]

    @property
    def first(self) -> int:
        return self.graph.num_bars - self.shape.bars

    def targets_of(self, start: int, stop: int) -> Targets:
        return self.targets.chunk(start, stop, self.all_T)

    def snapshot(self, bar: int, *, window: bool) -> Data:
        """A bar with the windows of all symbols [N, bars, F], or with its newest features."""
        data = self.graph.snapshot(bar)
        before = bar - self.network.history_bars if window else bar
        x_TNF = self.x_TNF[before : bar + 1]
        data.x = x_TNF.transpose(0, 1).contiguous() if window else x_TNF[0]
        target = self.targets_of(bar, bar + 1)
        data.y, data.direction, data.in_sigmas = (
            target.rank_CN[0],
            target.direction_CN[0],
            (target.return_CN[0]),
        )
        return data


def ours(shape: Shape, *, reduced: bool = False, device: torch.device = CPU) -> Work:
    material = Material(shape, device)
    first, behind = material.first, material.graph.num_bars

    def step() -> Tensor:
        inputs = material.inputs.chunk(first, behind)
        targets = material.targets_of(first, behind)
        return take_step(
            material.ensemble,
            material.optimizer,
            inputs,
            targets,
            clip_norm=CLIP_NORM,
            reduced=reduced,
        )

    return step


class Windows(torch.utils.data.Dataset[Data]):
    """Snapshots for a DataLoader."""

    def __init__(self, material: Material, bars: int) -> None:
        self.material = material
        self.bars = bars

    def __len__(self) -> int:
        return self.bars

    def __getitem__(self, index: int) -> Data:
        return self.material.snapshot(self.material.first + index, window=True)


def loader(shape: Shape, snapshots: int) -> Work:
    """One step over a batch of `snapshots` windows."""
    material = Material(shape)
    batches = DataLoader(Windows(material, snapshots), batch_size=snapshots)
    forward = Reference(material.network)

    def step() -> None:
        for batch in batches:
            heads = forward(batch.x.transpose(0, 1), batch.edge_index, batch.edge_attr)
            _descend(material, heads, batch)

    return step


def disjoint(shape: Shape) -> Work:
    """One step over a chunk whose bars are one disjoint graph."""
    material = Material(shape)
    first, behind = material.first, material.graph.num_bars
    batch = Batch.from_data_list(
        [material.snapshot(bar, window=False) for bar in range(first, behind)]
    )
    history = material.x_TNF[first - material.network.history_bars : behind]
    forward = Reference(material.network)

    def step() -> None:
        heads = forward(history, batch.edge_index, batch.edge_attr)
        _descend(material, heads, batch)

    return step


def _descend(material: Material, heads: Heads, batch: Batch) -> None:
    """What `take_step` does after the network has spoken, for a flat batch of nodes."""
    by_bar = (-1, material.shape.symbols)
    loss = training_loss(
        Heads(heads[0].view(by_bar), heads[1].view(*by_bar, 3), heads[2].view(by_bar)),
        Targets(
            batch.y.view(by_bar),
            batch.direction.view(by_bar),
            batch.in_sigmas.view(by_bar),
            torch.ones_like(batch.y, dtype=torch.bool).view(by_bar),
        ),
    )
    material.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(material.network.parameters(), CLIP_NORM)
    material.optimizer.step()


def hidden_carried(shape: Shape, bars: int) -> Work:
    """TGCN over `bars` bars, its hidden state carried from bar to bar."""
    return _off_the_shelf(shape, bars, "TGCN")


def attention_over_periods(shape: Shape, bars: int) -> Work:
    """A3TGCN over `bars` snapshots, each with its window as periods."""
    return _off_the_shelf(shape, bars, "A3TGCN")


def _off_the_shelf(shape: Shape, bars: int, name: str) -> Work:
    material = Material(shape)
    recurrent = _temporal()
    periods = material.network.history_bars + 1
    if name == "TGCN":
        cell = recurrent.TGCN(NUM_FEATURES, shape.model.hidden)
    else:
        cell = recurrent.A3TGCN(NUM_FEATURES, shape.model.hidden, periods)
    head = nn.Linear(shape.model.hidden, 1)
    optimizer = torch.optim.AdamW([*cell.parameters(), *head.parameters()], fused=True)
    first = material.first
    snapshots = [
        material.snapshot(bar, window=name == "A3TGCN") for bar in range(first, first + bars)
    ]

    def step() -> None:
        loss, state = torch.zeros(()), None
        for data in snapshots:
            weight = data.edge_attr[:, 0].abs()
            if name == "TGCN":
                state = said = cell(data.x, data.edge_index, weight, state)
            else:
                said = cell(data.x.transpose(1, 2), data.edge_index, weight)
            loss = loss + nn.functional.mse_loss(head(said)[:, 0], data.y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _temporal() -> Any:
    """The recurrent cells of torch-geometric-temporal."""
    stand_in = types.ModuleType("torch_sparse")
    stand_in.SparseTensor = type("SparseTensor", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault("torch_sparse", stand_in)
    from torch_geometric_temporal.nn import recurrent

    return recurrent


def matrix_product(size: int) -> Work:
    """Eight products of square matrices."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    product = torch.empty(size, size)

    def work() -> None:
        for _ in range(8):
            torch.mm(one, other, out=product)

    return work


def flops_per_step(shape: Shape) -> int:
    """Of the matrix products in a step of the plain path: nothing elementwise is counted."""
    step = disjoint(shape)
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def differences(shape: Shape) -> tuple[float, float]:
    """Largest deviation from the torch_geometric reference: of outputs, absolute, and of
    gradients, over the largest gradient of the parameter."""
    material = Material(shape)
    network = material.network.eval()
    first = material.first
    chunk = material.inputs.chunk(first, first + CHECKED_BARS)
    fast = network(chunk.x_TNF, chunk.edges)
    fast_gradients = _gradients(network, fast)
    batch = Batch.from_data_list(
        [material.snapshot(bar, window=True) for bar in range(first, first + CHECKED_BARS)]
    )
    slow = Reference(network)(batch.x.transpose(0, 1), batch.edge_index, batch.edge_attr)
    slow_gradients = _gradients(network, slow)
    output = max(
        float((one.flatten() - other.flatten()).detach().abs().max())
        for one, other in zip(fast, slow, strict=True)
    )
    gradient = max(
        float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
        for one, other in zip(fast_gradients, slow_gradients, strict=True)
    )
    return output, gradient


def _gradients(network: MarketGNN, heads: Heads) -> list[Tensor]:
    network.zero_grad()
    torch.stack([head.square().mean() for head in heads]).sum().backward()
    return [
        parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None
    ]


def lines(small: bool) -> list[Figure]:
    """Figures of the judged shape, and of the default network."""
    figures = [_threads()]
    for shape in (JUDGED, DEFAULT):
        figures += _figures_of(shape, small)
    return figures


def _threads() -> Figure:
    return Figure("threads of torch", torch.get_num_threads(), "")


def _figures_of(shape: Shape, small: bool) -> list[Figure]:
    """Costs in turns, so that ratios are of the same minutes. Goals are for the judged shape."""
    judged = shape is JUDGED
    peers = {f"loader of {size}": (partial(loader, shape, size), size) for size in LOADER_SIZES}
    runs = {
        "ours": (partial(ours, shape), shape.bars),
        "bf16": (partial(ours, shape, reduced=True), shape.bars),
        **peers,
        "disjoint": (partial(disjoint, shape), shape.bars),
        **{f"product {size}": (partial(matrix_product, size), size) for size in PRODUCTS},
    }
    if judged and _has_temporal():
        runs["A3TGCN"] = (partial(attention_over_periods, shape, 2), 2)
        runs["TGCN"] = (partial(hidden_carried, shape, 64), 64)
    contestants = [Contestant(name, prepare) for name, (prepare, _) in runs.items()]
    costs = in_turns(contestants, rounds=3 if small else 7)
    rate = {  # node-steps per CPU-second
        name: bars * shape.symbols / costs[name].cpu_s for name, (_, bars) in runs.items()
    }
    best = max(peers, key=lambda name: rate[name])
    flops = flops_per_step(shape) / (shape.bars * shape.symbols)
    peak = max(8 * 2 * size**3 / costs[f"product {size}"].cpu_s for size in PRODUCTS)
    output, gradient = differences(shape)
    what = f"training, {shape.name}, {shape.symbols} symbols"
    figures = [
        Figure(f"{what}: node-steps per CPU-s", rate["ours"], "/s", note=_note(costs["ours"])),
        Figure(
            f"{what}: node-steps per second",
            shape.bars * shape.symbols / costs["ours"].wall_s,
            "/s",
            note="wall, as busy as the machine was",
        ),
        Figure(
            f"{what}: over the {best}",
            rate["ours"] / rate[best],
            "x",
            *_marks(judged, 14.0, 35.0),
            note=_note(costs[best]),
        ),
        Figure(
            f"{what}: over the disjoint batch",
            rate["ours"] / rate["disjoint"],
            "x",
            note=_note(costs["disjoint"]),
        ),
        Figure(
            f"{what}: bf16 over fp32", rate["bf16"] / rate["ours"], "x", note=_note(costs["bf16"])
        ),
        *_off_the_shelf_figures(what, rate, costs, judged),
        Figure(
            f"{what}: share of the matrix product",
            100.0 * rate["ours"] * flops / peak,
            "%",
            *_marks(judged, 12.0, 28.0),
            note=f"{peak / 1e9:.0f} GFLOP per CPU-s, {flops / 1e3:.0f} kFLOP per node-step",
        ),
        Figure(f"{what}: deviation of outputs", output, "", 1e-5, more_is_better=False),
        Figure(f"{what}: deviation of gradients", gradient, "", 1e-5, more_is_better=False),
    ]
    return [*figures, _memory(what, replace(shape, bars=MEMORY_BARS), judged)]


def _off_the_shelf_figures(
    what: str, rate: dict[str, float], costs: dict[str, Cost], judged: bool
) -> list[Figure]:
    if not judged:
        return []
    if "TGCN" not in rate:
        return [Figure("NOT MEASURED: torch-geometric-temporal is not installed", 1, "")]
    marks = {"A3TGCN": (150.0, 400.0), "TGCN": (1.0, 4.0)}
    return [
        Figure(
            f"{what}: over {name}", rate["ours"] / rate[name], "x", *mark, note=_note(costs[name])
        )
        for name, mark in marks.items()
    ]


def _memory(what: str, shape: Shape, judged: bool) -> Figure:
    """Peak growth of one step, each in a process of its own."""
    own = peak_growth_mb(Contestant("ours", partial(ours, shape)))
    other = peak_growth_mb(Contestant("loader", partial(loader, shape, shape.bars)))
    return Figure(
        f"{what}: peak memory over the loader's",
        100.0 * own / other,
        "%",
        *_marks(judged, 40.0, 15.0),
        more_is_better=False,
        note=f"{own:.0f} of {other:.0f} MB, {shape.bars} bars a step",
    )


def _marks(judged: bool, floor: float, goal: float) -> tuple[float | None, float | None]:
    return (floor, goal) if judged else (None, None)


def _note(cost: Cost) -> str:
    unsteady = "" if cost.is_steady else " UNSTEADY, run again"
    return f"{cost.cpu_s:.3f} CPU-s, {cost.wall_s:.3f} s, spread {cost.spread:.2f}{unsteady}"


def _has_temporal() -> bool:
    return find_spec("torch_geometric_temporal") is not None


if __name__ == "__main__":
    main(lines)
