"""Small fits that have numba compile the kernels of imrad's own classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imrad.phenotype.kernels import LEARNERS
from imrad.phenotype.learners import Job

__all__ = ["rehearsals", "rehearse"]

_LONGEST_FIRST = (
    "logistic_regression",
    "svm",
    "neural_network",
    "gradient_boosting",
    "random_forest",
    "naive_bayes",
    "knn",
)


def rehearsals(classifiers: Sequence[str]) -> list[str]:
    """Return which kernels the classifiers need, the longest to compile first; a stack stands on a logistic model."""
    needed = {"logistic_regression" if name == "stacking" else name for name in classifiers}
    return [name for name in _LONGEST_FIRST if name in needed]


def rehearse(classifier: str) -> None:
    """Fit a classifier once, in the types and layouts of arrays that the grid gives it."""
    X = np.random.default_rng(0).normal(size=(12, 2))
    y = np.arange(12) % 2
    codes = (X > 0).astype(np.int8)
    LEARNERS[classifier]("founding").predict_many([Job(X, y, X.copy(), codes, codes.copy(), 2, 0)])
