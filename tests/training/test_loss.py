"""The loss asks for order within a bar, and for nothing where the label is unknown."""

import pytest
import torch

from gnn_trainer.model.network import Heads
from gnn_trainer.training.loss import Targets, cross_sectional_correlation, training_loss


def test_correlation_is_one_for_any_rising_line_per_bar() -> None:
    target = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    shift, scale = torch.arange(4.0).unsqueeze(1), torch.arange(1.0, 5.0).unsqueeze(1)
    known = torch.ones(4, 6, dtype=torch.bool)
    correlation = cross_sectional_correlation(shift + scale * target, target, known)
    assert correlation.item() == pytest.approx(1.0, abs=1e-5)


def test_unknown_labels_do_not_move_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    heads = Heads(*(torch.randn(3, 5, *tail, generator=generator) for tail in ((), (3,), ())))
    known = torch.ones(3, 5, dtype=torch.bool)
    known[:, 4] = False
    rank, size = torch.randn(2, 3, 5, generator=generator)
    direction = torch.randint(0, 3, (3, 5), generator=generator)
    before = training_loss(heads, Targets(rank, direction, size, known))
    changed = rank.clone()
    changed[:, 4] = 99.0
    after = training_loss(heads, Targets(changed, direction, size, known))
    assert before.item() == after.item()


def test_bars_with_too_few_symbols_have_no_say() -> None:
    score = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    known = torch.zeros(2, 5, dtype=torch.bool)
    known[0, :2] = True
    assert cross_sectional_correlation(score, score, known).item() == 0.0
