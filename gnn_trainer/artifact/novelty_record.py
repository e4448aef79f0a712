"""novelty.safetensors: a NoveltyIndex as a file and back."""

import numpy as np
from safetensors.numpy import load, save

from gnn_trainer.errors import ArtifactError
from gnn_trainer.evaluation.novelty import NoveltyIndex

NOVELTY = "novelty.safetensors"


def novelty_to(index: NoveltyIndex) -> bytes:
    return save(
        {
            "reference": np.ascontiguousarray(index.reference_MF),
            "row_distance": index.row_distance_Q,
            "bar_distance": index.bar_distance_Q,
        }
    )


def novelty_from(data: bytes, num_features: int) -> NoveltyIndex:
    """The index that `novelty_to` wrote, of so many features.

    Raises:
        ArtifactError: it holds other arrays than these.
        SafetensorError: no such file at all.
    """
    arrays = load(data)
    shapes = {name: array.shape for name, array in arrays.items()}
    reference = shapes.get("reference", ())
    rows, bars = shapes.get("row_distance", ()), shapes.get("bar_distance", ())
    sound = len(reference) == 2 and reference[0] > 0 and reference[1] == num_features
    if set(shapes) != {"reference", "row_distance", "bar_distance"} or not sound or rows != bars:
        raise ArtifactError(
            f"{NOVELTY} holds {shapes}, expected reference rows of {num_features} features and "
            "two distance arrays of one length"
        )
    return NoveltyIndex(arrays["reference"], arrays["row_distance"], arrays["bar_distance"])
