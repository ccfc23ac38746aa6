"""Lasso-Cox fusion and the survival statistics that reviewers know."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "BinaryFusion": "binary",
    "BinaryModel": "binary_models",
    "BinaryResult": "binary_result",
    "BlockModel": "models",
    "CARDS": "cards",
    "COMPARISON_MODELS": "models",
    "CoxBoost": "learners",
    "CoxPH": "coxph",
    "DEFAULT_MODELS": "models",
    "FusionResult": "fusion",
    "GradientBoostedCox": "learners",
    "LassoCox": "lasso_cox",
    "LassoResponse": "lasso_response",
    "StepwiseAIC": "stepwise",
    "SuperPC": "learners",
    "SurvivalForest": "learners",
    "SurvivalFusion": "fusion",
    "SurvivalMRMR": "screening",
    "SurvivalSettings": "settings",
    "UnivariateCox": "screening",
    "as_outcome": "outcome",
    "proportional_hazards": "cox_inference",
    "shared_features": "learners",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
