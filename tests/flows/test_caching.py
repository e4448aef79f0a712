"""What makes one task's work the same work, and which failures are worth another try."""

from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed
from pydantic import BaseModel

from flows.caching import EVALUATION, FEATURES, cache_key, code_version, is_worth_a_retry
from flows.tasks import fetch_klines
from gnn_trainer.errors import (
    ConfigError,
    DataError,
    RateLimited,
    ServiceBanned,
    TrainingDiverged,
    TransientServiceError,
)


class Asked(BaseModel):
    symbols: tuple[str, ...]


def test_a_key_names_its_task_and_is_a_file_name() -> None:
    key = cache_key("fetch_klines", FEATURES, Asked(symbols=("龙USDT",)))

    assert key.startswith("fetch_klines-")
    assert Path(key).name == key
    assert key.isascii()


def test_a_key_changes_with_the_task_with_what_is_asked_and_with_the_code() -> None:
    asked = Asked(symbols=("BTCUSDT",))
    key = cache_key("one", FEATURES, asked)

    assert cache_key("one", FEATURES, Asked(symbols=("BTCUSDT",))) == key
    assert cache_key("two", FEATURES, asked) != key
    assert cache_key("one", FEATURES, Asked(symbols=("ETHUSDT",))) != key
    assert cache_key("one", EVALUATION, asked) != key


def test_the_code_version_covers_rooms_and_single_files() -> None:
    assert code_version(("market",)) == code_version(("market",))
    assert code_version(("errors.py",)) != code_version(("progress.py",))


@pytest.mark.parametrize(
    ("error", "is_worth_it"),
    [
        (TransientServiceError("timeout"), True),
        (RateLimited("slow down", retry_after_s=1.0), True),
        (ServiceBanned("banned", until_ms=0), False),
        (ConfigError("no such symbol"), False),
        (DataError("too few bars"), False),
        (TrainingDiverged("loss nan"), False),
        (TimeoutError("not ours"), False),
    ],
)
def test_only_errors_that_call_themselves_transient_are_tried_again(
    error: Exception, is_worth_it: bool
) -> None:
    task_run = TaskRun(flow_run_id=uuid4(), task_key="fetch", dynamic_key="0")

    assert is_worth_a_retry(fetch_klines, task_run, Failed(data=error)) is is_worth_it
