"""A run's figures as Prometheus metrics, in a textfile or at a push gateway.

All are gauges: they describe the last run of a model name, the only label that all of them have.
"""

from http.client import HTTPException
from pathlib import Path
from typing import get_args
from urllib.error import HTTPError

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

from gnn_trainer.errors import ServiceError
from gnn_trainer.telemetry.measurements import Measurements, Outcome

JOB = "gnn_trainer"
PUSH_TIMEOUT_S = 5.0
_LAST_SUCCESS = "gnn_trainer_last_success_timestamp_seconds"


def write_textfile(path: Path, run: Measurements) -> None:
    """Replace the file in one step; the time of the last success outlives a failure.

    Raises:
        ServiceError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(path), registry_of(run, last_success_s=_last_success(path, run)))
    except OSError as exc:
        raise ServiceError(
            f"METRICS_TEXTFILE {path} cannot be written ({exc.strerror}); expected a folder this "
            "user may write"
        ) from exc


def push(url: str, run: Measurements) -> None:
    """Tell a push gateway; what it knows and this run says nothing of stays.

    Raises:
        ServiceError: it is away or refuses.
    """
    group = {"model_name": run.model_name}
    try:
        pushadd_to_gateway(url, JOB, registry_of(run), grouping_key=group, timeout=PUSH_TIMEOUT_S)
    except (OSError, HTTPException) as exc:
        if isinstance(exc, HTTPError):
            exc.close()  # it is also an answer, still open
        raise ServiceError(
            f"the push gateway of METRICS_PUSHGATEWAY_URL took no metrics ({exc or type(exc)})"
        ) from exc


def registry_of(run: Measurements, *, last_success_s: float | None = None) -> CollectorRegistry:
    """Every metric of a run; `last_success_s` is that of an earlier one."""
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"gnn_trainer_{name}", meaning, ("model_name", *labels), registry=registry)

    def put(name: str, meaning: str, value: float) -> None:
        gauge(name, meaning).labels(run.model_name).set(value)

    put("run_duration_seconds", "How long the last run took.", run.seconds)
    put("run_end_timestamp_seconds", "When the last run ended, unix time.", run.ended_s)
    success_s = run.ended_s if run.outcome == "finished" else last_success_s
    if success_s is not None:
        put("last_success_timestamp_seconds", "When a run last finished, unix time.", success_s)
    outcome = gauge("run_outcome", "How the last run ended: 1 for that outcome.", "outcome")
    for name in get_args(Outcome):
        outcome.labels(run.model_name, name).set(name == run.outcome)
    seconds = gauge("stage_duration_seconds", "How long a stage took.", "stage")
    cached = gauge("stage_cached", "1 if an earlier result was taken.", "stage")
    items = gauge("stage_items", "How much a stage made, of what.", "stage", "item")
    for stage in run.stages:
        seconds.labels(run.model_name, stage.name).set(stage.seconds)
        cached.labels(run.model_name, stage.name).set(stage.is_cached)
        for what, count in stage.counts.items():
            items.labels(run.model_name, stage.name, what).set(count)
    for name, value in run.figures.items():
        put(f"model_{name}", f"{name} of the last model on its test span.", value)
    return registry


def _last_success(path: Path, run: Measurements) -> float | None:
    """What the file of an earlier run of this model says."""
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (FileNotFoundError, ValueError):  # none yet, or no metrics: it is replaced
        return None
    for family in families:
        for sample in family.samples:
            if sample.name == _LAST_SUCCESS and sample.labels["model_name"] == run.model_name:
                return sample.value
    return None
