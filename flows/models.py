"""The model of a run: how it is fitted, where its checkpoint is, and the thing itself."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.caching import TRAINING, cache_key
from flows.references import Graph, Model
from flows.run import Run
from gnn_trainer.adapters.datasets import DatasetRef
from gnn_trainer.graph import relations as prepared
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.splits import Split, chronological_split

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.training.fit import FitPlan
    from gnn_trainer.training.trained import TrainedModel

logger = logging.getLogger("gnn_trainer.models")


@dataclass(frozen=True)
class Checkpoint:
    """Where a fit keeps its state. Another configuration, other data or code: another identity."""

    path: Path
    identity: str


def checkpoint_of(run: Run, graph: Graph) -> Checkpoint:
    """Of this queue_id; runs without one are the same user's attempts and share theirs."""
    queue_id = None if run.settings.is_queue_id_generated else run.settings.queue_id
    identity = cache_key("train_model", TRAINING, (graph, run.training_terms, queue_id))
    return Checkpoint(run.settings.workspace / "checkpoints" / f"{identity}.safetensors", identity)


def find_checkpoint(run: Run, graph: Graph) -> Checkpoint:
    """The checkpoint that training goes on from, fetched if another machine left it; says so."""
    from gnn_trainer.training.checkpoint import completed_epochs

    saved = checkpoint_of(run, graph)

    def epochs_in(path: Path) -> int:
        return completed_epochs(path, saved.identity)

    if run.mirror is not None:
        run.mirror.fetch(saved.path, epochs_in)
    epochs = epochs_in(saved.path)
    if epochs:
        message = f"resuming after epoch {epochs}"
    elif any(saved.path.parent.glob("*.safetensors")):
        message = (
            "starting fresh: the checkpoints here are of other settings, data, code or queue_id"
        )
    else:
        message = "starting fresh: no checkpoint"
    logger.info(message)
    run.session.reporter.loading(run.session.stage, message, 0.0, resumed_epochs=epochs)
    return saved


def forget_checkpoint(run: Run, graph: Graph) -> None:
    """The model is published; its checkpoint is of no more use."""
    checkpoint_of(run, graph).path.unlink(missing_ok=True)
    if run.mirror is not None:
        run.mirror.remove()


def best_in_checkpoint(run: Run, graph: Graph) -> "Bundle | None":
    """The best model so far of a training that was stopped; None before its first epoch."""
    from gnn_trainer.training.fit import best_so_far

    saved = checkpoint_of(run, graph)
    if not saved.path.exists():
        return None
    sequence = run.datasets.get(graph.graph, GraphSequence)
    model = best_so_far(
        sequence,
        split_of(run, sequence),
        fit_plan(run),
        checkpoint=saved.path,
        identity=saved.identity,
    )
    return None if model is None else make_bundle(run, graph, sequence, model)


def make_bundle(run: Run, graph: Graph, sequence: GraphSequence, model: "TrainedModel") -> "Bundle":
    from gnn_trainer.artifact.bundle import Bundle

    config = run.config
    return Bundle(
        model,
        config.features,
        config.graph,
        config.interval,
        sequence.symbols,
        relations_of(run, graph.relations),
    )


def bundle_of(run: Run, model: Model) -> "Bundle":
    """The trained model behind a reference."""
    from gnn_trainer.artifact.bundle import Bundle

    return Bundle.from_files(
        {name: run.datasets.get_bytes(ref) for name, ref in model.files.items()}
    )


def relations_of(run: Run, ref: DatasetRef | None) -> prepared.Relations | None:
    """The prepared relations behind a reference."""
    return None if ref is None else run.datasets.get(ref, prepared.Relations)


def split_of(run: Run, graph: GraphSequence) -> Split:
    return chronological_split(graph.open_time_T, graph.end_time_T, run.config.split)


def fit_plan(run: Run) -> "FitPlan":
    from gnn_trainer.training.fit import FitPlan

    config = run.config
    return FitPlan(
        model=config.model,
        fit=config.fit,
        labels=config.labels,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
