"""What the network is asked for: first of all the order of the symbols within each bar."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as fn

from gnn_trainer.model.network import Heads

DIRECTION_WEIGHT = 0.1
RETURN_WEIGHT = 0.1
MIN_SYMBOLS = 3  # a correlation over fewer says nothing
RETURN_CLIP = 5.0  # in units of trailing volatility


class Targets(NamedTuple):
    """Labels of C bars and N symbols; `known_CN` marks those that count."""

    rank_CN: Tensor  # cross-sectional normal score of the label
    direction_CN: Tensor  # class index, 0 where unknown
    return_CN: Tensor  # label over its trailing volatility
    known_CN: Tensor


def training_loss(heads: Heads, targets: Targets, known_SN: Tensor | None = None) -> Tensor:
    """1 - mean cross-sectional correlation, plus direction and return terms; at least one target
    must be known. No value is read back from the device, nor a shape that depends on one.

    `known_SN` marks the targets of the whole step where `targets` are a share of them: the losses
    of all shares, and so their gradients, add up to those of the step.
    """
    known = targets.known_CN
    known_SN = known if known_SN is None else known_SN
    samples, bars = known_SN.sum().clamp_min(1), _is_ranked(known_SN).sum().clamp_min(1)
    ranked = _is_ranked(known)
    correlation_C = cross_sectional_correlation(heads.rank_CN, targets.rank_CN, known)
    rank = (ranked.sum() - _sum_of(correlation_C, ranked)) / bars
    direction_CN = fn.cross_entropy(
        heads.logits_CN3.flatten(0, 1), targets.direction_CN.flatten(), reduction="none"
    ).view_as(known)
    expected_CN = targets.return_CN.clamp(-RETURN_CLIP, RETURN_CLIP)
    size_CN = fn.huber_loss(heads.return_CN, expected_CN, reduction="none")
    size, direction = _sum_of(size_CN, known) / samples, _sum_of(direction_CN, known) / samples
    return rank + DIRECTION_WEIGHT * direction + RETURN_WEIGHT * size


def cross_sectional_correlation(score_CN: Tensor, target_CN: Tensor, known_CN: Tensor) -> Tensor:
    """Pearson correlation over the known symbols of each bar, [C]."""
    weight = known_CN.to(score_CN.dtype)
    count = weight.sum(dim=1, keepdim=True).clamp_min(1.0)
    score = (score_CN - (score_CN * weight).sum(dim=1, keepdim=True) / count) * weight
    target = (target_CN - (target_CN * weight).sum(dim=1, keepdim=True) / count) * weight
    covariance = (score * target).sum(dim=1)
    norm = torch.sqrt((score**2).sum(dim=1) * (target**2).sum(dim=1) + 1e-8)
    return covariance / norm


def _is_ranked(known_CN: Tensor) -> Tensor:
    """Bars whose order counts."""
    return known_CN.sum(dim=1) >= MIN_SYMBOLS


def _sum_of(values: Tensor, counted: Tensor) -> Tensor:
    return values.masked_fill(~counted, 0.0).sum()
