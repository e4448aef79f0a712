"""A GraphSequence as tensors on a device, and the chunks of consecutive bars a step is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import ndtri
from scipy.stats import rankdata
from torch import Tensor

from gnn_trainer.features.registry import FEATURES
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray
from gnn_trainer.market.labels import LabelConfig, direction_classes
from gnn_trainer.model.edges import Edges
from gnn_trainer.training.loss import Targets

HAS_BOOK = "has_book"


@dataclass(frozen=True)
class Inputs:
    """What the network reads of C bars."""

    x_TNF: Tensor  # history_bars + C bars of scaled features
    edges: Edges


class InputTensors:
    """Scaled features and edges on the device; chunks are views."""

    def __init__(
        self, graph: GraphSequence, scaler: Scaler, history_bars: int, device: torch.device
    ) -> None:
        scaled = torch.from_numpy(scaler.apply(graph.x_TNF))
        before = torch.zeros(history_bars, *scaled.shape[1:])  # the scaler's "not available"
        self._x_TNF = torch.cat((before, scaled)).to(device)
        self._leader_RNk = _on(device, graph.leader_RNk)
        self._attr_RNkE = _on(device, graph.edge_attr_RNkE)
        self._graph = graph
        self._history_bars = history_bars
        self._device = device

    def chunk(self, start: int, stop: int) -> Inputs:
        """Bars start..stop-1 with the history in front of them."""
        x_TNF = self._x_TNF[start : stop + self._history_bars]
        return Inputs(x_TNF, self._edges(self._graph.refreshes_of(start, stop)))

    def _edges(self, refresh_C: IntArray) -> Edges:
        drawn = refresh_C[refresh_C >= 0]
        first, behind = (int(drawn[0]), int(drawn[-1]) + 1) if len(drawn) else (0, 0)
        leader_RNk = self._leader_RNk[first:behind]
        attr_RNkE = self._attr_RNkE[first:behind]
        rows_C = refresh_C - first
        if len(drawn) < len(refresh_C):  # bars before the first graph hear nobody
            leader_RNk = torch.cat(
                (leader_RNk.new_full((1, *leader_RNk.shape[1:]), -1), leader_RNk)
            )
            attr_RNkE = torch.cat((attr_RNkE.new_zeros(1, *attr_RNkE.shape[1:]), attr_RNkE))
            rows_C = np.where(refresh_C < 0, 0, rows_C + 1)
        rows = torch.from_numpy(rows_C).to(self._device, non_blocking=True)
        return Edges(leader_RNk, attr_RNkE, rows)


class BookDropout:
    """Hides the recorded order book of random bars, so that its absence is nothing unusual."""

    def __init__(
        self, graph: GraphSequence, scaler: Scaler, share: float, device: torch.device
    ) -> None:
        names = graph.feature_names
        book = {feature.name for feature in FEATURES if feature.group == "book"}
        columns = [place for place, name in enumerate(names) if name in book]
        absent_F = np.full((1, 1, len(names)), np.nan, dtype=np.float32)
        if HAS_BOOK in names:
            absent_F[..., names.index(HAS_BOOK)] = 0.0
        self._absent = torch.from_numpy(scaler.apply(absent_F)[..., columns]).to(device)
        self._columns = columns
        self._share = share if scaler.used_F[columns].any() else 0.0

    def __call__(self, x_TNF: Tensor) -> Tensor:
        """A copy with hidden books; the input itself when no book was ever recorded."""
        if self._share == 0.0:
            return x_TNF
        hidden_T = torch.rand(len(x_TNF), 1, 1, device=x_TNF.device) < self._share
        x = x_TNF.clone()
        x[..., self._columns] = torch.where(hidden_T, self._absent, x[..., self._columns])
        return x


class TargetTensors:
    """Labels on the device; `usable_TN` marks rows that have both features and a label."""

    def __init__(
        self,
        graph: GraphSequence,
        threshold: float,
        labels: LabelConfig,
        device: torch.device,
    ) -> None:
        usable = usable_rows(graph)
        direction = direction_classes(graph.ret_TN, graph.sigma_TN, threshold, labels)
        in_sigmas = np.where(usable, graph.ret_TN / graph.sigma_TN, 0.0)
        self.usable_TN = torch.from_numpy(usable).to(device)
        self._usable_T: BoolArray = np.any(usable, axis=1)
        self._rank_TN = _on(device, normal_scores(graph.ret_TN, usable).astype(np.float32))
        self._return_TN = _on(device, in_sigmas.astype(np.float32))
        self._direction_TN = _on(device, np.maximum(direction, 0).astype(np.int64))

    def any_in(self, start: int, stop: int, rows_T: BoolArray) -> bool:
        """Whether `chunk` would have a target that counts; known without asking the device."""
        return bool((self._usable_T[start:stop] & rows_T[start:stop]).any())

    def chunk(self, start: int, stop: int, rows_T: Tensor) -> Targets:
        """Labels of bars start..stop-1; only bars marked in `rows_T` count."""
        rows = slice(start, stop)
        return Targets(
            rank_CN=self._rank_TN[rows],
            direction_CN=self._direction_TN[rows],
            return_CN=self._return_TN[rows],
            known_CN=self.usable_TN[rows] & rows_T[rows, None],
        )


def usable_rows(graph: GraphSequence) -> BoolArray:
    """Symbol-bars that can be trained on and judged: features, label and volatility are there."""
    with np.errstate(invalid="ignore"):
        usable: BoolArray = graph.mask_TN & np.isfinite(graph.ret_TN) & (graph.sigma_TN > 0.0)
    return usable


def normal_scores(values_TN: FloatArray, known_TN: BoolArray) -> FloatArray:
    """Cross-sectional rank of each bar as a normal quantile; 0 where unknown."""
    ranks = rankdata(np.where(known_TN, values_TN, np.nan), axis=1, nan_policy="omit")
    count = known_TN.sum(axis=1, keepdims=True)
    quantile = (ranks - 0.5) / np.maximum(count, 1)
    scores: FloatArray = np.where(known_TN, ndtri(quantile), 0.0)
    return scores


def shuffled_chunks(
    rows_T: BoolArray, chunk_bars: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Chunks that cover the marked span once, from a random offset, in random order."""
    first, last = int(np.argmax(rows_T)), len(rows_T) - int(np.argmax(rows_T[::-1]))
    offset = int(rng.integers(chunk_bars))
    starts = np.arange(first - offset, last, chunk_bars)
    for start in rng.permutation(starts):
        yield max(int(start), first), min(int(start) + chunk_bars, last)


def _on(device: torch.device, values: npt.NDArray[Any]) -> Tensor:
    """A copy in torch's own memory. Matrix products depend, in their last bits, on where in memory
    a number lies, and numpy's arrays, or those mapped from a file, lie anywhere."""
    return torch.from_numpy(values).clone(memory_format=torch.contiguous_format).to(device)
