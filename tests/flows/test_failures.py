"""Runs that fail, are refused, or are ended from outside."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from prefect import flow

from flows.progress import LogLines
from flows.run import Run
from flows.session import open_session
from flows.tasks import fetch_klines, fetch_order_book
from gnn_trainer.adapters import open_adapters
from gnn_trainer.config import TrainConfig
from gnn_trainer.control import StopController
from gnn_trainer.errors import GnnTrainerError, TransientServiceError
from gnn_trainer.exchange.faults import Fault, FaultKind
from gnn_trainer.market.intervals import INTERVAL_MS
from gnn_trainer.ports import MarketSource
from gnn_trainer.settings import build_config
from gnn_trainer.telemetry.measurements import Measurements
from tests.flows.laboratory import SMALL, Laboratory

TRAIN = Path(__file__).resolve().parents[2] / "flows" / "train.py"
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing answers
LONG: dict[str, Any] = {"epochs": 40, "fit": {"members": 1, "patience": 40}}
WAIT_S = 240.0


def start_train(api_url: str, variables: dict[str, str], **changes: Any) -> subprocess.Popen[str]:
    """`python flows/train.py` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *flags_of(SMALL | changes)],
        env=os.environ | variables | {"PREFECT_API_URL": api_url, "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def flags_of(settings: dict[str, Any], room: str = "") -> list[str]:
    flags = []
    for name, value in settings.items():
        if isinstance(value, dict):
            flags += flags_of(value, f"{name}.")
        else:
            flags += [f"--{room}{name}".replace("_", "-"), str(value)]
    return flags


@pytest.fixture(scope="module", autouse=True)
def unanswered(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A run against nobody. Begun before the other tests, for the adapter keeps trying a while."""
    workspace = tmp_path_factory.mktemp("unanswered")
    variables = {"BINANCE_FUTURES_URL": NOBODY, "WORKSPACE": str(workspace)}
    with start_train(api_url, variables) as process:
        yield process
        process.kill()


class FlakySource:
    """A market source that fails the first time it is asked for bars."""

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def fetch(self, *arguments: Any) -> list[dict[str, str]]:
        self.asked += 1
        if self.asked == 1:
            raise TransientServiceError("connection dropped")
        return self._source.fetch(*arguments)


def test_a_transient_failure_repeats_that_task_alone(laboratory: Laboratory) -> None:
    laboratory.exchange.clock.advance(INTERVAL_MS["1h"])
    settings, _ = build_config(laboratory.variables, {})
    config = TrainConfig.model_validate(SMALL)

    @flow
    def fetch(run: Run) -> None:
        run.do(fetch_order_book)
        run.do(fetch_klines)

    with (
        open_session(settings, StopController()) as session,
        open_adapters(settings, config) as adapters,
    ):
        flaky = FlakySource(adapters.source)
        source = cast(MarketSource, flaky)
        measurements = Measurements("small", "binance", "1h")
        adapters = replace(adapters, source=source)
        run = Run(config, settings, session, adapters, LogLines(), None, measurements)
        laboratory.exchange.requests.clear()
        fetch(run)

    assert [(stage.name, stage.state) for stage in measurements.stages] == [
        ("fetch_order_book", "Completed"),
        ("fetch_klines", "Completed"),
    ]
    assert flaky.asked == 2
    assert len(laboratory.exchange.requests.seen("/depth")) == 5


def test_a_refusal_for_good_is_not_tried_again(laboratory: Laboratory) -> None:
    laboratory.exchange.clock.advance(INTERVAL_MS["1h"])
    laboratory.exchange.faults.add(Fault(FaultKind.RESTRICTED_451, path="/klines"))

    with pytest.raises(GnnTrainerError, match="451"):
        laboratory.train()

    assert len(laboratory.exchange.requests.seen("/klines")) <= 5  # at most once per symbol


def test_training_that_was_killed_goes_on_from_its_checkpoint(
    laboratory: Laboratory, api_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = start_train(api_url, laboratory.variables, seed=5, **LONG)
    wait_for_a_checkpoint(laboratory, process)
    process.kill()
    process.communicate()

    again = laboratory.train(seed=5, **LONG)

    learning = {"train_model", "audit_learning", "audit", "fit_baselines"}
    assert again.worked == learning | {"evaluate_model", "upload_model"}
    assert any("carrying on after epoch" in record.getMessage() for record in caplog.records)
    assert list((laboratory.workspace / "checkpoints").glob("*.safetensors")) == []


def test_ctrl_c_ends_a_run_at_once_with_its_own_exit_code(
    laboratory: Laboratory, api_url: str
) -> None:
    process = start_train(api_url, laboratory.variables, seed=6, **LONG)
    wait_for_a_checkpoint(laboratory, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_S)

    assert process.returncode == 130
    assert said.rstrip().endswith("stopped; the next run goes on from what is stored")


def wait_for_a_checkpoint(laboratory: Laboratory, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not list((laboratory.workspace / "checkpoints").glob("*.safetensors")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_exchange_that_is_away_is_an_error_that_names_it(
    unanswered: subprocess.Popen[str],
) -> None:
    _, said = unanswered.communicate(timeout=WAIT_S)

    assert unanswered.returncode == 1
    assert "/fapi/v1/time: cannot connect" in said
    assert "Traceback" not in said
