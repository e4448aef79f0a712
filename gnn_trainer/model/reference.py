"""The same network on torch_geometric: slow, plain, and the truth the fast path is tested against.

It works on one market snapshot, or several joined by `torch_geometric.data.Batch`, through
`MessagePassing`, and shares every parameter with the `MarketGNN` it is given.
"""

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import softmax

from gnn_trainer.model.causal import causal_layer_plain
from gnn_trainer.model.layers import TINY, CausalEncoder, LeaderAttention, PeerMean, Spillover
from gnn_trainer.model.network import (
    GatedGraphLayer,
    Heads,
    MarketGNN,
    read_heads,
)


class LeaderAttentionConv(MessagePassing):
    """LeaderAttention as a torch_geometric convolution over `edge_index` (leader -> follower)."""

    def __init__(self, layer: LeaderAttention) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.layer = layer

    def forward(self, h: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """[nodes, H], [2, edges], [edges, E] -> [nodes, H]."""
        layer = self.layer
        out = self.propagate(
            edge_index,
            source=layer.source(h),
            target=layer.target(h),
            value=layer.value(h),
            edge_attr=edge_attr,
            size=(len(h), len(h)),
        )
        result: Tensor = layer.output(layer.dropout(out))
        return result

    def message(
        self,
        source_j: Tensor,
        target_i: Tensor,
        value_j: Tensor,
        edge_attr: Tensor,
        index: Tensor,
    ) -> Tensor:
        mixed = leaky_relu(source_j + target_i + self.layer.edge(edge_attr), negative_slope=0.2)
        score = (mixed.unflatten(-1, (self.layer.heads, -1)) * self.layer.attention).sum(dim=-1)
        passing = softmax(score, index) * self.layer.modulation(edge_attr)  # [edges, h]
        message: Tensor = passing.unsqueeze(-1) * value_j.unflatten(-1, (self.layer.heads, -1))
        return message.flatten(-2)


class PeerMeanConv(MessagePassing):
    """PeerMean as a torch_geometric convolution."""

    def __init__(self, layer: PeerMean) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """[nodes, F], [2, edges], [edges, E] -> [nodes, F]."""
        likeness = self.layer.likeness(edge_attr).unsqueeze(-1)
        total = x.new_zeros(len(x), 1).index_add(0, edge_index[1], likeness)
        heard: Tensor = self.propagate(edge_index, x=x, likeness=likeness, size=(len(x), len(x)))
        return heard / total.clamp_min(TINY)

    def message(self, x_j: Tensor, likeness: Tensor) -> Tensor:
        return x_j * likeness


class SpilloverConv(MessagePassing):
    """Spillover as a torch_geometric convolution."""

    def __init__(self, layer: Spillover) -> None:
        super().__init__(aggr="add", node_dim=0)
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """[nodes, F], [2, edges], [edges, E] -> [nodes, E]."""
        heard: Tensor = self.propagate(
            edge_index, reading=self.layer.reading(x), edge_attr=edge_attr, size=(len(x), len(x))
        )
        return heard

    def message(self, reading_j: Tensor, edge_attr: Tensor) -> Tensor:
        return reading_j * edge_attr


class Reference:
    """The whole of a network, on nodes that are symbols of one bar or of several bars."""

    def __init__(self, network: MarketGNN) -> None:
        self.network = network
        self.layers = [
            (layer, LeaderAttentionConv(layer.attention))
            for layer in network.graph_layers
            if isinstance(layer, GatedGraphLayer)
        ]
        self.heard = (
            (PeerMeanConv(network.peer_mean), SpilloverConv(network.spillover))
            if network.peer_mean is not None and network.spillover is not None
            else ()
        )

    def __call__(self, x_TNF: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Heads:
        """Heads of [nodes], bar by bar; `x_TNF` starts `history_bars` before the first of them."""
        network = self.network
        h = encode(network.encoder, x_TNF).flatten(0, 1)  # [nodes, H]
        for layer, attention in self.layers:
            h = layer.merge(h, attention(layer.norm(h), edge_index, edge_attr))
        newest = x_TNF[network.history_bars :].flatten(0, 1)
        heard = [listen(newest, edge_index, edge_attr) for listen in self.heard]
        view = torch.cat((newest, *heard), dim=-1)
        return read_heads(network.opinion(h) + network.plain(view))


def encode(encoder: CausalEncoder, x_TNF: Tensor) -> Tensor:
    """The encoder in torch's own operations."""
    h: Tensor = encoder.project(x_TNF)
    for layer in encoder.layers():
        h = causal_layer_plain(h, *layer, encoder.dropout.kept(h))
    return h


def forward_snapshot(
    network: MarketGNN, x_TNF: Tensor, edge_index: Tensor, edge_attr: Tensor
) -> Heads:
    """One bar: scaled features of the last `history_bars + 1` bars, edges of the newest."""
    return Reference(network)(x_TNF, edge_index, edge_attr)
