"""Metrics and milestones of runs of the flow."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from flows.milestones import PUBLISHED, REFUSED
from gnn_trainer.errors import DataError
from tests.flows.laboratory import Laboratory


@pytest.fixture
def textfile(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = laboratory.workspace / "metrics" / "small.prom"
    monkeypatch.setenv("METRICS_TEXTFILE", str(path))
    return path


def value(path: Path, start: str) -> float:
    (line,) = [line for line in path.read_text().splitlines() if line.startswith(start + "{")]
    return float(line.rpartition(" ")[2])


def outcome(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if "_run_outcome{" in line]
    return [line.split('outcome="')[1].split('"')[0] for line in lines if line.endswith(" 1.0")]


def test_a_good_run_leaves_its_stages_and_its_skill(laboratory: Laboratory, textfile: Path) -> None:
    laboratory.train(seed=2)

    assert outcome(textfile) == ["finished"]
    assert 'item="rows",model_name="small",stage="fetch_klines"} 1920.0' in textfile.read_text()
    assert 'stage_cached{model_name="small",stage="fetch_klines"} 1.0' in textfile.read_text()
    assert 'stage_cached{model_name="small",stage="train_model"} 0.0' in textfile.read_text()
    assert -1.0 <= value(textfile, "gnn_trainer_model_rank_ic") <= 1.0
    assert value(textfile, "gnn_trainer_run_duration_seconds") > 0.0


def test_a_failed_run_is_counted_as_one(laboratory: Laboratory, textfile: Path) -> None:
    with pytest.raises(DataError):
        laboratory.train(time_range="2d")

    assert outcome(textfile) == ["error"]


def test_metrics_that_nobody_takes_fail_no_run(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("METRICS_PUSHGATEWAY_URL", "http://127.0.0.1:9")

    with caplog.at_level(logging.INFO, "gnn_trainer"):
        laboratory.train()

    (warning,) = [record for record in caplog.records if record.name == "gnn_trainer.metrics"]
    assert warning.levelname == "WARNING"
    assert "METRICS_PUSHGATEWAY_URL" in warning.getMessage()


@pytest.fixture
def told(laboratory: Laboratory) -> Iterator[type[AssertingEventsClient]]:
    """What goes to Prefect's events, kept by Prefect's own client for tests."""
    EventsWorker.set_client_override(AssertingEventsClient)
    AssertingEventsClient.reset()
    yield AssertingEventsClient
    EventsWorker.set_client_override(None)


def milestones(told: type[AssertingEventsClient]) -> list[tuple[str, str, object]]:
    EventsWorker.instance().wait_until_empty()
    return [
        (event.event, event.resource.id, event.payload["version"])
        for client in told.all
        for event in client.events
        if event.event.startswith("gnn-trainer.")
    ]


def test_a_new_version_and_its_verdict_are_made_known(
    laboratory: Laboratory, told: type[AssertingEventsClient]
) -> None:
    version = laboratory.train(seed=3).published.version

    assert milestones(told) == [
        (PUBLISHED, "gnn-trainer.model.small", version),
        (REFUSED, "gnn-trainer.model.small", version),
    ]


def test_a_version_that_was_found_is_no_news(
    laboratory: Laboratory, told: type[AssertingEventsClient]
) -> None:
    laboratory.train()

    assert milestones(told) == []
