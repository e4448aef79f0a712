"""Chronological spans for training, validation and test, with nothing shared across a border."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator

from gnn_trainer.errors import DataError
from gnn_trainer.form import FORM
from gnn_trainer.market.frame import BoolArray, IntArray
from gnn_trainer.market.intervals import DAY_MS


class SplitConfig(BaseModel):
    """How the labelled bars are shared out; the test span gets what the first two leave."""

    model_config = FORM

    train: float = Field(0.6, gt=0.0, lt=1.0, description="Share of the bars to train on.")
    validation: float = Field(
        0.2, gt=0.0, lt=1.0, description="Share of the bars to choose the best epoch on."
    )
    embargo_bars: int = Field(
        24,
        ge=0,
        le=10_000,
        description="Bars left out before each border, on top of the label's horizon.",
    )
    min_bars: int = Field(32, ge=1, le=100_000, description="Fewest bars a span may have.")
    step_days: int = Field(
        0,
        ge=0,
        le=365,
        description="Days by which all spans move at once. Bars since then join the test span: "
        "what was learned before them stays, and only judging is done anew. 0: with every bar.",
    )
    folds: int = Field(
        3,
        ge=1,
        le=100,
        description="Folds of a walk-forward; the last is the split of a single training, each "
        "one before it lies one test span earlier.",
    )
    window: Literal["expanding", "rolling"] = Field(
        "expanding",
        description="Training span of a walk-forward's folds: all there is before, or always as "
        "long as in the first fold.",
    )

    @model_validator(mode="after")
    def _leaves_a_test_span(self) -> Self:
        if self.train + self.validation >= 1.0:
            raise ValueError(
                f"train {self.train} + validation {self.validation} leave nothing to test on; "
                "let them sum to less than 1, e.g. 0.6 and 0.2"
            )
        return self


@dataclass(frozen=True)
class Split:
    """Which bars belong to which span; a bar may belong to none."""

    train_T: BoolArray
    validation_T: BoolArray
    test_T: BoolArray

    @property
    def num_learned(self) -> int:
        """Bars until the end of the validation span: all that fitting and choosing may look at."""
        return int(np.flatnonzero(self.validation_T)[-1]) + 1

    def first(self, num_bars: int) -> "Split":
        """The same spans of the first `num_bars` bars alone."""
        return Split(self.train_T[:num_bars], self.validation_T[:num_bars], self.test_T[:num_bars])


def chronological_split(open_time_T: IntArray, end_time_T: IntArray, config: SplitConfig) -> Split:
    """The one split of a single training: the last fold of `walk_forward`.

    Raises:
        DataError: a span has fewer than `min_bars` bars.
    """
    return _fold(open_time_T, end_time_T, config, behind=0, train_start=0)


def walk_forward(
    open_time_T: IntArray, end_time_T: IntArray, config: SplitConfig
) -> tuple[Split, ...]:
    """`config.folds` splits in time order, whose test spans follow one another without overlap.

    Every fold has the layout of the single split, moved back by whole test spans; validation and
    test spans keep their length, training spans are what is left before them. Bars since the last
    step of `config.step_days` belong to the last test span alone.

    Bars are placed by where their labels END: a bar stays in an earlier span only if its label
    ends before the first bar of the later span less the embargo; whoever reaches further is
    purged. Bars whose label ends after the last bar have no label yet and belong to no span.

    Times are unix ms, ascending: `open_time_T` of the bars, `end_time_T` of their labels.

    Raises:
        DataError: a span has fewer than `min_bars` bars.
    """
    first_train = _layout(open_time_T, end_time_T, config, config.folds - 1).validation
    folds = []
    for behind in range(config.folds - 1, -1, -1):
        train_start = 0
        if config.window == "rolling":
            train_start = _layout(open_time_T, end_time_T, config, behind).validation - first_train
        folds.append(_fold(open_time_T, end_time_T, config, behind, train_start))
    return tuple(folds)


def last_step_ms(newest_ms: int, step_days: int) -> int | None:
    """When the spans moved last, given the newest bar's open time; None if with every bar.

    Steps are counted from 1970-01-01 UTC, so that every run has the same. Unix ms.
    """
    return newest_ms // (step_days * DAY_MS) * step_days * DAY_MS if step_days else None


@dataclass(frozen=True)
class _Layout:
    """Rows at which the spans of a fold begin, and the row after its last."""

    validation: int
    test: int
    stop: int


def _layout(
    open_time_T: IntArray, end_time_T: IntArray, config: SplitConfig, behind: int
) -> _Layout:
    num_labelled = laid_out = int(_labelled(open_time_T, end_time_T).sum())
    if num_labelled and (step_ms := last_step_ms(int(open_time_T[-1]), config.step_days)):
        laid_out = int((end_time_T <= step_ms).sum())
    test = int(laid_out * (config.train + config.validation))
    moved = behind * (laid_out - test)
    stop = laid_out - moved if behind else num_labelled
    return _Layout(int(laid_out * config.train) - moved, test - moved, stop)


def _labelled(open_time_T: IntArray, end_time_T: IntArray) -> BoolArray:
    labelled_T: BoolArray = end_time_T <= open_time_T[-1:].max(initial=-1)
    return labelled_T


def _fold(
    open_time_T: IntArray,
    end_time_T: IntArray,
    config: SplitConfig,
    behind: int,
    train_start: int,
) -> Split:
    """The fold `behind` test spans before the last; its training span begins at `train_start`."""
    layout = _layout(open_time_T, end_time_T, config, behind)
    labelled_T = _labelled(open_time_T, end_time_T)
    row_T = np.arange(len(open_time_T))

    def span(start: int, next_start: int) -> BoolArray:
        border = max(0, next_start - config.embargo_bars)
        ends_before_T = end_time_T < open_time_T[border] if labelled_T.any() else labelled_T
        return labelled_T & (row_T >= start) & ends_before_T

    split = Split(
        train_T=span(train_start, layout.validation),
        validation_T=span(layout.validation, layout.test),
        test_T=labelled_T & (row_T >= layout.test) & (row_T < layout.stop),
    )
    _require_length(split, int(labelled_T.sum()), config)
    return split


def _require_length(split: Split, num_labelled: int, config: SplitConfig) -> None:
    lengths = {
        "training": int(split.train_T.sum()),
        "validation": int(split.validation_T.sum()),
        "test": int(split.test_T.sum()),
    }
    short = [f"{name} {bars}" for name, bars in lengths.items() if bars < config.min_bars]
    if short:
        raise DataError(
            f"too few bars to split: {', '.join(short)} of at least {config.min_bars} each "
            f"({num_labelled} labelled bars at {config.train:g}/{config.validation:g}/rest, "
            f"embargo {config.embargo_bars} bars, plus the horizon at each border); "
            "widen the time range, shorten horizon, embargo_bars or step_days, or walk fewer folds"
        )
