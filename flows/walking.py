"""The tasks of the walk-forward after the graph: its folds, their audit, one report, its place."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture

from flows.auditing import audit_terms, find_leaks, require_judged, retrained, subject_of
from flows.caching import EVALUATION, PUBLISHING, cached_task, code_version
from flows.delivering import StoppableStore, data_of
from flows.folds import FoldAnswer, FoldOrder
from flows.models import bundle_of
from flows.parcels import Parcels
from flows.references import Audit, Features, Graph, Report
from flows.reporting import Judged, report_on
from flows.run import Reference, Run
from flows.runners import (
    ELSEWHERE,
    AnyRunner,
    fold_task,
    make_runner,
    passing_on,
    travelling_light,
)
from flows.watch import own_run
from gnn_trainer.artifact.manifest import WALK_INDEX, WALKS
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.splits import Split, walk_forward
from gnn_trainer.progress import Progress

if TYPE_CHECKING:
    from gnn_trainer.evaluation.audit import Subject

logger = logging.getLogger("gnn_trainer.walking")


class Folds(Reference):
    """Every fold that was judged: in time order, the seeds of one after the other."""

    answers: tuple[FoldAnswer, ...]

    def is_there(self, run: Run) -> bool:
        return all(answer.is_there(run) for answer in self.answers)

    def newest(self, run: Run) -> FoldAnswer:
        """The newest test span, with the seed of a single training."""
        return self.answers[-run.config.evaluation.seeds]


class Walk(Reference):
    """A published walk-forward."""

    uri: str
    name: str
    index_sha256: str

    def prefix(self, run: Run) -> str:
        return f"{run.config.model_name}/{WALKS}/{self.name}"

    def is_there(self, run: Run) -> bool:
        return bool(run.models.exists(f"{self.prefix(run)}/{WALK_INDEX}"))


@cached_task(
    "walk forward over {run.config.split.folds} folds",
    rooms=EVALUATION,
    by=lambda run, features, graph: (
        features.frame.fingerprint,
        graph,
        run.training_terms,
        run.config.evaluation.placebos,
        run.config.evaluation.seeds,
        run.plan.source,
    ),
)
def walk_folds(run: Run, features: Features, graph: Graph) -> Folds:
    """Fit and judge every fold with every seed, by the runner that the settings name."""
    splits_of(run, graph)  # too few bars are better found now than in a fold
    orders = _orders(run, features, graph)
    prefix = orders[0].prefix if orders[0].travels else None
    parcels = Parcels(run.datasets, run.models, prefix)
    for ref in orders[0].refs:
        parcels.send(ref)
    settings = run.settings.walk_forward
    logger.info("%d folds by %s", len(orders), settings.runner)
    with (
        passing_on(run.session.stop),
        travelling_light(),
        make_runner(settings, len(orders)) as runner,
    ):
        answers = _answers(run, runner, orders, parcels)
    for key in run.models.keys(f"{orders[0].prefix}/"):
        run.models.remove(key)
    return Folds(answers=answers)


def splits_of(run: Run, graph: Graph) -> tuple[Split, ...]:
    sequence = run.datasets.get(graph.graph, GraphSequence)
    return walk_forward(sequence.open_time_T, sequence.end_time_T, run.config.split)


def _orders(run: Run, features: Features, graph: Graph) -> list[FoldOrder]:
    config, settings = run.config, run.settings
    truth = run.truth(run.datasets.get(graph.graph, GraphSequence))
    return [
        FoldOrder(
            config=config.model_copy(update={"seed": config.seed + later}),
            fold=fold,
            frame=features.frame,
            graph=graph,
            truth=None if truth is None else run.datasets.put(truth, rows=len(truth.oracle_TN)),
            walk=own_run().id,
            travels=settings.minio is not None and settings.walk_forward.runner in ELSEWHERE,
        )
        for fold in range(config.split.folds)
        for later in range(config.evaluation.seeds)
    ]


def _answers(
    run: Run, runner: AnyRunner, orders: list[FoldOrder], parcels: Parcels
) -> tuple[FoldAnswer, ...]:
    """Wait for all, also where one fails: what the others did is kept for the next attempt.

    Raises:
        StopRequested: the walk was asked to stop, and every fold has ended.
    """
    task = fold_task(run)
    futures = [runner.submit(task, {"order": order}) for order in orders]
    states = []
    for number, future in enumerate(futures, start=1):
        states.append(_ended(future))
        run.on_progress(Progress("folds", number, len(futures), {"runner": runner.name}))
    run.session.stop.check()
    answers = []
    for order, state in zip(orders, states, strict=True):
        answer = state.result()
        if not all(map(parcels.arrives, answer.refs)):
            logger.warning("%s: the earlier answer is gone; doing it again", order.name)
            again = runner.submit(task.with_options(refresh_cache=True), {"order": order})
            answer = _ended(again).result()
            run.session.stop.check()
            for ref in answer.refs:
                parcels.receive(ref)
        answers.append(answer)
    return tuple(answers)


def _ended(future: PrefectFuture[FoldAnswer]) -> State[FoldAnswer]:
    future.wait()
    return future.state


@cached_task(
    "audit {run.config.split.folds} folds of {run.config.model_name}",
    rooms=EVALUATION,
    by=lambda run, features, graph, folds: (
        features,
        graph,
        folds,
        audit_terms(run),
    ),
)
def audit_folds(run: Run, features: Features, graph: Graph, folds: Folds) -> Audit:
    """Data and code are asked once, with the newest fold; what was fitted, fold by fold."""
    splits, seeds = splits_of(run, graph), run.config.evaluation.seeds
    newest = folds.newest(run)
    subject = subject_of(run, features, graph, newest.model, splits[-1])

    def others() -> Iterator[tuple[str, "Subject"]]:
        for number, answer in enumerate(folds.answers):
            if number != len(folds.answers) - seeds:  # the newest, which was asked everything
                fold, seed = number // seeds, run.config.seed + number % seeds
                bundle = bundle_of(run, answer.model)
                yield (
                    f"fold {fold + 1}, seed {seed}",
                    retrained(subject, bundle, splits[fold], seed),
                )

    return find_leaks(run, subject, others())


@cached_task(
    "pool {run.config.split.folds} folds",
    rooms=EVALUATION,
    by=lambda run, features, graph, folds, audit: (
        features.frame.fingerprint,
        graph,
        folds,
        run.config.evaluation,
        run.models.location,  # the champion is there, and the count of trials
        run.config.model_name,
    ),
)
def pool_folds(run: Run, features: Features, graph: Graph, folds: Folds, audit: Audit) -> Report:
    """One report of all folds and seeds, by the same rules as that of a single training."""
    from gnn_trainer.evaluation.protocol import Fold

    found = [run.datasets.get(answer.fold, Fold) for answer in folds.answers]
    splits = splits_of(run, graph)
    of_each = [split for split in splits for _ in range(run.config.evaluation.seeds)]
    require_judged(run, graph, zip(found, of_each, strict=True))
    judged = Judged(
        folds=found,
        bundle=bundle_of(run, folds.newest(run).model),
        split=splits[-1],
        audit=audit,
    )
    return report_on(run, features, graph, judged)


@cached_task(
    "publish the walk-forward of {run.config.model_name}",
    rooms=PUBLISHING,
    by=lambda run, features, folds, report: (
        run.models.location,
        run.config.model_name,
        features.data_fingerprint,
        folds,
        report,
    ),
    retried=True,
)
def publish_walk(run: Run, features: Features, folds: Folds, report: Report) -> Walk:
    """Write what was found below the model's name; nothing is promoted by it."""
    from gnn_trainer.artifact.card import Story
    from gnn_trainer.artifact.publish import Provenance
    from gnn_trainer.artifact.walk import make_walk, write_walk
    from gnn_trainer.evaluation.exhibits import Exhibits
    from gnn_trainer.evaluation.predictions import BARS, PREDICTIONS
    from gnn_trainer.evaluation.report import EvaluationReport
    from gnn_trainer.market.report import DataReport

    data = data_of(run, features)
    story = Story(
        model_name=run.config.model_name,
        version="",
        bundle=bundle_of(run, folds.newest(run).model),
        data=data,
        report=run.datasets.get(report.report, EvaluationReport),
        data_report=run.datasets.get(features.data_report, DataReport),
        exhibits=run.datasets.get(report.exhibits, Exhibits),
    )
    walk = make_walk(
        story,
        Provenance(run.began, data, code_version(PUBLISHING)),
        tables={
            PREDICTIONS: run.datasets.get_bytes(report.predictions),
            BARS: run.datasets.get_bytes(report.bars),
        },
        config=run.config.model_dump(mode="json"),
    )
    write_walk(StoppableStore(run.models, run.session.stop), walk)
    return Walk(
        uri=f"{run.models.location}/{walk.prefix}", name=walk.name, index_sha256=walk.index_sha256
    )
