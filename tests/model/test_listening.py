"""What symbols hear: the compiled loops against their plain form in torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gnn_trainer.model import kernels, listening
from gnn_trainer.model.edges import Edges
from gnn_trainer.model.listening import Words

BARS, SYMBOLS, NEIGHBOURS, HEADS, WIDTH, FEATURES = 70, 9, 4, 3, 24, 6
REFRESHES = 3


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def edges(generator: torch.Generator) -> Edges:
    """One graph for more bars than a block has, one for a few, one for a single bar."""
    leader = torch.rand(REFRESHES, SYMBOLS, SYMBOLS, generator=generator).topk(NEIGHBOURS).indices
    leader[0, 2, 1:] = -1
    leader[1, 3] = -1  # a symbol nobody leads
    attr = torch.randn(*leader.shape, FEATURES, generator=generator)
    refresh = torch.tensor([0] * 50 + [1] * 19 + [2])
    return Edges(leader.int(), attr * (leader >= 0).unsqueeze(-1), refresh)


@pytest.fixture
def words(generator: torch.Generator) -> Words:
    def made(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, requires_grad=True)

    return Words(
        made(BARS, SYMBOLS, 3 * WIDTH),
        made(REFRESHES, SYMBOLS, NEIGHBOURS, WIDTH),
        made(REFRESHES, SYMBOLS, NEIGHBOURS, HEADS),
        made(WIDTH),
    )


def gradients(result: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    return torch.autograd.grad((result * weight).sum(), inputs)


def test_messages_and_their_gradients_are_those_of_torch(words: Words, edges: Edges) -> None:
    fast, slow = listening.attend(words, edges), listening.attend_plain(words, edges)
    assert kernels.attend.signatures, "nothing was compiled: plain was compared with plain"
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    assert not fast[55, 3].any()
    for one, other in zip(gradients(fast, words), gradients(slow, words), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("groups", [1, FEATURES])
def test_weighted_sums_and_their_gradient_are_those_of_torch(
    groups: int, edges: Edges, generator: torch.Generator
) -> None:
    said = torch.randn(BARS, SYMBOLS, FEATURES, generator=generator, requires_grad=True)
    weight = edges.attr_RNkE[..., :groups]
    fast, slow = listening.hear(said, weight, edges), listening.hear_plain(said, weight, edges)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients(fast, (said,)), gradients(slow, (said,)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(words: Words, edges: Edges) -> None:
    def everything() -> list[Tensor]:
        message = listening.attend(words, edges)
        return [message, *gradients(message, words)]

    for one, other in zip(_with_threads(1, everything), _with_threads(3, everything), strict=True):
        assert torch.equal(one, other)


def _with_threads(threads: int, work: Callable[[], list[Tensor]]) -> list[Tensor]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return work()
    finally:
        torch.set_num_threads(before)


def test_without_numba_the_plain_form_does_it(
    words: Words, edges: Edges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "numba_is_there", lambda: False)
    assert torch.equal(listening.attend(words, edges), listening.attend_plain(words, edges))
