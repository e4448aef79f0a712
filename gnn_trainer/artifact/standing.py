"""Where a model name stands in a store: its trials so far, and what its champion says."""

import logging

import numpy as np

from gnn_trainer.artifact.location import files_in
from gnn_trainer.artifact.pointers import CHAMPION, read_pointer
from gnn_trainer.artifact.predictor import Predictor, load_published
from gnn_trainer.artifact.trials import count_trial
from gnn_trainer.errors import ArtifactError, ConfigError, ServiceError
from gnn_trainer.evaluation.champion import Rival, Standing
from gnn_trainer.graph.relations import Relations
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import MarketFrame
from gnn_trainer.market.intervals import interval_ms
from gnn_trainer.ports import ModelStore
from gnn_trainer.training.inference import score_bars

logger = logging.getLogger(__name__)


def consult(
    store: ModelStore,
    model_name: str,
    trial: str,
    frame: MarketFrame,
    graph: GraphSequence,
    relations: Relations | None = None,
) -> Standing:
    """Count the trial, and let the champion score the market that the new model is judged on.

    `frame` is the market that `graph`, the new model's, was made of. A store that is away, or a
    champion that cannot be asked, is an obstacle and no error: the new model then stays
    challenger, and is not lost.
    """
    version = "(unknown)"
    try:
        trials = count_trial(store, model_name, trial)
        pointer = read_pointer(store, model_name, CHAMPION)
        if pointer is None:
            return Standing(trials)
        version = pointer.version
        predictor = load_published(files_in(store, model_name, version))
        return Standing(trials, version, _rival(predictor, frame, graph, relations))
    except (ArtifactError, ConfigError, ServiceError) as exc:
        logger.warning("the champion %s of %s cannot be asked: %s", version, model_name, exc)
        return Standing(version=version, obstacle=str(exc))


def _rival(
    champion: Predictor, frame: MarketFrame, graph: GraphSequence, relations: Relations | None
) -> Rival:
    bundle = champion.bundle
    asked = (interval_ms(bundle.interval), bundle.model.label_config.horizon)
    if asked != (graph.interval_ms, graph.horizon):
        raise ArtifactError(
            f"it predicts {asked[1]} bar(s) of {bundle.interval}, this model {graph.horizon} of "
            f"{graph.interval_ms} ms; give one of them another MODEL_NAME, or promote by hand"
        )
    own = champion.graph_of(frame, relations)
    scores = score_bars(bundle.model, own, 0, own.num_bars)
    return Rival(
        version=champion.manifest.version,
        score_TN=scores.rank_CN.astype(np.float64),
        known_TN=own.mask_TN,
        open_time_T=own.open_time_T,
        fitted_until_ms=bundle.fitted_until_ms,
    )
