"""Several networks of one shape that differ in their seed, asked together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.edges import Edges
from gnn_trainer.model.network import Heads, MarketGNN


class Ensemble(nn.Module):
    """The mean opinion of its members: what one seed finds by chance, the others outvote.

    Members are drawn one after the other from torch's generator, so that an ensemble of one is
    the network of that seed.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        num_features: int,
        num_edge_attrs: int,
        use_graph: bool = True,
        members: int = 1,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            MarketGNN(
                config,
                num_features=num_features,
                num_edge_attrs=num_edge_attrs,
                use_graph=use_graph,
            )
            for _ in range(members)
        )

    @property
    def members(self) -> tuple[MarketGNN, ...]:
        return tuple(network for network in self.networks if isinstance(network, MarketGNN))

    @property
    def history_bars(self) -> int:
        return self.members[0].history_bars

    @property
    def uses_graph(self) -> bool:
        return self.members[0].uses_graph

    def listen_to(self, features: Sequence[int | None], peer_attribute: int | None) -> None:
        """`MarketGNN.listen_to` for every member."""
        for member in self.members:
            member.listen_to(features, peer_attribute)

    def opinions(self, x_TNF: Tensor, edges: Edges) -> tuple[Heads, ...]:
        """What each member says of a chunk of C bars, see `MarketGNN.forward`."""
        return tuple(member(x_TNF, edges) for member in self.members)

    def forward(self, x_TNF: Tensor, edges: Edges) -> Heads:
        """Mean of the members' rank scores, logits and returns."""
        opinions = self.opinions(x_TNF, edges)
        return Heads(*(torch.stack(column).mean(dim=0) for column in zip(*opinions, strict=True)))
