"""The published model: manifest, saving, verified loading, predicting."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnn_trainer.artifact.predictor import Predictor


def load_model(uri: str) -> "Predictor":
    """Load a published model, every hash verified; `Predictor.predict(frame)` scores a market.

    `uri` is the folder of a version, its file:// URI, or `<models>/<model name>/latest` (or
    `/champion`).

    Raises:
        ArtifactError: absent, incomplete, altered, or of an unknown format.
    """
    # Imported on use, because it brings torch.
    from gnn_trainer.artifact import predictor

    return predictor.load_model(uri)
