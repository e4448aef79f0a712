"""The model of a run: how it is fitted, where its checkpoint is, and the thing itself."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from flows.caching import TRAINING, cache_key
from flows.references import Baselines, Graph, Model
from flows.run import Run
from gnn_trainer.adapters.datasets import DatasetRef, DatasetStore
from gnn_trainer.config import TrainConfig
from gnn_trainer.graph import relations as prepared
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.splits import Split, chronological_split

if TYPE_CHECKING:
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.evaluation.rivals import Rivals
    from gnn_trainer.model.scorers import Scorer
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
    terms = (graph.learned, graph.relations, run.training_terms, queue_id)
    identity = cache_key("train_model", TRAINING, terms)
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
    sequence, split = learned_of(run, graph)
    model = best_so_far(
        sequence,
        split,
        fit_plan(run.config),
        checkpoint=saved.path,
        identity=saved.identity,
    )
    return None if model is None else make_bundle(run, graph, sequence, split, model)


def learned_of(run: Run, graph: Graph) -> tuple[GraphSequence, Split]:
    """All that may be learned from, without a bar after the validation span."""
    sequence = run.datasets.get(graph.graph, GraphSequence)
    split = split_of(run, sequence)
    return sequence.first(split.num_learned), split.first(split.num_learned)


def make_bundle(
    run: Run, graph: Graph, sequence: GraphSequence, split: Split, model: "TrainedModel"
) -> "Bundle":
    """The model of a single training with all that predicting needs."""
    relations = relations_of(run.datasets, graph.relations)
    return bundle_around(model, run.config, sequence, split, relations)


def bundle_around(
    model: "TrainedModel",
    config: TrainConfig,
    sequence: GraphSequence,
    split: Split,
    relations: prepared.Relations | None,
) -> "Bundle":
    """A model with all that predicting needs; calibrated on the validation span of `split`."""
    from gnn_trainer.artifact.bundle import Bundle
    from gnn_trainer.evaluation.calibration import calibrate
    from gnn_trainer.evaluation.novelty import fit_novelty

    train_TN = sequence.mask_TN & split.train_T[:, None]
    fitted_T = split.train_T | split.validation_T
    return Bundle(
        model=model,
        features=config.features,
        graph=config.graph,
        interval=config.interval,
        symbols=sequence.symbols,
        fitted_until_ms=int(sequence.end_time_T[fitted_T].max()),
        calibration=calibrate(model, sequence, split.validation_T),
        novelty=fit_novelty(sequence.x_TNF, model.scaler, train_TN, config.seed),
        relations=relations,
    )


def stored_model(run: Run, bundle: "Bundle", kind: str = "") -> Model:
    """A reference to a bundle; what is of another `kind` than the model has a place of its own."""
    return Model(
        files={
            name: run.datasets.put_bytes(f"{kind}{name}", data)
            for name, data in bundle.to_files().items()
        }
    )


def stored_rivals(run: Run, bundle: "Bundle", rivals: "Rivals") -> Baselines:
    """A reference to rivals fitted beside the model in `bundle`, whose features they share."""
    networks = {
        name: stored_model(
            run,
            replace(bundle, model=rival.model, calibration=rival.calibration),
            kind=f"{name.replace(' ', '_')}-",
        )
        for name, rival in rivals.networks.items()
    }
    scorers = _scorers().dump_json(dict(rivals.scorers))
    return Baselines(networks=networks, scorers=run.datasets.put_bytes("scorers", scorers))


def rivals_of(run: Run, baselines: Baselines) -> "Rivals":
    """The rivals behind a reference."""
    from gnn_trainer.evaluation.rivals import RivalNetwork, Rivals

    bundles = {name: bundle_of(run, network) for name, network in baselines.networks.items()}
    return Rivals(
        networks={
            name: RivalNetwork(bundle.model, bundle.calibration) for name, bundle in bundles.items()
        },
        scorers=_scorers().validate_json(run.datasets.get_bytes(baselines.scorers)),
    )


def _scorers() -> "TypeAdapter[dict[str, Scorer]]":
    from gnn_trainer.model.scorers import Scorer

    return TypeAdapter(dict[str, Scorer])


def bundle_of(run: Run, model: Model) -> "Bundle":
    """The trained model behind a reference."""
    from gnn_trainer.artifact.bundle import Bundle

    return Bundle.from_files(
        {name: run.datasets.get_bytes(ref) for name, ref in model.files.items()}
    )


def relations_of(datasets: DatasetStore, ref: DatasetRef | None) -> prepared.Relations | None:
    """The prepared relations behind a reference."""
    return None if ref is None else datasets.get(ref, prepared.Relations)


def split_of(run: Run, graph: GraphSequence) -> Split:
    return chronological_split(graph.open_time_T, graph.end_time_T, run.config.split)


def fit_plan(config: TrainConfig) -> "FitPlan":
    from gnn_trainer.training.fit import FitPlan

    return FitPlan(
        model=config.model,
        fit=config.fit,
        labels=config.labels,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
