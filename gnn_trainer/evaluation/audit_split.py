"""Do training, validation and test share anything? By where labels end, not by what is said."""

import numpy as np

from gnn_trainer.evaluation.audit_poison import utc_minute
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.market.frame import BoolArray, IntArray
from gnn_trainer.market.splits import Split


def check_split(
    open_time_T: IntArray, interval_ms: int, horizon: int, split: Split, embargo_bars: int
) -> Check:
    """The spans of one fold: in time order, purged by the end of the label, embargoed.

    The end of a label is worked out here: the open of bar t+1+horizon. Times are unix ms.
    """
    breaches = _irregular_times(open_time_T, interval_ms)
    spans = {"training": split.train_T, "validation": split.validation_T, "test": split.test_T}
    short = [name for name, rows_T in spans.items() if len(rows_T) != len(open_time_T)]
    if short:
        return check_of("split", "borders", 0, [f"the {short[0]} span is of other bars"])
    breaches += [f"the {name} span is empty" for name, rows_T in spans.items() if not rows_T.any()]
    breaches += _shared(spans)
    end_time_T = open_time_T + (1 + horizon) * interval_ms
    embargo_ms = embargo_bars * interval_ms
    for earlier, later in (("training", "validation"), ("validation", "test")):
        if not spans[later].any():
            continue
        border_ms = int(open_time_T[spans[later]].min())
        late_T = spans[earlier] & (end_time_T + embargo_ms > border_ms)
        if late_T.any():
            breaches.append(
                f"{int(late_T.sum())} labels of the {earlier} span end less than {embargo_bars} "
                f"bars before the {later} span begins at {utc_minute(border_ms)}, first that of "
                f"{utc_minute(int(open_time_T[late_T][0]))}"
            )
    for name, rows_T in spans.items():
        unknown_T = rows_T & (end_time_T > open_time_T[-1])
        if unknown_T.any():
            breaches.append(f"{int(unknown_T.sum())} labels of the {name} span end after all bars")
    return check_of("split", "borders", 3 * len(open_time_T), breaches)


def check_judged(fold: Fold, open_time_T: IntArray, split: Split) -> Check:
    """What a fold was fitted and judged on, against the spans it should have been."""
    spans = {
        "training": (fold.train, split.train_T),
        "validation": (fold.validation, split.validation_T),
        "test": (fold.test, split.test_T),
    }
    breaches = [
        f"the {name} span is that of {utc_minute(given.first_ms)} to {utc_minute(given.last_ms)}, "
        f"not that of the split"
        for name, (given, rows_T) in spans.items()
        if [given.first_ms, given.last_ms] != open_time_T[rows_T][[0, -1]].tolist()
    ]
    judged_ms = fold.open_time_T[fold.known_TN.any(axis=1)]
    strange = int((~np.isin(judged_ms, open_time_T[split.test_T])).sum())
    if strange:
        breaches.append(f"{strange} judged bars are not in the test span")
    return check_of("judged", "spans", len(judged_ms) + 2 * len(spans), breaches)


def _irregular_times(open_time_T: IntArray, interval_ms: int) -> list[str]:
    wrong_T = np.diff(open_time_T) != interval_ms
    if not wrong_T.any():
        return []
    at = utc_minute(int(open_time_T[1:][wrong_T][0]))
    return [f"{int(wrong_T.sum())} bars do not follow the one before them, first {at}"]


def _shared(spans: dict[str, BoolArray]) -> list[str]:
    pairs = (("training", "validation"), ("validation", "test"), ("training", "test"))
    return [
        f"{int(both_T.sum())} bars are in the {one} and in the {other} span"
        for one, other in pairs
        if (both_T := spans[one] & spans[other]).any()
    ]
