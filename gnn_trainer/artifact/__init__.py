"""The published model: manifest, saving, verified loading, predicting."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gnn_trainer.artifact.predictor import Predictor


def load_model(uri: str) -> "Predictor":
    """Load a published model, every hash verified; `Predictor.predict(frame)` scores a market.

    `uri` is the folder of a version, its file:// URI, `s3://<bucket>/<model name>/<version>`
    (the MINIO_* variables say how to get in), or any of them with `latest` or `champion` in
    place of the version.

    Raises:
        ArtifactError: absent, incomplete, altered, or of an unknown format.
        ConfigError: the server of an s3:// URI is not configured, or refuses us.
        TransientServiceError: that server is away.
    """
    # Imported on use, because they bring torch and boto3.
    from gnn_trainer.adapters.published import published_at
    from gnn_trainer.artifact.predictor import load_published

    return load_published(published_at(uri))
