"""What a run hands to the leak audit, and what people see of its findings."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from prefect.artifacts import create_table_artifact

from flows.models import bundle_of, fit_plan, relations_of, split_of
from flows.references import Audit, Features, Graph, Model
from flows.run import Run
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.splits import Split

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.evaluation.audit import Subject
    from gnn_trainer.evaluation.audit_report import AuditReport
    from gnn_trainer.evaluation.protocol import Fold


logger = logging.getLogger("gnn_trainer.auditing")


def audit_terms(run: Run) -> tuple[object, ...]:
    """What the findings depend on besides the products that are audited; part of cache keys."""
    plan, config = run.plan, run.config
    return (
        plan.bars,
        plan.listings,
        min(plan.closed_ms, plan.end_ms),
        config.features,
        config.graph,
        run.training_terms,
    )


def find_leaks(run: Run, subject: "Subject", others: Iterable[tuple[str, "Subject"]] = ()) -> Audit:
    """Audit a model and `others` that came of the same graph; as `passed`."""
    from gnn_trainer.evaluation import audit as audit_room

    report = audit_room.audit(subject, on_progress=run.on_progress, should_stop=run.should_stop)
    for name, other in others:
        report = report.joined(
            audit_room.audit_training(
                other, name, on_progress=run.on_progress, should_stop=run.should_stop
            )
        )
    return passed(run, report)


def passed(run: Run, report: "AuditReport") -> Audit:
    """Show what an audit found, and keep it.

    Raises:
        LeakFound: something knew what nobody could know at the time.
    """
    show_audit(run.config.model_name, report)
    for suspicion in report.suspicions:
        logger.warning("suspicious: %s", suspicion)
    report.require_passed()
    return kept(run, report)


def kept(run: Run, report: "AuditReport") -> Audit:
    """A reference to a report, whatever it found."""
    return Audit(audit=run.datasets.put(report, rows=len(report.checks)))


def subject_of(
    run: Run, features: Features, graph: Graph, model: Model, split: Split | None = None
) -> "Subject":
    """Everything the run made until its model, and the stored rows it was made of.

    `split` is what the model was fitted on, where that is not the split of a single training.
    """
    from gnn_trainer.evaluation.audit import Subject
    from gnn_trainer.evaluation.audit_bars import Origin
    from gnn_trainer.evaluation.audit_model import Fitted

    plan, config = run.plan, run.config
    sequence, bundle = run.datasets.get(graph.graph, GraphSequence), bundle_of(run, model)
    return Subject(
        origin=Origin(
            history=run.history,
            source=plan.source,
            interval=plan.interval,
            symbols=plan.symbols,
            start_ms=plan.start_ms,
            end_ms=plan.end_ms,
            listings=plan.listings,
            closed_ms=plan.closed_ms,
        ),
        frame=run.datasets.get(features.frame, MarketFrame),
        features=run.datasets.get(features.features, FeatureFrame),
        feature_config=config.features,
        graph=sequence,
        graph_config=config.graph,
        relations=relations_of(run.datasets, graph.relations),
        split=split or split_of(run, sequence),
        embargo_bars=config.split.embargo_bars,
        plan=fit_plan(run.config),
        fitted=Fitted(bundle.model, bundle.calibration, bundle.novelty),
    )


def retrained(subject: "Subject", bundle: "Bundle", split: Split, seed: int) -> "Subject":
    """The same market with another model, which was to be fitted on `split` with `seed`."""
    from gnn_trainer.evaluation.audit_model import Fitted

    return replace(
        subject,
        split=split,
        plan=replace(subject.plan, seed=seed),
        fitted=Fitted(bundle.model, bundle.calibration, bundle.novelty),
    )


def require_judged(run: Run, graph: Graph, judged: "Iterable[tuple[Fold, Split]]") -> None:
    """Let a report be made only of folds that were judged on the test spans they have.

    Raises:
        LeakFound: a fold speaks of other bars.
    """
    from gnn_trainer.evaluation.audit_report import AuditReport
    from gnn_trainer.evaluation.audit_split import check_judged

    times_T = run.datasets.get(graph.graph, GraphSequence).open_time_T
    checks = tuple(check_judged(fold, times_T, split) for fold, split in judged)
    AuditReport(checks).require_passed()


def show_audit(model_name: str, report: "AuditReport") -> None:
    """Every check and what it found."""
    create_table_artifact(
        key="leak-audit",
        table=[
            {
                "step": check.step,
                "test": check.test,
                "compared": check.compared,
                "found": "; ".join(check.breaches) or "nothing",
            }
            for check in report.checks
        ],
        description=f"{model_name}: {'no leak' if report.passed else 'LEAKS FOUND'}; suspicious: "
        + ("; ".join(report.suspicions) or "nothing"),
    )
