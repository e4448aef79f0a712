"""The windows over which features look back."""

from typing import Self

from pydantic import BaseModel, Field, model_validator

from gnn_trainer.form import FORM


class FeatureConfig(BaseModel):
    """Windows in bars. A window statistic counts valid bars only, and is absent below a share."""

    model_config = FORM

    short_window: int = Field(6, ge=2, le=1000, description="Bars of the short window.")
    medium_window: int = Field(48, ge=8, le=5000, description="Bars of the medium window.")
    long_window: int = Field(168, ge=16, le=20000, description="Bars of the long window.")
    beta_window: int = Field(
        240, ge=16, le=20000, description="Bars over which a symbol's market beta is measured."
    )
    min_valid_share: float = Field(
        0.5, gt=0.0, le=1.0, description="Least share of valid bars for a window statistic."
    )
    max_funding_age_hours: float = Field(
        24.0, gt=0.0, le=240.0, description="A settled funding rate older than this is unknown."
    )

    @model_validator(mode="after")
    def _windows_ascend(self) -> Self:
        windows = (self.short_window, self.medium_window, self.long_window)
        if not windows[0] < windows[1] < windows[2]:
            raise ValueError(
                f"windows {windows} do not ascend; "
                "set short_window < medium_window < long_window, e.g. 6, 48, 168"
            )
        return self
