"""What trading is taken to cost, and what the gate demands."""

from pydantic import BaseModel, Field

from gnn_trainer.form import FORM


class CostConfig(BaseModel):
    """Costs of the backtest. One basis point is a ten-thousandth of the amount traded."""

    model_config = FORM

    fee_bps: float = Field(
        5.0, ge=0.0, le=1000.0, allow_inf_nan=False, description="Fee per trade, basis points."
    )
    half_spread_bps: float = Field(
        1.0,
        ge=0.0,
        le=1000.0,
        allow_inf_nan=False,
        description="Half the bid-ask spread, basis points, at bars without a recorded book.",
    )


class GateConfig(BaseModel):
    """What a model must show on the test span to become champion.

    That its audit passed and that its RankIC is above zero cannot be waived.
    """

    model_config = FORM

    min_confidence: float = Field(
        0.95,
        ge=0.0,
        lt=1.0,
        description="Least probability that the RankIC is more than the luck of the best of all "
        "models ever judged under this name. Each retraining counts as one.",
    )
    baseline_tolerance: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="RankIC that the model may fall short of any baseline, on the same bars.",
    )
    champion_tolerance: float = Field(
        0.002,
        ge=0.0,
        le=1.0,
        description="RankIC that the model may fall short of the present champion, likewise.",
    )
    min_champion_bars: int = Field(
        32, ge=5, le=100_000, description="Fewest bars, new to the champion, to compare the two on."
    )
    max_ece: float = Field(
        0.05, gt=0.0, le=1.0, description="Largest expected calibration error, after calibration."
    )
    min_coverage: float = Field(
        0.95, ge=0.0, le=1.0, description="Share of tradable symbol-bars that must be scored."
    )
    min_break_even_bps: float = Field(
        0.0,
        ge=-1000.0,
        le=1000.0,
        allow_inf_nan=False,
        description="Least cost per trade, basis points, that eats up all gains. No honest model "
        "of minutes or hours reaches a taker's fee; set it to what you pay to refuse them all.",
    )
