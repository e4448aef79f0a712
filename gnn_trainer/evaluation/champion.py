"""The model against the present champion, on bars that are new to both."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn_trainer.evaluation.intervals import Interval, compare
from gnn_trainer.evaluation.metrics import filled_rank_ic
from gnn_trainer.evaluation.protocol import MODEL, Fold
from gnn_trainer.market.frame import BoolArray, IntArray


@dataclass(frozen=True)
class Rival:
    """What the champion says of N symbols at T bars, those of a fold among them."""

    version: str
    score_TN: npt.NDArray[np.floating]  # higher = expected to outperform
    known_TN: BoolArray  # it can score the symbol at this bar
    open_time_T: IntArray  # unix ms
    fitted_until_ms: int  # the last moment that its training or the choice of it looked at


@dataclass(frozen=True)
class Standing:
    """Where a model name stands before its next version is judged.

    `version` is the present champion's, None if there is none. Where there is one and no `rival`,
    it cannot be asked, and `obstacle` says why.
    """

    trials: int = 1  # models judged under this name, the present one included
    version: str | None = None
    rival: Rival | None = None
    obstacle: str = ""


NO_CHAMPION = Standing()


@dataclass(frozen=True)
class ChampionComparison:
    """RankIC(model) - RankIC(champion) by bar, on the same samples, new to both.

    `difference` is None where the two cannot be compared; `obstacle` then says why.
    """

    version: str
    bars: int
    difference: Interval | None
    obstacle: str = ""


def on_fold(fold: Fold, rival: Rival) -> tuple[npt.NDArray[np.floating], BoolArray]:
    """The champion's scores of a fold's bars, and the samples that are new to it."""
    first = int(np.searchsorted(rival.open_time_T, fold.open_time_T[0]))
    rows = slice(first, first + len(fold.open_time_T))
    new_T = fold.open_time_T >= rival.fitted_until_ms
    return rival.score_TN[rows], fold.known_TN & rival.known_TN[rows] & new_T[:, None]


def compare_with_champion(
    fold: Fold, standing: Standing, *, min_bars: int
) -> ChampionComparison | None:
    """On the newest fold, paired, with a block bootstrap interval; None if there is no champion.

    Samples before the end of what the champion was fitted or chosen on are left out.
    """
    if standing.version is None:
        return None
    rival = standing.rival
    if rival is None:
        return ChampionComparison(standing.version, 0, None, standing.obstacle)
    rival_TN, compared_TN = on_fold(fold, rival)
    own_T, other_T = (
        filled_rank_ic(score_TN, fold.ret_TN, compared_TN)
        for score_TN in (fold.score(MODEL), rival_TN)
    )
    bars = len(own_T)
    if bars < min_bars:
        obstacle = f"{bars} bars of this test span are new to it, {min_bars} are needed"
        return ChampionComparison(rival.version, bars, None, obstacle)
    found = compare(own_T, other_T, fold.horizon, fold.seed)
    return ChampionComparison(rival.version, bars, found.interval)
