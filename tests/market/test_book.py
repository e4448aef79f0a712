"""What a snapshot says, and the one bar it may say it for."""

import math

import numpy as np
import polars as pl
import pytest

from gnn_trainer.market.book import BOOK_SCHEMA, attach_books, book_features
from gnn_trainer.market.frame import BOOK_FIELDS
from tests.market.market_tables import HOUR, JANUARY

OPEN_T = JANUARY + HOUR * np.arange(5)
Side = list[tuple[float, float]]
BIDS: Side = [(99.0, 3.0), (98.0, 1.0)]
ASKS: Side = [(101.0, 1.0), (103.0, 2.0)]


def snapshot(time: int, bids: Side = BIDS, asks: Side = ASKS) -> pl.DataFrame:
    row = {
        "symbol": "BTCUSDT",
        "time": time,
        "bid_prices": [price for price, _ in bids],
        "bid_quantities": [quantity for _, quantity in bids],
        "ask_prices": [price for price, _ in asks],
        "ask_quantities": [quantity for _, quantity in asks],
    }
    return pl.DataFrame([row], schema=BOOK_SCHEMA)


def rows_with_a_book(books: pl.DataFrame) -> list[int]:
    figures_TK = attach_books(books, OPEN_T, HOUR)
    return np.flatnonzero(np.isfinite(figures_TK).all(axis=1)).tolist()


def test_the_figures_are_those_of_their_definitions() -> None:
    figures = dict(zip(BOOK_FIELDS, book_features(snapshot(JANUARY))[0], strict=True))
    notional = 99 * 3 + 98 * 1 + 101 * 1 + 103 * 2
    assert figures == pytest.approx(
        {
            "spread_bps": 200.0,
            "microprice_bps": ((99 * 1 + 101 * 3) / 4 - 100) / 100 * 1e4,
            "imbalance_5": (4 - 3) / 7,
            "imbalance_20": (4 - 3) / 7,
            "log_depth": math.log(notional),
        }
    )


def test_the_two_imbalances_look_to_different_depths() -> None:
    bids = [(99.0 - level, 1.0) for level in range(20)]
    asks = [(101.0 + level, 1.0 if level < 5 else 2.0) for level in range(20)]
    figures = dict(zip(BOOK_FIELDS, book_features(snapshot(JANUARY, bids, asks))[0], strict=True))
    assert figures["imbalance_5"] == 0
    assert figures["imbalance_20"] == pytest.approx((20 - 35) / 55)


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([], ASKS),
        (BIDS, []),
        ([(102.0, 1.0)], ASKS),
        ([(99.0, math.nan)], ASKS),
        ([(99.0, 0.0)], ASKS),
    ],
    ids=["no bids", "no asks", "crossed", "not a number", "nothing offered"],
)
def test_an_unsound_book_says_nothing(bids: Side, asks: Side) -> None:
    books = pl.concat([snapshot(JANUARY, bids, asks), snapshot(JANUARY)])
    figures = book_features(books)
    assert np.isnan(figures[0]).all()
    assert np.isfinite(figures[1]).all()


def test_a_snapshot_belongs_to_the_bar_that_contains_it_only() -> None:
    assert rows_with_a_book(snapshot(JANUARY + 2 * HOUR)) == [2]
    assert rows_with_a_book(snapshot(JANUARY + 3 * HOUR - 1)) == [2]


def test_a_snapshot_of_the_forming_bar_goes_to_the_last_row() -> None:
    assert rows_with_a_book(snapshot(JANUARY + 5 * HOUR + 60_000)) == [4]


@pytest.mark.parametrize("hours", [-1, 6])
def test_a_snapshot_of_another_time_goes_nowhere(hours: int) -> None:
    assert rows_with_a_book(snapshot(JANUARY + hours * HOUR)) == []


def test_of_several_snapshots_in_a_bar_the_newest_counts() -> None:
    early, late = snapshot(JANUARY + 1, asks=[(105.0, 1.0)]), snapshot(JANUARY + 2)
    figures_TK = attach_books(pl.concat([late, early]), OPEN_T, HOUR)
    assert figures_TK[0, BOOK_FIELDS.index("spread_bps")] == pytest.approx(200.0)


def test_no_snapshots_leave_every_row_empty() -> None:
    assert rows_with_a_book(snapshot(JANUARY).clear()) == []
