"""The encoder's layer with its gradient written out, against torch's own."""

import pytest
import torch
from torch import Tensor

from gnn_trainer.model.causal import causal_layer, causal_layer_plain

BARS, SYMBOLS, WIDTH = 17, 4, 8


@pytest.mark.parametrize("dilation", [1, 4])
@pytest.mark.parametrize("drops", [True, False])
def test_the_layer_and_its_gradients_are_those_of_torch(dilation: int, drops: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def made(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, requires_grad=True)

    h, norm = made(BARS, SYMBOLS, WIDTH), (made(WIDTH), made(WIDTH))
    mix = (made(WIDTH, 3 * WIDTH), made(WIDTH))
    kept = torch.rand(SYMBOLS, WIDTH, generator=generator) if drops else None
    fast = causal_layer(h, norm, mix, dilation, kept)
    slow = causal_layer_plain(h, norm, mix, dilation, kept)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)
    direction = torch.randn(fast.shape, generator=generator)
    inputs = (h, *norm, *mix)
    for one, other in zip(
        torch.autograd.grad(fast, inputs, direction),
        torch.autograd.grad(slow, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_under_autocast_only_the_products_lose_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(BARS, SYMBOLS, WIDTH, generator=generator)
    norm, mix = (torch.ones(WIDTH), torch.zeros(WIDTH)), (torch.eye(WIDTH).repeat(1, 3), h[0, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = causal_layer(h, norm, mix, 1, None)
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced, causal_layer(h, norm, mix, 1, None), rtol=0.02, atol=0.05)
