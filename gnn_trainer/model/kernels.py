"""The loops of `model.listening`, compiled by numba: one pass where torch makes a dozen.

Letters as in `model.layers`, and D units of a head; leaders, edge terms and modulation are those
of R refreshes, and `refresh_C` says which of them each bar has. `first` and `behind` are the bars
to do.
"""

import numpy as np

from gnn_trainer.compiled import compiled

LEAK = np.float32(0.2)  # slope of the leaky ReLU below zero
NOTHING, LEAST = np.float32(0.0), np.float32(-np.inf)


@compiled
def attend(  # type: ignore[no-untyped-def]
    svt_CN3hD, leader_RNk, edge_RNkhD, modulation_RNkh, attention_hD, units, refresh_C,
    first, behind, message_CNhD, weight_CNkh,
):  # fmt: skip
    """Message to every symbol, and the attention weights it was made with.

    `svt_CN3hD` holds a symbol's words as a source, its ears as a target, and its value, by head and
    unit; `units` is a tuple as long as a head has units, a length that is known when this is
    compiled.
    """
    _, num_symbols, slots = leader_RNk.shape
    heads, depth = modulation_RNkh.shape[3], len(units)
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
                    source_D, target_D = svt_CN3hD[bar, leader, 0, head], svt_CN3hD[bar, n, 1, head]
                    edge_D, attention_D = edge_RNkhD[refresh, n, slot, head], attention_hD[head]
                    score = NOTHING
                    for unit in range(depth):
                        mixed = source_D[unit] + target_D[unit] + edge_D[unit]
                        score += max(mixed, LEAK * mixed) * attention_D[unit]
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
            message_CNhD[bar, n] = NOTHING
            for slot in range(slots):
                leader = leader_RNk[refresh, n, slot]
                if leader < 0:
                    continue
                for head in range(heads):
                    passing = weight_kh[slot, head] * modulation_RNkh[refresh, n, slot, head]
                    value_D, message_D = svt_CN3hD[bar, leader, 2, head], message_CNhD[bar, n, head]
                    for unit in range(depth):
                        message_D[unit] += passing * value_D[unit]


@compiled
def attend_backward(  # type: ignore[no-untyped-def]
    svt_CN3hD, leader_RNk, edge_RNkhD, modulation_RNkh, attention_hD, units, refresh_C,
    first, behind, mixed_D, d_mixed_D, d_score_kh, weight_CNkh, d_message_CNhD,
    d_svt_CN3hD, d_edge_NkhD, d_modulation_Nkh, d_attention_hD,
):  # fmt: skip
    """Gradients of `attend`. Those of edges and attention are added up over the bars done.

    `mixed_D`, `d_mixed_D` and `d_score_kh` are room to compute in: arrays that are made in here are
    not known to be apart from the others.
    """
    _, num_symbols, slots = leader_RNk.shape
    heads, depth = modulation_RNkh.shape[3], len(units)
    d_svt_CN3hD[first:behind] = NOTHING
    for bar in range(first, behind):
        refresh = refresh_C[bar]
        for n in range(num_symbols):
            weight_kh = weight_CNkh[bar, n]
            for head in range(heads):
                d_message_D = d_message_CNhD[bar, n, head]
                mean = NOTHING
                for slot in range(slots):
                    leader = leader_RNk[refresh, n, slot]
                    if leader < 0:
                        d_score_kh[slot, head] = NOTHING
                        continue
                    value_D = svt_CN3hD[bar, leader, 2, head]
                    d_value_D = d_svt_CN3hD[bar, leader, 2, head]
                    weight = weight_kh[slot, head]
                    modulation = modulation_RNkh[refresh, n, slot, head]
                    passing = weight * modulation
                    d_passing = NOTHING
                    for unit in range(depth):
                        d_passing += d_message_D[unit] * value_D[unit]
                    for unit in range(depth):
                        d_value_D[unit] += passing * d_message_D[unit]
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
                    source_D, target_D = svt_CN3hD[bar, leader, 0, head], svt_CN3hD[bar, n, 1, head]
                    edge_D, attention_D = edge_RNkhD[refresh, n, slot, head], attention_hD[head]
                    d_source_D = d_svt_CN3hD[bar, leader, 0, head]
                    d_target_D = d_svt_CN3hD[bar, n, 1, head]
                    d_edge_D, d_attention_D = d_edge_NkhD[n, slot, head], d_attention_hD[head]
                    d_score = d_score_kh[slot, head]
                    for unit in range(depth):
                        mixed = source_D[unit] + target_D[unit] + edge_D[unit]
                        mixed_D[unit] = mixed
                        d_attention_D[unit] += d_score * max(mixed, LEAK * mixed)
                    for unit in range(depth):
                        above = d_score * attention_D[unit]
                        below = LEAK * above
                        d_mixed_D[unit] = above if mixed_D[unit] > NOTHING else below
                    for unit in range(depth):
                        d_source_D[unit] += d_mixed_D[unit]
                    for unit in range(depth):
                        d_target_D[unit] += d_mixed_D[unit]
                    for unit in range(depth):
                        d_edge_D[unit] += d_mixed_D[unit]


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
