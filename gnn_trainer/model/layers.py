"""The building blocks: a causal encoder over time, and what a symbol hears of its leaders.

Shape letters: C bars of a chunk, R refreshes of its graph, N symbols, k incoming edges per symbol,
H hidden width, h heads, E edge attributes, F features.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from gnn_trainer.model import causal, listening
from gnn_trainer.model.edges import Edges

TINY = 1e-6  # below this a sum of weights is taken as nothing


class ChunkDropout(nn.Module):
    """Dropout with one mask for all bars of a chunk (Gal & Ghahramani 2016, for recurrent nets).

    A unit that is gone stays gone for the whole chunk; drawing a mask per symbol instead of one
    per symbol and bar also saves a fifth of a step on a CPU.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x_CNH: Tensor) -> Tensor:
        """[C, N, H] -> [C, N, H]; the mask is drawn on the bars' last two axes."""
        kept_NH = self.kept(x_CNH)
        return x_CNH if kept_NH is None else x_CNH * kept_NH

    def kept(self, x_CNH: Tensor) -> Tensor | None:
        """The factor on every unit, 0 for what is dropped; None if everything is kept as it is."""
        if not self.training or self.share == 0.0:
            return None
        kept = torch.empty(x_CNH.shape[-2:], device=x_CNH.device).bernoulli_(1.0 - self.share)
        return kept / (1.0 - self.share)


class CausalEncoder(nn.Module):
    """Features of many bars to one embedding per bar and symbol, looking only backwards.

    Dilated causal convolutions (kernel 3; van den Oord et al. 2016) run once over a whole chunk,
    so overlapping windows share their work. No padding: the output is `history_bars` shorter.
    """

    def __init__(self, num_features: int, hidden: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(num_features, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(num_layers))
        self.mixes = nn.ModuleList(
            nn.Linear(causal.KERNEL * hidden, hidden) for _ in range(num_layers)
        )
        self.dilations = tuple(1 << layer for layer in range(num_layers))
        self.dropout = ChunkDropout(dropout)

    @property
    def history_bars(self) -> int:
        """Bars before the first output that an embedding needs."""
        return (causal.KERNEL - 1) * sum(self.dilations)

    def forward(self, x_TNF: Tensor) -> Tensor:
        """[history_bars + C, N, F] -> [C, N, H]."""
        h: Tensor = self.project(x_TNF)
        newest_only = len(x_TNF) == self.history_bars + 1
        for norm, mix, dilation in self.layers():
            kept_NH = self.dropout.kept(h)
            if newest_only:  # dilations double, so every other bar is all that the next layer reads
                h = causal.thinning_layer(h, norm, mix, kept_NH)
            else:
                h = causal.causal_layer(h, norm, mix, dilation, kept_NH)
        return h

    def layers(self) -> Iterator[tuple[causal.Affine, causal.Affine, int]]:
        """Norm, mix and dilation of every layer."""
        for norm, mix, dilation in zip(self.norms, self.mixes, self.dilations, strict=True):
            assert isinstance(norm, nn.LayerNorm)
            assert isinstance(mix, nn.Linear)
            yield (norm.weight, norm.bias), (mix.weight, mix.bias), dilation


class LeaderAttention(nn.Module):
    """What a symbol hears from its leaders, weighted by attention and shaped by the edge.

    Scores as GATv2 (Brody et al. 2022, eq. 7) with the edge attributes inside. What travels along
    an edge is multiplied, head by head, by a linear function of its attributes, so that sign,
    strength and delay of a lead decide what of the leader's recent past gets through; an edge
    without measured strength is silent.
    """

    def __init__(self, hidden: int, num_edge_attrs: int, heads: int, dropout: float) -> None:
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden {hidden} must be a multiple of heads {heads}")
        self.heads = heads
        self.source = nn.Linear(hidden, hidden)
        self.target = nn.Linear(hidden, hidden)
        self.edge = nn.Linear(num_edge_attrs, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden)
        self.modulation = nn.Linear(num_edge_attrs, heads, bias=False)
        self.attention = nn.Parameter(torch.empty(heads, hidden // heads))
        nn.init.xavier_uniform_(self.attention)
        self.output = nn.Linear(hidden, hidden)
        self.dropout = ChunkDropout(dropout)

    def forward(self, h_CNH: Tensor, edges: Edges) -> Tensor:
        """Messages [C, N, H]."""
        message = listening.attend(self.words(h_CNH, edges), edges)
        heard: Tensor = self.output(self.dropout(message))
        return heard

    def words(self, h_CNH: Tensor, edges: Edges) -> listening.Words:
        parts = (self.source, self.target, self.value)
        weight = torch.cat([part.weight for part in parts])
        bias = torch.cat([part.bias for part in parts])
        return listening.Words(
            svt_CN3H=fn.linear(h_CNH, weight, bias),
            edge_RNkH=self.edge(edges.attr_RNkE),
            modulation_RNkh=self.modulation(edges.attr_RNkE),
            attention_H=self.attention.flatten(),
        )


class Spillover(nn.Module):
    """What leaders' newest features say to a follower, edge strength by edge strength.

    Each edge attribute (one edge rule) takes one linear reading of the leader and passes it on in
    proportion to the measured strength; the contributions of all leaders add up. With few
    parameters and no normalisation it is the neighbour aggregation that cannot be missed.
    """

    def __init__(self, num_features: int, num_edge_attrs: int) -> None:
        super().__init__()
        self.reading = nn.Linear(num_features, num_edge_attrs, bias=False)

    @torch.no_grad()
    def listen_to(self, features: Sequence[int | None]) -> None:
        """Read feature number `features[e]` for attribute e; None keeps the random reading."""
        for attribute, feature in enumerate(features):
            if feature is not None:
                self.reading.weight[attribute] = 0.0
                self.reading.weight[attribute, feature] = 1.0

    def forward(self, x_CNF: Tensor, edges: Edges) -> Tensor:
        """[C, N, E]; absent edges have zero attributes and add nothing."""
        return listening.hear(self.reading(x_CNF), edges.attr_RNkE, edges)


class PeerMean(nn.Module):
    """Mean of the leaders' newest features, each as much as it moves together with the follower.

    Nothing in it is learned: `weight_E` says which edge attributes count (negative sums do not),
    and the layer above reads the mean like features of the symbol itself.
    """

    def __init__(self, num_edge_attrs: int) -> None:
        super().__init__()
        self.register_buffer("weight_E", torch.ones(num_edge_attrs))

    @torch.no_grad()
    def weigh_by(self, attribute: int) -> None:
        """Let one attribute alone decide."""
        weight_E = self.get_buffer("weight_E")
        weight_E.zero_()
        weight_E[attribute] = 1.0

    def likeness(self, attr: Tensor) -> Tensor:
        """Weight of every edge before normalisation, [..., E] -> [...], 0 or more."""
        return (attr @ self.get_buffer("weight_E")).clamp_min(0.0)

    def forward(self, x_CNF: Tensor, edges: Edges) -> Tensor:
        """[C, N, F]; 0 where no leader moves together with the symbol."""
        weight_RNk = self.likeness(edges.attr_RNkE)
        share_RNk = weight_RNk / weight_RNk.sum(dim=-1, keepdim=True).clamp_min(TINY)
        return listening.hear(x_CNF, share_RNk.unsqueeze(-1), edges)
