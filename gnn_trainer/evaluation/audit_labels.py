"""Are labels the return that can be traded, and do they decide nothing about which rows count?"""

from dataclasses import replace

import numpy as np

from gnn_trainer.evaluation.audit_poison import first_bar
from gnn_trainer.evaluation.audit_report import Check, check_of
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray, FloatArray, MarketFrame
from gnn_trainer.training.samples import usable_rows

TOLERANCE = 1e-9  # of a log return
NONSENSE_RETURN = 5.0  # log return, beyond anything that could pass for ordinary


def check_labels(frame: MarketFrame, graph: GraphSequence, horizon: int) -> tuple[Check, ...]:
    """The graph's labels against their definition, and its samples under other labels."""
    return _definition(frame, graph, horizon), _samples(graph)


def held_return(price_TN: FloatArray, valid_TN: BoolArray, first: int, last: int) -> FloatArray:
    """ln(price[t + last] / price[t + first]), [T, N]; 0 <= first < last, in bars.

    NaN where one of the bars t + first .. t + last is invalid or not there.
    """
    ret_TN = np.full(price_TN.shape, np.nan)
    known = len(price_TN) - last
    if known <= 0:
        return ret_TN
    invalid_TN = np.zeros((len(price_TN) + 1, price_TN.shape[1]), np.int64)
    np.cumsum(~valid_TN, axis=0, out=invalid_TN[1:])
    whole_TN = invalid_TN[last + 1 :] == invalid_TN[first : first + known]
    ratio_TN = np.divide(
        price_TN[last:], price_TN[first : first + known], out=ret_TN[:known], where=whole_TN
    )
    np.log(ratio_TN, out=ratio_TN)
    return ret_TN


def _definition(frame: MarketFrame, graph: GraphSequence, horizon: int) -> Check:
    valid_TN = frame.valid_TN
    defined = {
        "ret (open t+1 to open t+1+h)": (
            graph.ret_TN,
            held_return(frame.open_TN, valid_TN, 1, 1 + horizon),
        ),
        "late_ret (open t+2 to open t+2+h)": (
            graph.late_ret_TN,
            held_return(frame.open_TN, valid_TN, 2, 2 + horizon),
        ),
        "close_ret (close t to close t+h)": (
            graph.close_ret_TN,
            held_return(frame.close_TN, valid_TN, 0, horizon),
        ),
    }
    breaches = []
    for name, (given_TN, expected_TN) in defined.items():
        wrong_TN = np.isnan(given_TN) != np.isnan(expected_TN)
        if wrong_TN.any():
            where = first_bar(wrong_TN, graph.open_time_T, graph.symbols)
            breaches.append(f"label {name} is not known exactly where its bars are ({where})")
        off_TN = np.abs(given_TN - expected_TN) > TOLERANCE
        if off_TN.any():
            where = first_bar(off_TN, graph.open_time_T, graph.symbols)
            breaches.append(f"label {name} is another return ({where})")
    end_time_T = graph.open_time_T + (1 + horizon) * graph.interval_ms
    if not np.array_equal(graph.end_time_T, end_time_T):
        breaches.append("end_time: labels are not said to end at the open of bar t+1+h")
    return check_of("labels", "definition", 3 * valid_TN.size, breaches)


def _samples(graph: GraphSequence) -> Check:
    """Other labels, known at the same places, must make the same rows usable."""
    rng = np.random.default_rng(graph.num_bars)
    noise_TN = NONSENSE_RETURN * rng.standard_normal(graph.ret_TN.shape)
    other = replace(
        graph,
        ret_TN=np.where(np.isfinite(graph.ret_TN), noise_TN, np.nan),
        close_ret_TN=np.where(np.isfinite(graph.close_ret_TN), noise_TN, np.nan),
        late_ret_TN=np.where(np.isfinite(graph.late_ret_TN), noise_TN, np.nan),
    )
    differs_TN = usable_rows(graph) != usable_rows(other)
    breaches = []
    if differs_TN.any():
        where = first_bar(differs_TN, graph.open_time_T, graph.symbols)
        breaches.append(f"which rows are used depends on the value of their label ({where})")
    return check_of("samples", "poison", differs_TN.size, breaches)
