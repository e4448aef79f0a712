"""The loops of `graph.correlations` and `graph.leaders`, compiled by numba.

Matrices are [leader, follower]: of followers, which lie side by side, many are done at a time.
"""

import numpy as np

from gnn_trainer.compiled import compiled

TINY = 1e-12
NOTHING, ONE, SMALL = np.float32(0.0), np.float32(1.0), np.float32(TINY)
LOW_BITS = 32


@compiled
def add_both_unknown(  # type: ignore[no-untyped-def]
    sums_NN, leader_known_TN, follower_known_TN, weight_T
):
    """Skips what is known, nearly all."""
    num_bars, num_symbols = leader_known_TN.shape
    for t in range(num_bars):
        for i in range(num_symbols):
            if leader_known_TN[t, i] == NOTHING:
                for n in range(num_symbols):
                    sums_NN[i, n] += weight_T[t] * (ONE - follower_known_TN[t, n])


@compiled
def draw(  # type: ignore[no-untyped-def]
    product_ENN, both_unknown_ENN, moments_E23N, bars_E2, scale, noise_t, least_share,
    least_counted_E, leader_Nk, strength_ENN,
):  # fmt: skip
    """Fill leader_Nk and strength_ENN."""
    num_rules, num_symbols, _ = strength_ENN.shape
    factor_E = np.empty(num_rules, np.float32)
    inverse_2N = np.empty((2, num_symbols), np.float32)
    centre_2N = np.empty((2, num_symbols), np.float32)
    weight_2N = np.empty((2, num_symbols), np.float32)
    for rule in range(num_rules):
        all_bars, squares = bars_E2[rule, 0], bars_E2[rule, 1]
        most = TINY
        for side in range(2):
            for n in range(num_symbols):
                known = max(moments_E23N[rule, side, 0, n], TINY)
                mean = moments_E23N[rule, side, 1, n] / known
                variance = moments_E23N[rule, side, 2, n] / known - mean * mean
                inverse = 1.0 / np.sqrt(max(variance, TINY)) if variance > TINY else 0.0
                inverse_2N[side, n] = inverse
                centre_2N[side, n] = mean * inverse
                weight_2N[side, n] = scale * (known if side == 0 else known - all_bars)
                most = max(most, known if side == 0 else TINY)
        least_weight = np.float32(scale * max(least_share * all_bars, TINY))
        noise_of_one = np.float32(scale * noise_t**2 * squares / most)
        least = np.float32(least_counted_E[rule])
        power = NOTHING
        for i in range(num_symbols):
            product_N, strength_N = product_ENN[rule, i], strength_ENN[rule, i]
            both_unknown_N = both_unknown_ENN[rule, i]
            inverse, centre, missed = inverse_2N[1, i], centre_2N[1, i], weight_2N[1, i]
            for n in range(num_symbols):
                weight = max(weight_2N[0, n] + missed + both_unknown_N[n], least_weight)
                correlation = product_N[n] / weight * (inverse * inverse_2N[0, n])
                correlation -= centre * centre_2N[0, n]
                size = min(abs(correlation), ONE)
                size = max(size - noise_of_one / weight / size, NOTHING)
                strength = np.copysign(size, correlation)
                strength_N[n] = strength
                merit = max(strength, least)
                power += merit * merit
        if least <= ONE:
            factor_E[rule] = ONE / max(np.sqrt(power / np.float32(num_symbols**2)), SMALL)
    # The best so far are kept in order; every new one sinks to its place. A key is a score's bits,
    # which are ordered as scores are, followed by what makes the first of equals the largest.
    count = leader_Nk.shape[1]
    best_kN = np.empty((count, num_symbols), np.int64)
    key_N = np.empty(num_symbols, np.int64)
    score_N = np.empty(num_symbols, np.float32)
    for place in range(count):
        for n in range(num_symbols):
            best_kN[place, n] = 0
    for i in range(num_symbols):
        for n in range(num_symbols):
            score_N[n] = NOTHING
        for rule in range(num_rules):
            least, factor = np.float32(least_counted_E[rule]), factor_E[rule]
            if least <= ONE:
                strength_N = strength_ENN[rule, i]
                for n in range(num_symbols):
                    score_N[n] += factor * abs(max(strength_N[n], least))
        score_N[i] = NOTHING
        bits_N = score_N.view(np.int32)
        for n in range(num_symbols):
            key_N[n] = (np.int64(bits_N[n]) << LOW_BITS) | (num_symbols - i)
        for place in range(count):
            best_N = best_kN[place]
            for n in range(num_symbols):
                best, key = best_N[n], key_N[n]
                best_N[n], key_N[n] = max(best, key), min(best, key)
    for n in range(num_symbols):
        for place in range(count):
            key = best_kN[place, n]
            is_edge = key >> LOW_BITS > 0
            leader_Nk[n, place] = num_symbols - (key & 0xFFFFFFFF) if is_edge else -1
