"""What the network reads: in torch's own memory, wherever the graph's arrays lie."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnn_trainer.features.scaler import fit_scaler
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.training.samples import InputTensors
from tests.planted import planted_market

ALIGNED = 64  # bytes; where torch begins its tensors, and matrix products expect them


def at_an_address(array: np.ndarray, offset: int) -> np.ndarray:
    """A copy that begins so many bytes behind an aligned address, as in a mapped file."""
    space = np.empty(array.nbytes + 2 * ALIGNED, np.uint8)
    begin = -space.ctypes.data % ALIGNED + offset
    moved = space[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def first_address(graph: GraphSequence) -> int:
    inputs = InputTensors(graph, fit_scaler(graph.x_TNF, graph.mask_TN), 0, torch.device("cpu"))
    drawn = int(np.argmax(graph.refresh_T >= 0))
    return inputs.chunk(drawn, drawn + 1).edges.attr_RNkE.data_ptr()


@pytest.mark.parametrize("offset", [4, 8])
def test_where_the_edges_of_a_graph_lie_is_nothing_to_the_network(offset: int) -> None:
    graph = planted_market(strength=0.5).graph
    moved = at_an_address(graph.edge_attr_RNkE, offset)
    assert first_address(replace(graph, edge_attr_RNkE=moved)) % ALIGNED == 0
