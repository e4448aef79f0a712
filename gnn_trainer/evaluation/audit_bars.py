"""Is every value of the frame a stored row of its own time, and was it known by then?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from gnn_trainer.evaluation.audit_poison import by_row, differing, first_bar, utc_minute
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.market.assembly import load_frame
from gnn_trainer.market.book import book_features
from gnn_trainer.market.frame import BOOK_FIELDS, BoolArray, MarketFrame
from gnn_trainer.market.history import History
from gnn_trainer.market.listing import SymbolListing

ROW_COLUMNS = {
    "open_TN": "open",
    "high_TN": "high",
    "low_TN": "low",
    "close_TN": "close",
    "volume_TN": "volume",
    "quote_volume_TN": "quote_volume",
    "trades_TN": "trades",
    "taker_buy_volume_TN": "taker_buy_volume",
}
HALF_MINUTE_MS = 30_000  # settlements are stamped with some jitter
CUT_SHARE = 0.7  # of the bars; where the future is cut off
SITE_SPACING = 96  # bars between two altered ones
SETTLING_BARS = 48  # after an altered bar, in which masks may still remember it
SHOCK = 1.5  # factor on prices and amounts of an altered bar

Alter = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Origin:
    """Which stored rows a frame was made of. Times are unix ms, `end_ms` is exclusive."""

    history: History
    source: str
    interval: str
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    listings: tuple[SymbolListing, ...]
    closed_ms: int  # close of the newest closed bar by the exchange's clock


class AlteredHistory(History):
    """The same store, its rows changed on the way out."""

    def __init__(self, root: Path, *, candles: Alter, funding: Alter, books: Alter) -> None:
        super().__init__(root)
        self._candles, self._funding_rates, self._order_books = candles, funding, books

    def read_klines(
        self, source: str, interval: str, symbol: str, start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        return self._candles(super().read_klines(source, interval, symbol, start_ms, end_ms))

    def read_funding(self, source: str, symbol: str, start_ms: int, end_ms: int) -> pl.DataFrame:
        return self._funding_rates(super().read_funding(source, symbol, start_ms, end_ms))

    def read_books(
        self, source: str, symbols: Sequence[str], start_ms: int, end_ms: int
    ) -> pl.DataFrame:
        return self._order_books(super().read_books(source, symbols, start_ms, end_ms))


def past_of(history: History, cut_ms: int) -> History:
    """The store without the rows of `cut_ms` and later, unix ms."""

    def before(column: str) -> Alter:
        return lambda rows: rows.filter(pl.col(column) < cut_ms)

    return AlteredHistory(
        history.root,
        candles=before("open_time"),
        funding=before("funding_time"),
        books=before("time"),
    )


def check_bars(origin: Origin, frame: MarketFrame) -> tuple[Check, ...]:
    """The frame against the rows it was made of, and against frames of altered rows."""
    return (
        _closed(origin, frame),
        _rows(origin, frame),
        _funding(origin, frame),
        _books(origin, frame),
        _truncation(origin, frame),
        _poison(origin, frame),
    )


def _closed(origin: Origin, frame: MarketFrame) -> Check:
    end_T = frame.open_time_T + frame.interval_ms
    open_T = end_T > min(origin.closed_ms, origin.end_ms)
    breaches = []
    if open_T.any():
        breaches.append(
            f"{int(open_T.sum())} bars were not closed at {utc_minute(origin.closed_ms)}, first "
            f"that of {utc_minute(int(frame.open_time_T[open_T][0]))}"
        )
    return check_of("bars", "closed", len(end_T), breaches)


def _rows(origin: Origin, frame: MarketFrame) -> Check:
    """Every valid bar is the stored row of its own time, value by value; nothing is filled."""
    found: dict[str, str] = {}
    stop_ms = int(frame.open_time_T[-1]) + frame.interval_ms
    for column, symbol in enumerate(frame.symbols):
        table = origin.history.read_klines(
            origin.source, origin.interval, symbol, int(frame.open_time_T[0]), stop_ms
        ).filter(pl.col("open_time") % frame.interval_ms == 0)
        row_B = (table["open_time"].to_numpy() - frame.open_time_T[0]) // frame.interval_ms
        for name, source_column in ROW_COLUMNS.items():
            stored_T = np.full(frame.num_bars, np.nan)
            stored_T[row_B] = table[source_column].to_numpy()
            given_T = getattr(frame, name)[:, column]
            differs_T = frame.valid_TN[:, column] & ~(given_T == stored_T)
            differs_T |= ~frame.valid_TN[:, column] & np.isfinite(given_T)
            if differs_T.any() and name not in found:
                where = first_bar(differs_T[:, None], frame.open_time_T, (symbol,))
                found[name] = f"{source_column} is not the stored row of its own time ({where})"
    return check_of(
        "bars", "stored rows", frame.valid_TN.size * len(ROW_COLUMNS), list(found.values())
    )


def _funding(origin: Origin, frame: MarketFrame) -> Check:
    """Every rate was settled at or before the close of its bar, and is stored as such."""
    breaches = []
    first, last = int(frame.open_time_T[0]), int(frame.close_time_T[-1])
    age_TN = frame.close_time_T[:, None] - frame.funding_time_TN
    if (age_TN < 0).any():
        where = first_bar(age_TN < 0, frame.open_time_T, frame.symbols)
        breaches.append(f"funding is of a settlement after the close of its bar ({where})")
    oldest = np.nanmin(frame.funding_time_TN, initial=first)
    for column, symbol in enumerate(frame.symbols):
        table = origin.history.read_funding(
            origin.source, symbol, int(oldest) - HALF_MINUTE_MS, last + HALF_MINUTE_MS
        ).drop_nulls("rate")
        time_T, rate_T = frame.funding_time_TN[:, column], frame.funding_rate_TN[:, column]
        known_T = np.isfinite(rate_T)
        if not known_T.any():
            continue
        stored_S = np.append(table["funding_time"].to_numpy(), np.iinfo(np.int64).max)
        settled_T = np.nan_to_num(time_T[known_T], nan=0.0)
        place_T = np.searchsorted(stored_S, settled_T - HALF_MINUTE_MS)
        near_T = np.abs(stored_S[place_T] - settled_T) <= HALF_MINUTE_MS
        same_T = near_T & (np.append(table["rate"].to_numpy(), np.nan)[place_T] == rate_T[known_T])
        if not same_T.all():
            breaches.append(f"funding of {symbol}: {int((~same_T).sum())} rates are not stored")
    return check_of("bars", "stored funding", age_TN.size, breaches)


def _books(origin: Origin, frame: MarketFrame) -> Check:
    """Every book figure is of the newest sound snapshot inside its bar.

    The last row may hold one taken within the bar after it: what is known at prediction time.
    """
    step, breaches = frame.interval_ms, []
    first, last_row = int(frame.open_time_T[0]), frame.num_bars - 1
    books = origin.history.read_books(
        origin.source, frame.symbols, first, int(frame.open_time_T[-1]) + 2 * step
    ).sort("time", maintain_order=True)
    for column, symbol in enumerate(frame.symbols):
        given_TK = frame.book_TNK[:, column]
        own = books.filter(pl.col("symbol") == symbol)
        figures_BK = book_features(own)
        sound_B = np.isfinite(figures_BK).all(axis=1)
        row_B = np.minimum((own["time"].to_numpy() - first) // step, last_row)
        allowed_TK = np.full((frame.num_bars, len(BOOK_FIELDS)), np.nan)
        for row, figures_K in zip(row_B[sound_B], figures_BK[sound_B], strict=True):
            allowed_TK[row] = figures_K
        invented_T = (np.isfinite(given_TK) & (given_TK != allowed_TK)).any(axis=1)
        if invented_T.any():
            where = first_bar(invented_T[:, None], frame.open_time_T, (symbol,))
            breaches.append(f"order book is not of a snapshot inside its bar ({where})")
    return check_of("bars", "stored books", frame.valid_TN.size, breaches)


def _truncation(origin: Origin, frame: MarketFrame) -> Check:
    """The same store with nothing in it from a moment on makes the same bars before."""
    cut_ms = int(frame.open_time_T[int(CUT_SHARE * (frame.num_bars - 1))])
    past_T = frame.open_time_T < cut_ms
    found = []
    if cut_ms > origin.start_ms:
        found = _unlike(frame, _load(origin, past_of(origin.history, cut_ms), cut_ms), past_T)
    return check_of("bars", "truncation", int(past_T.sum()) * frame.num_symbols, found)


def _poison(origin: Origin, frame: MarketFrame) -> Check:
    """Other rows here and there leave the bars before them as they are, masks included."""
    offset = int(np.random.default_rng(frame.num_bars).integers(SITE_SPACING))
    place_T = (np.arange(frame.num_bars) + offset) % SITE_SPACING
    sites = frame.open_time_T[place_T == SITE_SPACING - 1].tolist()
    altered = AlteredHistory(
        origin.history.root,
        candles=lambda rows: _shocked(rows, sites),
        funding=lambda rows: rows,
        books=lambda rows: rows,
    )
    clean_T = (place_T >= SETTLING_BARS) & (place_T < SITE_SPACING - 1)
    found = _unlike(frame, _load(origin, altered, origin.end_ms), clean_T)
    return check_of("bars", "poison", int(clean_T.sum()) * frame.num_symbols, found)


def _shocked(rows: pl.DataFrame, sites: list[int]) -> pl.DataFrame:
    return rows.with_columns(
        pl.when(pl.col("open_time").is_in(sites))
        .then((pl.col(name) * SHOCK).cast(rows.schema[name]))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ROW_COLUMNS.values()
    )


def _load(origin: Origin, history: History, end_ms: int) -> MarketFrame:
    frame, _ = load_frame(
        history,
        origin.source,
        origin.interval,
        origin.symbols,
        origin.start_ms,
        end_ms,
        origin.listings,
    )
    return frame


def _unlike(frame: MarketFrame, other: MarketFrame, rows_T: BoolArray) -> list[str]:
    """What differs at `rows_T` of the frame; rows the other does not have count as masked."""
    breaches = []
    row_T = (frame.open_time_T[rows_T] - other.open_time_T[0]) // frame.interval_ms
    there_T = (row_T >= 0) & (row_T < other.num_bars)
    for name in ("valid_TN", *ROW_COLUMNS, "funding_rate_TN", "funding_time_TN", "book_TNK"):
        before = getattr(frame, name)[rows_T]
        after = np.full_like(before, False if before.dtype == np.bool_ else np.nan)
        after[there_T] = getattr(other, name)[row_T[there_T]]
        differs = differing(before, after)
        differs_TN = by_row(differs) if differs.ndim == 3 else differs
        if differs_TN.any():
            what = "which bars are valid" if name == "valid_TN" else name.partition("_T")[0]
            where = first_bar(differs_TN, frame.open_time_T[rows_T], frame.symbols)
            breaches.append(f"{what} of the frame knows later rows ({where})")
    return breaches
