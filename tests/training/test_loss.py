"""The loss asks for order within a bar, and for nothing where the label is unknown."""

import pytest
import torch

from gnn_trainer.model.network import Heads
from gnn_trainer.training.loss import Targets, cross_sectional_correlation, training_loss


def test_correlation_is_one_for_any_rising_line_per_bar() -> None:
    target = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    shift, scale = torch.arange(4.0).unsqueeze(1), torch.arange(1.0, 5.0).unsqueeze(1)
    known = torch.ones(4, 6, dtype=torch.bool)
    correlation_C = cross_sectional_correlation(shift + scale * target, target, known)
    assert correlation_C.tolist() == pytest.approx([1.0] * 4, abs=1e-5)


def test_unknown_labels_do_not_move_the_loss() -> None:
    heads, targets = some_bars()
    targets.known_CN[:, 4] = False
    before = training_loss(heads, targets)
    changed = targets.rank_CN.clone()
    changed[:, 4] = 99.0
    after = training_loss(heads, targets._replace(rank_CN=changed))
    assert before.item() == after.item()


def test_bars_with_too_few_symbols_have_no_say_in_the_order() -> None:
    heads, targets = some_bars()
    few = targets.known_CN.clone()
    few[0, 2:] = False
    moved = heads.rank_CN.clone()
    moved[0] += torch.arange(5.0)
    before = training_loss(heads, targets._replace(known_CN=few))
    after = training_loss(heads._replace(rank_CN=moved), targets._replace(known_CN=few))
    assert before.item() == after.item()


def test_the_losses_of_shares_add_up_to_that_of_the_step() -> None:
    heads, targets = some_bars()
    targets.known_CN[0, 2:] = False
    whole = training_loss(heads, targets)
    shares = [
        training_loss(
            Heads(*(part[rows] for part in heads)),
            Targets(*(part[rows] for part in targets)),
            targets.known_CN,
        )
        for rows in (slice(0, 1), slice(1, 3))
    ]
    assert sum(share.item() for share in shares) == pytest.approx(whole.item(), rel=1e-6)


def some_bars() -> tuple[Heads, Targets]:
    generator = torch.Generator().manual_seed(0)
    heads = Heads(*(torch.randn(3, 5, *tail, generator=generator) for tail in ((), (3,), ())))
    rank, size = torch.randn(2, 3, 5, generator=generator)
    direction = torch.randint(0, 3, (3, 5), generator=generator)
    return heads, Targets(rank, direction, size, torch.ones(3, 5, dtype=torch.bool))
