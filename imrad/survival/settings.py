"""Settings of the survival stage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ResponseModelSettings", "SurvivalSettings"]


class ResponseModelSettings(BaseModel):
    """A model of a binary endpoint; every key is an attribute of :class:`imrad.survival.BinaryModel`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks: tuple[str, ...] = Field(min_length=1, description="Blocks of predictors, such as Clinical and Rad.")
    unpenalised: tuple[str, ...] = Field(("Clinical", "Volume"), description="Blocks that enter without penalty.")
    screening: dict[str, float] = Field(
        {"Rad": 30},
        description="Columns kept of a block by the rank-sum test: how many, or the p (below 1) to be below.",
    )
    choice: Literal["min", "1se"] = Field("min", description="Rule for the lasso's penalty.")
    l1_ratio: float = Field(1.0, gt=0, le=1, description="1 for the lasso, below for the elastic net.")
    estimator: Literal["logistic", "svm", "forest"] = Field("logistic", description="What is fitted.")
    select: bool = Field(False, description="Let the lasso choose columns first.")
    combine: bool = Field(False, description="Let the penalised blocks enter as one score.")
    components: int = Field(0, ge=0, description="Principal components that a forest grows on.")
    cuts: tuple[str, ...] = Field((), description="Columns cut at Youden's point of the training patients.")

    def parameters(self) -> dict[str, Any]:
        """Return the arguments of :class:`imrad.survival.BinaryModel`, but for the name."""
        return self.model_dump()


class SurvivalModelSettings(BaseModel):
    """A survival model of your own over blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    blocks: tuple[str, ...] = Field(min_length=1, description="Blocks, such as Clinical, Immune, Rad, ImRad.")
    learner: Literal["lasso", "gbm", "forest", "radscore"] = Field(
        "lasso", description="Lasso-Cox (Clinical and Volume unpenalised), boosting, a forest, or the Radscore."
    )
    choice: Literal["min", "1se"] = Field("min", description="Rule for the penalty of the Lasso.")
    cut: tuple[str, ...] = Field((), description="Blocks whose columns are cut at the training median.")


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
    radscore: bool = Field(
        False, description="Also fit the Radscore: what six learners share, in a stepwise Cox regression by AIC."
    )
    models: dict[str, SurvivalModelSettings] = Field(
        default_factory=dict, description="Models of survival endpoints beside the usual ones: NAME: how."
    )
    study_tables: bool = Field(
        False, description="Also AUC over time by fold, ROC curves at each horizon, maximally selected cut-points."
    )
    response_models: dict[str, ResponseModelSettings] = Field(
        default_factory=dict, description="Models of binary endpoints: NAME: how; else Clinical, Volume, Rad and more."
    )
    response_question: tuple[str, str] | None = Field(
        None, description="The two response models whose difference is the verdict: candidate and reference."
    )
