"""From judged folds to the report and all that is published beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flows.models import relations_of
from flows.references import Audit, Features, Graph, Report
from flows.run import Run
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.splits import Split

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.evaluation.protocol import Fold


@dataclass(frozen=True)
class Judged:
    """Folds, and of the newest its model, the split it was fitted on, and its audit."""

    folds: "Sequence[Fold]"
    bundle: "Bundle"
    split: Split
    audit: Audit


def report_on(run: Run, features: Features, graph: Graph, judged: Judged) -> Report:
    """Pool the folds, of which a single training has one, compare with the champion, decide."""
    from gnn_trainer.artifact.standing import consult
    from gnn_trainer.artifact.trials import trial_name
    from gnn_trainer.evaluation.audit_report import AuditReport
    from gnn_trainer.evaluation.exhibits import exhibit
    from gnn_trainer.evaluation.importance import permutation_importance
    from gnn_trainer.evaluation.novelty import novelty_of_span
    from gnn_trainer.evaluation.pooling import pool
    from gnn_trainer.evaluation.portrait import portrait_of
    from gnn_trainer.evaluation.predictions import write_bars, write_predictions

    folds, bundle, split = judged.folds, judged.bundle, judged.split
    sequence = run.datasets.get(graph.graph, GraphSequence)
    standing = consult(
        run.models,
        run.config.model_name,
        trial_name(bundle),
        run.datasets.get(features.frame, MarketFrame),
        sequence,
        relations_of(run.datasets, graph.relations),
    )
    report = pool(
        folds,
        run.config.evaluation,
        audit=run.datasets.get(judged.audit.audit, AuditReport),
        calibration=bundle.calibration,
        novelty=novelty_of_span(bundle.novelty, bundle.model.scaler, sequence, split.test_T),
        standing=standing,
    )
    exhibits = exhibit(
        folds,
        calibration=bundle.calibration if len(folds) == 1 else None,
        importance=permutation_importance(
            bundle.model, sequence, split.validation_T, should_stop=run.should_stop
        ),
        portrait=portrait_of(sequence, split.test_T),
    )
    return Report(
        report=run.datasets.put(report, rows=report.test.samples),
        exhibits=run.datasets.put(exhibits, rows=len(exhibits.periods)),
        predictions=run.datasets.put_bytes("predictions", write_predictions(folds, standing.rival)),
        bars=run.datasets.put_bytes("bars", write_bars(folds)),
    )
