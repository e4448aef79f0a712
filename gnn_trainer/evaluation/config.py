"""How a model is judged."""

from typing import get_args

from pydantic import BaseModel, Field, field_validator

from gnn_trainer.evaluation.placebos import Placebo
from gnn_trainer.evaluation.terms import CostConfig, GateConfig
from gnn_trainer.form import FORM


class EvaluationConfig(BaseModel):
    """What a model is compared with, what trading costs, and what the gate demands."""

    model_config = FORM

    placebos: str = Field(
        ",".join(get_args(Placebo)),
        description="Graphs that mean nothing, on which the same network is fitted again: any of "
        "random, shuffled, static, separated by commas; empty for none. Each costs a training.",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=50,
        description="Trainings of a walk-forward on each fold: of `seed` and those that follow it.",
    )
    costs: CostConfig = CostConfig()
    gate: GateConfig = GateConfig()

    @field_validator("placebos")
    @classmethod
    def _known_placebos(cls, value: str) -> str:
        unknown = set(_names(value)) - set(get_args(Placebo))
        if unknown:
            raise ValueError(
                f"expected any of {', '.join(get_args(Placebo))}, not {', '.join(sorted(unknown))}"
            )
        return value

    @property
    def placebo_graphs(self) -> tuple[Placebo, ...]:
        """The chosen placebos, each once, in the order of `Placebo`."""
        chosen = _names(self.placebos)
        return tuple(name for name in get_args(Placebo) if name in chosen)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
