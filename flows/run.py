"""One run of the flow: what it was asked for, what it works with, and the record of its stages."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture
from pydantic import BaseModel, ConfigDict

from flows.metrics import measured
from flows.plan import Plan, make_plan
from flows.progress import both, shown_progress, terminal
from flows.session import Session
from flows.watch import comes_again, name_run, signal_source
from gnn_trainer.adapters import Adapters, open_adapters
from gnn_trainer.adapters.checkpoints import CheckpointMirror
from gnn_trainer.adapters.datasets import DatasetStore
from gnn_trainer.config import TrainConfig
from gnn_trainer.environment import ConfigProblems
from gnn_trainer.errors import StopRequested
from gnn_trainer.market.history import History
from gnn_trainer.progress import ProgressListener
from gnn_trainer.services import MinioSettings
from gnn_trainer.settings import (
    Settings,
    load_configuration,
    process_environment,
    read_settings,
)
from gnn_trainer.telemetry.measurements import Measurements, Stage

if TYPE_CHECKING:
    from flows.references import Published
    from gnn_trainer.adapters.s3_client import S3Client

logger = logging.getLogger("gnn_trainer.run")

GRACE_S = 25.0  # for a task to stop, of the 30 s that Prefect's runner gives this process


class Reference(BaseModel):
    """What a task returns: where its product is, and a fingerprint of it. Never the product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def is_there(self, run: "Run") -> bool:
        """Whether the product can still be had, whole."""
        raise NotImplementedError

    @property
    def counts(self) -> Mapping[str, int]:
        """How much there is of it, by what is counted."""
        return {}


P = ParamSpec("P")
R = TypeVar("R", bound=Reference)


def training_terms(config: TrainConfig) -> tuple[object, ...]:
    """What a training is asked for, besides its data."""
    return (
        config.split,
        config.model,
        config.fit,
        config.labels,
        config.epochs,
        config.learning_rate,
        config.seed,
    )


class Run:
    """Handed to every task; holds connections, so it is never part of a cache key or a result."""

    def __init__(
        self,
        config: TrainConfig,
        settings: Settings,
        session: Session,
        adapters: Adapters,
        on_progress: ProgressListener,
        mirror: CheckpointMirror | None,
        measurements: Measurements,
    ) -> None:
        self.config = config
        self.settings = settings
        self.session = session
        self.source = adapters.source
        self.models = adapters.models
        self.relations = adapters.relations
        self.truth = adapters.truth
        self.on_progress = on_progress
        self.mirror = mirror  # of checkpoints, where pods on other machines find them
        self.plan: Plan = make_plan(adapters.source, config)
        self.history = History(settings.workspace / "history")
        self.datasets = DatasetStore(settings.workspace / "cache")
        self.measurements = measurements
        self.products: dict[type[Reference], Reference] = {}
        self.began = datetime.now(UTC)
        self._results = (settings.workspace / "results").resolve()

    @property
    def training_terms(self) -> tuple[object, ...]:
        """What a model depends on besides its graph and the code; part of cache keys."""
        return training_terms(self.config)

    def whereabouts(self, published: "Published") -> dict[str, object]:
        """Where a version is, as events tell it: never an address, never a path of this machine."""
        return {
            "bucket": self.settings.minio and self.settings.minio.bucket,
            "prefix": f"{self.config.model_name}/{published.version}",
            "version": published.version,
            "manifest_sha256": published.manifest_sha256,
            "promoted": published.promoted,
        }

    def should_stop(self) -> bool:
        """What every long loop asks before its next batch or request."""
        return self.session.stop.is_requested

    def do(self, task: Task[Concatenate[Self, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a task, or take its earlier result if what that refers to is still there.

        Raises:
            StopRequested: before or in the task.
        """
        began = time.monotonic()
        self.session.enter(task.name, str(task.task_run_name).format(run=self))
        task = task.with_options(result_storage=self._results)
        state = self._ended(task.submit(self, *args, **kwargs))
        result: R = state.result()
        if state.name == "Cached" and not result.is_there(self):
            logger.warning("%s: the earlier result is gone or altered; doing it again", task.name)
            again = task.with_options(refresh_cache=True)
            state = self._ended(again.submit(self, *args, **kwargs))
            result = state.result()
        stage = Stage(task.name, str(state.name), time.monotonic() - began, result.counts)
        self.measurements.stages.append(stage)
        logger.info(str(stage), extra={"fields": asdict(stage)})
        self.products[type(result)] = result
        return result

    def _ended(self, future: PrefectFuture[R]) -> State[R]:
        """The state of a task, which works in a thread of its own: a signal that a supervisor
        sends to this one interrupts nothing, and the task stops where it may."""
        stop = self.session.stop
        try:
            future.wait()
        except TerminationSignal:
            stop.request(signal_source())
            self.session.comes_again = comes_again()
            future.wait(GRACE_S)
        if stop.is_requested and not future.state.is_completed():
            raise StopRequested(f"stopped by {stop.source}")
        return future.state


@contextmanager
def open_run(session: Session, config: TrainConfig | None) -> Iterator[Run]:
    """Connect, ask the exchange what time it is and what it lists, and get ready to work.

    Where things are comes from the environment, and so does what to train if `config` is None.
    """
    settings, config = _configured(config)
    settings = settings.model_copy(update={"queue_id": session.settings.queue_id})
    logging.getLogger("gnn_trainer").setLevel(logging.INFO)
    for line in settings.stand_ins():
        logger.info(line)
    name_run(
        f"{config.model_name} {settings.queue_id} {_short(config.symbols)} {config.interval}",
        settings.queue_id,
        config.model_name,
        settings.market_source,
    )
    session.enter("planning", f"asking the exchange for {config.symbols}")
    with (
        measured(settings, config) as measurements,
        open_adapters(
            settings,
            config,
            s3_client=_minio_client,
            should_stop=lambda: session.stop.is_requested,
        ) as adapters,
        _mirror(settings, adapters) as mirror,
        shown_progress(terminal(), as_lines=settings.log_format == "json") as shown,
    ):
        if settings.minio is not None:
            from flows.stores import prepare_store

            prepare_store(adapters.models)
        listener = both(shown, session.on_progress)
        run = Run(config, settings, session, adapters, listener, mirror, measurements)
        logger.info("%s: %s", config.model_name, run.plan)
        yield run
        run.datasets.forget_old()


def _short(symbols: str) -> str:
    """Of a list of symbols the first, and how many more there are: names of runs are read."""
    first, *others = symbols.split(",")
    return f"{first} +{len(others)}" if others else first


def _minio_client(minio: MinioSettings) -> "S3Client":
    # Imported on use: prefect_aws brings boto3, which a run without MinIO does not need.
    from flows.stores import minio_client

    return minio_client(minio)


@contextmanager
def _mirror(settings: Settings, adapters: Adapters) -> Iterator[CheckpointMirror | None]:
    if settings.minio is None:
        yield None
        return
    with CheckpointMirror(adapters.models, settings.queue_id) as mirror:
        yield mirror


def _configured(config: TrainConfig | None) -> tuple[Settings, TrainConfig]:
    if config is None:
        return load_configuration({})
    settings, problems = read_settings(process_environment())
    if settings is None:
        raise ConfigProblems(problems)
    return settings, config
