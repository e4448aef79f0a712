"""The size and shape of the network."""

from pydantic import BaseModel, Field

from gnn_trainer.form import FORM


class ModelConfig(BaseModel):
    """Small on purpose: hourly markets are mostly noise, and a large network learns the noise."""

    model_config = FORM

    hidden: int = Field(32, ge=8, le=512, description="Width of the hidden layers.")
    heads: int = Field(4, ge=1, le=16, description="Attention heads; must divide `hidden`.")
    graph_layers: int = Field(1, ge=1, le=4, description="Graph attention layers.")
    temporal_layers: int = Field(
        3, ge=1, le=8, description="Dilated causal convolutions; each doubles the history seen."
    )
    dropout: float = Field(
        0.3, ge=0.0, le=0.9, description="Share of units dropped inside the layers."
    )
    head_dropout: float = Field(
        0.5, ge=0.0, le=0.9, description="Share of units dropped before the outputs."
    )
