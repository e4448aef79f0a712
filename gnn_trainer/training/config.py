"""How the network is fitted."""

from typing import Literal

from pydantic import BaseModel, Field

from gnn_trainer.form import FORM


class FitConfig(BaseModel):
    """Optimisation settings other than epochs, learning rate and seed, which TrainConfig holds."""

    model_config = FORM

    members: int = Field(
        1, ge=1, le=50, description="Networks of different seeds whose mean opinion is the model."
    )
    batch_bars: int = Field(
        128, ge=8, le=100_000, description="Bars (whole market snapshots) per step."
    )
    weight_decay: float = Field(0.01, ge=0.0, le=10.0, description="AdamW weight decay.")
    clip_norm: float = Field(1.0, gt=0.0, le=1000.0, description="Largest gradient norm of a step.")
    ema_decay: float = Field(0.98, ge=0.0, lt=1.0, description="Decay of the averaged weights.")
    patience: int = Field(
        6,
        ge=1,
        le=100_000,
        description="Epochs without a better validation RankIC before stopping.",
    )
    book_dropout: float = Field(
        0.3, ge=0.0, lt=1.0, description="Share of bars trained as if no order book was recorded."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto is the GPU if there is one."
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that share every step, started by the run itself: one per GPU of "
        "its machine; on a CPU they share its cores.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Of matrix products while fitting; auto is bf16 on a GPU and fp32 on a CPU.",
    )
