"""MarketGNN: causal encoder, gated leader attention, spillover, three heads."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.layers import CausalEncoder, LeaderAttention, Spillover

NUM_OUTPUTS = 5  # rank score, logits of DOWN, FLAT, UP, expected return
GATE_START = -3.0  # sigmoid(-3) = .05: the graph starts almost closed and must earn its place
OWN_START = 0.1  # the symbol's own opinion starts faint: a deep net on noise shouts first
SPILLOVER_GAIN = 10.0  # its few weights learn ten times as fast, before the rest can overfit


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

    def forward(self, h_CNH: Tensor, leader_CNk: Tensor, attr_CNkE: Tensor) -> Tensor:
        message = self.attention(self.norm(h_CNH), leader_CNk, attr_CNkE)
        return self.merge(h_CNH, message)

    def merge(self, h: Tensor, message: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(torch.cat((h, message), dim=-1)))
        merged: Tensor = h + gate * message
        return merged


class MarketGNN(nn.Module):
    """Scores every symbol at every bar of a chunk.

    Two opinions are added up: the encoder's, after the graph layers, and the spillover of the
    leaders' newest features. With `use_graph=False` graph layers and spillover are left out and
    nothing else changes: the comparison that decides whether the graph is worth having.
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
        self.dropout = nn.Dropout(config.head_dropout)
        self.own = nn.Linear(width, NUM_OUTPUTS)
        self.own_scale = nn.Parameter(torch.tensor(OWN_START))
        self.graph_layers = nn.ModuleList(
            GatedGraphLayer(width, num_edge_attrs, config.heads, config.dropout)
            for _ in range(config.graph_layers if use_graph else 0)
        )
        self.spillover = Spillover(num_features, num_edge_attrs, NUM_OUTPUTS) if use_graph else None

    @property
    def history_bars(self) -> int:
        return self.encoder.history_bars

    @property
    def uses_graph(self) -> bool:
        return self.spillover is not None

    def listen_to(self, features: Sequence[int | None]) -> None:
        """Start each edge attribute's reading at the feature it was measured with."""
        if self.spillover is not None:
            self.spillover.listen_to(features)

    def forward(self, x_TNF: Tensor, leader_CNk: Tensor, attr_CNkE: Tensor) -> Heads:
        """Chunk of C bars; `x_TNF` starts `history_bars` earlier than the edges."""
        h = self.encoder(x_TNF)
        for layer in self.graph_layers:
            h = layer(h, leader_CNk, attr_CNkE)
        output = self.opinion(h)
        if self.spillover is not None:
            newest = x_TNF[self.history_bars :]
            output = output + SPILLOVER_GAIN * self.spillover(newest, leader_CNk, attr_CNkE)
        return read_heads(output)

    def opinion(self, h: Tensor) -> Tensor:
        """The encoder's part of the outputs, [..., H] -> [..., NUM_OUTPUTS]."""
        opinion: Tensor = self.own_scale * self.own(self.dropout(self.norm(h)))
        return opinion


def read_heads(output: Tensor) -> Heads:
    """Split [..., NUM_OUTPUTS] by meaning."""
    return Heads(output[..., 0], output[..., 1:4], output[..., 4])
