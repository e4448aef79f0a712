"""Chronological spans: order, purge, embargo, and the error when there is too little."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gnn_trainer.errors import DataError
from gnn_trainer.market.intervals import DAY_MS
from gnn_trainer.market.splits import (
    Split,
    SplitConfig,
    chronological_split,
    last_step_ms,
    walk_forward,
)

HOUR_MS = 3_600_000


def times(num_bars: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Open times, and label ends as `make_labels` gives them."""
    open_time_T = 1_700_000_000_000 + HOUR_MS * np.arange(num_bars)
    return open_time_T, open_time_T + (1 + horizon) * HOUR_MS


@st.composite
def splits(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, SplitConfig, Split]:
    train = draw(st.floats(0.2, 0.8))
    config = SplitConfig(
        train=train,
        validation=draw(st.floats(0.05, 0.95 - train)),
        embargo_bars=draw(st.integers(0, 40)),
        min_bars=1,
    )
    open_time_T, end_time_T = times(draw(st.integers(50, 600)), draw(st.integers(1, 60)))
    try:
        split = chronological_split(open_time_T, end_time_T, config)
    except DataError:
        assume(False)
    return open_time_T, end_time_T, config, split


@given(splits())
def test_no_label_reaches_the_next_span_or_its_embargo(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split],
) -> None:
    open_time_T, end_time_T, config, split = drawn
    spans = (split.train_T, split.validation_T, split.test_T)
    for earlier_T, later_T in pairwise(spans):
        embargo_starts = open_time_T[later_T].min() - config.embargo_bars * HOUR_MS
        assert end_time_T[earlier_T].max() < embargo_starts


@given(splits())
def test_spans_are_whole_disjoint_and_in_order(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split],
) -> None:
    split = drawn[3]
    rows = [np.flatnonzero(span_T) for span_T in (split.train_T, split.validation_T, split.test_T)]
    for span in rows:
        np.testing.assert_array_equal(span, np.arange(span[0], span[-1] + 1))
    assert rows[0][0] == 0
    assert rows[0][-1] < rows[1][0] <= rows[1][-1] < rows[2][0]


@given(splits())
def test_bars_without_a_label_yet_belong_to_no_span(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split],
) -> None:
    open_time_T, end_time_T, _, split = drawn
    labelled_T = end_time_T <= open_time_T[-1]
    assert np.flatnonzero(split.test_T)[-1] == np.flatnonzero(labelled_T)[-1]
    assert not ((split.train_T | split.validation_T | split.test_T) & ~labelled_T).any()


@given(splits())
def test_no_more_bars_are_given_up_than_a_border_needs(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split],
) -> None:
    open_time_T, end_time_T, config, split = drawn
    horizon_bars = int((end_time_T[0] - open_time_T[0]) // HOUR_MS)
    gap = int(np.flatnonzero(split.test_T)[0] - np.flatnonzero(split.validation_T)[-1]) - 1
    assert gap == horizon_bars + config.embargo_bars


def test_the_default_shares_are_sixty_twenty_twenty() -> None:
    split = chronological_split(*times(1002, horizon=1), SplitConfig())
    assert np.flatnonzero(split.train_T)[-1] == 600 - 24 - 2 - 1
    assert np.flatnonzero(split.validation_T)[0] == 600
    assert np.flatnonzero(split.test_T)[0] == 800
    assert split.test_T.sum() == 200


def test_too_few_bars_are_refused_with_the_numbers() -> None:
    expected = re.escape("too few bars to split: validation 4 of at least 32 each (150 labelled")
    with pytest.raises(DataError, match=expected):
        chronological_split(*times(152, horizon=1), SplitConfig(train=0.5))


@pytest.mark.parametrize("num_bars", [0, 1, 10])
def test_a_horizon_longer_than_the_history_is_refused(num_bars: int) -> None:
    with pytest.raises(DataError, match="training 0, validation 0, test 0"):
        chronological_split(*times(num_bars, horizon=20), SplitConfig())


def test_shares_must_leave_a_test_span() -> None:
    with pytest.raises(ValueError, match=r"train 0\.8 \+ validation 0\.2 leave nothing"):
        SplitConfig(train=0.8)


@given(splits(), st.integers(1, 4), st.sampled_from(["expanding", "rolling"]))
def test_every_fold_is_purged_and_tests_what_no_other_does(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split], folds: int, window: str
) -> None:
    open_time_T, end_time_T, config, single = drawn
    config = config.model_copy(update={"folds": folds, "window": window})
    try:
        walked = walk_forward(open_time_T, end_time_T, config)
    except DataError:
        assume(False)
    assert len(walked) == folds
    for split in walked:
        spans = (split.train_T, split.validation_T, split.test_T)
        for earlier_T, later_T in pairwise(spans):
            embargo_starts = open_time_T[later_T].min() - config.embargo_bars * HOUR_MS
            assert end_time_T[earlier_T].max() < embargo_starts
    np.testing.assert_array_equal(walked[-1].test_T, single.test_T)
    np.testing.assert_array_equal(walked[-1].validation_T, single.validation_T)
    tested = np.concatenate([np.flatnonzero(split.test_T) for split in walked])
    np.testing.assert_array_equal(tested, np.arange(tested[0], tested[-1] + 1))


def test_training_spans_expand_or_roll() -> None:
    config = SplitConfig(folds=3, embargo_bars=0)
    lengths = {
        window: [
            int(split.train_T.sum())
            for split in walk_forward(
                *times(1002, horizon=1), config.model_copy(update={"window": window})
            )
        ]
        for window in ("expanding", "rolling")
    }
    assert lengths["expanding"] == pytest.approx([200, 400, 600], abs=3)
    assert lengths["rolling"] == pytest.approx([200, 200, 200], abs=3)


def test_one_expanding_fold_is_the_single_split() -> None:
    config = SplitConfig(folds=1)
    (walked,) = walk_forward(*times(500, horizon=3), config)
    single = chronological_split(*times(500, horizon=3), config)
    np.testing.assert_array_equal(walked.train_T, single.train_T)


@given(st.integers(3, 20), st.integers(0, 118), st.integers(1, 20), st.integers(0, 20))
def test_within_a_step_only_the_test_span_grows(
    steps: int, later_bars: int, horizon: int, embargo_bars: int
) -> None:
    config = SplitConfig(step_days=5, embargo_bars=embargo_bars, min_bars=1)
    step_bars, offset_ms = 5 * 24, 1_700_000_000_000 % (5 * DAY_MS)
    num_bars = step_bars * (steps + 2) - offset_ms // HOUR_MS + 1  # the last step has just begun
    now = chronological_split(*times(num_bars, horizon), config)
    later = chronological_split(*times(num_bars + later_bars, horizon), config)
    for name in ("train_T", "validation_T"):
        rows, later_rows = (np.flatnonzero(getattr(split, name)) for split in (now, later))
        np.testing.assert_array_equal(rows, later_rows)
    assert now.num_learned == later.num_learned
    assert later.test_T.sum() == now.test_T.sum() + later_bars


@given(splits())
def test_what_may_be_learned_from_ends_with_the_validation_span(
    drawn: tuple[np.ndarray, np.ndarray, SplitConfig, Split],
) -> None:
    split = drawn[3]
    learned = split.first(split.num_learned)
    assert learned.validation_T[-1]
    assert learned.train_T.sum() == split.train_T.sum()
    assert learned.validation_T.sum() == split.validation_T.sum()
    assert not learned.test_T.any()


def test_a_step_lays_the_spans_out_as_of_its_beginning() -> None:
    open_time_T, end_time_T = times(1002 + 30, horizon=1)
    step_ms = last_step_ms(int(open_time_T[-1]), 3)
    laid_out = int((end_time_T <= step_ms).sum())
    split = chronological_split(open_time_T, end_time_T, SplitConfig(step_days=3))
    assert np.flatnonzero(split.validation_T)[0] == int(laid_out * 0.6)
    assert np.flatnonzero(split.test_T)[0] == int(laid_out * 0.8)
    assert split.test_T[: len(open_time_T) - 2].sum() == len(open_time_T) - 2 - int(laid_out * 0.8)


def test_bars_since_the_step_belong_to_the_last_fold_alone() -> None:
    config = SplitConfig(step_days=3, folds=2)
    earlier, last = walk_forward(*times(2000, horizon=1), config)
    assert np.flatnonzero(earlier.test_T)[-1] + 1 == np.flatnonzero(last.test_T)[0]
    assert last.test_T.sum() > earlier.test_T.sum()


def test_more_folds_than_there_is_history_for_are_refused() -> None:
    with pytest.raises(DataError, match="walk fewer folds"):
        walk_forward(*times(1000, horizon=1), SplitConfig(folds=5))
