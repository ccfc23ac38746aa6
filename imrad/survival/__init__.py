"""Lasso-Cox fusion and the survival statistics that reviewers know."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "BinaryFusion": "binary",
    "BinaryModel": "binary_models",
    "BinaryResult": "binary",
    "CARDS": "cards",
    "FusionResult": "fusion",
    "LassoCox": "lasso_cox",
    "SurvivalFusion": "fusion",
    "as_outcome": "outcome",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return __all__
