"""Cutting the future off, and turning it into nonsense.

Nonsense is plausible: prices that could be, volumes that could have been traded, bars that are
there and bars that are not. What would be filtered out as impossible poisons nobody.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gnn_trainer.features.frame import FeatureFrame
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BOOK_FIELDS, BoolArray, FloatArray, IntArray, MarketFrame

BarData = TypeVar("BarData", MarketFrame, FeatureFrame, GraphSequence)
WideData = TypeVar("WideData", MarketFrame, FeatureFrame)

PRICE_SHOCK = 0.3  # standard deviation of a poisoned bar's log price around the symbol's own
MISSING_SHARE = 0.2  # of poisoned bars that are taken away


def bars_of(data: BarData, start: int, stop: int) -> BarData:
    """Rows start..stop-1 of everything that has a row per bar, as views."""
    rows = {
        field.name: getattr(data, field.name)[start:stop]
        for field in fields(data)
        if field.name.split("_")[-1].startswith("T")
    }
    return replace(data, **rows)


def symbols_of(data: WideData, columns: IntArray) -> WideData:
    """The data of some symbols, as if there were no others."""
    kept: dict[str, Any] = {
        field.name: np.take(getattr(data, field.name), columns, axis=1)
        for field in fields(data)
        if field.name.split("_")[-1].startswith("TN")
    }
    kept["symbols"] = tuple(data.symbols[column] for column in columns)
    return replace(data, **kept)


def poison_frame(frame: MarketFrame, rows_T: BoolArray, rng: np.random.Generator) -> MarketFrame:
    """The frame with other bars at `rows_T`; which symbols are valid there changes as well."""
    shape = (int(rows_T.sum()), frame.num_symbols)
    level_N = _typical(frame.close_TN)
    traded_N = _typical(frame.volume_TN)
    open_MN, close_MN = (level_N * np.exp(PRICE_SHOCK * rng.standard_normal(shape)) for _ in "oc")
    volume_MN = traded_N * np.exp(rng.standard_normal(shape))
    values: dict[str, npt.NDArray[Any]] = {
        "open_TN": open_MN,
        "high_TN": np.maximum(open_MN, close_MN) * np.exp(0.1 * rng.random(shape)),
        "low_TN": np.minimum(open_MN, close_MN) * np.exp(-0.1 * rng.random(shape)),
        "close_TN": close_MN,
        "volume_TN": volume_MN,
        "quote_volume_TN": volume_MN * close_MN,
        "trades_TN": rng.integers(1, 1000, shape).astype(np.float64),
        "taker_buy_volume_TN": volume_MN * rng.random(shape),
        "funding_rate_TN": rng.normal(0.0, 1e-3, shape),
        "funding_time_TN": frame.close_time_T[rows_T][:, None] - 3.6e6 * rng.integers(0, 8, shape),
        "book_TNK": rng.uniform(0.1, 1.0, (*shape, len(BOOK_FIELDS))),
    }
    valid_MN = rng.random(shape) >= MISSING_SHARE
    changed: dict[str, Any] = {"valid_TN": _with_rows(frame.valid_TN, rows_T, valid_MN)}
    for name, value in values.items():
        value[~valid_MN] = np.nan
        changed[name] = _with_rows(getattr(frame, name), rows_T, value)
    return replace(frame, **changed)


def poison_features(
    features: FeatureFrame, rows_T: BoolArray, rng: np.random.Generator
) -> FeatureFrame:
    """The features with other values and another mask at `rows_T`."""
    x_MNF = _noise_like(features.x_TNF[rows_T], rng)
    mask_MN = rng.random(x_MNF.shape[:2]) >= MISSING_SHARE
    return replace(
        features,
        x_TNF=_with_rows(features.x_TNF, rows_T, x_MNF),
        mask_TN=_with_rows(features.mask_TN, rows_T, mask_MN),
    )


def poison_graph(graph: GraphSequence, start: int, rng: np.random.Generator) -> GraphSequence:
    """Other features, labels, volatilities and edges from bar `start` on."""
    rows_T = np.arange(graph.num_bars) >= start
    shape = (int(rows_T.sum()), graph.num_symbols)
    values: dict[str, npt.NDArray[Any]] = {
        "x_TNF": _noise_like(graph.x_TNF[rows_T], rng),
        "mask_TN": rng.random(shape) >= MISSING_SHARE,
        "ret_TN": PRICE_SHOCK * rng.standard_normal(shape),
        "close_ret_TN": PRICE_SHOCK * rng.standard_normal(shape),
        "late_ret_TN": PRICE_SHOCK * rng.standard_normal(shape),
        "past_ret_TN": PRICE_SHOCK * rng.standard_normal(shape),
        "sigma_TN": PRICE_SHOCK * rng.random(shape),
    }
    changed: dict[str, Any] = {
        name: _with_rows(getattr(graph, name), rows_T, value) for name, value in values.items()
    }
    return poison_edges(replace(graph, **changed), start, rng)


def poison_edges(graph: GraphSequence, start: int, rng: np.random.Generator) -> GraphSequence:
    """Other leaders and edge attributes at every refresh that comes into force at `start` on."""
    later_R = np.arange(len(graph.leader_RNk)) > graph.refresh_T[:start].max(initial=-1)
    leader_MNk = graph.leader_RNk[later_R]
    others = rng.integers(0, graph.num_symbols, leader_MNk.shape).astype(leader_MNk.dtype)
    attrs = _noise_like(graph.edge_attr_RNkE[later_R], rng)
    return replace(
        graph,
        leader_RNk=_with_rows(graph.leader_RNk, later_R, others),
        edge_attr_RNkE=_with_rows(graph.edge_attr_RNkE, later_R, attrs),
    )


def differing(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> BoolArray:
    """Where two arrays are not the same to the last bit; NaN equals NaN."""
    differs: BoolArray = left != right
    if left.dtype.kind == "f":
        differs &= ~(np.isnan(left) & np.isnan(right))
    return differs


def by_row(differs: BoolArray) -> BoolArray:
    """Whether anything differs along the last axis."""
    rows: BoolArray = np.logical_or.reduce(differs, axis=-1)
    return rows


def first_bar(differs: BoolArray, open_time_T: IntArray, symbols: Iterable[str]) -> str:
    """How much of [T, N] differs and where it begins, for people."""
    row, column = np.argwhere(differs)[0]
    return (
        f"{int(differs.sum())} values differ, first {tuple(symbols)[column]} "
        f"at {utc_minute(int(open_time_T[row]))}"
    )


def utc_minute(time_ms: int) -> str:
    """Unix milliseconds as 2025-06-30 00:07 UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _with_rows(
    array: npt.NDArray[Any], rows: BoolArray, values: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    changed = array.copy()
    changed[rows] = values
    return changed


def _noise_like(
    values: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    return 3.0 * rng.standard_normal(values.shape, dtype=np.float32)


def _typical(values_TN: FloatArray) -> FloatArray:
    """A value of each symbol that could be any bar's, [N]; 1 where there is none."""
    row_N = np.isfinite(values_TN).argmax(axis=0)
    value_N = values_TN[row_N, np.arange(values_TN.shape[1])]
    typical_N: FloatArray = np.where(np.isfinite(value_N) & (value_N > 0.0), value_N, 1.0)
    return typical_N
