"""Measuring a run, and telling Prometheus at its end however it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal

from gnn_trainer.config import TrainConfig
from gnn_trainer.errors import ServiceError, StopRequested
from gnn_trainer.services import MetricsSettings
from gnn_trainer.settings import Settings
from gnn_trainer.telemetry.measurements import Measurements

logger = logging.getLogger("gnn_trainer.metrics")


@contextmanager
def measured(settings: Settings, config: TrainConfig) -> Iterator[Measurements]:
    """Measurements of what happens in this block."""
    run = Measurements(config.model_name, settings.market_source, config.interval)
    try:
        yield run
        run.end("finished")
    except (StopRequested, TerminationSignal, KeyboardInterrupt):
        run.end("interrupted")
        raise
    finally:
        if not run.ended_s:
            run.end("error")
        _tell_prometheus(settings.metrics, run)


def _tell_prometheus(metrics: MetricsSettings, run: Measurements) -> None:
    """Metrics that cannot be delivered fail no run."""
    if metrics == MetricsSettings():
        return
    from gnn_trainer.adapters.prometheus import push, write_textfile

    try:
        if metrics.textfile is not None:
            write_textfile(metrics.textfile, run)
            logger.info("metrics: written to %s", metrics.textfile)
        if metrics.pushgateway_url is not None:
            push(metrics.pushgateway_url, run)
            logger.info("metrics: pushed")
    except ServiceError as exc:
        logger.warning("metrics: %s", exc)
