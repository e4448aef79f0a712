"""The model on parts of its samples: where its skill comes from, and where it has none."""

from collections.abc import Iterator, Sequence

import numpy as np

from gnn_trainer.evaluation.intervals import Interval, block_length, bootstrap_mean
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, Fold
from gnn_trainer.evaluation.report import Slice, SliceKind
from gnn_trainer.evaluation.series import Judged, judge_bars
from gnn_trainer.market.frame import BoolArray, FloatArray

HOUR_MS = 3_600_000
REGIMES = ("calm", "usual", "turbulent")  # thirds of the judged bars by trailing volatility


def cut(judged: Judged, folds: Sequence[Fold], newest: Fold) -> tuple[Slice, ...]:
    """By fold, seed, symbol, volatility and hour; a cut that would leave one piece is left out."""
    own, plain = (judged.series[name].rank_ic_T for name in (MODEL, NO_GRAPH))
    samples_T = judged.known_TN.sum(axis=1)

    def piece(kind: SliceKind, name: str, rows_T: BoolArray) -> Slice:
        return Slice(
            kind,
            name,
            bars=int(rows_T.sum()),
            samples=int(samples_T[rows_T].sum()),
            rank_ic=_interval(own[rows_T], newest),
            graph_contribution=_interval((own - plain)[rows_T], newest),
        )

    def by_value(kind: SliceKind, value_T: np.ndarray, names: Sequence[str]) -> Iterator[Slice]:
        present = np.unique(value_T)
        if len(present) > 1:
            yield from (piece(kind, names[value], value_T == value) for value in present)

    close_T = judged.open_time_T + newest.interval_ms
    hour_T = close_T // HOUR_MS % 24
    borders = np.quantile(judged.volatility_T, (1 / 3, 2 / 3)) if len(own) else (0.0, 0.0)
    regime_T = np.searchsorted(borders, judged.volatility_T)
    fold_names = [str(number + 1) for number in range(int(judged.fold_T.max(initial=0)) + 1)]
    return (
        *by_value("fold", judged.fold_T, fold_names),
        *_by_seed(folds, newest),
        *_by_symbol(judged, newest),
        *by_value("volatility", regime_T, REGIMES),
        *by_value("hour", hour_T, [f"{hour:02d}" for hour in range(24)]),
    )


def _by_seed(folds: Sequence[Fold], newest: Fold) -> Iterator[Slice]:
    seeds = sorted({fold.seed for fold in folds})
    if len(seeds) < 2:
        return
    for seed in seeds:
        judged = judge_bars([fold for fold in folds if fold.seed == seed])
        own, plain = (judged.series[name].rank_ic_T for name in (MODEL, NO_GRAPH))
        yield Slice(
            "seed",
            str(seed),
            bars=len(own),
            samples=int(judged.known_TN.sum()),
            rank_ic=_interval(own, newest),
            graph_contribution=_interval(own - plain, newest),
        )


def _by_symbol(judged: Judged, newest: Fold) -> Iterator[Slice]:
    for column, symbol in enumerate(judged.symbols):
        rows_T = judged.known_TN[:, column]
        yield Slice(
            "symbol",
            symbol,
            bars=int(rows_T.sum()),
            samples=int(rows_T.sum()),
            rank_ic=_interval(judged.shares_TN[rows_T, column], newest),
            graph_contribution=_interval(judged.gains_TN[rows_T, column], newest),
        )


def _interval(values_T: FloatArray, newest: Fold) -> Interval:
    return bootstrap_mean(values_T, block_length(len(values_T), newest.horizon), newest.seed)
