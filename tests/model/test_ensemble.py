"""An ensemble is the mean of its members, and its first member is the network of its seed."""

from typing import TypeVar

import torch
from torch import nn

from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.edges import Edges
from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.model.network import MarketGNN

M = TypeVar("M", bound=nn.Module)
SHAPE = ModelConfig(hidden=16, heads=2, graph_layers=1, temporal_layers=2)
BARS, SYMBOLS, FEATURES, ATTRS = 3, 5, 4, 2


def ensemble_of(members: int) -> Ensemble:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        ensemble = Ensemble(SHAPE, num_features=FEATURES, num_edge_attrs=ATTRS, members=members)
    return speaking(ensemble)


def speaking(network: M) -> M:
    """With other outputs than the silent ones of a network that has not been fitted."""
    generator = torch.Generator().manual_seed(6)
    for name, parameter in network.named_parameters():
        if name.endswith("own.weight"):
            torch.nn.init.normal_(parameter, generator=generator)
    return network.eval()


def inputs(history_bars: int) -> tuple[torch.Tensor, Edges]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(history_bars + BARS, SYMBOLS, FEATURES, generator=generator)
    leader = torch.arange(SYMBOLS, dtype=torch.int32).roll(1).view(1, SYMBOLS, 1)
    attr = torch.randn(1, SYMBOLS, 1, ATTRS, generator=generator)
    return x, Edges(leader, attr, torch.zeros(BARS, dtype=torch.int64))


def test_heads_are_the_mean_of_the_members_heads() -> None:
    ensemble = ensemble_of(3)
    asked = inputs(ensemble.history_bars)
    together = ensemble(*asked)
    alone = [member(*asked) for member in ensemble.members]
    for head, opinions in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(head, sum(opinions) / 3)


def test_members_differ_from_one_another() -> None:
    first, second = ensemble_of(2).members
    asked = inputs(first.history_bars)
    assert not torch.allclose(first(*asked).rank_CN, second(*asked).rank_CN)


def test_the_first_member_is_the_network_of_the_seed_alone() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = MarketGNN(SHAPE, num_features=FEATURES, num_edge_attrs=ATTRS)
    network = speaking(network)
    asked = inputs(network.history_bars)
    assert torch.equal(ensemble_of(3).members[0](*asked).rank_CN, network(*asked).rank_CN)
    assert torch.equal(ensemble_of(1)(*asked).rank_CN, network(*asked).rank_CN)
