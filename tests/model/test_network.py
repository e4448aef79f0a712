"""The network: the fast path against torch_geometric, and the symmetries it must have."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from gnn_trainer.model.config import ModelConfig
from gnn_trainer.model.edges import Edges
from gnn_trainer.model.layers import PeerMean
from gnn_trainer.model.network import GatedGraphLayer, MarketGNN
from gnn_trainer.model.reference import (
    LeaderAttentionConv,
    PeerMeanConv,
    SpilloverConv,
    forward_snapshot,
)

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
BARS, SYMBOLS, NEIGHBOURS, FEATURES, ATTRS = 4, 7, 3, 5, 6


def edges_of(leader: torch.Tensor, attr: torch.Tensor) -> Edges:
    """Another graph for every bar."""
    return Edges(leader.int(), attr, torch.arange(len(leader)))


@pytest.fixture
def network() -> MarketGNN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MarketGNN(
            ModelConfig(hidden=16, heads=2), num_features=FEATURES, num_edge_attrs=ATTRS
        )
        for parameter in network.parameters():  # leave the quiet start: every path must count
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.fixture
def inputs(network: MarketGNN) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(network.history_bars + BARS, SYMBOLS, FEATURES, generator=generator)
    leader = torch.stack(
        [torch.randperm(SYMBOLS, generator=generator)[:NEIGHBOURS] for _ in range(BARS * SYMBOLS)]
    ).view(BARS, SYMBOLS, NEIGHBOURS)
    leader[1, 2, 1:] = -1
    leader[2, 3] = -1  # a symbol nobody leads
    attr = torch.randn(BARS, SYMBOLS, NEIGHBOURS, ATTRS, generator=generator)
    return x, leader, attr * (leader >= 0).unsqueeze(-1)


def as_data(x: torch.Tensor, leader: torch.Tensor, attr: torch.Tensor) -> Data:
    follower, slot = torch.nonzero(leader >= 0, as_tuple=True)
    return Data(
        x=x,
        edge_index=torch.stack((leader[follower, slot], follower)),
        edge_attr=attr[follower, slot],
    )


def test_every_bar_matches_the_torch_geometric_reference(
    network: MarketGNN, inputs: Inputs
) -> None:
    x, leader, attr = inputs
    heads = network(x, edges_of(leader, attr))
    for bar in range(BARS):
        history = x[bar : bar + network.history_bars + 1]
        data = as_data(history[-1], leader[bar], attr[bar])
        reference = forward_snapshot(network, history, data.edge_index, data.edge_attr)
        for fast, slow in zip(heads, reference, strict=True):
            torch.testing.assert_close(fast[bar], slow, rtol=1e-5, atol=1e-5)


def test_layers_match_on_a_batch_of_snapshots(network: MarketGNN, inputs: Inputs) -> None:
    _, leader, attr = inputs
    h = torch.randn(BARS, SYMBOLS, 16, generator=torch.Generator().manual_seed(2))
    x = torch.randn(BARS, SYMBOLS, FEATURES, generator=torch.Generator().manual_seed(3))
    batch = Batch.from_data_list([as_data(h[bar], leader[bar], attr[bar]) for bar in range(BARS)])
    graph_layer = network.graph_layers[0]
    assert isinstance(graph_layer, GatedGraphLayer)
    assert network.spillover is not None
    assert network.peer_mean is not None
    layer = graph_layer.attention
    slow = LeaderAttentionConv(layer)(batch.x, batch.edge_index, batch.edge_attr)
    torch.testing.assert_close(
        layer(h, edges_of(leader, attr)).flatten(0, 1), slow, rtol=1e-5, atol=1e-5
    )
    spilled = SpilloverConv(network.spillover)(x.flatten(0, 1), batch.edge_index, batch.edge_attr)
    torch.testing.assert_close(
        network.spillover(x, edges_of(leader, attr)).flatten(0, 1), spilled, rtol=1e-5, atol=1e-5
    )
    meant = PeerMeanConv(network.peer_mean)(x.flatten(0, 1), batch.edge_index, batch.edge_attr)
    torch.testing.assert_close(
        network.peer_mean(x, edges_of(leader, attr)).flatten(0, 1), meant, rtol=1e-5, atol=1e-5
    )


def test_gradients_match_the_torch_geometric_reference(network: MarketGNN, inputs: Inputs) -> None:
    x, leader, attr = inputs
    network(x, edges_of(leader, attr)).rank_CN[-1].square().sum().backward()
    fast = [
        parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None
    ]
    network.zero_grad()
    history = x[-network.history_bars - 1 :]
    data = as_data(history[-1], leader[-1], attr[-1])
    forward_snapshot(
        network, history, data.edge_index, data.edge_attr
    ).rank_CN.square().sum().backward()
    slow = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_permuting_symbols_permutes_predictions(network: MarketGNN, inputs: Inputs) -> None:
    x, leader, attr = inputs
    order = torch.randperm(SYMBOLS, generator=torch.Generator().manual_seed(4))
    place = torch.argsort(order)
    renamed = torch.where(leader >= 0, place[leader.clamp_min(0)], leader)
    permuted = network(x[:, order], edges_of(renamed[:, order], attr[:, order]))
    for one, other in zip(network(x, edges_of(leader, attr)), permuted, strict=True):
        torch.testing.assert_close(one[:, order], other, rtol=1e-5, atol=1e-5)


def test_a_bar_does_not_see_later_bars(network: MarketGNN, inputs: Inputs) -> None:
    x, leader, attr = inputs
    before = network(x, edges_of(leader, attr)).rank_CN
    poisoned = x.clone()
    poisoned[-1] = 1e3
    after = network(poisoned, edges_of(leader, attr)).rank_CN
    torch.testing.assert_close(before[:-1], after[:-1])
    assert not torch.allclose(before[-1], after[-1])


def test_a_bar_scores_the_same_however_the_bars_are_cut(network: MarketGNN, inputs: Inputs) -> None:
    x, leader, attr = inputs
    whole = network(x, edges_of(leader, attr)).rank_CN
    tail = network(x[2:], edges_of(leader[2:], attr[2:])).rank_CN
    torch.testing.assert_close(whole[2:], tail)
    alone = network(x[3:], edges_of(leader[3:], attr[3:])).rank_CN
    assert len(alone) == 1
    torch.testing.assert_close(whole[3:], alone)


def test_without_graph_edges_change_nothing(inputs: Inputs) -> None:
    x, leader, attr = inputs
    plain = MarketGNN(
        ModelConfig(hidden=16, heads=2),
        num_features=FEATURES,
        num_edge_attrs=ATTRS,
        use_graph=False,
    ).eval()
    silent = torch.full_like(leader, -1)
    assert torch.equal(
        plain(x, edges_of(leader, attr)).rank_CN, plain(x, edges_of(silent, attr * 0)).rank_CN
    )


def test_an_untrained_network_says_what_its_plain_layer_says() -> None:
    network = MarketGNN(ModelConfig(), num_features=FEATURES, num_edge_attrs=ATTRS).eval()
    torch.nn.init.normal_(network.plain.weight)
    x = torch.randn(network.history_bars + 1, SYMBOLS, FEATURES)
    leader = torch.arange(SYMBOLS).roll(1).view(1, SYMBOLS, 1)
    attr = torch.randn(1, SYMBOLS, 1, ATTRS)
    plain = network.plain(network.plain_view(x[-1:], edges_of(leader, attr)))
    torch.testing.assert_close(network(x, edges_of(leader, attr)).rank_CN, plain[..., 0])


def test_peers_are_averaged_by_the_attribute_that_says_how_alike_they_move() -> None:
    peer_mean = PeerMean(num_edge_attrs=2)
    peer_mean.weigh_by(1)
    x = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    leader = torch.tensor([[[1, 2, 3], [0, 2, -1], [-1, -1, -1], [0, 1, 2]]])
    attr = torch.zeros(1, 4, 3, 2)
    attr[0, 0, :, 1] = torch.tensor([3.0, 1.0, -5.0])  # an opposite is no peer
    attr[0, 1, 0, 1] = 2.0
    attr[0, 3, :, 0] = 1.0
    expected = torch.tensor([[[32.5], [1.0], [0.0], [0.0]]])
    torch.testing.assert_close(peer_mean(x, edges_of(leader, attr)), expected)
