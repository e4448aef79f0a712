"""Ridge regression with a penalty for each group of columns, chosen by cross-validation.

All is computed from sums of products, gathered in one pass over the data (Hastie, Tibshirani &
Friedman 2009, sections 3.4 and 7.10). Shape letters: D inputs, O outputs, Z = 1 + D + O columns,
K folds, P settings of the penalties, G groups.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PENALTY_SHARES = (100.0, 10.0, 1.0, 0.1, 0.01)  # of a column's variance, added to it
CONSTANT = 1e-9  # of the largest variance; columns that vary less are left alone


class Moments(NamedTuple):
    """Number, means and covariances of inputs and outputs."""

    samples: Tensor
    x_D: Tensor
    y_O: Tensor
    xx_DD: Tensor
    xy_DO: Tensor
    yy_O: Tensor


class Linear(NamedTuple):
    """y = weight x + bias."""

    weight_OD: Tensor
    bias_O: Tensor
    deviation: Tensor  # of the first output on the samples it was fitted on


def products(x_SD: Tensor, y_SO: Tensor) -> Tensor:
    """Sums of products of samples, [Z, Z]; those of two sets of samples add up."""
    z_SZ = torch.cat((torch.ones_like(x_SD[:, :1]), x_SD, y_SO), dim=1)
    return z_SZ.T @ z_SZ


def grouped_ridge(products_KZZ: Tensor, group_sizes: Sequence[int]) -> Linear:
    """Fitted on all folds, with the penalties that foretell the first output of each fold best
    from the others.

    Args:
        products_KZZ: `products` of each fold's samples.
        group_sizes: How many neighbouring columns share a penalty, group by group.
    """
    shares_PG = torch.tensor(
        list(itertools.product(PENALTY_SHARES, repeat=len(group_sizes))),
        dtype=products_KZZ.dtype,
        device=products_KZZ.device,
    )
    sizes_G = torch.tensor(group_sizes, device=products_KZZ.device)
    shares_PD = shares_PG.repeat_interleave(sizes_G, dim=1)
    whole_ZZ = products_KZZ.sum(dim=0)
    inputs = sum(group_sizes)
    error_P = torch.zeros_like(shares_PG[:, 0])
    for fold_ZZ in products_KZZ:
        fitted_on, judged_on = moments(whole_ZZ - fold_ZZ, inputs), moments(fold_ZZ, inputs)
        if fitted_on.samples > 0 and judged_on.samples > 0:
            weight_PD = _solve(fitted_on, fitted_on.xy_DO[:, :1], shares_PD)[..., 0]
            error_P += judged_on.samples * _error(weight_PD, fitted_on, judged_on)
    whole = moments(whole_ZZ, inputs)
    best = shares_PD[int(error_P.argmin())]
    weight_DO = _solve(whole, whole.xy_DO, best[None])[0]
    variance = weight_DO[:, 0] @ whole.xx_DD @ weight_DO[:, 0]
    return Linear(weight_DO.T, whole.y_O - whole.x_D @ weight_DO, variance.clamp_min(0.0).sqrt())


def moments(products_ZZ: Tensor, inputs: int) -> Moments:
    """Of the samples that went into `products`, the first `inputs` columns as inputs."""
    samples = products_ZZ[0, 0]
    mean_Z = products_ZZ[0, 1:] / samples
    covariance = products_ZZ[1:, 1:] / samples - torch.outer(mean_Z, mean_Z)
    return Moments(
        samples=samples,
        x_D=mean_Z[:inputs],
        y_O=mean_Z[inputs:],
        xx_DD=covariance[:inputs, :inputs],
        xy_DO=covariance[:inputs, inputs:],
        yy_O=covariance.diagonal()[inputs:],
    )


def _solve(known: Moments, xy_DO: Tensor, shares_PD: Tensor) -> Tensor:
    """Weights under each setting, [P, D, O]."""
    variance_D = known.xx_DD.diagonal()
    constant_D = variance_D <= CONSTANT * variance_D.max()  # nothing to learn, nothing to divide by
    penalty_PD = torch.where(constant_D, 1.0, shares_PD * variance_D)
    weight_PDO = torch.linalg.solve(known.xx_DD + torch.diag_embed(penalty_PD), xy_DO)
    return torch.where(constant_D[:, None], 0.0, weight_PDO)


def _error(weight_PD: Tensor, fitted_on: Moments, judged_on: Moments) -> Tensor:
    """Mean squared error of the first output on other samples, [P]."""
    bias_P = fitted_on.y_O[0] - weight_PD @ fitted_on.x_D
    miss_P = judged_on.y_O[0] - bias_P - weight_PD @ judged_on.x_D
    explained_P = 2.0 * weight_PD @ judged_on.xy_DO[:, 0]
    spread_P = ((weight_PD @ judged_on.xx_DD) * weight_PD).sum(dim=1)
    return judged_on.yy_O[0] - explained_P + spread_P + miss_P**2
