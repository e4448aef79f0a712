"""The processes that fit one network together: each takes its share of every step.

All make the same moves from the same start, so each has the whole network at any time. Only sums
cross between them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Team:
    """This process and the others; those of a larger team have a torch process group in common."""

    rank: int = 0
    size: int = 1

    def share_of(self, start: int, stop: int) -> tuple[int, int]:
        """This process's part of the bars start..stop-1; nothing if there are too few."""
        bars = stop - start
        return start + bars * self.rank // self.size, start + bars * (self.rank + 1) // self.size

    def longest_share(self, bars: int) -> int:
        """How many of so many bars one process takes at the most."""
        return -(-bars // self.size)

    def add_up(self, loss: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Put the sum of everybody's gradients into the place of each, and return that of losses.

        One exchange of everything: parameters are few, and their gradients are wanted at once.
        """
        if self.size == 1:
            return loss
        gradients = [part.grad for part in parameters if part.grad is not None]
        everything = torch.cat([loss.view(1), *(gradient.flatten() for gradient in gradients)])
        dist.all_reduce(everything)
        summed = everything[1:].split([gradient.numel() for gradient in gradients])
        for gradient, sum_ in zip(gradients, summed, strict=True):
            gradient.copy_(sum_.view_as(gradient))
        return everything[0]

    def follow_first(self, tensors: Iterable[Tensor]) -> None:
        """Everybody's tensors become those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)


ALONE = Team()
