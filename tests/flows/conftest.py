"""One Prefect server for all tests of the flow, and a small market to run it on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_TASKS_REFRESH_CACHE,
    temporary_settings,
)

from flows.local_server import LocalServer
from gnn_trainer.config import TrainConfig
from gnn_trainer.exchange.config import GENEROUS_LIMITS, ExchangeConfig
from gnn_trainer.exchange.running import RunningExchange, start_exchange

NUM_BARS = 480
