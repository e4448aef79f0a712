"""The log of a run: what Prefect's handlers write of it, for people or, with LOG_FORMAT=json, for
programs.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler

from gnn_trainer.errors import GnnTrainerError
from gnn_trainer.settings import process_environment, secret_values, wants_json_logs
from gnn_trainer.telemetry.scrub import hide

# Said by our own lines (`fetch_klines: 3,600 rows (0.4 s)`), or said twice by Prefect.
_SAID_BETTER = ("Finished in state Completed(", "Finished in state Cached(")
_SAID_AGAIN = (
    "Task run failed with exception",
    "Engine execution exited with unexpected exception",
)
_LOGGERS = ("", "gnn_trainer", "prefect.flow_runs", "prefect.task_runs")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def arrange_logs() -> None:
    """Edit what is logged from here to the end of the process; doing it again is harmless.

    To the end of the process, because Prefect has its last word after the flow has returned.
    """
    environ = process_environment()
    editor = Editor(secret_values(environ))
    if wants_json_logs(environ):
        _write_json()
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, PrefectConsoleHandler | APILogHandler | JsonHandler):
                for earlier in [each for each in handler.filters if isinstance(each, Editor)]:
                    handler.removeFilter(earlier)
                handler.addFilter(editor)


def _write_json() -> None:
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, PrefectConsoleHandler)]:
        root.removeHandler(handler)
        root.addHandler(JsonHandler())


class JsonHandler(logging.StreamHandler):  # type: ignore[type-arg]  # of no type at run time
    """One JSON object a line, on standard error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonLines())


class JsonLines(logging.Formatter):
    """time, level, logger, message, the flow and task run it came from, figures as `fields`, and a
    traceback as `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_whereabouts(),
        }
        line |= {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD and isinstance(value, str | int | float)
        }
        if isinstance(fields := getattr(record, "fields", None), Mapping):
            line["fields"] = dict(fields)
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _whereabouts() -> dict[str, object]:
    """Prefect gives this to its own records; ours learn it from the thread they are made in."""
    found: dict[str, object] = {}
    if (flow := FlowRunContext.get()) is not None and flow.flow_run is not None:
        found |= {"flow_run_id": str(flow.flow_run.id), "flow_run_name": flow.flow_run.name}
    if (task := TaskRunContext.get()) is not None:
        found |= {"task_run_id": str(task.task_run.id), "task_run_name": task.task_run.name}
    return found


class Editor(logging.Filter):
    """Takes out secrets, repetitions, and the traceback of errors that say what to do."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_ours = record.exc_info and isinstance(record.exc_info[1], GnnTrainerError)
        if is_ours:
            record.exc_info = record.exc_text = None
        if record.name == "prefect.task_runs" and message.startswith(_SAID_BETTER):
            return False
        if is_ours and message.startswith(_SAID_AGAIN):
            return False
        if message.startswith("Finished in state Cancelled("):  # Prefect takes it for an error
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        self._hide_secrets(record, message)
        return True

    def _hide_secrets(self, record: logging.LogRecord, message: str) -> None:
        if not self._secrets:
            return
        if (discreet := hide(message, self._secrets)) != message:
            record.msg, record.args = discreet, None
        if record.exc_info and record.exc_info[0]:  # formatters write exc_text if there is one
            trace = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = hide(trace, self._secrets)
