"""The loops of `model.listening`, compiled by numba: one pass where torch makes a dozen.

Letters as in `model.layers`; leaders, edge terms and modulation are those of R refreshes, and
`refresh_C` says which of them each bar has. `first` and `behind` are the bars to do. Inner loops
run over contiguous rows and write to one array each, or they are not made into vector code.
Leaving the order of sums to the compiler changes nothing from run to run on one machine.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

LEAK = np.float32(0.2)  # slope of the leaky ReLU below zero
NOTHING, ONE, LEAST = np.float32(0.0), np.float32(1.0), np.float32(-np.inf)


def _compiled(loops: Callable[..., None]) -> Any:
    settings: dict[str, Any] = {
        "nogil": True,  # threads do the blocks
        "fastmath": {"reassoc", "contract", "nsz", "arcp"},
        "error_model": "numpy",
    }
    try:
        return numba.njit(cache=True, **settings)(loops)
    except RuntimeError:  # there is no folder to keep machine code in: compiled in every process
        return numba.njit(**settings)(loops)


@_compiled
def attend(  # type: ignore[no-untyped-def]
    svt_CN3H, leader_RNk, edge_RNkH, modulation_RNkh, attention_H, refresh_C, first, behind,
    message_CNH, weight_CNkh,
):  # fmt: skip
    """Message to every symbol, and the attention weights it was made with.

    `svt_CN3H` holds a symbol's words as a source, its ears as a target, and its value.
    """
    _, num_symbols, slots = leader_RNk.shape
    heads, width = modulation_RNkh.shape[3], attention_H.shape[0]
    depth = width // heads
    scored_H = np.empty(width, np.float32)
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            target_H = svt_CN3H[bar, n, width : 2 * width]
            weight_kh = weight_CNkh[bar, n]
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    for head in range(heads):
                        weight_kh[slot, head] = LEAST
                    continue
                source_H = svt_CN3H[bar, leader, :width]
                edge_H = edge_RNkH[refresh, n, slot]
                for i in range(width):
                    mixed = source_H[i] + target_H[i] + edge_H[i]
                    scored_H[i] = max(mixed, LEAK * mixed) * attention_H[i]
                for head in range(heads):
                    score = NOTHING
                    for i in range(head * depth, head * depth + depth):
                        score += scored_H[i]
                    weight_kh[slot, head] = score
            for head in range(heads):
                highest = LEAST
                for slot in range(slots):
                    highest = max(highest, weight_kh[slot, head])
                if highest == LEAST:
                    weight_kh[:, head] = NOTHING
                    continue
                total = NOTHING
                for slot in range(slots):
                    weight_kh[slot, head] = np.exp(weight_kh[slot, head] - highest)
                    total += weight_kh[slot, head]
                for slot in range(slots):
                    weight_kh[slot, head] /= total
            message_H = message_CNH[bar, n]
            message_H[:] = NOTHING
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                value_H = svt_CN3H[bar, leader, 2 * width :]
                for head in range(heads):
                    passing = weight_kh[slot, head] * modulation_RNkh[refresh, n, slot, head]
                    for i in range(head * depth, head * depth + depth):
                        message_H[i] += passing * value_H[i]


@_compiled
def attend_backward(  # type: ignore[no-untyped-def]
    svt_CN3H, leader_RNk, edge_RNkH, modulation_RNkh, attention_H, refresh_C, first, behind,
    weight_CNkh, d_message_CNH, d_svt_CN3H, d_edge_NkH, d_modulation_Nkh, d_attention_H,
):  # fmt: skip
    """Gradients of `attend`. Those of edges and attention are added up over the bars done."""
    _, num_symbols, slots = leader_RNk.shape
    heads, width = modulation_RNkh.shape[3], attention_H.shape[0]
    depth = width // heads
    d_score_kh = np.empty((slots, heads), np.float32)
    by_head_H = np.empty(width, np.float32)
    product_H = np.empty(width, np.float32)
    d_target_H = np.empty(width, np.float32)
    d_svt_CN3H[first:behind] = NOTHING
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            target_H = svt_CN3H[bar, n, width : 2 * width]
            d_message_H = d_message_CNH[bar, n]
            weight_kh = weight_CNkh[bar, n]
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    d_score_kh[slot] = NOTHING
                    continue
                value_H = svt_CN3H[bar, leader, 2 * width :]
                d_value_H = d_svt_CN3H[bar, leader, 2 * width :]
                for i in range(width):
                    product_H[i] = d_message_H[i] * value_H[i]
                for head in range(heads):
                    modulation = modulation_RNkh[refresh, n, slot, head]
                    passing = weight_kh[slot, head] * modulation
                    d_passing = NOTHING
                    for i in range(head * depth, head * depth + depth):
                        d_passing += product_H[i]
                        by_head_H[i] = passing
                    d_modulation_Nkh[n, slot, head] += d_passing * weight_kh[slot, head]
                    d_score_kh[slot, head] = d_passing * modulation
                for i in range(width):
                    d_value_H[i] += by_head_H[i] * d_message_H[i]
            for head in range(heads):
                mean = NOTHING
                for slot in range(slots):
                    mean += weight_kh[slot, head] * d_score_kh[slot, head]
                for slot in range(slots):
                    d_score_kh[slot, head] = weight_kh[slot, head] * (d_score_kh[slot, head] - mean)
            d_target_H[:] = NOTHING
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                source_H = svt_CN3H[bar, leader, :width]
                edge_H = edge_RNkH[refresh, n, slot]
                d_source_H = d_svt_CN3H[bar, leader, :width]
                d_edge_H = d_edge_NkH[n, slot]
                for head in range(heads):
                    for i in range(head * depth, head * depth + depth):
                        by_head_H[i] = d_score_kh[slot, head]
                for i in range(width):
                    mixed = source_H[i] + target_H[i] + edge_H[i]
                    d_scored = by_head_H[i] * (ONE if mixed > NOTHING else LEAK)
                    d_attention_H[i] += d_scored * mixed
                    product_H[i] = d_scored * attention_H[i]
                for i in range(width):
                    d_target_H[i] += product_H[i]
                for i in range(width):
                    d_source_H[i] += product_H[i]
                for i in range(width):
                    d_edge_H[i] += product_H[i]
            d_svt_CN3H[bar, n, width : 2 * width] = d_target_H


@_compiled
def hear(  # type: ignore[no-untyped-def]
    said_CND, leader_RNk, weight_RNkG, refresh_C, first, behind, heard_CND
):
    """Weighted sums of what leaders say, whose D numbers fall into G groups with a weight each."""
    _, num_symbols, slots = leader_RNk.shape
    groups, width = weight_RNkG.shape[3], said_CND.shape[2]
    depth = width // groups
    heard_CND[first:behind] = NOTHING
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            heard_D = heard_CND[bar, n]
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                said_D = said_CND[bar, leader]
                for group in range(groups):
                    weight = weight_RNkG[refresh, n, slot, group]
                    for i in range(group * depth, group * depth + depth):
                        heard_D[i] += weight * said_D[i]


@_compiled
def hear_backward(  # type: ignore[no-untyped-def]
    leader_RNk, weight_RNkG, refresh_C, first, behind, d_heard_CND, d_said_CND
):
    """Gradient of `hear` for what was said."""
    _, num_symbols, slots = leader_RNk.shape
    groups, width = weight_RNkG.shape[3], d_heard_CND.shape[2]
    depth = width // groups
    d_said_CND[first:behind] = NOTHING
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            d_heard_D = d_heard_CND[bar, n]
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                d_said_D = d_said_CND[bar, leader]
                for group in range(groups):
                    weight = weight_RNkG[refresh, n, slot, group]
                    for i in range(group * depth, group * depth + depth):
                        d_said_D[i] += weight * d_heard_D[i]
