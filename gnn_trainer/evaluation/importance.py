"""What each feature is worth to a trained model: RankIC lost when it is permuted.

After Breiman (2001, section 10), with one change: a feature's whole series changes places between
the symbols, so the network still sees series as they occur, only of the wrong symbol. What all
symbols share, e.g. the hour of the day, loses nothing by it.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gnn_trainer.errors import StopRequested
from gnn_trainer.evaluation.exhibits import Importance
from gnn_trainer.evaluation.intervals import block_length, bootstrap_mean
from gnn_trainer.evaluation.metrics import filled_rank_ic
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray
from gnn_trainer.training.inference import score_bars
from gnn_trainer.training.samples import usable_rows
from gnn_trainer.training.trained import TrainedModel

IMPORTANCE_BARS = 192


def permutation_importance(
    model: TrainedModel,
    graph: GraphSequence,
    rows_T: BoolArray,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Importance, ...]:
    """Of every feature that the model reads, on the last IMPORTANCE_BARS bars of `rows_T`.

    Raises:
        StopRequested: `should_stop`, asked before every feature, said yes.
    """
    stop = int(np.flatnonzero(rows_T)[-1]) + 1
    start = max(stop - IMPORTANCE_BARS, int(np.argmax(rows_T)))
    first = max(start - model.network.history_bars, 0)
    part = _bars(graph, first, stop)
    known_TN = usable_rows(part) & rows_T[first:stop, None]

    def rank_ics(seen: GraphSequence) -> FloatArray:
        score_TN = score_bars(model, seen, start - first, stop - first).rank_CN
        rows = slice(start - first, None)
        return filled_rank_ic(score_TN, part.ret_TN[rows], known_TN[rows])

    as_it_is = rank_ics(part)
    order_N = _moved(np.flatnonzero(known_TN.any(axis=0)), graph.num_symbols, model.seed)
    found = []
    for column in np.flatnonzero(model.scaler.used_F):
        if should_stop():
            raise StopRequested("stopped while permuting features")
        x_TNF = part.x_TNF.copy()
        x_TNF[..., column] = x_TNF[:, order_N, column]
        lost_T = as_it_is - rank_ics(replace(part, x_TNF=x_TNF))
        block = block_length(len(lost_T), graph.horizon)
        lost = bootstrap_mean(lost_T, block, model.seed)
        found.append(Importance(graph.feature_names[column], lost))
    return tuple(found)


def _moved(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """0..count-1 with each of `places` in another one's place, at random: one cycle through all."""
    order = np.arange(count)
    cycle = np.random.default_rng(seed).permutation(places)
    order[cycle] = np.roll(cycle, 1)
    return order


def _bars(graph: GraphSequence, start: int, stop: int) -> GraphSequence:
    """Bars start..stop-1 with the graphs in force."""
    rows = slice(start, stop)
    return replace(
        graph,
        open_time_T=graph.open_time_T[rows],
        x_TNF=graph.x_TNF[rows],
        mask_TN=graph.mask_TN[rows],
        ret_TN=graph.ret_TN[rows],
        close_ret_TN=graph.close_ret_TN[rows],
        late_ret_TN=graph.late_ret_TN[rows],
        past_ret_TN=graph.past_ret_TN[rows],
        sigma_TN=graph.sigma_TN[rows],
        end_time_T=graph.end_time_T[rows],
        refresh_T=graph.refresh_T[rows],
    )
