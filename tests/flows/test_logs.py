"""What a run writes into its log, for people and for programs."""

import json
import logging
import sys
from typing import Any

import pytest

from flows.logs import Editor, JsonLines
from gnn_trainer.errors import DataError
from tests.flows.service import Service

SECRET = "secret-of-the-log-7f3a"


def record(message: str, name: str = "gnn_trainer.run", **more: Any) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": message, "name": name, "levelno": logging.ERROR})
    vars(made).update(more)
    return made


def raised(error: Exception) -> Any:
    """What `logger.exception` puts into a record."""
    try:
        raise error
    except type(error):
        return sys.exc_info()


def test_an_error_that_says_what_to_do_has_no_traceback() -> None:
    line = record("failed", exc_info=raised(DataError("too few bars; widen the time range")))

    assert Editor().filter(line)
    assert "Traceback" not in logging.Formatter().format(line)


def test_any_other_error_keeps_its_traceback() -> None:
    line = record("failed", exc_info=raised(ZeroDivisionError("division by zero")))

    assert Editor().filter(line)
    assert "Traceback" in logging.Formatter().format(line)


@pytest.mark.parametrize(
    ("message", "error", "is_told"),
    [
        ("Engine execution exited with unexpected exception", DataError("x"), False),
        ("Engine execution exited with unexpected exception", ZeroDivisionError("x"), True),
        ("Encountered exception during execution: DataError('x')", DataError("x"), True),
    ],
)
def test_an_error_of_ours_is_told_once(message: str, error: Exception, is_told: bool) -> None:
    assert Editor().filter(record(message, "prefect.flow_runs", exc_info=raised(error))) is is_told


def test_a_cancelled_task_is_no_error() -> None:
    line = record("Finished in state Cancelled('stopped')", "prefect.task_runs")

    assert Editor().filter(line)
    assert line.levelname == "INFO"


def test_no_secret_is_written_neither_in_messages_nor_in_tracebacks() -> None:
    error = ZeroDivisionError(f"token {SECRET} divided")
    line = record("called with %s", args=(SECRET,), exc_info=raised(error))

    Editor([SECRET]).filter(line)

    for formatter in (logging.Formatter(), JsonLines()):
        text = formatter.format(line)
        assert SECRET not in text
        assert "called with ***" in text
        assert "token *** divided" in text


def test_a_json_line_has_its_figures_and_nothing_that_is_no_json() -> None:
    line = record("epoch done", levelname="INFO", fields={"loss": 0.5, "stage": "training"})

    read = json.loads(JsonLines().format(line))

    assert read["fields"] == {"loss": 0.5, "stage": "training"}
    assert (read["level"], read["logger"], read["message"]) == (
        "INFO",
        "gnn_trainer.run",
        "epoch done",
    )
    assert read["time"].endswith("+00:00")


def test_the_log_of_a_json_run_tells_its_story_in_json(service: Service) -> None:
    with service.run(LOG_FORMAT="json") as run:
        assert run.wait() == 0

    lines = run.text.splitlines()
    read = [json.loads(line) for line in lines if line.startswith("{")]
    others = [line for line in lines if not line.startswith("{")]
    messages = [line["message"] for line in read]
    assert [line for line in others if "stage" in line or "RankIC" in line] == []  # no tables
    assert any(message.startswith("small: 5 symbols of ") for message in messages)
    assert any(message.startswith("gate: ") for message in messages)
    (fetched,) = [line["fields"] for line in read if line["message"].startswith("fetch_klines: ")]
    assert fetched["counts"] == {"rows": 5 * 16 * 24}
    assert {line["flow_run_id"] for line in read if line["logger"] == "gnn_trainer.run"} == {
        str(service.flow_run().id)
    }
