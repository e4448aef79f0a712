"""TrainedModel: the network and everything fitted beside it on the training span."""

from dataclasses import dataclass

from gnn_trainer.features.scaler import Scaler
from gnn_trainer.market.labels import LabelConfig
from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.ensemble import Ensemble


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss of the members; the averaged weights' RankIC together.

    The RankIC is that of the validation span.
    """

    epoch: int  # counted from 1
    loss: float
    val_rank_ic: float
    seconds: float


@dataclass(frozen=True)
class TrainedModel:
    """The best epoch's averaged weights, with what is needed to use them."""

    network: Ensemble
    scaler: Scaler
    class_threshold: float  # in units of trailing volatility, or a log return if fixed
    feature_names: tuple[str, ...]
    edge_names: tuple[str, ...]
    model_config: ModelConfig
    label_config: LabelConfig
    history: tuple[EpochRecord, ...]
    best_epoch: int
    seed: int
