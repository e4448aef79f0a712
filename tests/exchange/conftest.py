"""Running exchanges for the tests of the wire."""

from collections.abc import Iterator

import pytest

from gnn_trainer.exchange.process import RunningExchange, start_exchange
from tests.exchange.asking import SMALL


@pytest.fixture(scope="session")
def standing_exchange() -> Iterator[RunningExchange]:
    """Shared by tests that only read: its time stands, no faults are added to it."""
    unlimited = SMALL.model_copy(
        update={
            "limits": SMALL.limits.model_copy(
                update={
                    "usdm_weight": 1_000_000,
                    "spot_weight": 1_000_000,
                    "funding_requests": 1_000_000,
                }
            )
        }
    )
    with start_exchange(unlimited) as exchange:
        yield exchange


@pytest.fixture
def exchange() -> Iterator[RunningExchange]:
    """One of its own for a test, with Binance's true limits."""
    with start_exchange(SMALL) as exchange:
        yield exchange
