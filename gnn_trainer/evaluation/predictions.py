"""The tables beside a report, as Parquet: everything its figures can be computed from again.

predictions.parquet has a row per test bar and symbol, bars.parquet one per judged test bar with
the RankIC of every predictor. Both hold all folds and seeds.
"""

import io
from collections.abc import Sequence

import numpy as np
import polars as pl

from gnn_trainer.evaluation.champion import Rival, on_fold
from gnn_trainer.evaluation.metrics import filled_rank_ic, judged_bars
from gnn_trainer.evaluation.protocol import Fold
from gnn_trainer.evaluation.series import common_predictors

PREDICTIONS, BARS = "predictions.parquet", "bars.parquet"
CLASS_COLUMNS = ("p_down", "p_flat", "p_up")


def predictions_table(folds: Sequence[Fold], rival: Rival | None = None) -> pl.DataFrame:
    """One row per fold, bar and symbol.

    `known` marks the samples, `scorable` what the backtest trades on. Columns named after a
    predictor: `score:`, higher = expected to outperform; `guess:`, the class it names (0 DOWN,
    1 FLAT, 2 UP); `p_down:`, `p_flat:`, `p_up:`. Returns are natural logs; `gain`, `funding` and
    `half_spread` are fractions, see `Holding`. With a champion, `score:champion` has its scores of
    the newest fold and `compared` the samples on which the two are compared.
    """
    table = pl.concat([_of_fold(number, fold) for number, fold in enumerate(folds)])
    if rival is None:
        return table
    number = max(range(len(folds)), key=lambda number: folds[number].test.last_ms)
    score_TN, compared_TN = on_fold(folds[number], rival)
    keys = table.filter(fold=number).select("fold", "open_time", "symbol")
    said = keys.with_columns(
        pl.Series("score:champion", score_TN.ravel()), pl.Series("compared", compared_TN.ravel())
    )
    return table.join(said, on=keys.columns, how="left", maintain_order="left")


def bars_table(folds: Sequence[Fold]) -> pl.DataFrame:
    """One row per fold and judged bar, with a RankIC column per predictor."""
    names = common_predictors(folds)
    parts = []
    for number, fold in enumerate(folds):
        judged_T = judged_bars(fold.ret_TN, fold.known_TN)
        columns = {
            "fold": np.full(int(judged_T.sum()), number, np.int32),
            "seed": np.full(int(judged_T.sum()), fold.seed, np.int32),
            "open_time": fold.open_time_T[judged_T],
            "samples": fold.known_TN[judged_T].sum(axis=1),
        }
        for name in names:
            columns[name] = filled_rank_ic(fold.score(name), fold.ret_TN, fold.known_TN)
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)


def write_predictions(folds: Sequence[Fold], rival: Rival | None = None) -> bytes:
    """predictions.parquet."""
    return _parquet(predictions_table(folds, rival))


def write_bars(folds: Sequence[Fold]) -> bytes:
    """bars.parquet."""
    return _parquet(bars_table(folds))


def _of_fold(number: int, fold: Fold) -> pl.DataFrame:
    num_bars, num_symbols = fold.known_TN.shape
    columns: dict[str, object] = {
        "fold": np.full(fold.known_TN.size, number, np.int32),
        "seed": np.full(fold.known_TN.size, fold.seed, np.int32),
        "open_time": np.repeat(fold.open_time_T, num_symbols),
        "symbol": pl.Series(fold.symbols * num_bars, dtype=pl.Categorical),
        "known": fold.known_TN.ravel(),
        "scorable": fold.scorable_TN.ravel(),
        "ret": fold.ret_TN.ravel(),
        "close_ret": fold.close_ret_TN.ravel(),
        "late_ret": fold.late_ret_TN.ravel(),
        "past_ret": fold.past_ret_TN.ravel(),
        "sigma": fold.sigma_TN.ravel(),
        "class": fold.class_TN.ravel(),
        "gain": fold.gain_TN.ravel(),
        "funding": fold.funding_TN.ravel(),
        "half_spread": fold.half_spread_TN.ravel(),
    }
    for name in fold.predictors:
        columns[f"score:{name}"] = fold.score(name).ravel()
        columns[f"guess:{name}"] = fold.guess(name).ravel()
        probability_TN3 = fold.probability(name)
        if probability_TN3 is not None:
            for place, column in enumerate(CLASS_COLUMNS):
                columns[f"{column}:{name}"] = probability_TN3[..., place].ravel()
    return pl.DataFrame(columns)


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()
