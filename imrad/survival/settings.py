"""Settings of the survival stage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["SurvivalSettings"]


class SurvivalSettings(BaseModel):
    """What a config may say about the survival stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_bootstrap: int = Field(100, ge=0, description="Bootstrap resamples for the optimism of models without ImRad.")
    horizons_days: tuple[float, ...] = Field(
        (365.0, 1095.0, 1825.0),
        description="Times at which AUC, Brier score, calibration and net benefit are asked for.",
    )
    comparison_models: bool = Field(
        False, description="Also fit gradient boosting and a survival forest, for comparison."
    )
