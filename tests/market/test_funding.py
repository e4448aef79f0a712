"""The rate at a bar is the last one settled by its close, never the next."""

import numpy as np
import pytest

from gnn_trainer.market.funding import FUNDING_MAX_AGE_MS, empty_funding, funding_as_of
from tests.market.market_tables import HOUR, JANUARY, funding

OPEN_T = JANUARY + HOUR * np.arange(24)
CLOSE_T = OPEN_T + HOUR - 1


def test_a_settlement_counts_from_the_bar_that_opens_with_it() -> None:
    rates = funding((JANUARY + 8 * HOUR + 17, 0.1), (JANUARY + 16 * HOUR, 0.2))
    rate_T, time_T = funding_as_of(rates, CLOSE_T)
    assert np.isnan(rate_T[:8]).all()
    assert np.isnan(time_T[:8]).all()
    assert rate_T[8:].tolist() == [0.1] * 8 + [0.2] * 8
    assert time_T[8] == JANUARY + 8 * HOUR  # without the jitter


@pytest.mark.parametrize("jitter_ms", [-9, 0, 17])
def test_jitter_never_moves_a_settlement_to_another_bar(jitter_ms: int) -> None:
    rate_T, _ = funding_as_of(funding((JANUARY + 8 * HOUR + jitter_ms, 0.1)), CLOSE_T)
    assert np.flatnonzero(np.isfinite(rate_T))[0] == 8


def test_the_interval_may_change_on_the_way() -> None:
    rates = funding(*((JANUARY + hour * HOUR, float(hour)) for hour in (0, 8, 12, 13, 14)))
    rate_T, _ = funding_as_of(rates, CLOSE_T)
    assert rate_T[[7, 8, 11, 12, 13, 14, 23]].tolist() == [0, 8, 8, 12, 13, 14, 14]


def test_the_order_of_the_rows_does_not_matter() -> None:
    rates = funding(*((JANUARY + hour * HOUR, float(hour)) for hour in (0, 8, 16)))
    found = funding_as_of(rates.reverse(), CLOSE_T)
    assert np.array_equal(found, funding_as_of(rates, CLOSE_T))


def test_a_rate_grows_too_old() -> None:
    long_T = JANUARY + HOUR * np.arange(40) - 1
    rate_T, time_T = funding_as_of(funding((JANUARY, 0.1)), long_T)
    fresh_T = long_T - JANUARY <= FUNDING_MAX_AGE_MS
    assert np.array_equal(np.isfinite(rate_T), fresh_T & (long_T >= JANUARY))
    assert np.array_equal(np.isfinite(time_T), np.isfinite(rate_T))


def test_without_settlements_every_rate_is_unknown() -> None:
    rate_T, time_T = funding_as_of(empty_funding(), CLOSE_T)
    assert np.isnan(rate_T).all()
    assert np.isnan(time_T).all()
