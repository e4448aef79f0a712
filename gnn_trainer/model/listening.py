"""What symbols hear along their edges: attention messages and weighted sums.

Each has a plain form in torch, which is the reference and what a GPU runs, and on a CPU a form
whose loops numba compiled, several times as fast. Without numba the plain form runs everywhere.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as fn

from gnn_trainer.compiled import numba_is_there
from gnn_trainer.model.edges import Edges

LEAK = 0.2  # slope of the leaky ReLU below zero, as in GATv2
BLOCK_BARS = 32  # at most; whatever is summed over bars is summed by block, in one order

Array = npt.NDArray[Any]


class Words(NamedTuple):
    """What attention is computed from. A source's words, a target's ears and a source's value
    lie side by side: they come out of one matrix product."""

    svt_CN3H: Tensor
    edge_RNkH: Tensor  # the edge's part of the score
    modulation_RNkh: Tensor  # factor on what travels along an edge, by head
    attention_H: Tensor


def attend(words: Words, edges: Edges) -> Tensor:
    """Messages [C, N, H]: leaders' values, weighted by attention (GATv2) and modulation."""
    if _compiled_for(words.svt_CN3H):
        message: Tensor = _Attend.apply(*(part.float() for part in words), edges)  # type: ignore[no-untyped-call]
        return message
    return attend_plain(words, edges)


def attend_plain(words: Words, edges: Edges) -> Tensor:
    """`attend` in torch."""
    heads = words.modulation_RNkh.shape[-1]
    source, target, value = words.svt_CN3H.chunk(3, dim=-1)
    leader_CNk = edges.of_bars(edges.leader_RNk)
    mixed = gather_leaders(source, leader_CNk) + target.unsqueeze(2)
    mixed = fn.leaky_relu(mixed + edges.of_bars(words.edge_RNkH), LEAK)
    score = (mixed * words.attention_H).unflatten(-1, (heads, -1)).sum(dim=-1)  # [C, N, k, h]
    score = score.masked_fill((leader_CNk < 0).unsqueeze(-1), float("-inf"))
    weight = score.softmax(dim=2).nan_to_num(0.0)
    passing = (weight * edges.of_bars(words.modulation_RNkh)).unsqueeze(-1)
    heard = gather_leaders(value, leader_CNk).unflatten(-1, (heads, -1))
    message: Tensor = (passing * heard).sum(dim=2).flatten(-2)
    return message


def hear(said_CND: Tensor, weight_RNkG: Tensor, edges: Edges) -> Tensor:
    """Weighted sums [C, N, D] of what leaders say, in G groups with a weight each.

    The weights are measured, not learned: no gradient flows to them.
    """
    if _compiled_for(said_CND):
        heard: Tensor = _Hear.apply(said_CND.float(), weight_RNkG, edges)  # type: ignore[no-untyped-call]
        return heard
    return hear_plain(said_CND, weight_RNkG, edges)


def hear_plain(said_CND: Tensor, weight_RNkG: Tensor, edges: Edges) -> Tensor:
    """`hear` in torch."""
    groups = weight_RNkG.shape[-1]
    said = gather_leaders(said_CND, edges.of_bars(edges.leader_RNk)).unflatten(-1, (groups, -1))
    weight = edges.of_bars(weight_RNkG).unsqueeze(-1)
    heard: Tensor = (said * weight).sum(dim=2).flatten(-2)
    return heard


def gather_leaders(h_CNH: Tensor, leader_CNk: Tensor) -> Tensor:
    """Rows of the leaders, [C, N, H] and [C, N, k] -> [C, N, k, H]; of symbol 0 where none."""
    num_bars, num_symbols, width = h_CNH.shape
    offset = torch.arange(num_bars, device=h_CNH.device).view(-1, 1, 1) * num_symbols
    rows = (leader_CNk.clamp_min(0) + offset).flatten()
    return h_CNH.reshape(-1, width).index_select(0, rows).view(*leader_CNk.shape, width)


def _compiled_for(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and numba_is_there()


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        svt_CN3H: Tensor,
        edge_RNkH: Tensor,
        modulation_RNkh: Tensor,
        attention_H: Tensor,
        edges: Edges,
    ) -> Tensor:
        from gnn_trainer.model import kernels

        num_bars, num_symbols, _ = svt_CN3H.shape
        _, _, slots, heads = modulation_RNkh.shape
        message_CNH = svt_CN3H.new_empty(num_bars, num_symbols, len(attention_H))
        weight_CNkh = svt_CN3H.new_empty(num_bars, num_symbols, slots, heads)
        given = (svt_CN3H, edges.leader_RNk, edge_RNkH, modulation_RNkh, attention_H)
        ctx.save_for_backward(*given, edges.refresh_C, weight_CNkh)
        read, refresh = _by_head(*given), edges.refresh_C.numpy()
        results = _arrays(message_CNH.unflatten(-1, (heads, -1)), weight_CNkh)
        _in_blocks(
            _blocks(refresh),
            lambda _, first, behind: kernels.attend(*read, refresh, first, behind, *results),
        )
        return message_CNH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_message_CNH: Tensor) -> tuple[Tensor | None, ...]:
        from gnn_trainer.model import kernels

        *given, refresh_C, weight_CNkh = ctx.saved_tensors
        svt_CN3H, _, edge_RNkH, modulation_RNkh, attention_H = given
        _, _, slots, heads = modulation_RNkh.shape
        read, refresh = _by_head(*given), refresh_C.numpy()
        blocks = _blocks(refresh)
        d_svt_CN3H = torch.empty_like(svt_CN3H, memory_format=torch.contiguous_format)
        d_edge_BNkH = edge_RNkH.new_zeros(len(blocks), *edge_RNkH.shape[1:])
        d_modulation_BNkh = edge_RNkH.new_zeros(len(blocks), *modulation_RNkh.shape[1:])
        d_attention_BH = edge_RNkH.new_zeros(len(blocks), len(attention_H))
        weight, d_message, d_svt, *summed = _arrays(
            weight_CNkh,
            d_message_CNH.unflatten(-1, (heads, -1)),
            d_svt_CN3H.unflatten(-1, (3, heads, -1)),
            d_edge_BNkH.unflatten(-1, (heads, -1)),
            d_modulation_BNkh,
            d_attention_BH.unflatten(-1, (heads, -1)),
        )

        def add_up(block: int, first: int, behind: int) -> None:
            mixed, d_mixed = (np.empty(d_svt.shape[-1], np.float32) for _ in range(2))
            room = (mixed, d_mixed, np.empty((slots, heads), np.float32))
            sums = (part[block] for part in summed)
            kernels.attend_backward(
                *read, refresh, first, behind, *room, weight, d_message, d_svt, *sums
            )

        _in_blocks(blocks, add_up)
        refresh_B = refresh_C[[first for first, _ in blocks]]
        return (
            d_svt_CN3H,
            torch.zeros_like(edge_RNkH).index_add_(0, refresh_B, d_edge_BNkH),
            torch.zeros_like(modulation_RNkh).index_add_(0, refresh_B, d_modulation_BNkh),
            d_attention_BH.sum(dim=0),
            None,
        )


class _Hear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, said_CND: Tensor, weight_RNkG: Tensor, edges: Edges) -> Tensor:
        from gnn_trainer.model import kernels

        ctx.save_for_backward(edges.leader_RNk, weight_RNkG, edges.refresh_C)
        heard_CND = torch.empty_like(said_CND, memory_format=torch.contiguous_format)
        arrays = _arrays(said_CND, edges.leader_RNk, weight_RNkG, edges.refresh_C)
        (heard,) = _arrays(heard_CND)
        _in_blocks(
            _blocks(arrays[-1]),
            lambda _, first, behind: kernels.hear(*arrays, first, behind, heard),
        )
        return heard_CND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_heard_CND: Tensor) -> tuple[Tensor | None, ...]:
        from gnn_trainer.model import kernels

        if not ctx.needs_input_grad[0]:
            return None, None, None
        arrays = _arrays(*ctx.saved_tensors)
        d_said_CND = torch.empty_like(d_heard_CND, memory_format=torch.contiguous_format)
        d_heard, d_said = _arrays(d_heard_CND, d_said_CND)
        _in_blocks(
            _blocks(arrays[-1]),
            lambda _, first, behind: kernels.hear_backward(*arrays, first, behind, d_heard, d_said),
        )
        return d_said_CND, None, None


def _by_head(
    svt_CN3H: Tensor,
    leader_RNk: Tensor,
    edge_RNkH: Tensor,
    modulation_RNkh: Tensor,
    attention_H: Tensor,
) -> tuple[Any, ...]:
    """As `kernels` read them: units by head, and a tuple as long as a head has units."""
    heads = modulation_RNkh.shape[-1]
    arrays = _arrays(
        svt_CN3H.unflatten(-1, (3, heads, -1)),
        leader_RNk,
        edge_RNkH.unflatten(-1, (heads, -1)),
        modulation_RNkh,
        attention_H.unflatten(-1, (heads, -1)),
    )
    return *arrays, (0,) * (len(attention_H) // heads)


def _arrays(*tensors: Tensor) -> tuple[Array, ...]:
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def _blocks(refresh_C: Array) -> list[tuple[int, int]]:
    """Runs of bars with the same graph, first bar and the one behind, cut where they are long."""
    changes = np.flatnonzero(np.diff(refresh_C)) + 1
    ends = [0, *changes.tolist(), len(refresh_C)]
    return [
        (first, min(first + BLOCK_BARS, behind))
        for begin, behind in itertools.pairwise(ends)
        for first in range(begin, behind, BLOCK_BARS)
    ]


def _in_blocks(blocks: list[tuple[int, int]], work: Callable[[int, int, int], None]) -> None:
    """Do all blocks, on as many threads as torch may use; the loops let go of the interpreter."""
    threads = min(torch.get_num_threads(), len(blocks))
    if threads == 1:
        for block, (first, behind) in enumerate(blocks):
            work(block, first, behind)
        return
    shares = [
        _pool(threads).submit(_share, blocks, work, begin, threads) for begin in range(threads)
    ]
    for share in shares:
        share.result()


def _share(
    blocks: list[tuple[int, int]], work: Callable[[int, int, int], None], begin: int, step: int
) -> None:
    for block in range(begin, len(blocks), step):
        work(block, *blocks[block])


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="listening")
