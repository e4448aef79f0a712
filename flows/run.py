"""One run of the flow: what it was asked for, what it works with, and the record of its stages."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, Self, TypeVar

from prefect import Task
from pydantic import BaseModel, ConfigDict

from flows.plan import Plan, make_plan
from flows.progress import shown_progress, terminal
from gnn_trainer.adapters import Adapters, open_adapters
from gnn_trainer.adapters.datasets import DatasetStore
from gnn_trainer.config import TrainConfig
from gnn_trainer.environment import ConfigProblems
from gnn_trainer.market.history import History
from gnn_trainer.progress import ProgressListener
from gnn_trainer.settings import (
    Settings,
    load_configuration,
    process_environment,
    read_settings,
)

logger = logging.getLogger("gnn_trainer.run")


class Reference(BaseModel):
    """What a task returns: where its product is, and a fingerprint of it. Never the product."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def is_there(self, run: "Run") -> bool:
        """Whether the product can still be had, whole."""
        raise NotImplementedError


P = ParamSpec("P")
R = TypeVar("R", bound=Reference)


@dataclass(frozen=True)
class Stage:
    """One finished task: `state` is Prefect's word, `Cached` if an earlier result was taken."""

    name: str
    state: str
    seconds: float


class Run:
    """Handed to every task; holds connections, so it is never part of a cache key or a result."""

    def __init__(
        self,
        config: TrainConfig,
        settings: Settings,
        adapters: Adapters,
        on_progress: ProgressListener,
    ) -> None:
        self.config = config
        self.settings = settings
        self.adapters = adapters
        self.on_progress = on_progress
        self.plan: Plan = make_plan(adapters.source, config)
        self.history = History(settings.workspace / "history")
        self.datasets = DatasetStore(settings.workspace / "cache")
        self.stages: list[Stage] = []
        self.began = datetime.now(UTC)
        self._results = (settings.workspace / "results").resolve()

    @property
    def training_terms(self) -> tuple[object, ...]:
        """What a model depends on besides its graph and the code; part of cache keys."""
        config = self.config
        return (
            config.split,
            config.model,
            config.fit,
            config.labels,
            config.epochs,
            config.learning_rate,
            config.seed,
        )

    def do(self, task: Task[Concatenate[Self, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a task, or take its earlier result if what that refers to is still there."""
        began = time.monotonic()
        task = task.with_options(result_storage=self._results)
        state = task(self, *args, **kwargs, return_state=True)
        result: R = state.result()
        if state.name == "Cached" and not result.is_there(self):
            logger.warning("%s: the earlier result is gone or altered; doing it again", task.name)
            state = task.with_options(refresh_cache=True)(self, *args, **kwargs, return_state=True)
            result = state.result()
        self.stages.append(Stage(task.name, str(state.name), time.monotonic() - began))
        return result


@contextmanager
def open_run(config: TrainConfig | None) -> Iterator[Run]:
    """Connect, ask the exchange what time it is and what it lists, and get ready to work.

    Where things are comes from the environment, and so does what to train if `config` is None.
    """
    settings, config = _configured(config)
    logging.getLogger("gnn_trainer").setLevel(logging.INFO)
    for line in settings.stand_ins():
        logger.info(line)
    with (
        open_adapters(settings, config) as adapters,
        shown_progress(terminal()) as on_progress,
    ):
        run = Run(config, settings, adapters, on_progress)
        yield run
        run.datasets.forget_old()


def _configured(config: TrainConfig | None) -> tuple[Settings, TrainConfig]:
    if config is None:
        return load_configuration({})
    settings, problems = read_settings(process_environment())
    if settings is None:
        raise ConfigProblems(problems)
    return settings, config
