"""Folds as series over time: one number per bar and predictor, seeds averaged, folds in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnn_trainer.evaluation.metrics import (
    filled_rank_ic,
    judged_bars,
    net_of_styles,
    pearson_ic,
    shares_TN,
    style_basis,
)
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, Fold
from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class BarSeries:
    """One predictor by judged bar."""

    rank_ic_T: FloatArray
    ic_T: FloatArray
    rank_ic_net_T: FloatArray  # without the styles


@dataclass(frozen=True)
class Judged:
    """All judged bars of the test spans in time order; `series` by predictor.

    `shares_TN` are what each symbol adds to the RankIC of the model, `gains_TN` to that of the
    model over the network without graph.
    """

    symbols: tuple[str, ...]
    open_time_T: IntArray
    fold_T: IntArray  # which test span, counted from 0
    volatility_T: FloatArray  # trailing, mean over the samples of the bar
    known_TN: BoolArray
    series: dict[str, BarSeries]
    shares_TN: FloatArray
    gains_TN: FloatArray


def group_seeds(folds: Sequence[Fold]) -> list[list[Fold]]:
    """Folds of one test span together, test spans in time order."""
    groups: dict[tuple[int, int], list[Fold]] = {}
    for fold in folds:
        groups.setdefault((fold.test.first_ms, fold.test.last_ms), []).append(fold)
    return [groups[span] for span in sorted(groups)]


def common_predictors(folds: Sequence[Fold]) -> tuple[str, ...]:
    """The predictors that were judged in every fold."""
    shared = set.intersection(*(set(fold.predictors) for fold in folds))
    return tuple(name for name in folds[0].predictors if name in shared)


def judge_bars(folds: Sequence[Fold]) -> Judged:
    """The series of some folds of one market, one per predictor they share."""
    names = common_predictors(folds)
    parts = [_judge_span(seeds, number, names) for number, seeds in enumerate(group_seeds(folds))]
    return Judged(
        symbols=folds[0].symbols,
        open_time_T=np.concatenate([part.open_time_T for part in parts]),
        fold_T=np.concatenate([part.fold_T for part in parts]),
        volatility_T=np.concatenate([part.volatility_T for part in parts]),
        known_TN=np.concatenate([part.known_TN for part in parts]),
        series={
            name: BarSeries(
                np.concatenate([part.series[name].rank_ic_T for part in parts]),
                np.concatenate([part.series[name].ic_T for part in parts]),
                np.concatenate([part.series[name].rank_ic_net_T for part in parts]),
            )
            for name in names
        },
        shares_TN=np.concatenate([part.shares_TN for part in parts]),
        gains_TN=np.concatenate([part.gains_TN for part in parts]),
    )


def _judge_span(seeds: Sequence[Fold], number: int, names: Sequence[str]) -> Judged:
    first = seeds[0]
    judged_T = judged_bars(first.ret_TN, first.known_TN)
    known_TN = first.known_TN[judged_T]
    size_TN = np.where(known_TN, first.sigma_TN[judged_T], 0.0)
    share_TN, gain_TN = np.zeros(known_TN.shape), np.zeros(known_TN.shape)
    for fold in seeds:
        own_TN, plain_TN = (
            shares_TN(fold.score(name), fold.ret_TN, fold.known_TN)[judged_T]
            for name in (MODEL, NO_GRAPH)
        )
        share_TN += own_TN / len(seeds)
        gain_TN += (own_TN - plain_TN) / len(seeds)
    return Judged(
        symbols=first.symbols,
        open_time_T=first.open_time_T[judged_T],
        fold_T=np.full(int(judged_T.sum()), number),
        volatility_T=size_TN.sum(axis=1) / known_TN.sum(axis=1),
        known_TN=known_TN,
        series=_mean_series(seeds, names),
        shares_TN=share_TN,
        gains_TN=gain_TN,
    )


def _mean_series(seeds: Sequence[Fold], names: Sequence[str]) -> dict[str, BarSeries]:
    first = seeds[0]
    style_TNK = np.stack((np.nan_to_num(first.past_ret_TN), first.sigma_TN), axis=-1)
    basis_TNK = style_basis(style_TNK, first.known_TN)

    def series(name: str, fold: Fold) -> FloatArray:
        score_TN, ret_TN, known_TN = fold.score(name), fold.ret_TN, fold.known_TN
        net_TN = net_of_styles(score_TN, basis_TNK, known_TN)
        return np.stack(
            (
                filled_rank_ic(score_TN, ret_TN, known_TN),
                pearson_ic(score_TN, ret_TN, known_TN),
                filled_rank_ic(net_TN, ret_TN, known_TN),
            )
        )

    return {
        name: BarSeries(*np.mean([series(name, fold) for fold in seeds], axis=0)) for name in names
    }
