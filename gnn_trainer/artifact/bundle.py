"""Bundle: a trained model with the rules that make its inputs, as files and back.

config.json          every number and rule that predicting needs, except
model.safetensors    the weights of the network,
novelty.safetensors  rows of the training span, to tell how unlike them a market is, and
relations.json       the prepared relations, if it was trained with any
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gnn_trainer.artifact.manifest import FORMAT
from gnn_trainer.artifact.novelty_record import NOVELTY, novelty_from, novelty_to
from gnn_trainer.artifact.relations_record import RELATIONS, RelationsRecord
from gnn_trainer.errors import ArtifactError
from gnn_trainer.evaluation.calibration import Calibration
from gnn_trainer.evaluation.novelty import NoveltyIndex
from gnn_trainer.features.config import FeatureConfig
from gnn_trainer.features.scaler import Scaler
from gnn_trainer.graph.config import GraphConfig
from gnn_trainer.graph.relations import Relations
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.training.trained import EpochRecord, TrainedModel

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


class ScalerRecord(BaseModel):
    """A Scaler in JSON; float32 survives the way through decimal text unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[FiniteFloat, ...]
    scale: tuple[FiniteFloat, ...]
    used: tuple[bool, ...]
    clip: FiniteFloat

    @classmethod
    def of(cls, scaler: Scaler) -> Self:
        return cls(
            mean=tuple(scaler.mean_F.tolist()),
            scale=tuple(scaler.scale_F.tolist()),
            used=tuple(scaler.used_F.tolist()),
            clip=scaler.clip,
        )

    def scaler(self) -> Scaler:
        return Scaler(
            mean_F=np.array(self.mean, np.float32),
            scale_F=np.array(self.scale, np.float32),
            used_F=np.array(self.used, np.bool_),
            clip=self.clip,
        )


class BundleConfig(BaseModel):
    """The contents of config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    format: Literal[2] = FORMAT
    interval: str
    symbols: tuple[str, ...]  # trained on; others can be scored too, the model has no names
    features: FeatureConfig
    feature_names: tuple[str, ...]
    scaler: ScalerRecord
    labels: LabelConfig
    classes: tuple[Literal["DOWN"], Literal["FLAT"], Literal["UP"]] = ("DOWN", "FLAT", "UP")
    class_threshold: FiniteFloat
    calibration: Calibration
    graph: GraphConfig
    edge_names: tuple[str, ...]
    network: ModelConfig
    members: int  # networks in the ensemble
    uses_graph: bool
    fitted_until_ms: int
    seed: int
    best_epoch: int
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class Bundle:
    """A trained model, and how the market it saw was turned into features and edges.

    `fitted_until_ms` is the end of the last label it was fitted or chosen on, unix ms.
    """

    model: TrainedModel
    features: FeatureConfig
    graph: GraphConfig
    interval: str
    symbols: tuple[str, ...]
    fitted_until_ms: int
    calibration: Calibration
    novelty: NoveltyIndex
    relations: Relations | None = None

    def to_files(self) -> dict[str, bytes]:
        """File name -> contents; the same bundle gives the same bytes."""
        model = self.model
        config = BundleConfig(
            interval=self.interval,
            symbols=self.symbols,
            features=self.features,
            feature_names=model.feature_names,
            scaler=ScalerRecord.of(model.scaler),
            labels=model.label_config,
            class_threshold=model.class_threshold,
            calibration=self.calibration,
            graph=self.graph,
            edge_names=model.edge_names,
            network=model.model_config,
            members=len(model.network.members),
            uses_graph=model.network.uses_graph,
            fitted_until_ms=self.fitted_until_ms,
            seed=model.seed,
            best_epoch=model.best_epoch,
            history=model.history,
        )
        weights = {
            name: value.detach().cpu().contiguous()
            for name, value in model.network.state_dict().items()
        }
        files = {
            CONFIG: config.model_dump_json(indent=2).encode(),
            WEIGHTS: save(weights),
            NOVELTY: novelty_to(self.novelty),
        }
        if self.relations is not None:
            files[RELATIONS] = RelationsRecord.of(self.relations).model_dump_json().encode()
        return files

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The bundle that `to_files` wrote.

        Raises:
            ArtifactError: a file is malformed, or do not fit each other.
        """
        try:
            config = BundleConfig.model_validate_json(files[CONFIG])
            network = _network(config, files[WEIGHTS])
            novelty = novelty_from(files[NOVELTY], num_features=len(config.feature_names))
            relations = None
            if RELATIONS in files:
                relations = RelationsRecord.model_validate_json(files[RELATIONS]).relations()
        except (ValidationError, SafetensorError, RuntimeError) as exc:
            raise ArtifactError(
                f"{', '.join(files)} cannot be read as a model of format {FORMAT}: {exc}"
            ) from exc
        model = TrainedModel(
            network=network,
            scaler=config.scaler.scaler(),
            class_threshold=config.class_threshold,
            feature_names=config.feature_names,
            edge_names=config.edge_names,
            model_config=config.network,
            label_config=config.labels,
            history=config.history,
            best_epoch=config.best_epoch,
            seed=config.seed,
        )
        return cls(
            model=model,
            features=config.features,
            graph=config.graph,
            interval=config.interval,
            symbols=config.symbols,
            fitted_until_ms=config.fitted_until_ms,
            calibration=config.calibration,
            novelty=novelty,
            relations=relations,
        )


def _network(config: BundleConfig, weights: bytes) -> Ensemble:
    with torch.random.fork_rng(devices=[]):
        network = Ensemble(
            config.network,
            num_features=len(config.feature_names),
            num_edge_attrs=len(config.edge_names),
            use_graph=config.uses_graph,
            members=config.members,
        )
    network.load_state_dict(load(weights))
    return network.eval()
