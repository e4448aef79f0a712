"""Where a fit starts: the least-squares solution of all that needs no depth."""

import torch
from torch import Tensor

from gnn_trainer.model.ensemble import Ensemble
from gnn_trainer.model.network import NUM_OUTPUTS, MarketGNN
from gnn_trainer.training.loss import RETURN_CLIP, Targets
from gnn_trainer.training.ridge import Linear, grouped_ridge, products
from gnn_trainer.training.samples import InputTensors, TargetTensors

FOLDS = 5  # consecutive parts of the training span, for choosing the penalties
BLOCK_BARS = 512
MIN_SHARE = 1e-4  # of a class; one that was never seen is not impossible


@torch.no_grad()
def start_plain(
    network: Ensemble, inputs: InputTensors, targets: TargetTensors, train_T: Tensor
) -> None:
    """Set the plain layer of every member to the ridge regression on the training bars `train_T`.

    What a symbol knows of itself, hears of its peers and is told by its leaders are penalised
    apart: where one of them is noise, it must not drown the others. The rank output is scaled to
    unit deviation, since only its order counts. For class k of share p the logit is
    ln p + (chance - p) / p, of which softmax gives the regression's chance to first order.
    """
    folds = [rows for rows in train_T.nonzero().flatten().tensor_split(FOLDS) if len(rows)]
    solved: list[tuple[MarketGNN, Linear]] = []
    for member in network.members:
        known = [linear for other, linear in solved if _sees_the_same(member, other)]
        if not known:
            sums = [_products(member, inputs, targets, train_T, rows) for rows in folds]
            known = [grouped_ridge(torch.stack(sums), member.plain_parts)]
        solved.append((member, known[0]))
    share_3 = _class_shares(targets, train_T)
    for member, linear in solved:
        _install(member, linear, share_3)


def _sees_the_same(member: MarketGNN, other: MarketGNN) -> bool:
    if member.spillover is None or other.spillover is None:
        return True
    return torch.equal(member.spillover.reading.weight, other.spillover.reading.weight)


def _products(
    member: MarketGNN,
    inputs: InputTensors,
    targets: TargetTensors,
    train_T: Tensor,
    rows: Tensor,
) -> Tensor:
    """`ridge.products` of the plain view and what is wanted, over the training bars in `rows`."""
    width = 1 + sum(member.plain_parts) + NUM_OUTPUTS
    total = torch.zeros(width, width, dtype=torch.float64, device=train_T.device)
    first, behind = int(rows[0]), int(rows[-1]) + 1
    for start in range(first, behind, BLOCK_BARS):
        stop = min(start + BLOCK_BARS, behind)
        target = targets.chunk(start, stop, train_T)
        chunk = inputs.chunk(start, stop)
        newest = chunk.x_TNF[member.history_bars :]
        view = member.plain_view(newest, chunk.edges)
        total += products(view[target.known_CN].double(), _wanted(target))
    return total


def _wanted(target: Targets) -> Tensor:
    """Rank, class membership and clipped return of the known samples, [S, NUM_OUTPUTS]."""
    known = target.known_CN
    member = torch.nn.functional.one_hot(target.direction_CN[known], 3).double()
    rank, size = target.rank_CN[known], target.return_CN[known].clamp(-RETURN_CLIP, RETURN_CLIP)
    return torch.cat((rank[:, None].double(), member, size[:, None].double()), dim=1)


def _class_shares(targets: TargetTensors, train_T: Tensor) -> Tensor:
    """How often each class was right on the training bars, [3]."""
    target = targets.chunk(0, len(train_T), train_T)
    count_3 = torch.bincount(target.direction_CN[target.known_CN], minlength=3).double()
    return (count_3 / count_3.sum()).clamp_min(MIN_SHARE)


def _install(member: MarketGNN, linear: Linear, share_3: Tensor) -> None:
    scale_O = torch.ones_like(linear.bias_O)
    scale_O[0] = 1.0 / linear.deviation.clamp_min(1e-6)
    scale_O[1:4] = 1.0 / share_3
    offset_O = linear.bias_O * scale_O
    offset_O[1:4] += share_3.log() - 1.0
    member.plain.weight.copy_(linear.weight_OD * scale_O[:, None])
    member.plain.bias.copy_(offset_O)
