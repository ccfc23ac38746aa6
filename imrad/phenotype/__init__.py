"""Targets, selectors, classifiers and the leak-free grid over them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "BinnedNaiveBayes": "classifiers",
    "CARDS": "cards",
    "EqualFrequencyBins": "discretise",
    "FCBF": "selectors",
    "FixedFeatures": "selectors",
    "GainRatio": "selectors",
    "Gates": "targets",
    "GiniDecrease": "selectors",
    "GridResult": "grid_result",
    "InformationGain": "selectors",
    "LassoSelector": "selectors",
    "MRMRSelector": "selectors",
    "PhenotypeGrid": "grid",
    "PhenotypeModel": "bundle",
    "PhenotypeSettings": "settings",
    "SupportVectors": "classifiers",
    "UnivariateSelector": "selectors",
    "make_classifier": "classifiers",
    "make_selector": "selectors",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"imrad.phenotype.{_HOMES[name]}"), name)
    message = f"module 'imrad.phenotype' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
