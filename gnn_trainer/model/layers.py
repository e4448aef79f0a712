"""The building blocks: a causal encoder over time, and what a symbol hears of its leaders.

Shape letters: C bars of a chunk, N symbols, k incoming edges per symbol, H hidden width,
h heads, d = H / h, E edge attributes, F features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

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
        if not self.training or self.share == 0.0:
            return x_CNH
        kept = torch.empty(x_CNH.shape[-2:], device=x_CNH.device).bernoulli_(1.0 - self.share)
        return x_CNH * (kept / (1.0 - self.share))


class CausalEncoder(nn.Module):
    """Features of many bars to one embedding per bar and symbol, looking only backwards.

    Dilated causal convolutions (kernel 3; van den Oord et al. 2016) run once over a whole chunk,
    so overlapping windows share their work. No padding: the output is `history_bars` shorter.
    """

    kernel = 3

    def __init__(self, num_features: int, hidden: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(num_features, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(num_layers))
        self.mixes = nn.ModuleList(
            nn.Linear(self.kernel * hidden, hidden) for _ in range(num_layers)
        )
        self.dilations = tuple(1 << layer for layer in range(num_layers))
        self.dropout = ChunkDropout(dropout)

    @property
    def history_bars(self) -> int:
        """Bars before the first output that an embedding needs."""
        return (self.kernel - 1) * sum(self.dilations)

    def forward(self, x_TNF: Tensor) -> Tensor:
        """[history_bars + C, N, F] -> [C, N, H]."""
        h: Tensor = self.project(x_TNF)
        for norm, mix, dilation in zip(self.norms, self.mixes, self.dilations, strict=True):
            z = norm(h)
            length = len(z) - (self.kernel - 1) * dilation
            taps = [z[tap * dilation : tap * dilation + length] for tap in range(self.kernel)]
            update = fn.gelu(mix(torch.cat(taps, dim=-1)))
            h = h[-length:] + self.dropout(update)
        return h


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
        units_of_head = torch.block_diag(*torch.ones(heads, 1, hidden // heads))
        self.register_buffer("_units_of_head", units_of_head, persistent=False)  # [h, H], 0 or 1

    def forward(self, h_CNH: Tensor, leader_CNk: Tensor, attr_CNkE: Tensor) -> Tensor:
        """Messages [C, N, H]; `leader_CNk` holds symbol indices, -1 where there is no edge."""
        absent = (leader_CNk < 0).unsqueeze(-1)  # [C, N, k, 1]
        rows = leader_CNk.clamp_min(0)
        source = gather_leaders(self.source(h_CNH), rows)
        value = gather_leaders(self.value(h_CNH), rows)
        score = self.score(source, self.target(h_CNH).unsqueeze(2), attr_CNkE)  # [C, N, k, h]
        weight = score.masked_fill(absent, float("-inf")).softmax(dim=2).nan_to_num(0.0)
        passing = (weight * self.modulation(attr_CNkE)) @ self.units_of_head  # [C, N, k, H]
        message = (passing * value).sum(dim=2)
        heard: Tensor = self.output(self.dropout(message))
        return heard

    def score(self, source: Tensor, target: Tensor, attr: Tensor) -> Tensor:
        """Unnormalised attention of edges, [..., H] and [..., E] -> [..., h]."""
        mixed = fn.leaky_relu(source + target + self.edge(attr), negative_slope=0.2, inplace=True)
        by_head: Tensor = mixed @ (self.units_of_head * self.attention.flatten()).T
        return by_head

    @property
    def units_of_head(self) -> Tensor:
        return self.get_buffer("_units_of_head")


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

    def forward(self, x_CNF: Tensor, leader_CNk: Tensor, attr_CNkE: Tensor) -> Tensor:
        """[C, N, E]; absent edges have zero attributes and add nothing."""
        reading = gather_leaders(self.reading(x_CNF), leader_CNk.clamp_min(0))
        return (reading * attr_CNkE).sum(dim=2)


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

    def likeness(self, attr_CNkE: Tensor) -> Tensor:
        """Weight of every edge before normalisation, [..., E] -> [...], 0 or more."""
        return (attr_CNkE @ self.get_buffer("weight_E")).clamp_min(0.0)

    def forward(self, x_CNF: Tensor, leader_CNk: Tensor, attr_CNkE: Tensor) -> Tensor:
        """[C, N, F]; 0 where no leader moves together with the symbol."""
        weight_CNk = self.likeness(attr_CNkE)
        share_CNk = weight_CNk / weight_CNk.sum(dim=-1, keepdim=True).clamp_min(TINY)
        heard = gather_leaders(x_CNF, leader_CNk.clamp_min(0))
        return torch.einsum("cnkf,cnk->cnf", heard, share_CNk)


def gather_leaders(h_CNH: Tensor, leader_CNk: Tensor) -> Tensor:
    """Rows of the leaders, [C, N, H] and [C, N, k] -> [C, N, k, H]."""
    num_bars, num_symbols, width = h_CNH.shape
    offset = torch.arange(num_bars, device=h_CNH.device).view(-1, 1, 1) * num_symbols
    rows = (leader_CNk + offset).flatten()
    return h_CNH.reshape(-1, width).index_select(0, rows).view(*leader_CNk.shape, width)
