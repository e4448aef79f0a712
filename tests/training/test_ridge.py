"""Ridge regression with grouped penalties: exact where it can be checked, and deaf to noise."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from gnn_trainer.training.ridge import PENALTY_SHARES, grouped_ridge, moments, products

SAMPLES, FOLDS = 2000, 5
SIGNAL, NOISE = 2, 60  # columns


def drawn(seed: int, strength: float) -> tuple[Tensor, Tensor]:
    """Columns and two outputs; the outputs follow the first SIGNAL columns only."""
    rng = np.random.default_rng(seed)
    x_SD = rng.standard_normal((SAMPLES, SIGNAL + NOISE)) * rng.uniform(0.5, 2.0, SIGNAL + NOISE)
    y_S = strength * x_SD[:, :SIGNAL].sum(axis=1) + rng.standard_normal(SAMPLES)
    return torch.from_numpy(x_SD), torch.from_numpy(np.stack((y_S, -2.0 * y_S + 1.0), axis=1))


def folded(x_SD: Tensor, y_SO: Tensor) -> Tensor:
    parts = zip(x_SD.tensor_split(FOLDS), y_SO.tensor_split(FOLDS), strict=True)
    return torch.stack([products(x, y) for x, y in parts])


def test_moments_are_those_of_the_samples() -> None:
    x_SD, y_SO = drawn(0, 0.3)
    found = moments(folded(x_SD, y_SO).sum(dim=0), x_SD.shape[1])
    assert found.samples == SAMPLES
    torch.testing.assert_close(found.xx_DD, torch.cov(x_SD.T, correction=0))
    torch.testing.assert_close(found.yy_O, y_SO.var(dim=0, correction=0))


def test_one_group_is_the_ridge_of_one_of_the_penalties() -> None:
    x_SD, y_SO = drawn(1, 0.3)
    found = grouped_ridge(folded(x_SD, y_SO), [x_SD.shape[1]])
    scale_D = x_SD.std(dim=0, correction=0).numpy()
    weights = [
        Ridge(alpha=share * SAMPLES).fit(x_SD.numpy() / scale_D, y_SO.numpy()).coef_ / scale_D
        for share in PENALTY_SHARES
    ]
    misses = [float(np.abs(found.weight_OD.numpy() - weight).max()) for weight in weights]
    assert min(misses) < 1e-9
    score_S = (x_SD @ found.weight_OD.T + found.bias_O)[:, 0]
    assert score_S.mean() == pytest.approx(float(y_SO[:, 0].mean()))
    assert score_S.std(correction=0) == pytest.approx(float(found.deviation))


def test_noise_beside_the_signal_is_held_down() -> None:
    x_SD, y_SO = drawn(2, 0.05)
    fresh_SD, _ = drawn(3, 0.05)
    truth_S = fresh_SD[:, :SIGNAL].sum(dim=1)

    def skill(groups: list[int]) -> float:
        weight_D = grouped_ridge(folded(x_SD, y_SO), groups).weight_OD[0]
        return float(torch.corrcoef(torch.stack((fresh_SD @ weight_D, truth_S)))[0, 1])

    together, apart = skill([SIGNAL + NOISE]), skill([SIGNAL, NOISE])
    assert together < 0.8 < 0.95 < apart


def test_a_constant_column_has_no_weight() -> None:
    x_SD, y_SO = drawn(4, 0.3)
    x_SD[:, 1] = 3.0
    found = grouped_ridge(folded(x_SD, y_SO), [SIGNAL, NOISE])
    assert torch.isfinite(found.weight_OD).all()
    assert (found.weight_OD[:, 1] == 0.0).all()


def test_folds_without_samples_do_not_count() -> None:
    x_SD, y_SO = drawn(5, 0.3)
    sums = folded(x_SD, y_SO)
    with_empty = torch.cat((sums, torch.zeros_like(sums[:1])))
    one, other = (grouped_ridge(each, [SIGNAL, NOISE]) for each in (sums, with_empty))
    assert torch.equal(one.weight_OD, other.weight_OD)
