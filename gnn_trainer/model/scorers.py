"""What a fitted baseline is: a function from features to scores, as JSON and back."""

from typing import Annotated, Literal

import lightgbm
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from gnn_trainer.market.frame import FloatArray


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LinearScorer(_Record):
    """A weighted sum."""

    kind: Literal["linear"] = "linear"
    weight: tuple[float, ...]
    bias: float

    @classmethod
    def of(cls, fitted: Ridge) -> "LinearScorer":
        return cls(weight=tuple(fitted.coef_.tolist()), bias=float(fitted.intercept_))

    def score(self, x_SF: npt.NDArray[np.float32]) -> FloatArray:
        """[S], higher = expected to outperform; so for all scorers."""
        score_S: FloatArray = x_SF @ np.asarray(self.weight) + self.bias
        return score_S


class TreesScorer(_Record):
    """Boosted trees, in LightGBM's own text format."""

    kind: Literal["trees"] = "trees"
    text: str

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> "TreesScorer":
        return cls(text=booster.model_to_string())

    def score(self, x_SF: npt.NDArray[np.float32]) -> FloatArray:
        return np.asarray(lightgbm.Booster(model_str=self.text).predict(x_SF))


class PerceptronScorer(_Record):
    """Layers of weighted sums with rectifiers between them."""

    kind: Literal["perceptron"] = "perceptron"
    weights: tuple[list[list[float]], ...]  # by layer, [inputs, outputs]
    biases: tuple[list[float], ...]

    @classmethod
    def of(cls, fitted: MLPRegressor) -> "PerceptronScorer":
        return cls(
            weights=tuple(weight.tolist() for weight in fitted.coefs_),
            biases=tuple(bias.tolist() for bias in fitted.intercepts_),
        )

    def score(self, x_SF: npt.NDArray[np.float32]) -> FloatArray:
        layers = list(zip(self.weights, self.biases, strict=True))
        value = x_SF
        for place, (weight, bias) in enumerate(layers):
            value = value @ np.asarray(weight, np.float32) + np.asarray(bias, np.float32)
            if place < len(layers) - 1:
                np.maximum(value, 0.0, out=value)
        return value[:, 0].astype(np.float64)


Scorer = Annotated[LinearScorer | TreesScorer | PerceptronScorer, Field(discriminator="kind")]
