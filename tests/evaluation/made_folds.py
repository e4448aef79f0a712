"""Folds made by hand: scores of a known quality, no network."""

import numpy as np

from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, Fold, Span
from gnn_trainer.market.labels import LabelConfig, direction_classes

HOUR_MS = 3_600_000
BARS, SYMBOLS = 120, 8


def made_fold(
    *, test: int, seed: int = 0, quality: float = 0.4, horizon: int = 1, symbols: int = SYMBOLS
) -> Fold:
    """Test span number `test`; the model sees `quality` of each return and its seed's noise."""
    truth = np.random.default_rng((test, 99))
    ret_TN = 0.01 * truth.standard_normal((BARS, symbols))
    noise = np.random.default_rng((test, seed))
    blank_TN = np.zeros((BARS, symbols))
    scores = {
        MODEL: quality * 100.0 * ret_TN + noise.standard_normal(ret_TN.shape),
        NO_GRAPH: noise.standard_normal(ret_TN.shape),
        "ridge": truth.standard_normal(ret_TN.shape),
        "zero": blank_TN,
    }
    first = test * BARS * HOUR_MS
    open_time_T = first + HOUR_MS * np.arange(BARS)
    known_TN = truth.random(ret_TN.shape) < 0.95
    class_TN = direction_classes(ret_TN, np.full_like(ret_TN, 0.01), 0.4, LabelConfig())
    logit_TN3 = scores[MODEL][..., None] * np.array([-1.0, 0.0, 1.0])
    probability_TN3 = np.exp(logit_TN3) / np.exp(logit_TN3).sum(axis=-1, keepdims=True)
    span = Span(first, int(open_time_T[-1]), BARS, int(known_TN.sum()))
    return Fold(
        symbols=tuple(f"S{number}USDT" for number in range(symbols)),
        interval_ms=HOUR_MS,
        horizon=horizon,
        seed=seed,
        train=Span(0, first, 100, 800),
        validation=Span(0, first, 20, 160),
        test=span,
        open_time_T=open_time_T,
        known_TN=known_TN,
        scorable_TN=known_TN | (truth.random(ret_TN.shape) < 0.5),
        ret_TN=ret_TN,
        close_ret_TN=ret_TN,
        late_ret_TN=ret_TN[::-1],
        past_ret_TN=truth.standard_normal(ret_TN.shape),
        sigma_TN=truth.uniform(0.5, 1.5, ret_TN.shape),
        class_TN=class_TN,
        gain_TN=np.expm1(ret_TN),
        funding_TN=blank_TN,
        half_spread_TN=np.full_like(ret_TN, np.nan),
        predictors=tuple(scores),
        score_PTN=np.stack(list(scores.values())).astype(np.float32),
        guess_PTN=np.stack([np.digitize(s, (-0.4, 0.4)) for s in scores.values()]).astype(np.int8),
        probabilistic=(MODEL,),
        probability_QTN3=probability_TN3[None].astype(np.float32),
        graph_density=0.3,
        graph_churn=0.1,
        recovery=None,
    )
