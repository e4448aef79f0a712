"""Spans behave as the sets of instants they stand for."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnn_trainer.market.spans import Span, merge_spans, runs, subtract_spans

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def instants(pieces: list[Span]) -> set[int]:
    return {time for start, end in pieces for time in range(start, end)}


@given(spans)
def test_merging_keeps_the_instants_and_leaves_spans_apart_and_ascending(
    pieces: list[Span],
) -> None:
    merged = merge_spans(pieces)
    assert instants(merged) == instants(pieces)
    assert all(before[1] < after[0] for before, after in pairwise(merged))


@given(spans, spans)
def test_subtracting_leaves_the_instants_not_covered(
    pieces: list[Span], covered: list[Span]
) -> None:
    rest = subtract_spans(pieces, covered)
    assert instants(rest) == instants(pieces) - instants(covered)
    assert merge_spans(rest) == rest


@given(st.sets(st.integers(0, 40)))
def test_runs_of_a_grid_cover_exactly_its_times(times: set[int]) -> None:
    found = runs(np.array(sorted(times), dtype=np.int64), longest_step=1, last_length=1)
    assert instants(found) == times
    assert merge_spans(found) == found
