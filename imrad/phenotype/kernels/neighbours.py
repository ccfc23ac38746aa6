"""Nearest neighbours by plain distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.learners import Job

__all__ = ["NeighboursLearner", "neighbours_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _vote(X: Any, y: Any, new: Any, k: int, by_distance: bool) -> Any:
    n, p = X.shape
    out = np.empty(len(new))
    near = np.empty(k)
    who = np.empty(k, np.int64)
    for row in range(len(new)):
        held = 0
        for i in range(n):
            distance = 0.0
            for f in range(p):
                one = new[row, f] - X[i, f]
                distance += one * one
            if held == k and distance >= near[k - 1]:
                continue
            # The earlier of two rows at one distance stays in front.
            j = held if held < k else k - 1
            while j > 0 and near[j - 1] > distance:
                near[j], who[j] = near[j - 1], who[j - 1]
                j -= 1
            near[j], who[j] = distance, i
            held = min(held + 1, k)
        high, total = 0.0, 0.0
        same = by_distance and near[0] == 0.0
        for j in range(k):
            weight = 1.0
            if same:
                weight = 1.0 if near[j] == 0.0 else 0.0
            elif by_distance:
                weight = 1 / np.sqrt(near[j])
            total += weight
            high += weight * y[who[j]]
        out[row] = high / total
    return out


@dataclass(frozen=True)
class NeighboursLearner:
    """Share of class 1 among the nearest training patients.

    Attributes
    ----------
    k : int
        Number of neighbours; all training patients where there are fewer.
    by_distance : bool
        Weigh neighbours by 1 / distance.
    """

    k: int
    by_distance: bool

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Return the neighbours' vote for the new rows of each job."""
        return [
            np.asarray(_vote(job.X, np.asarray(job.y), job.X_new, min(self.k, len(job.X)), self.by_distance))
            for job in jobs
        ]


def neighbours_learner(defaults: str) -> NeighboursLearner:
    """Return the learner with a named set of settings."""
    settings = make_classifier("knn", defaults=defaults).get_params()
    return NeighboursLearner(settings["n_neighbors"], settings["weights"] == "distance")
