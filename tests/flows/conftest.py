"""One Prefect server for all tests of the flow, and a first run that they go on from."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from flows.local_server import LocalServer
from gnn_trainer.exchange.config import GENEROUS_LIMITS, ExchangeConfig
from gnn_trainer.exchange.process import RunningExchange, start_exchange
from tests.adapters.kafka_brokers import MockBroker
from tests.flows.laboratory import Laboratory, Outcome
from tests.flows.service import Service


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def api_url(server_folder: Path) -> Iterator[str]:
    """A local server as `python flows/train.py` starts it."""
    with LocalServer(server_folder) as server:
        server.wait_until_ready()
        alone = {
            PREFECT_API_URL: server.api_url,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
        }
        with temporary_settings(alone):
            yield server.api_url


@pytest.fixture(scope="session")
def exchange() -> Iterator[RunningExchange]:
    config = ExchangeConfig(symbols=5, bars=400, limits=GENEROUS_LIMITS, ticking=False)
    with start_exchange(config) as running:
        yield running


@pytest.fixture(scope="session")
def first(
    api_url: str, exchange: RunningExchange, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Laboratory, Outcome]:
    """The first run in an empty workspace. Use `laboratory` to go on from it."""
    laboratory = Laboratory(exchange, tmp_path_factory.mktemp("laboratory") / "workspace")
    outcome = laboratory.train()
    laboratory.keep()
    return laboratory, outcome


@pytest.fixture
def laboratory(first: tuple[Laboratory, Outcome]) -> Iterator[Laboratory]:
    """The workspace as the first run left it, at the same path, and a healthy exchange."""
    laboratory, _ = first
    laboratory.restore()
    laboratory.exchange.forget_usage()
    began_ms = laboratory.exchange.now_ms
    yield laboratory
    laboratory.exchange.faults.clear()
    laboratory.exchange.clock.advance(began_ms - laboratory.exchange.now_ms)


@pytest.fixture(scope="session")
def broker() -> MockBroker:
    return MockBroker()


@pytest.fixture
def service(
    broker: MockBroker,
    api_url: str,
    exchange: RunningExchange,
    tmp_path: Path,
) -> Iterator[Service]:
    """Runs as a queue manager starts them, each test with a queue_id of its own."""
    exchange.forget_usage()
    yield Service(broker, api_url, exchange, tmp_path, f"q-{uuid4().hex[:8]}")
    exchange.faults.clear()
