"""From stored rows to a MarketFrame: one grid for all symbols, masks, funding and books."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gnn_trainer.errors import DataError
from gnn_trainer.market.book import attach_books
from gnn_trainer.market.frame import BOOK_FIELDS, BoolArray, FloatArray, IntArray, MarketFrame
from gnn_trainer.market.funding import FUNDING_MAX_AGE_MS, MINUTE_MS, funding_as_of
from gnn_trainer.market.history import History
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.market.listing import SymbolListing
from gnn_trainer.market.quality import (
    CandleDefects,
    clean_candles,
    frozen_bars,
    price_jumps,
    unlisted_bars,
)
from gnn_trainer.market.report import DataReport, SymbolReport
from gnn_trainer.market.spans import Span, runs

_BAR_COLUMNS = {
    "open_TN": "open",
    "high_TN": "high",
    "low_TN": "low",
    "close_TN": "close",
    "volume_TN": "volume",
    "quote_volume_TN": "quote_volume",
    "trades_TN": "trades",
    "taker_buy_volume_TN": "taker_buy_volume",
}


def load_frame(
    history: History,
    source: str,
    interval: str,
    symbols: Sequence[str],
    start_ms: int,
    end_ms: int,
    listings: Sequence[SymbolListing] = (),
) -> tuple[MarketFrame, DataReport]:
    """All whole bars inside [start_ms, end_ms) as a frame, and what was wrong with them.

    Every symbol asked for is a column, an unusable one a column of masked bars. The frame begins
    and ends at the first and last bar at which any symbol is valid, and is as long as the span
    when none is. `end_ms` may not lie after the exchange's present: a bar is closed when it ends
    at or before it. Funding is joined backward, a book goes to the bar that contains it.

    Raises:
        DataError: no whole bar fits into the span.
    """
    assert len(set(symbols)) == len(symbols), f"a symbol is given twice in {symbols}"
    step = interval_ms(interval)
    bars, defects = _read_bars(history, source, interval, tuple(symbols), (start_ms, end_ms))
    masks = _apply_masks(bars, listings)
    frame = _trimmed(replace(bars, valid_TN=masks.valid_TN))
    frame, funding_counts = _with_funding(frame, history, source)
    frame, book_counts = _with_books(frame, history, source)
    report = DataReport(
        source=source,
        interval=interval,
        start_ms=int(frame.open_time_T[0]),
        end_ms=int(frame.open_time_T[-1]) + step,
        num_bars=frame.num_bars,
        market_holes=_holes(
            bars.open_time_T, np.logical_or.reduce(masks.delivered_TN, axis=1), step
        ),
        symbols=tuple(
            _symbol_report(bars, masks, column, *counts)
            for column, counts in enumerate(zip(defects, funding_counts, book_counts, strict=True))
        ),
    )
    return frame, report


def require_enough(frame: MarketFrame, minimum_bars: int, minimum_symbols: int = 2) -> None:
    """Refuse a frame that cannot support a run.

    Raises:
        DataError: fewer than `minimum_symbols` symbols have `minimum_bars` valid bars each.
    """
    bars_N = frame.valid_TN.sum(axis=0)
    size = f"{frame.num_bars} bars x {frame.num_symbols} symbols"
    if not bars_N.any():
        raise DataError(
            f"all bars masked: 0 valid among {size}; the data report says why, choose another "
            "time range or other symbols"
        )
    long_enough = int((bars_N >= minimum_bars).sum())
    if long_enough < minimum_symbols:
        best = int(bars_N.argmax())
        raise DataError(
            f"too few bars: {long_enough} symbols have at least {minimum_bars} valid bars, "
            f"expected {minimum_symbols} (frame of {size}; the longest is {frame.symbols[best]} "
            f"with {bars_N[best]}); choose a longer time range, a shorter interval or other symbols"
        )


@dataclass(frozen=True)
class _Masks:
    delivered_TN: BoolArray  # what was stored and may be looked at
    outside_TN: BoolArray
    frozen_TN: BoolArray
    jumps_TN: BoolArray
    valid_TN: BoolArray


def _apply_masks(bars: MarketFrame, listings: Sequence[SymbolListing]) -> _Masks:
    """Find what is wrong with `bars`, and make its values NaN where they are: a year of 500 symbols
    leaves no room for a second copy."""
    outside_TN = bars.valid_TN & unlisted_bars(
        bars.symbols, bars.open_time_T, bars.interval_ms, listings
    )
    _erase(bars, outside_TN)
    listed = replace(bars, valid_TN=bars.valid_TN & ~outside_TN)
    frozen_TN, jumps_TN = frozen_bars(listed), price_jumps(listed)
    wrong_TN = frozen_TN | jumps_TN
    _erase(bars, wrong_TN)
    return _Masks(bars.valid_TN, outside_TN, frozen_TN, jumps_TN, listed.valid_TN & ~wrong_TN)


def _erase(bars: MarketFrame, masked_TN: BoolArray) -> None:
    for name in _BAR_COLUMNS:
        getattr(bars, name)[masked_TN] = np.nan


def _bar_grid(interval: str, step: int, start_ms: int, end_ms: int) -> IntArray:
    first, stop = -(-start_ms // step) * step, end_ms // step * step
    if first >= stop:
        raise DataError(
            f"no whole {interval} bar between {start_ms} and {end_ms} (unix ms); choose a longer "
            "time range"
        )
    return np.arange(first, stop, step, dtype=np.int64)


def _read_bars(
    history: History, source: str, interval: str, symbols: tuple[str, ...], span: Span
) -> tuple[MarketFrame, list[CandleDefects]]:
    """Stored bars on the grid; one symbol's table at a time is in memory."""
    step = interval_ms(interval)
    open_time_T = _bar_grid(interval, step, *span)
    shape = (len(open_time_T), len(symbols))
    arrays = {name: np.full(shape, np.nan) for name in _BAR_COLUMNS}
    valid_TN = np.zeros(shape, dtype=np.bool_)
    defects = []
    for column, symbol in enumerate(symbols):
        rows = history.read_klines(source, interval, symbol, *span)
        table, found = clean_candles(rows, step, span[1])
        twice = history.duplicated_klines(source, interval, symbol, *span)
        defects.append(replace(found, duplicates=found.duplicates + twice))
        row_B = (table["open_time"].to_numpy() - open_time_T[0]) // step
        valid_TN[row_B, column] = True
        for name, source_column in _BAR_COLUMNS.items():
            arrays[name][row_B, column] = table[source_column].to_numpy()
    frame = MarketFrame(
        symbols=symbols,
        interval_ms=step,
        open_time_T=open_time_T,
        valid_TN=valid_TN,
        funding_rate_TN=_absent(*shape),
        funding_time_TN=_absent(*shape),
        book_TNK=_absent(*shape, len(BOOK_FIELDS)),
        **arrays,
    )
    return frame, defects


def _absent(*shape: int) -> FloatArray:
    """NaN everywhere, in the memory of one."""
    return np.broadcast_to(np.nan, shape)


def _trimmed(frame: MarketFrame) -> MarketFrame:
    rows = np.flatnonzero(frame.valid_TN.any(axis=1))
    return frame.bars(int(rows[0]), int(rows[-1]) + 1) if len(rows) else frame


def _with_funding(
    frame: MarketFrame, history: History, source: str
) -> tuple[MarketFrame, list[int]]:
    first = int(frame.open_time_T[0]) - FUNDING_MAX_AGE_MS
    last = int(frame.close_time_T[-1]) + MINUTE_MS
    tables = [history.read_funding(source, symbol, first, last) for symbol in frame.symbols]
    if all(table.is_empty() for table in tables):
        return frame, [0] * frame.num_symbols
    rate_TN, time_TN = (np.full(frame.valid_TN.shape, np.nan) for _ in range(2))
    for column, rates in enumerate(tables):
        rate_TN[:, column], time_TN[:, column] = funding_as_of(rates, frame.close_time_T)
    rate_TN[~frame.valid_TN] = np.nan
    time_TN[~frame.valid_TN] = np.nan
    counts = [len(np.unique(time_T[np.isfinite(time_T)])) for time_T in time_TN.T]
    return replace(frame, funding_rate_TN=rate_TN, funding_time_TN=time_TN), counts


def _with_books(frame: MarketFrame, history: History, source: str) -> tuple[MarketFrame, list[int]]:
    step = frame.interval_ms
    first, after = int(frame.open_time_T[0]), int(frame.open_time_T[-1]) + 2 * step
    books = history.read_books(source, frame.symbols, first, after)
    if books.is_empty():
        return frame, [0] * frame.num_symbols
    book_TNK = np.full(frame.book_TNK.shape, np.nan)
    for (symbol,), own in books.partition_by("symbol", as_dict=True).items():
        column = frame.symbols.index(symbol)
        book_TNK[:, column] = attach_books(own, frame.open_time_T, step)
    book_TNK[~frame.valid_TN] = np.nan
    return replace(frame, book_TNK=book_TNK), np.isfinite(book_TNK[..., 0]).sum(axis=0).tolist()


def _holes(open_time_T: IntArray, present_T: BoolArray, step: int) -> tuple[Span, ...]:
    """Spans without a bar between the first and the last bar that is there."""
    spans = runs(open_time_T[present_T], longest_step=step, last_length=step)
    return tuple((before[1], after[0]) for before, after in pairwise(spans))


def _symbol_report(
    bars: MarketFrame,
    masks: _Masks,
    column: int,
    defects: CandleDefects,
    funding_rates: int,
    book_snapshots: int,
) -> SymbolReport:
    step, time_T = bars.interval_ms, bars.open_time_T
    present_T = masks.delivered_TN[:, column]
    holes = _holes(time_T, present_T, step)
    valid_times = time_T[masks.valid_TN[:, column]]
    return SymbolReport(
        symbol=bars.symbols[column],
        rows=defects.rows,
        valid_bars=len(valid_times),
        first_ms=int(valid_times[0]) if len(valid_times) else None,
        last_ms=int(valid_times[-1]) if len(valid_times) else None,
        gaps=len(holes),
        missing_bars=sum((end - start) // step for start, end in holes),
        duplicates=defects.duplicates,
        unclosed=defects.unclosed,
        misaligned=defects.misaligned,
        impossible=defects.impossible,
        outside_listing=int(masks.outside_TN[:, column].sum()),
        frozen=int(masks.frozen_TN[:, column].sum()),
        jump_times_ms=tuple(int(time) for time in time_T[masks.jumps_TN[:, column]]),
        funding_rates=funding_rates,
        book_snapshots=book_snapshots,
    )
