"""Order-book snapshots as a table, the figures drawn from them, and the bars they belong to."""

import numpy as np
import polars as pl

from gnn_trainer.market.frame import BOOK_FIELDS, FloatArray, IntArray

BOOK_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "time": pl.Int64(),  # unix ms UTC by the exchange's clock
    "bid_prices": pl.List(pl.Float64()),  # quote currency, best first, up to BOOK_LEVELS
    "bid_quantities": pl.List(pl.Float64()),  # base asset
    "ask_prices": pl.List(pl.Float64()),
    "ask_quantities": pl.List(pl.Float64()),
}
BOOK_LEVELS = 20


def empty_books() -> pl.DataFrame:
    """A book table without rows."""
    return pl.DataFrame(schema=BOOK_SCHEMA)


def book_features(books: pl.DataFrame) -> FloatArray:
    """Figures of each snapshot, [rows, K] in the order of `BOOK_FIELDS` (units are given there).

    A book with an empty side, a price or quantity that is not a positive number, or a crossed
    touch says nothing; its row is NaN.
    """
    mid = (_best("bid_prices") + _best("ask_prices")) / 2
    figures = books.select(
        ((_best("ask_prices") - _best("bid_prices")) / mid * 1e4).alias("spread_bps"),
        ((_microprice() - mid) / mid * 1e4).alias("microprice_bps"),
        _imbalance(5).alias("imbalance_5"),
        _imbalance(BOOK_LEVELS).alias("imbalance_20"),
        (_notional("bid") + _notional("ask")).log().alias("log_depth"),
        _is_sound().alias("sound"),
    )
    values = figures.select(pl.col(BOOK_FIELDS).cast(pl.Float64)).to_numpy().copy()
    values[~figures["sound"].fill_null(value=False).to_numpy()] = np.nan
    return values


def attach_books(books: pl.DataFrame, open_time_T: IntArray, interval_ms: int) -> FloatArray:
    """Figures of one symbol's snapshots on its bars, [T, K] in the order of `BOOK_FIELDS`.

    A snapshot belongs to the bar that contains its time; of several the newest counts. A snapshot
    taken within one bar after the last close is what is known when the next prediction is made,
    so it goes to the last row. Every other row stays NaN: history has no books.
    """
    figures_TK = np.full((len(open_time_T), len(BOOK_FIELDS)), np.nan)
    ordered = books.sort("time", maintain_order=True)
    row_B = (ordered["time"].to_numpy() - open_time_T[0]) // interval_ms
    row_B = np.where(row_B == len(open_time_T), len(open_time_T) - 1, row_B)
    values_BK = book_features(ordered)
    usable_B = (row_B >= 0) & (row_B < len(open_time_T)) & np.isfinite(values_BK).all(axis=1)
    for row, values_K in zip(row_B[usable_B], values_BK[usable_B], strict=True):
        figures_TK[row] = values_K  # ascending time: the newest stays
    return figures_TK


def _best(column: str) -> pl.Expr:
    return pl.col(column).list.first()


def _microprice() -> pl.Expr:
    """Mid weighted by the quantity on the opposite side (Gatheral and Oomen 2010)."""
    bid_quantity, ask_quantity = _best("bid_quantities"), _best("ask_quantities")
    weighted = _best("bid_prices") * ask_quantity + _best("ask_prices") * bid_quantity
    return weighted / (bid_quantity + ask_quantity)


def _imbalance(levels: int) -> pl.Expr:
    bid = pl.col("bid_quantities").list.head(levels).list.sum()
    ask = pl.col("ask_quantities").list.head(levels).list.sum()
    return (bid - ask) / (bid + ask)


def _notional(side: str) -> pl.Expr:
    prices = pl.col(f"{side}_prices").list.head(BOOK_LEVELS)
    return (prices * pl.col(f"{side}_quantities").list.head(BOOK_LEVELS)).list.sum()


def _is_sound() -> pl.Expr:
    columns = ("bid_prices", "bid_quantities", "ask_prices", "ask_quantities")
    positive = [
        pl.col(column).list.eval(pl.element().gt(0) & pl.element().is_finite()).list.all()
        for column in columns
    ]
    filled = [pl.col(column).list.len() > 0 for column in columns]
    ordered = _best("bid_prices") < _best("ask_prices")
    return pl.all_horizontal(*positive, *filled, ordered)
