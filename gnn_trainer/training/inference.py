"""Scoring bars with a trained network; the same numbers for a bar however the bars are cut."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.training.samples import InputTensors
from gnn_trainer.training.trained import TrainedModel

SCORE_CHUNK_BARS = 512


@dataclass(frozen=True)
class Scores:
    """Predictions of C bars and N symbols, float32."""

    rank_CN: npt.NDArray[np.float32]  # no unit; higher = expected to outperform
    probability_CN3: npt.NDArray[np.float32]  # DOWN, FLAT, UP; sums to one
    expected_return_CN: npt.NDArray[np.float32]  # log return over the horizon


def score_bars(model: TrainedModel, graph: GraphSequence, start: int, stop: int) -> Scores:
    """Score bars start..stop-1 of a graph made with the model's own features and edge rules."""
    if graph.feature_names != model.feature_names or graph.edge_names != model.edge_names:
        raise ValueError("the graph's features or edges are not those the model was trained on")
    device = next(model.network.parameters()).device
    inputs = InputTensors(graph, model.scaler, model.network.history_bars, device)
    rank, probability, size = run_network(model.network, inputs, start, stop)
    expected = size * graph.sigma_TN[start:stop].astype(np.float32)
    return Scores(rank, probability, expected)


@torch.no_grad()
def run_network(
    network: Ensemble, inputs: InputTensors, start: int, stop: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """rank [C, N], class probabilities [C, N, 3], return in volatilities [C, N]."""
    network.eval()
    parts = []
    for begin in range(start, stop, SCORE_CHUNK_BARS):
        chunk = inputs.chunk(begin, min(begin + SCORE_CHUNK_BARS, stop))
        heads = network(chunk.x_TNF, chunk.edges)
        parts.append((heads.rank_CN, heads.logits_CN3.softmax(dim=-1), heads.return_CN))
    rank, probability, size = (
        torch.cat(column).float().cpu().numpy() for column in zip(*parts, strict=True)
    )
    return rank, probability, size
