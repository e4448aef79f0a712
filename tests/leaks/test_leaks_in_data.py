"""Leaks planted in bars, features, edges, relations and labels: each is caught, by its name.

Every leak is a variant of the real function; the run is made anew with it, as a run would be.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from scipy.stats import rankdata

from gnn_trainer.evaluation.audit import Subject
from gnn_trainer.features import build, cross_section, ingredients, registry, returns
from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.features.ingredients import Ingredients
from gnn_trainer.graph import assemble, edges
from gnn_trainer.graph.correlations import RunningCorrelations
from gnn_trainer.graph.relations import ALWAYS, place_relations
from gnn_trainer.market import assembly, labels
from gnn_trainer.market.frame import FloatArray, MarketFrame
from gnn_trainer.market.history import History
from gnn_trainer.market.prices import log_prices
from gnn_trainer.training import samples
from tests.leaks.small_run import breaches_of, made_of

Run = Callable[[str], str]


@pytest.fixture
def run(stored: History, honest: Subject) -> Run:
    """Make everything again with the leak in place; all breaches that a part of the audit finds."""

    def made_and_audited(part: str) -> str:
        return breaches_of(made_of(stored, honest.fitted), part)

    return made_and_audited


def ahead(x_TN: npt.NDArray[Any], bars: int = 1) -> npt.NDArray[Any]:
    """x of the bar to come, and the last one where there is none."""
    return np.concatenate((x_TN[bars:], x_TN[-bars:]))


def whole_deviation(x_TN: FloatArray) -> FloatArray:
    deviation_N: FloatArray = np.nanstd(np.where(np.isfinite(x_TN), x_TN, np.nan), axis=0)
    return deviation_N


def filled_backwards(x_TN: FloatArray) -> FloatArray:
    table = pl.DataFrame(x_TN).fill_nan(None).fill_null(strategy="backward")
    return table.fill_null(np.nan).to_numpy()


FORMULA_LEAKS: dict[str, Callable[[Ingredients], FloatArray]] = {
    "the next bar": lambda i: ahead(cross_section.row_rank(i.return_TN)),
    "the whole series' scale": lambda i: i.return_TN / whole_deviation(i.return_TN),
    "the whole series' tails": lambda i: np.clip(
        i.return_TN, *np.nanquantile(i.return_TN, (0.01, 0.99))
    ),
    "a maximum over all bars": lambda i: i.frame.close_TN / np.nanmax(i.frame.close_TN, axis=0),
    "ranks over bars": lambda i: rankdata(i.return_TN, axis=0, nan_policy="omit"),
    "a centred window": lambda i: ahead(i.mean(i.return_TN, 5), 2),
    "the next bar at one hour of the day": lambda i: np.where(
        (i.frame.open_time_T // ingredients.HOUR_MS % 24 == 7)[:, None],
        ahead(i.return_TN),
        i.return_TN,
    ),
    "the next bar of one symbol": lambda i: np.where(
        np.arange(i.frame.num_symbols) == 3, ahead(i.return_TN), i.return_TN
    ),
    "the next bar where one is missing": lambda i: np.where(
        ahead(i.frame.valid_TN).all(axis=1, keepdims=True), i.return_TN, ahead(i.return_TN)
    ),
    "the next settlement": lambda i: ahead(i.funding_bps_TN, 8),
    "the last bar of all": lambda i: i.return_TN - i.return_TN[-1],
}


@pytest.mark.parametrize("leak", FORMULA_LEAKS)
def test_a_formula_that_knows(leak: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    place = registry.feature_names().index("return_rank")
    leaky = replace(registry.FEATURES[place], compute=FORMULA_LEAKS[leak])
    monkeypatch.setattr(
        build, "FEATURES", (*registry.FEATURES[:place], leaky, *registry.FEATURES[place + 1 :])
    )
    found = run("features")
    assert "return_rank knows later bars" in found
    assert "residual_lag_0" not in found


def test_prices_filled_backwards(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = log_prices
    monkeypatch.setattr(
        ingredients,
        "log_prices",
        lambda price_TN, valid_TN: filled_backwards(real(price_TN, valid_TN)),
    )
    assert "residual_lag_0 knows later bars" in run("features")


def test_betas_of_the_whole_series(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def whole_betas(r_TN: FloatArray, m_TN: FloatArray, *_: Any) -> FloatArray:
        beta_N = np.nansum(r_TN * m_TN, axis=0) / np.nansum(m_TN**2, axis=0)
        return np.broadcast_to(beta_N, r_TN.shape)

    monkeypatch.setattr(returns, "market_betas", whole_betas)
    assert "residual_short knows later bars" in run("features")


def test_features_scaled_on_the_whole_series(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = build.build_features

    def scaled(*args: Any) -> FeatureFrame:
        features = real(*args)
        deviation_F = np.nan_to_num(features.x_TNF).std(axis=(0, 1))
        return replace(features, x_TNF=features.x_TNF / np.maximum(deviation_F, 1e-3))

    monkeypatch.setattr(build, "build_features", scaled)
    monkeypatch.setattr("gnn_trainer.evaluation.audit_features.build_features", scaled)
    assert "residual_lag_0 knows later bars" in run("features")


def test_rows_dropped_by_their_label(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = assemble.assemble_graph

    def without_extremes(frame: MarketFrame, features: FeatureFrame, *args: Any) -> Any:
        graph = real(frame, features, *args)
        with np.errstate(invalid="ignore"):
            return replace(graph, mask_TN=graph.mask_TN & ~(np.abs(graph.ret_TN) > 0.01))

    monkeypatch.setattr(assemble, "assemble_graph", without_extremes)
    monkeypatch.setattr("gnn_trainer.evaluation.audit_graph.assemble_graph", without_extremes)
    assert "mask_TN of the graph knows later bars" in run("edges")


def test_samples_dropped_by_their_label(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = samples.usable_rows
    monkeypatch.setattr(
        "gnn_trainer.evaluation.audit_labels.usable_rows",
        lambda graph: real(graph) & (np.abs(graph.ret_TN) < np.nanquantile(graph.ret_TN, 0.975)),
    )
    assert "which rows are used depends on the value of their label" in run("labels")


def test_edges_of_a_shifted_rule(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = edges.lead_lag

    def shifted(signals: edges.Signals, lag: int) -> edges.EdgeRule:
        rule = real(signals, lag)
        return replace(rule, follower_TN=ahead(rule.follower_TN)) if lag == 2 else rule

    monkeypatch.setattr(edges, "lead_lag", shifted)
    found = run("edges")
    assert "edge rule lead_2 knows later bars" in found
    assert "edge rule comovement" not in found


def test_a_graph_of_the_end_of_its_month(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = assemble._Edges.add

    def from_the_beginning(self: Any, first_bar: int, *args: Any) -> None:
        real(self, max(0, first_bar - 9), *args)

    monkeypatch.setattr(assemble._Edges, "add", from_the_beginning)
    assert "when edges come into force depends on later bars" in run("edges")


def test_a_graph_of_all_bars(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RunningCorrelations.over

    def everything(self: Any, first: int, every: int) -> Any:
        return itertools.repeat(next(real(self, self.num_bars, every)))

    monkeypatch.setattr(RunningCorrelations, "over", everything)
    assert "edge rule flow_lead knows later bars" in run("edges")


def test_relations_before_they_were_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = place_relations

    def early(relations: Any, *args: Any) -> Any:
        begun = np.full_like(relations.valid_from_M, ALWAYS)
        return real(replace(relations, valid_from_M=begun), *args)

    monkeypatch.setattr(assemble, "place_relations", early)
    assert "edge rule relation:related knows later bars" in run("edges")


def test_volatility_of_the_whole_series(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        labels,
        "_trailing_volatility",
        lambda log_close_TN, window: np.broadcast_to(
            whole_deviation(np.diff(log_close_TN, axis=0)), log_close_TN.shape
        ).copy(),
    )
    assert "sigma_TN of the graph knows later bars" in run("edges")


def test_features_of_the_test_span_that_know_more(honest: Subject) -> None:
    x_TNF = honest.graph.x_TNF.copy()
    x_TNF[honest.split.test_T, :, 3] += np.nan_to_num(honest.graph.ret_TN)[honest.split.test_T]
    graph = replace(honest.graph, x_TNF=x_TNF)
    assert "x_TNF of the graph knows later bars" in breaches_of(
        replace(honest, graph=graph), "edges"
    )


def test_edges_of_the_test_span_from_the_next_refresh(honest: Subject) -> None:
    graph = honest.graph
    newer_T = np.minimum(graph.refresh_T + 1, len(graph.leader_RNk) - 1)
    late = replace(graph, refresh_T=np.where(honest.split.test_T, newer_T, graph.refresh_T))
    assert "when edges come into force depends on later bars" in breaches_of(
        replace(honest, graph=late), "edges"
    )


LABEL_LEAKS: dict[str, Callable[[labels.Labels], labels.Labels]] = {
    "the bar just closed": lambda real: replace(real, ret_TN=real.close_ret_TN),
    "a bar sooner": lambda real: replace(real, ret_TN=np.roll(real.ret_TN, 1, axis=0)),
    "no extremes": lambda real: replace(
        real, ret_TN=np.where(np.abs(real.ret_TN) > 0.02, np.nan, real.ret_TN)
    ),
    "an early end": lambda real: replace(real, end_time_T=real.end_time_T - 3_600_000),
}


@pytest.mark.parametrize("leak", LABEL_LEAKS)
def test_labels_with(leak: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = labels.make_labels
    monkeypatch.setattr(assemble, "make_labels", lambda *args: LABEL_LEAKS[leak](real(*args)))
    expected = "end_time" if leak == "an early end" else "label ret"
    assert expected in run("labels")


def newest_book(frame: MarketFrame) -> FloatArray:
    """[N, K]; of the newest bar at which every symbol has one."""
    recorded = np.flatnonzero(np.isfinite(frame.book_TNK[..., 0]).all(axis=1))
    book_NK: FloatArray = frame.book_TNK[recorded[-1] if len(recorded) else -1]
    return book_NK


FRAME_LEAKS: dict[str, tuple[str, Callable[[MarketFrame], MarketFrame]]] = {
    "bars filled backwards": (
        "close is not the stored row of its own time",
        lambda frame: replace(
            frame,
            close_TN=filled_backwards(frame.close_TN),
            valid_TN=np.isfinite(filled_backwards(frame.close_TN)),
        ),
    ),
    "volume of the next bar": (
        "taker_buy_volume is not the stored row",
        lambda frame: replace(frame, taker_buy_volume_TN=ahead(frame.taker_buy_volume_TN)),
    ),
    "the next funding rate": (
        "funding is of a settlement after the close",
        lambda frame: replace(
            frame,
            funding_time_TN=ahead(frame.funding_time_TN, 8),
            funding_rate_TN=ahead(frame.funding_rate_TN, 8),
        ),
    ),
    "a rate that was never settled": (
        "funding of S0USDT",
        lambda frame: replace(frame, funding_rate_TN=ahead(frame.funding_rate_TN, 8)),
    ),
    "one snapshot for all bars": (
        "order book is not of a snapshot inside its bar",
        lambda frame: replace(
            frame, book_TNK=np.broadcast_to(newest_book(frame), frame.book_TNK.shape).copy()
        ),
    ),
    "masks that know the next bar": (
        "which bars are valid of the frame knows later rows",
        lambda frame: replace(
            frame, valid_TN=frame.valid_TN & ~(ahead(frame.close_TN) > 1.2 * frame.close_TN)
        ),
    ),
}


@pytest.mark.parametrize("leak", FRAME_LEAKS)
def test_a_frame_with(leak: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, make = FRAME_LEAKS[leak]
    real = assembly.load_frame

    def leaky(*args: Any) -> Any:
        frame, report = real(*args)
        return make(frame), report

    monkeypatch.setattr(assembly, "load_frame", leaky)
    monkeypatch.setattr("gnn_trainer.evaluation.audit_bars.load_frame", leaky)
    assert expected in run("bars")
