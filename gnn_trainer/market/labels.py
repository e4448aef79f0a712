"""What is to be predicted: the return that can be traded after bar t, and its direction."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from gnn_trainer.errors import DataError
from gnn_trainer.form import FORM
from gnn_trainer.market.frame import BoolArray, FloatArray, IntArray, MarketFrame
from gnn_trainer.market.prices import log_prices
from gnn_trainer.market.rolling import lagged, window_rms

UNKNOWN, DOWN, FLAT, UP = -1, 0, 1, 2
MIN_VALID_SHARE = 0.5  # of the volatility window; below it the volatility is unknown
ClassArray = npt.NDArray[np.int8]


class DirectionConfig(BaseModel):
    """Where FLAT ends and UP or DOWN begins."""

    model_config = FORM

    threshold: Literal["volatility", "fixed"] = Field(
        "volatility",
        description="`volatility`: a multiple of the symbol's own volatility, fitted on the "
        "training span so that the classes are about a third each; `fixed`: fixed_threshold.",
    )
    fixed_threshold: float = Field(
        0.01,
        gt=0.0,
        lt=1.0,
        description="Log return beyond which a move is UP or DOWN, for `fixed`. At 0.01 nearly "
        "every bar shorter than 1h is FLAT.",
    )
    volatility_window: int = Field(
        96, ge=8, le=20000, description="Bars over which a symbol's volatility is measured."
    )


class LabelConfig(DirectionConfig):
    """Direction rule and horizon."""

    horizon: int = Field(1, ge=1, le=10000, description="Bars ahead to predict.")

    @classmethod
    def for_horizon(cls, horizon: int, direction: DirectionConfig) -> "LabelConfig":
        return cls(
            horizon=horizon, **direction.model_dump(include=set(DirectionConfig.model_fields))
        )


@dataclass(frozen=True)
class Labels:
    """Returns over the next h bars, seen from the close of bar t. Unit: natural log.

    NaN where the return is not known: the frame ends before, or one of the bars from entry to exit
    is invalid. Nothing is filled.
    """

    horizon: int
    ret_TN: FloatArray  # open of bar t+1 -> open of bar t+1+h: what can be traded
    close_ret_TN: FloatArray  # close of bar t -> close of bar t+h
    late_ret_TN: FloatArray  # open of bar t+2 -> open of bar t+2+h: entered one bar late
    sigma_TN: FloatArray  # trailing volatility of an h-bar return, from bars <= t
    end_time_T: IntArray  # unix ms: open of bar t+1+h, also where the frame ends before it


def make_labels(frame: MarketFrame, config: LabelConfig) -> Labels:
    """Labels of every bar of the frame."""
    h = config.horizon
    log_open_TN = log_prices(frame.open_TN, frame.valid_TN)
    log_close_TN = log_prices(frame.close_TN, frame.valid_TN)
    whole_TN = _valid_through(frame.valid_TN & np.isfinite(log_open_TN + log_close_TN), h)
    open_ret_TN = np.where(whole_TN, _ahead(log_open_TN, h) - log_open_TN, np.nan)
    close_ret_TN = np.where(whole_TN, _ahead(log_close_TN, h) - log_close_TN, np.nan)
    return Labels(
        horizon=h,
        ret_TN=_ahead(open_ret_TN, 1),
        close_ret_TN=close_ret_TN,
        late_ret_TN=_ahead(open_ret_TN, 2),
        sigma_TN=_trailing_volatility(log_close_TN, config.volatility_window) * h**0.5,
        end_time_T=frame.open_time_T + (1 + h) * frame.interval_ms,
    )


def fit_class_threshold(labels: Labels, rows_T: BoolArray, config: LabelConfig) -> float:
    """The number that `direction_classes` compares moves with.

    `volatility`: the multiple of sigma that a third of the moves at `rows_T` (the training span)
    stays within. `fixed`: the configured log return; nothing is fitted.

    Raises:
        DataError: no move is known at `rows_T`.
    """
    if config.threshold == "fixed":
        return config.fixed_threshold
    size_TN = np.abs(_scaled(labels.ret_TN, labels.sigma_TN))[rows_T]
    known = size_TN[np.isfinite(size_TN)]
    if known.size == 0:
        raise DataError(
            f"none of the {int(rows_T.sum())} training bars has a label with a known volatility "
            f"(horizon {config.horizon}, volatility_window {config.volatility_window}); "
            "widen the time range or shorten these"
        )
    return float(np.quantile(known, 1 / 3))


def direction_classes(
    ret_TN: FloatArray, sigma_TN: FloatArray, threshold: float, config: LabelConfig
) -> ClassArray:
    """DOWN 0, FLAT 1, UP 2; UNKNOWN -1 where the return (or the volatility it needs) is NaN."""
    move_TN = ret_TN if config.threshold == "fixed" else _scaled(ret_TN, sigma_TN)
    class_TN = np.full(ret_TN.shape, FLAT, np.int8)
    class_TN[move_TN > threshold] = UP
    class_TN[move_TN < -threshold] = DOWN
    class_TN[~np.isfinite(move_TN)] = UNKNOWN
    return class_TN


def _trailing_volatility(log_close_TN: FloatArray, window: int) -> FloatArray:
    """Root mean square of the one-bar returns of the last `window` bars."""
    return window_rms(log_close_TN - lagged(log_close_TN, 1), window, MIN_VALID_SHARE)


def _ahead(x_TN: FloatArray, bars: int) -> FloatArray:
    """x as it will be `bars` bars later; NaN in the last rows."""
    ahead_TN = np.full_like(x_TN, np.nan)
    ahead_TN[: max(0, len(x_TN) - bars)] = x_TN[bars:]
    return ahead_TN


def _valid_through(valid_TN: BoolArray, bars: int) -> BoolArray:
    """Whether bars t .. t+bars all exist and are valid."""
    invalid_before_TN = np.zeros((len(valid_TN) + 1, valid_TN.shape[1]), np.int64)
    np.cumsum(~valid_TN, axis=0, out=invalid_before_TN[1:])
    whole_TN = np.zeros_like(valid_TN)
    last = len(valid_TN) - bars
    if last > 0:
        whole_TN[:last] = invalid_before_TN[bars + 1 :] == invalid_before_TN[:last]
    return whole_TN


def _scaled(ret_TN: FloatArray, sigma_TN: FloatArray) -> FloatArray:
    """Return in units of volatility; NaN where the price has not moved in the whole window."""
    return ret_TN / np.where(sigma_TN > 0.0, sigma_TN, np.nan)
