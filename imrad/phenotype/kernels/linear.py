"""Penalised logistic regression by Newton steps to convergence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.learners import Job

__all__ = ["LogisticLearner", "logistic_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _loss(design: Any, y: Any, beta: Any, ridge: float) -> Any:
    total = 0.0
    for i in range(len(y)):
        value = 0.0
        for f in range(len(beta)):
            value += design[i, f] * beta[f]
        total += max(value, 0.0) - y[i] * value + np.log1p(np.exp(-abs(value)))
    for f in range(len(beta) - 1):
        total += 0.5 * ridge * beta[f] * beta[f]
    return total


@compiled(nogil=True)
def _newton(design: Any, y: Any, ridge: float) -> Any:
    """Return coefficients, the unpenalised intercept last."""
    n, k = design.shape
    beta = np.zeros(k)
    slope = np.empty(k)
    scaled = np.empty((n, k))
    now = _loss(design, y, beta, ridge)
    for _ in range(100):
        slope[:] = 0.0
        for i in range(n):
            value = 0.0
            for f in range(k):
                value += design[i, f] * beta[f]
            odds = np.exp(-abs(value))
            chance = 1 / (1 + odds) if value >= 0 else odds / (1 + odds)
            weight = chance * (1 - chance)
            away = chance - y[i]
            for f in range(k):
                slope[f] += away * design[i, f]
                scaled[i, f] = weight * design[i, f]
        curve = design.T @ scaled
        for f in range(k - 1):
            slope[f] += ridge * beta[f]
            curve[f, f] += ridge
        # Keeps the intercept's step finite where every patient is already certain.
        curve[k - 1, k - 1] += 1e-10
        if np.abs(slope).max() < 1e-10:
            break
        step = np.linalg.solve(curve, slope)
        size = 1.0
        gain = (slope * step).sum()
        while True:
            after = beta - size * step
            then = _loss(design, y, after, ridge)
            if then <= now - 1e-4 * size * gain or size < 1e-8:
                break
            size /= 2
        beta = after
        now = then
        if size * np.abs(step).max() < 1e-10:
            break
    return beta


@dataclass(frozen=True)
class LogisticLearner:
    """Ridge-penalised logistic regression.

    Attributes
    ----------
    C : float
        Inverse of the penalty's weight, as in scikit-learn.
    """

    C: float

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Fit each job and return P(class 1) of its new rows."""
        out = []
        for job in jobs:
            design = np.column_stack([job.X, np.ones(len(job.X))])
            beta = _newton(design, np.asarray(job.y, dtype=np.float64), 1 / self.C)
            # einsum adds in the same order whatever the number of new rows.
            value = np.einsum("ij,j->i", job.X_new, beta[:-1]) + beta[-1]
            out.append(np.asarray(expit(value)))
        return out


def logistic_learner(defaults: str) -> LogisticLearner:
    """Return the learner with a named set of settings."""
    return LogisticLearner(make_classifier("logistic_regression", defaults=defaults).get_params()["C"])
