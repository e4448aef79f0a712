"""One layer of the causal encoder, its gradient written out.

Left to itself, torch copies what a convolution reads three times and fills a tensor with zeros for
every slice it takes the gradient of. Written out, matrix products add up in place. Works on any
device and, under autocast, multiplies matrices in the reduced precision.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as fn

KERNEL = 3
_NORM_EPS = 1e-5

Affine = tuple[Tensor, Tensor]  # weight and bias


def causal_layer(
    h_TNH: Tensor,
    norm: Affine,
    mix: Affine,
    dilation: int,
    kept_NH: Tensor | None,
) -> Tensor:
    """h + kept * gelu(mix(three bars of norm(h), `dilation` apart)), without padding.

    Args:
        norm: Weight and bias of a layer norm.
        mix: Weight [H, 3H] and bias of a linear layer on the bars, oldest first.
        kept_NH: Dropout's factor, the same for all bars; None keeps everything.
    """
    layer: Tensor = _CausalLayer.apply(h_TNH, *norm, *mix, dilation, kept_NH)  # type: ignore[no-untyped-call]
    return layer


def causal_layer_plain(
    h_TNH: Tensor,
    norm: Affine,
    mix: Affine,
    dilation: int,
    kept_NH: Tensor | None,
) -> Tensor:
    """`causal_layer` as one would write it down."""
    z = fn.layer_norm(h_TNH, h_TNH.shape[-1:], *norm, _NORM_EPS)
    length = len(z) - (KERNEL - 1) * dilation
    taps = [z[tap * dilation : tap * dilation + length] for tap in range(KERNEL)]
    update = fn.gelu(fn.linear(torch.cat(taps, dim=-1), *mix))
    return h_TNH[-length:] + (update if kept_NH is None else update * kept_NH)


def thinning_layer(h_TNH: Tensor, norm: Affine, mix: Affine, kept_NH: Tensor | None) -> Tensor:
    """What `causal_layer` makes of neighbouring bars, at every other bar counted from the newest.

    An odd number of bars T becomes (T - 1) / 2. To score one bar this leaves out the three quarters
    of an encoder's work that nothing reads.
    """
    z = fn.layer_norm(h_TNH, h_TNH.shape[-1:], *norm, _NORM_EPS)
    taps = (z[:-2:2], z[1:-1:2], z[2::2])
    update = fn.gelu(fn.linear(torch.cat(taps, dim=-1), *mix))
    return h_TNH[2::2] + (update if kept_NH is None else update * kept_NH)


class _CausalLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        h_TNH: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        mix_weight: Tensor,
        mix_bias: Tensor,
        dilation: int,
        kept_NH: Tensor | None,
    ) -> Tensor:
        device, width = h_TNH.device.type, h_TNH.shape[-1]
        reduced = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if reduced else h_TNH.dtype
        with torch.autocast(device, enabled=False):
            z, mean, rstd = torch.native_layer_norm(
                h_TNH, [width], norm_weight, norm_bias, _NORM_EPS
            )
            z, weight, bias = z.to(dtype), mix_weight.to(dtype), mix_bias.to(dtype)
            mixed = torch.addmm(bias, _tap(z, 0, dilation), weight[:, :width].T)
            for tap in range(1, KERNEL):
                mixed.addmm_(_tap(z, tap, dilation), _of_tap(weight, tap).T)
            update = fn.gelu(mixed).to(h_TNH.dtype).view(-1, *h_TNH.shape[1:])
            newest = h_TNH[(KERNEL - 1) * dilation :]
            out = newest + update if kept_NH is None else torch.addcmul(newest, update, kept_NH)
        ctx.save_for_backward(h_TNH, z, mean, rstd, mixed, norm_weight, norm_bias, weight, kept_NH)
        ctx.dilation = dilation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        h, z, mean, rstd, mixed, norm_weight, norm_bias, weight, kept_NH = ctx.saved_tensors
        dilation, width = ctx.dilation, h.shape[-1]
        with torch.autocast(h.device.type, enabled=False):
            d_update = d_out if kept_NH is None else d_out * kept_NH
            d_update = d_update.reshape(-1, width).to(z.dtype)
            d_mixed = torch.ops.aten.gelu_backward(d_update, mixed)
            d_weight = torch.empty_like(weight, memory_format=torch.contiguous_format)
            d_z = torch.zeros_like(z)
            for tap in range(KERNEL):
                _of_tap(d_weight, tap).copy_(d_mixed.T @ _tap(z, tap, dilation))
                _tap(d_z, tap, dilation).addmm_(d_mixed, _of_tap(weight, tap))
            d_h, d_norm_weight, d_norm_bias = torch.ops.aten.native_layer_norm_backward(
                d_z.to(h.dtype), h, [width], mean, rstd, norm_weight, norm_bias, [True, True, True]
            )
            d_h[(KERNEL - 1) * dilation :] += d_out
        wanted = norm_weight.dtype
        d_bias = d_mixed.sum(dim=0, dtype=wanted)
        return d_h, d_norm_weight, d_norm_bias, d_weight.to(wanted), d_bias, None, None


def _tap(z_TNH: Tensor, tap: int, dilation: int) -> Tensor:
    """What the kernel's tap reads, as rows: a view."""
    length = len(z_TNH) - (KERNEL - 1) * dilation
    return z_TNH[tap * dilation : tap * dilation + length].flatten(0, 1)


def _of_tap(weight_H3H: Tensor, tap: int) -> Tensor:
    width = len(weight_H3H)
    return weight_H3H[:, tap * width : (tap + 1) * width]
