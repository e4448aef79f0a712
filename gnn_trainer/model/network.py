"""MarketGNN: plain view, causal encoder, gated leader attention, spillover, three heads."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.edges import Edges
from gnn_trainer.model.layers import (
    CausalEncoder,
    ChunkDropout,
    LeaderAttention,
    PeerMean,
    Spillover,
)

NUM_OUTPUTS = 5  # rank score, logits of DOWN, FLAT, UP, expected return
GATE_START = -3.0  # sigmoid(-3) = .05: the graph starts almost closed and must earn its place
OPINION_SCALE = 0.03  # the deep opinion grows slowly: on noise it would shout first


class Heads(NamedTuple):
    """What the network says of each bar and symbol."""

    rank_CN: Tensor  # cross-sectional score, no unit; higher = outperforms
    logits_CN3: Tensor  # DOWN, FLAT, UP
    return_CN: Tensor  # expected return in units of the label's trailing volatility


class GatedGraphLayer(nn.Module):
    """h + gate * message, the gate reading both."""

    def __init__(self, hidden: int, num_edge_attrs: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.attention = LeaderAttention(hidden, num_edge_attrs, heads, dropout)
        self.gate = nn.Linear(2 * hidden, hidden)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, GATE_START)

    def forward(self, h_CNH: Tensor, edges: Edges) -> Tensor:
        message = self.attention(self.norm(h_CNH), edges)
        return self.merge(h_CNH, message)

    def merge(self, h: Tensor, message: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat((h, message), dim=-1)))
        merged: Tensor = h + gate * message
        return merged


class MarketGNN(nn.Module):
    """Scores every symbol at every bar of a chunk.

    Two opinions are added up: a linear one on what can be read without depth, `plain_view`, and
    the encoder's after the graph layers. The linear one is fitted before training begins
    (`training.start`), the other one is silent then: the network starts as a ridge regression with
    its neighbours' features, and everything deeper must earn its place. With `use_graph=False`
    everything heard from leaders is left out and nothing else changes: the comparison that decides
    whether the graph is worth having.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_features: int,
        num_edge_attrs: int,
        use_graph: bool = True,
    ) -> None:
        super().__init__()
        width = config.hidden
        self.encoder = CausalEncoder(num_features, width, config.temporal_layers, config.dropout)
        self.norm = nn.LayerNorm(width)
        self.dropout = ChunkDropout(config.head_dropout)
        self.own = nn.Linear(width, NUM_OUTPUTS)
        self.graph_layers = nn.ModuleList(
            GatedGraphLayer(width, num_edge_attrs, config.heads, config.dropout)
            for _ in range(config.graph_layers if use_graph else 0)
        )
        self.peer_mean = PeerMean(num_edge_attrs) if use_graph else None
        self.spillover = Spillover(num_features, num_edge_attrs) if use_graph else None
        heard = (num_features, num_edge_attrs) if use_graph else ()
        self.plain_parts = (num_features, *heard)  # widths of what `plain_view` joins
        self.plain = nn.Linear(sum(self.plain_parts), NUM_OUTPUTS)
        for layer in (self.own, self.plain):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def history_bars(self) -> int:
        return self.encoder.history_bars

    @property
    def uses_graph(self) -> bool:
        return self.spillover is not None

    def listen_to(self, features: Sequence[int | None], peer_attribute: int | None) -> None:
        """Tell what the edge attributes mean.

        Args:
            features: The feature each attribute was measured with, where its reading starts.
            peer_attribute: The one that says how much two symbols move together.
        """
        if self.spillover is not None:
            self.spillover.listen_to(features)
        if self.peer_mean is not None and peer_attribute is not None:
            self.peer_mean.weigh_by(peer_attribute)

    def forward(self, x_TNF: Tensor, edges: Edges) -> Heads:
        """Chunk of C bars; `x_TNF` starts `history_bars` earlier than the edges."""
        h = self.encoder(x_TNF)
        for layer in self.graph_layers:
            h = layer(h, edges)
        deep = self.opinion(h).to(x_TNF.dtype)
        with torch.autocast(x_TNF.device.type, enabled=False):  # a regression keeps its digits
            plain = self.plain(self.plain_view(x_TNF[self.history_bars :], edges))
        return read_heads(deep + plain)

    def plain_view(self, x_CNF: Tensor, edges: Edges) -> Tensor:
        """What can be read without depth, [C, N, D]: the newest features of the symbol, the mean of
        its peers', and the leaders' signals as far as they pass their edges."""
        if self.peer_mean is None or self.spillover is None:
            return x_CNF
        peers = self.peer_mean(x_CNF, edges)
        return torch.cat((x_CNF, peers, self.spillover(x_CNF, edges)), dim=-1)

    def opinion(self, h: Tensor) -> Tensor:
        """The encoder's part of the outputs, [..., H] -> [..., NUM_OUTPUTS]."""
        opinion: Tensor = OPINION_SCALE * self.own(self.dropout(self.norm(h)))
        return opinion


def read_heads(output: Tensor) -> Heads:
    """Split [..., NUM_OUTPUTS] by meaning."""
    return Heads(output[..., 0], output[..., 1:4], output[..., 4])
