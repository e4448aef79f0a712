"""The loops of `model.listening`, compiled by numba: one pass where torch makes a dozen.

Letters as in `model.layers`; leaders, edge terms and modulation are those of R refreshes, and
`refresh_C` says which of them each bar has. `first` and `behind` are the bars to do.
"""

import numpy as np

from gnn_trainer.compiled import compiled

LEAK = np.float32(0.2)  # slope of the leaky ReLU below zero
NOTHING, ONE, LEAST = np.float32(0.0), np.float32(1.0), np.float32(-np.inf)


@compiled
def attend(  # type: ignore[no-untyped-def]
    svt_CN3H, leader_RNk, edge_RNkH, modulation_RNkh, attention_H, units, refresh_C, first, behind,
    message_CNH, weight_CNkh,
):  # fmt: skip
    """Message to every symbol, and the attention weights it was made with.

    `svt_CN3H` holds a symbol's words as a source, its ears as a target, and its value; `units` is
    a tuple as long as a head has units, a length that is known when this is compiled.
    """
    _, num_symbols, slots = leader_RNk.shape
    heads, depth = modulation_RNkh.shape[3], len(units)
    width = heads * depth
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            weight_kh = weight_CNkh[bar, n]
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    for head in range(heads):
                        weight_kh[slot, head] = LEAST
                    continue
                for head in range(heads):
                    score = NOTHING
                    for unit in range(depth):
                        i = head * depth + unit
                        mixed = (
                            svt_CN3H[bar, leader, i]
                            + svt_CN3H[bar, n, width + i]
                            + edge_RNkH[refresh, n, slot, i]
                        )
                        score += max(mixed, LEAK * mixed) * attention_H[i]
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
            message_CNH[bar, n] = NOTHING
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                for head in range(heads):
                    passing = weight_kh[slot, head] * modulation_RNkh[refresh, n, slot, head]
                    for unit in range(depth):
                        i = head * depth + unit
                        message_CNH[bar, n, i] += passing * svt_CN3H[bar, leader, 2 * width + i]


@compiled
def attend_backward(  # type: ignore[no-untyped-def]
    svt_CN3H, leader_RNk, edge_RNkH, modulation_RNkh, attention_H, units, refresh_C, first, behind,
    weight_CNkh, d_message_CNH, d_svt_CN3H, d_edge_NkH, d_modulation_Nkh, d_attention_H,
):  # fmt: skip
    """Gradients of `attend`. Those of edges and attention are added up over the bars done."""
    _, num_symbols, slots = leader_RNk.shape
    heads, depth = modulation_RNkh.shape[3], len(units)
    width = heads * depth
    d_score_kh = np.empty((slots, heads), np.float32)
    d_svt_CN3H[first:behind] = NOTHING
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            weight_kh = weight_CNkh[bar, n]
            for head in range(heads):
                mean = NOTHING
                for slot in range(slots):
                    leader = leader_RNk[refresh, n, slot]
                    if leader < 0:
                        d_score_kh[slot, head] = NOTHING
                        continue
                    weight = weight_kh[slot, head]
                    modulation = modulation_RNkh[refresh, n, slot, head]
                    passing = weight * modulation
                    d_passing = NOTHING
                    for unit in range(depth):
                        i = head * depth + unit
                        d_message = d_message_CNH[bar, n, i]
                        d_passing += d_message * svt_CN3H[bar, leader, 2 * width + i]
                        d_svt_CN3H[bar, leader, 2 * width + i] += passing * d_message
                    d_modulation_Nkh[n, slot, head] += d_passing * weight
                    d_score_kh[slot, head] = d_passing * modulation
                    mean += weight * d_passing * modulation
                for slot in range(slots):
                    d_score_kh[slot, head] = weight_kh[slot, head] * (d_score_kh[slot, head] - mean)
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                for head in range(heads):
                    d_score = d_score_kh[slot, head]
                    for unit in range(depth):
                        i = head * depth + unit
                        mixed = (
                            svt_CN3H[bar, leader, i]
                            + svt_CN3H[bar, n, width + i]
                            + edge_RNkH[refresh, n, slot, i]
                        )
                        d_scored = d_score * (ONE if mixed > NOTHING else LEAK)
                        d_mixed = d_scored * attention_H[i]
                        d_attention_H[i] += d_scored * mixed
                        d_svt_CN3H[bar, leader, i] += d_mixed
                        d_svt_CN3H[bar, n, width + i] += d_mixed
                        d_edge_NkH[n, slot, i] += d_mixed


@compiled
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


@compiled
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
