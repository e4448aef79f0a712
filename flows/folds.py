"""One fold of a walk-forward: fit a model on it and judge it beside its baselines, anywhere.

A fold is ordered by a small document and answered by another one; what they refer to lies in the
workspace, or, where machines share none, beside the models in the store.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.objects import StateType
from pydantic import BaseModel, ConfigDict

from flows.caching import EVALUATION, TRAINING, cache_key, cached_task
from flows.logs import arrange_logs
from flows.models import bundle_around, fit_plan, relations_of
from flows.parcels import Parcels, store_of
from flows.progress import LogLines
from flows.references import Graph, Model
from flows.run import Reference, Run, training_terms
from flows.session import open_now
from flows.watch import CANCELLED, following
from gnn_trainer.adapters.datasets import DatasetRef, DatasetStore
from gnn_trainer.artifact.manifest import WALKS
from gnn_trainer.config import TrainConfig
from gnn_trainer.control import StopController
from gnn_trainer.environment import ConfigProblems
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.splits import walk_forward
from gnn_trainer.progress import Progress, ProgressListener
from gnn_trainer.settings import Settings, process_environment, read_settings

logger = logging.getLogger("gnn_trainer.folds")

OVER = CANCELLED | {StateType.CRASHED, StateType.FAILED}  # a walk that wants no fold any more
GONE = OVER | {StateType.SCHEDULED}  # or goes on elsewhere, and will order its folds anew


class FoldOrder(BaseModel):
    """What one fold needs; `config.seed` is the seed to fit with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: TrainConfig
    fold: int  # counted from 0, in time order
    frame: DatasetRef
    graph: Graph
    truth: DatasetRef | None  # of a generated market
    walk: UUID  # flow run that wants it
    travels: bool  # by the model store; False: the workspace is shared

    @property
    def name(self) -> str:
        return f"fold {self.fold + 1}, seed {self.config.seed}"

    @property
    def prefix(self) -> str:
        """Where in the model store everything is that travels for this walk."""
        return f"{self.config.model_name}/{WALKS}/parts/{self.walk}"

    @property
    def answer_key(self) -> str:
        """Where the answer is, if it does not come back as the result of a task."""
        return f"{self.prefix}/{cache_key('answer', EVALUATION, self.terms)}.json"

    @property
    def refs(self) -> tuple[DatasetRef, ...]:
        """Everything it refers to."""
        refs = (self.frame, self.graph.graph, self.graph.relations, self.truth)
        return tuple(ref for ref in refs if ref is not None)

    @property
    def terms(self) -> tuple[object, ...]:
        """What the answer depends on besides the code."""
        config = self.config
        return (
            self.refs,
            self.fold,
            *training_terms(config),
            config.features,
            config.graph,
            config.interval,
            config.evaluation.placebos,
        )


class FoldAnswer(Reference):
    """A `protocol.Fold`, and the model it judges as the files of its bundle."""

    fold: DatasetRef
    model: Model

    @property
    def refs(self) -> tuple[DatasetRef, ...]:
        return (self.fold, *self.model.files.values())

    def is_there(self, run: Run) -> bool:
        return all(map(run.datasets.holds, self.refs))


@cached_task("{order.name}", rooms=EVALUATION, by=lambda order: order.terms)
def judge_fold(order: FoldOrder) -> FoldAnswer:
    """A fold as a task, in the process of the walk or in another one."""
    if (session := open_now()) is not None:
        return answer(order, session.stop)
    arrange_logs()
    stop = StopController()
    with following(order.walk, stop, GONE):
        return answer(order, stop)


def answer(order: FoldOrder, stop: StopController) -> FoldAnswer:
    """Fit and judge; goes on from the checkpoint of an earlier attempt on this machine.

    Raises:
        StopRequested: the walk is over; at the next batch.
    """
    stop.check()
    logging.getLogger("gnn_trainer").setLevel(logging.INFO)
    settings = settings_here()
    datasets = DatasetStore(settings.workspace / "cache")
    parcels = Parcels(datasets, store_of(settings), order.prefix if order.travels else None)
    for ref in order.refs:
        parcels.receive(ref)
    found = _fit_and_judge(order, datasets, settings.workspace / "checkpoints", stop)
    for ref in found.refs:
        parcels.send(ref)
    return found


def _fit_and_judge(
    order: FoldOrder, datasets: DatasetStore, checkpoints: Path, stop: StopController
) -> FoldAnswer:
    from gnn_trainer.evaluation.backtest import holding_of
    from gnn_trainer.evaluation.evaluate import evaluate
    from gnn_trainer.evaluation.recovery import Truth
    from gnn_trainer.evaluation.rivals import fit_rivals
    from gnn_trainer.training.fit import fit

    config, plan = order.config, fit_plan(order.config)
    sequence = datasets.get(order.graph.graph, GraphSequence)
    split = walk_forward(sequence.open_time_T, sequence.end_time_T, config.split)[order.fold]
    identity = cache_key("judge_fold", TRAINING, order.terms)
    checkpoint = checkpoints / f"{identity}.safetensors"
    with _told(order) as on_progress:
        model = fit(
            sequence,
            split,
            plan,
            on_progress=on_progress,
            checkpoint=checkpoint,
            identity=identity,
            should_stop=lambda: stop.is_requested,
        )
        relations = relations_of(datasets, order.graph.relations)
        bundle = bundle_around(model, config, sequence, split, relations)
        rivals = fit_rivals(
            sequence,
            split,
            plan,
            config.evaluation.placebo_graphs,
            model.scaler,
            on_progress=on_progress,
            should_stop=lambda: stop.is_requested,
        )
    fold = evaluate(
        model,
        rivals,
        sequence,
        split,
        holding_of(datasets.get(order.frame, MarketFrame)),
        calibration=bundle.calibration,
        truth=None if order.truth is None else datasets.get(order.truth, Truth),
    )
    files = {name: datasets.put_bytes(name, data) for name, data in bundle.to_files().items()}
    ref = datasets.put(fold, rows=fold.test.samples)
    checkpoint.unlink(missing_ok=True)
    return FoldAnswer(fold=ref, model=Model(files=files))


@contextmanager
def _told(order: FoldOrder) -> Iterator[ProgressListener]:
    """Log lines that say which fold they are about: several are fitted at a time."""
    lines = LogLines()

    def tell(progress: Progress, /) -> None:
        lines(replace(progress, stage=f"{order.name}: {progress.stage}"))

    logger.info("%s begins", order.name)
    yield tell
    logger.info("%s is judged", order.name)


def settings_here() -> Settings:
    """Of the machine the fold is on; in the process of the walk, its own."""
    if (session := open_now()) is not None:
        return session.settings
    settings, problems = read_settings(process_environment())
    if settings is None:
        raise ConfigProblems(problems)
    return settings
