"""One step of the optimisation."""

import torch
from torch import Tensor, nn

from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.training.loss import Targets, training_loss
from gnn_trainer.training.samples import Inputs
from gnn_trainer.training.team import ALONE, Team


def take_step(
    network: Ensemble,
    optimizer: torch.optim.Optimizer,
    inputs: Inputs,
    targets: Targets,
    *,
    clip_norm: float,
    reduced: bool = False,
    known_SN: Tensor | None = None,
    team: Team = ALONE,
) -> Tensor:
    """Move every member against its own gradient; the sum of their losses before the move.

    `reduced` multiplies the matrices of the deep part in bfloat16. Weights, sums and the loss keep
    their precision. A process of a larger team has its share of the inputs and targets, and the
    targets of the whole step in `known_SN`; all processes make the same move.
    """
    with torch.autocast(inputs.x_TNF.device.type, torch.bfloat16, enabled=reduced):
        opinions = network.opinions(inputs.x_TNF, inputs.edges)
    loss = torch.stack([training_loss(heads, targets, known_SN) for heads in opinions]).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    loss = team.add_up(loss.detach(), network.parameters())
    for member in network.members:  # each by itself: they do not know of each other
        nn.utils.clip_grad_norm_(member.parameters(), clip_norm)
    optimizer.step()
    return loss
