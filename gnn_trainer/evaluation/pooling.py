"""pool: folds and seeds merged into one report."""

from collections.abc import Sequence

import numpy as np

from gnn_trainer.evaluation.audit_report import AuditReport
from gnn_trainer.evaluation.backtest import Backtest, Ledger, backtest, keep_ledger
from gnn_trainer.evaluation.calibration import Calibration, expected_calibration_error
from gnn_trainer.evaluation.champion import NO_CHAMPION, Standing, compare_with_champion
from gnn_trainer.evaluation.config import EvaluationConfig
from gnn_trainer.evaluation.gate import Evidence, decide
from gnn_trainer.evaluation.intervals import (
    Difference,
    Interval,
    block_length,
    bootstrap_mean,
    compare,
    newey_west_t,
)
from gnn_trainer.evaluation.metrics import (
    Metrics,
    filled_rank_ic,
    score_classes,
    surprise,
    up_against_down,
)
from gnn_trainer.evaluation.novelty import Novelty
from gnn_trainer.evaluation.protocol import MODEL, NO_GRAPH, ORACLE, Fold, Span
from gnn_trainer.evaluation.report import EvaluationReport, FoldSpans
from gnn_trainer.evaluation.series import BarSeries, Judged, group_seeds, judge_bars
from gnn_trainer.evaluation.slices import cut
from gnn_trainer.market.frame import FloatArray
from gnn_trainer.market.labels import DOWN, FLAT, UP


def pool(
    folds: Sequence[Fold],
    config: EvaluationConfig,
    *,
    audit: AuditReport | None,
    calibration: Calibration | None = None,
    novelty: Novelty | None = None,
    standing: Standing = NO_CHAMPION,
) -> EvaluationReport:
    """One report of all folds and seeds; a single training has one fold.

    Correlations of several seeds are averaged bar by bar, so that what is left is the skill of a
    typical seed; samples of all seeds are classified together. The champion is compared with on the
    newest fold.
    """
    newest = max(folds, key=lambda fold: fold.test.last_ms)
    judged = judge_bars(folds)
    metrics = {
        name: _metrics(name, series, folds, newest) for name, series in judged.series.items()
    }
    differences = _differences(judged, newest)
    traded = _backtest(folds, config, standing.trials)
    min_bars = config.gate.min_champion_bars
    champion = compare_with_champion(newest, standing, min_bars=min_bars)
    coverage = _coverage(folds)
    verdict = decide(
        Evidence(
            audit_passed=audit is not None and audit.passed,
            rank_ic=metrics[MODEL].rank_ic,
            differences={name: found.interval for name, found in differences.items()},
            ece=_or_nan(metrics[MODEL].ece),
            coverage=coverage,
            break_even_bps=traded.break_even_bps,
            trials=standing.trials,
            champion=champion,
        ),
        config.gate,
    )
    return EvaluationReport(
        train=_whole([fold.train for fold in folds]),
        validation=_whole([fold.validation for fold in folds]),
        test=_whole([seeds[0].test for seeds in group_seeds(folds)]),
        folds=tuple(FoldSpans(f.seed, f.train, f.validation, f.test) for f in folds),
        metrics=metrics,
        differences=differences,
        graph_contribution=differences[NO_GRAPH].interval,
        slices=cut(judged, folds, newest),
        class_shares=_class_shares(folds),
        coverage=coverage,
        graph_density=newest.graph_density,
        graph_churn=newest.graph_churn,
        recovery=newest.recovery,
        backtest=traded,
        calibration=calibration,
        novelty=novelty,
        audit=audit,
        champion=champion,
        verdict=verdict,
    )


def _metrics(name: str, series: BarSeries, folds: Sequence[Fold], newest: Fold) -> Metrics:
    by_bar = series.rank_ic_T
    spread = float(by_bar.std()) if len(by_bar) else 0.0
    truth = np.concatenate([fold.class_TN[fold.known_TN] for fold in folds])
    skill = score_classes(
        truth, np.concatenate([fold.guess(name)[fold.known_TN] for fold in folds])
    )
    score = np.concatenate([fold.score(name)[fold.known_TN] for fold in folds])
    sure = [fold.probability(name) for fold in folds]
    probability = np.concatenate(
        [p[fold.known_TN] for fold, p in zip(folds, sure, strict=True) if p is not None]
        or [np.empty((0, 3), np.float32)]
    )
    opinion = probability[:, UP] - probability[:, DOWN] if len(probability) else score
    return Metrics(
        rank_ic=_interval(by_bar, newest),
        ic=_mean(series.ic_T),
        icir=_mean(by_bar) / spread if spread > 0.0 else 0.0,
        newey_west_t=newey_west_t(by_bar, newest.horizon),
        positive_share=_mean((by_bar > 0.0).astype(np.float64)),
        rank_ic_net=_interval(series.rank_ic_net_T, newest),
        rank_ic_close=_against(name, [fold.close_ret_TN for fold in folds], folds),
        rank_ic_late=_against(name, [fold.late_ret_TN for fold in folds], folds),
        accuracy=skill.accuracy,
        macro_f1=skill.macro_f1,
        mcc=skill.mcc,
        auc=up_against_down(truth, opinion),
        log_loss=surprise(truth, probability) if len(probability) else None,
        ece=expected_calibration_error(probability, truth) if len(probability) else None,
    )


def _differences(judged: Judged, newest: Fold) -> dict[str, Difference]:
    own = judged.series[MODEL].rank_ic_T
    return {
        name: compare(own, series.rank_ic_T, newest.horizon, newest.seed)
        for name, series in judged.series.items()
        if name not in (MODEL, ORACLE)
    }


def _against(name: str, outcomes: Sequence[FloatArray], folds: Sequence[Fold]) -> float:
    """Mean RankIC against another outcome than the label, where it is known as well."""
    by_bar = [
        filled_rank_ic(fold.score(name), outcome_TN, fold.known_TN & np.isfinite(outcome_TN))
        for fold, outcome_TN in zip(folds, outcomes, strict=True)
    ]
    return _mean(np.concatenate(by_bar))


def _backtest(folds: Sequence[Fold], config: EvaluationConfig, trials: int) -> Backtest:
    """Of all folds one after the other, the capital shared among the seeds of each."""
    ledgers = [
        (
            1.0 / len(seeds),
            keep_ledger(
                fold.score(MODEL), fold.scorable_TN, fold.horizon, fold.holding, config.costs
            ),
        )
        for seeds in group_seeds(folds)
        for fold in seeds
    ]
    open_time_T, row = np.unique(
        np.concatenate([ledger.open_time_T for _, ledger in ledgers]), return_inverse=True
    )

    def together(name: str) -> FloatArray:
        shares = [weight * getattr(ledger, name) for weight, ledger in ledgers]
        summed_T = np.zeros(len(open_time_T))
        np.add.at(summed_T, row, np.concatenate(shares))
        return summed_T

    columns = (together(name) for name in ("gain_T", "funding_T", "turnover_T", "cost_T"))
    return backtest(Ledger(open_time_T, *columns), folds[0].interval_ms, config.costs, trials)


def _coverage(folds: Sequence[Fold]) -> float:
    scored = sum(int(fold.known_TN.sum()) for fold in folds)
    labelled = sum(int((np.isfinite(fold.ret_TN) & _tested(fold)[:, None]).sum()) for fold in folds)
    return scored / labelled


def _tested(fold: Fold) -> np.ndarray:
    """Rows of the test span itself, without those that positions are still held in."""
    return fold.open_time_T <= fold.test.last_ms


def _class_shares(folds: Sequence[Fold]) -> dict[str, float]:
    truth = np.concatenate([seeds[0].class_TN[seeds[0].known_TN] for seeds in group_seeds(folds)])
    return {
        name: float(np.mean(truth == value))
        for name, value in (("down", DOWN), ("flat", FLAT), ("up", UP))
    }


def _whole(spans: Sequence[Span]) -> Span:
    """From the first bar of any to the last, counting the bars of all."""
    different = set(spans)
    return Span(
        first_ms=min(span.first_ms for span in spans),
        last_ms=max(span.last_ms for span in spans),
        bars=sum(span.bars for span in different),
        samples=sum(span.samples for span in different),
    )


def _interval(by_bar: FloatArray, newest: Fold) -> Interval:
    return bootstrap_mean(by_bar, block_length(len(by_bar), newest.horizon), newest.seed)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
