"""Small fits that have numba compile what every fusion needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from imrad.survival.coxph import CoxPH
from imrad.survival.lasso_cox import LassoCox
from imrad.survival.screening import SurvivalMRMR

__all__ = ["REHEARSALS", "rehearse"]

_MODELS: dict[str, Callable[[], Any]] = {
    "lasso": partial(LassoCox, penalty=0.1),
    "mrmr": partial(SurvivalMRMR, k=1),
    "cox": CoxPH,
}

REHEARSALS = tuple(_MODELS)
"""The first takes as long to compile as all classifiers of the grid together."""


def rehearse(model: str) -> None:
    """Fit one of :data:`REHEARSALS` once, in the types and layouts of arrays that a fusion gives it."""
    X = np.random.default_rng(0).normal(size=(12, 2))
    _MODELS[model]().fit(X, (np.arange(1.0, 13.0), np.arange(12) % 2 == 0))
