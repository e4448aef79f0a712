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
from gnn_trainer.market.frame import BoolArray, FloatArray
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
    """Scaled features and edges on the device; chunks are views.

    A chunk has at least `refreshes` graphs, older ones than it needs if need be, so that chunks
    of one length can be had with edges of one shape.
    """

    def __init__(
        self,
        graph: GraphSequence,
        scaler: Scaler,
        history_bars: int,
        device: torch.device,
        refreshes: int = 1,
    ) -> None:
        scaled = torch.from_numpy(scaler.apply(graph.x_TNF))
        before = torch.zeros(history_bars, *scaled.shape[1:])  # the scaler's "not available"
        self._x_TNF = torch.cat((before, scaled)).to(device)
        # Bars before the first graph hear nobody: they have an empty one.
        self._leader_RNk = _behind_empty(graph.leader_RNk, refreshes, -1).to(device)
        self._attr_RNkE = _behind_empty(graph.edge_attr_RNkE, refreshes, 0).to(device)
        self._row_T = torch.from_numpy(graph.refreshes_of(0, graph.num_bars) + refreshes).to(device)
        self._graph = graph
        self._history_bars = history_bars
        self._refreshes = refreshes

    def chunk(self, start: int, stop: int) -> Inputs:
        """Bars start..stop-1 with the history in front of them."""
        x_TNF = self._x_TNF[start : stop + self._history_bars]
        refresh_C = self._graph.refreshes_of(start, stop)
        behind = int(refresh_C[-1]) + self._refreshes + 1
        first = min(int(refresh_C[0]) + self._refreshes, behind - self._refreshes)
        rows_C = self._row_T[start:stop] - first
        return Inputs(
            x_TNF, Edges(self._leader_RNk[first:behind], self._attr_RNkE[first:behind], rows_C)
        )


def most_refreshes(graph: GraphSequence, bars: int) -> int:
    """How many graphs so many consecutive bars have between them at the most."""
    refresh_T = graph.refreshes_of(0, graph.num_bars)
    return int((refresh_T[bars - 1 :] - refresh_T[: len(refresh_T) - bars + 1]).max()) + 1


class BookDropout:
    """Hides the recorded order book of random bars, so that its absence is nothing unusual."""

    def __init__(
        self,
        graph: GraphSequence,
        scaler: Scaler,
        share: float,
        history_bars: int,
        device: torch.device,
    ) -> None:
        book = {feature.name for feature in FEATURES if feature.group == "book"}
        is_book_F = np.array([name in book for name in graph.feature_names])
        absent_F = np.full((1, 1, len(is_book_F)), np.nan, dtype=np.float32)
        if HAS_BOOK in graph.feature_names:
            absent_F[..., graph.feature_names.index(HAS_BOOK)] = 0.0
        self._is_book_F = torch.from_numpy(is_book_F).to(device)
        self._absent_11F = torch.from_numpy(scaler.apply(absent_F)).to(device)
        self._share = share if scaler.used_F[is_book_F].any() else 0.0
        self._history_bars = history_bars  # those in front of the first bar have no book
        hidden = torch.zeros(history_bars + graph.num_bars, dtype=torch.bool)
        self._hidden_T11 = hidden[:, None, None].to(device)

    def draw(self, rng: np.random.Generator) -> None:
        """Choose the bars whose books are hidden from now on."""
        drawn_T11 = self._hidden_T11[self._history_bars :]
        drawn_T11.copy_(torch.from_numpy(rng.random(drawn_T11.shape) < self._share))

    def __call__(self, x_TNF: Tensor, start: int) -> Tensor:
        """A copy of `InputTensors.chunk(start, ...)` with hidden books; the input itself when no
        book was ever recorded."""
        if self._share == 0.0:
            return x_TNF
        hidden_T11 = self._hidden_T11[start : start + len(x_TNF)]
        return torch.where(hidden_T11 & self._is_book_F, self._absent_11F, x_TNF)


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
        self._bar_T1 = torch.arange(graph.num_bars, device=device).unsqueeze(1)
        self._usable_T: BoolArray = np.any(usable, axis=1)
        self._rank_TN = _on(device, normal_scores(graph.ret_TN, usable).astype(np.float32))
        self._return_TN = _on(device, in_sigmas.astype(np.float32))
        self._direction_TN = _on(device, np.maximum(direction, 0).astype(np.int64))

    def any_in(self, start: int, stop: int, rows_T: BoolArray) -> bool:
        """Whether `chunk` would have a target that counts; known without asking the device."""
        return bool((self._usable_T[start:stop] & rows_T[start:stop]).any())

    def chunk(
        self, start: int, stop: int, rows_T: Tensor, counted: tuple[int, int] | None = None
    ) -> Targets:
        """Labels of bars start..stop-1; only bars marked in `rows_T` count, and of these only
        counted[0]..counted[1]-1 if that is given."""
        rows = slice(start, stop)
        known_CN = self.usable_TN[rows] & rows_T[rows, None]
        if counted is not None:
            bar_C1 = self._bar_T1[rows]
            known_CN &= (bar_C1 >= counted[0]) & (bar_C1 < counted[1])
        return Targets(
            rank_CN=self._rank_TN[rows],
            direction_CN=self._direction_TN[rows],
            return_CN=self._return_TN[rows],
            known_CN=known_CN,
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
    first, last = span_of(rows_T)
    offset = int(rng.integers(chunk_bars))
    starts = np.arange(first - offset, last, chunk_bars)
    for start in rng.permutation(starts):
        yield max(int(start), first), min(int(start) + chunk_bars, last)


def span_of(rows_T: BoolArray) -> tuple[int, int]:
    """First marked bar and the one behind the last."""
    return int(np.argmax(rows_T)), len(rows_T) - int(np.argmax(rows_T[::-1]))


def widened(start: int, stop: int, bars: int, span: tuple[int, int]) -> tuple[int, int]:
    """At least `bars` bars of the span, if it has so many, with start..stop-1 among them."""
    first, last = span
    begin = max(first, min(start, last - bars))
    return begin, max(stop, min(begin + bars, last))


def _on(device: torch.device, values: npt.NDArray[Any]) -> Tensor:
    """A copy in torch's own memory. Matrix products depend, in their last bits, on where in memory
    a number lies, and numpy's arrays, or those mapped from a file, lie anywhere."""
    return torch.from_numpy(values).clone(memory_format=torch.contiguous_format).to(device)


def _behind_empty(values_R: npt.NDArray[Any], refreshes: int, nothing: float) -> Tensor:
    """The values of all refreshes behind those of so many empty ones."""
    values = torch.from_numpy(values_R)
    return torch.cat((values.new_full((refreshes, *values.shape[1:]), nothing), values))
