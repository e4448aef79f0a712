"""Are features made of their own bar and earlier ones?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn_trainer.evaluation.audit_poison import bars_of, differing, first_bar, poison_frame
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.features.build import build_features
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.features.registry import longest_lookback
from gnn_trainer.market.frame import BoolArray, MarketFrame

CUT_SHARES = (0.2, 0.37, 0.55, 0.62, 0.79, 0.83, 0.98)  # of the bars; where the future is cut off
CUT_CONTEXT_BARS = 600  # recomputed before each cut, besides what the features look back on
POISON_PASSES = 3  # over all bars, each with poison at other bars
CLEAN_BARS = 8  # judged before each poisoned bar, at least
MAX_CELLS = 200_000  # bars x symbols that one pass recomputes; longer markets by three samples

# The same formulas with the shortest windows: poison can then be laid close, and reach most bars.
SHORT_WINDOWS = {"short_window": 2, "medium_window": 8, "long_window": 16, "beta_window": 16}


def check_features(
    frame: MarketFrame,
    features: FeatureFrame,
    config: FeatureConfig,
    cuts: tuple[int, ...] = (),
) -> tuple[Check, ...]:
    """`features` held against what the same code makes of a frame whose future is cut or changed.

    `cuts` are bars of interest, such as the borders of the split, at which to cut as well.
    """
    rng = np.random.default_rng(frame.num_bars)
    return (
        _truncation(frame, features, config, cuts),
        _poison(frame, config, rng, "poison"),
        _poison(frame, config.model_copy(update=SHORT_WINDOWS), rng, "poison, short windows"),
    )


def cut_bars(num_bars: int, extra: tuple[int, ...] = ()) -> list[int]:
    """Where to cut: spread over the bars, never at a round place."""
    cuts = {int(num_bars * share) + 1 for share in CUT_SHARES} | set(extra)
    return sorted(cut for cut in cuts if 1 < cut < num_bars)


def _truncation(
    frame: MarketFrame, features: FeatureFrame, config: FeatureConfig, cuts: tuple[int, ...]
) -> Check:
    found = _Differences()
    for stop in cut_bars(frame.num_bars, cuts):
        start = max(0, stop - longest_lookback(config) - CUT_CONTEXT_BARS)
        alone = build_features(frame.bars(start, stop), config)
        settled = 0 if start == 0 else longest_lookback(config)
        found.compare(
            bars_of(features, start + settled, stop), bars_of(alone, settled, stop - start)
        )
    return found.check("truncation")


def _poison(
    frame: MarketFrame, config: FeatureConfig, rng: np.random.Generator, test: str
) -> Check:
    """Poison single bars far enough apart that what they may change ends before the next one."""
    lookback = longest_lookback(config)
    clean = max(CLEAN_BARS, lookback // 4)
    found = _Differences()
    for part in sample_parts(frame):
        honest = build_features(part, config)
        for _ in range(POISON_PASSES):
            site_T = poison_sites(part, lookback + clean, clean, rng)
            poisoned = build_features(poison_frame(part, site_T, rng), config)
            found.compare(honest, poisoned, ~_reached(site_T, lookback))
    return found.check(test)


def sample_parts(frame: MarketFrame) -> Iterator[MarketFrame]:
    """The whole frame, or its beginning, middle and end if that is too much."""
    most = MAX_CELLS // max(1, frame.num_symbols)
    if frame.num_bars <= most:
        yield frame
        return
    length = most // 3
    for start in (0, (frame.num_bars - length) // 2, frame.num_bars - length):
        yield frame.bars(start, start + length)


def poison_sites(
    frame: MarketFrame, spacing: int, slack: int, rng: np.random.Generator
) -> BoolArray:
    """Marks bars `spacing` apart, and up to `slack` more to meet something unusual.

    A leak may show itself only where a bar is missing before (filling backwards), a rate was
    settled or a book recorded in the bar to come.
    """
    appeal_T = rng.random(frame.num_bars)
    appeal_T[1:] += (frame.valid_TN[1:] & ~frame.valid_TN[:-1]).any(axis=1)
    settled_TN = np.nan_to_num(frame.funding_time_TN)
    appeal_T[1:] += 0.3 * (settled_TN[1:] != settled_TN[:-1]).any(axis=1)
    appeal_T += 0.3 * np.isfinite(frame.book_TNK[..., 0]).any(axis=1)
    site_T = np.zeros(frame.num_bars, np.bool_)
    start = int(rng.integers(spacing))
    while start < frame.num_bars:
        site = start + int(appeal_T[start : start + slack].argmax())
        site_T[site] = True
        start = site + spacing
    return site_T


def _reached(site_T: BoolArray, lookback: int) -> BoolArray:
    """Bars that a poisoned bar may rightly change: itself and those that look back on it."""
    row_T = np.arange(len(site_T))
    newest_T = np.maximum.accumulate(np.where(site_T, row_T, -len(site_T) - lookback))
    reached_T: BoolArray = row_T - newest_T <= lookback
    return reached_T


class _Differences:
    """Collects, feature by feature, where values differ that should not."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._compared = 0

    def compare(
        self, expected: FeatureFrame, actual: FeatureFrame, rows_T: BoolArray | None = None
    ) -> None:
        rows = slice(None) if rows_T is None else rows_T
        times_T, symbols = expected.open_time_T[rows], expected.symbols
        planes: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {
            name: (expected.x_TNF[rows, :, place], actual.x_TNF[rows, :, place])
            for place, name in enumerate(expected.names)
        }
        planes["which rows are usable"] = (expected.mask_TN[rows], actual.mask_TN[rows])
        for name, (before_TN, after_TN) in planes.items():
            differs_TN = differing(before_TN, after_TN)
            self._compared += differs_TN.size
            if name not in self._found and differs_TN.any():
                self._found[name] = first_bar(differs_TN, times_T, symbols)

    def check(self, test: str) -> Check:
        breaches = [
            f"{name} knows later bars, or more of the past than it says ({where})"
            for name, where in self._found.items()
        ]
        return check_of("features", test, self._compared, breaches)
