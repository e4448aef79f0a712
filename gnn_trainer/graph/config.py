"""How the market graph is drawn."""

from pydantic import BaseModel, Field

from gnn_trainer.form import FORM


class GraphConfig(BaseModel):
    """Edge rules: what is measured, over how long, and how many edges each symbol keeps."""

    model_config = FORM

    neighbours: int = Field(8, ge=1, le=64, description="Incoming edges kept per symbol.")
    refresh_bars: int = Field(
        24, ge=1, le=10_000, description="Bars between two redrawings of the graph."
    )
    half_life_bars: int = Field(
        2000,
        ge=20,
        le=1_000_000,
        description="Bars after which an observation counts half in an edge.",
    )
    warmup_bars: int = Field(
        200,
        ge=20,
        le=100_000,
        description="Bars of history needed before the first graph is drawn.",
    )
    max_lag: int = Field(3, ge=1, le=12, description="Longest lead of a leader, in bars.")
    relation_neighbours: int = Field(
        8,
        ge=1,
        le=64,
        description="Incoming edges per symbol for prepared relations that no rule chose.",
    )
