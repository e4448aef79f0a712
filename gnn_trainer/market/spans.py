"""Half-open spans of time [start, end): sorted lists of them, joined and subtracted."""

from collections.abc import Iterable

import numpy as np

from gnn_trainer.market.frame import IntArray

Span = tuple[int, int]


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """The same times in the fewest ascending spans; empty ones vanish."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def subtract_spans(spans: Iterable[Span], covered: Iterable[Span]) -> list[Span]:
    """The times of `spans` that lie in none of `covered`, in the fewest ascending spans."""
    wanted = merge_spans(spans)
    if not wanted:
        return []
    extent = (wanted[0][0], wanted[-1][1])
    return _holes(extent, [*_holes(extent, wanted), *covered])


def _holes(extent: Span, covered: Iterable[Span]) -> list[Span]:
    cursor, end = extent
    holes: list[Span] = []
    for covered_start, covered_end in merge_spans(covered):
        holes.append((cursor, min(covered_start, end)))
        cursor = max(cursor, covered_end)
    return [(a, b) for a, b in [*holes, (cursor, end)] if a < b]


def runs(times: IntArray, *, longest_step: int, last_length: int) -> list[Span]:
    """Ascending times as spans: linked while at most `longest_step` apart.

    Each span ends `last_length` after its last time.
    """
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) > longest_step)
    firsts = times[np.concatenate([[0], breaks + 1])]
    lasts = times[np.concatenate([breaks, [len(times) - 1]])]
    return [(int(a), int(b) + last_length) for a, b in zip(firsts, lasts, strict=True)]
