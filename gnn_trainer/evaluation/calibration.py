"""Probabilities that mean what they say: temperature scaling (Guo et al. 2017, section 4.2).

One number, fitted on the validation span alone, divides the logits of DOWN, FLAT and UP. It makes
the network more or less sure of itself and changes neither the likeliest class nor any rank.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from gnn_trainer.evaluation.metrics import surprise
from gnn_trainer.graph.sequence import GraphSequence
from gnn_trainer.market.frame import BoolArray
from gnn_trainer.market.labels import ClassArray, direction_classes

if TYPE_CHECKING:
    from gnn_trainer.training.trained import TrainedModel

BINS = 15
TEMPERATURES = (0.05, 20.0)
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it did to the probabilities it was fitted on."""

    # above 1: the network was too sure of itself
    temperature: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    samples: int = 0
    ece_before: float = float("nan")
    ece_after: float = float("nan")
    log_loss_before: float = float("nan")
    log_loss_after: float = float("nan")

    def apply(self, probability: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Calibrated probabilities of the same shape [..., 3]; at temperature 1 the input."""
        if self.temperature == 1.0:
            return probability
        return tempered(probability, self.temperature)


def calibrate(model: "TrainedModel", graph: GraphSequence, validation_T: BoolArray) -> Calibration:
    """Fit the temperature on the bars of the validation span, and on nothing else."""
    # Imported on use: reports are read where nothing is computed, and torch is not needed there.
    from gnn_trainer.training.inference import score_bars
    from gnn_trainer.training.samples import usable_rows

    rows = np.flatnonzero(validation_T)
    start, stop = int(rows[0]), int(rows[-1]) + 1
    span = slice(start, stop)
    probability_CN3 = score_bars(model, graph, start, stop).probability_CN3
    class_CN = direction_classes(
        graph.ret_TN[span], graph.sigma_TN[span], model.class_threshold, model.label_config
    )
    known_CN = usable_rows(graph)[span] & validation_T[span, None]
    return fit_temperature(probability_CN3[known_CN], class_CN[known_CN])


def fit_temperature(probability_S3: npt.NDArray[np.floating], class_S: ClassArray) -> Calibration:
    """The temperature of least log-loss on samples of the validation span.

    `probability_S3` are the network's, `class_S` the true classes 0, 1, 2. No sample: 1.
    """
    if len(class_S) == 0:
        return Calibration()

    logit_S3 = _logits(probability_S3).astype(np.float64)
    true_S = np.take_along_axis(logit_S3, class_S[:, None].astype(np.int64), axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float(np.mean(logsumexp(logit_S3 / temperature, axis=1) - true_S / temperature))

    bounds = tuple(np.log(TEMPERATURES))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    after_S3 = tempered(probability_S3, temperature)
    return Calibration(
        temperature=temperature,
        samples=len(class_S),
        ece_before=expected_calibration_error(probability_S3, class_S),
        ece_after=expected_calibration_error(after_S3, class_S),
        log_loss_before=surprise(class_S, probability_S3),
        log_loss_after=surprise(class_S, after_S3),
    )


def tempered(probability: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.floating]:
    """softmax(log p / temperature) over the last axis, of the same type."""
    shared: npt.NDArray[np.floating] = softmax(_logits(probability) / temperature, axis=-1)
    return shared.astype(probability.dtype)


def _logits(probability: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Logits whose softmax the probabilities are."""
    logits: npt.NDArray[np.floating] = np.log(np.maximum(probability, _SMALLEST))
    return logits


def expected_calibration_error(
    probability_S3: npt.NDArray[np.floating], class_S: ClassArray
) -> float:
    """Mean |how often right - how sure| over 15 equal bins of the likeliest class's probability.

    Guo et al. 2017, eq. 3, weighted by the samples of a bin. NaN without samples.
    """
    if len(class_S) == 0:
        return float("nan")
    sure_S = probability_S3.max(axis=1).astype(np.float64)
    right_S = probability_S3.argmax(axis=1) == class_S
    bin_S = np.minimum((sure_S * BINS).astype(np.int64), BINS - 1)
    gap_B = np.bincount(bin_S, weights=right_S - sure_S, minlength=BINS)
    return float(np.abs(gap_B).sum() / len(class_S))
