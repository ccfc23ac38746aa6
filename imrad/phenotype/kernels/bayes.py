"""Naive Bayes on the bins that the fold has already drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.phenotype.classifiers import make_classifier
from imrad.phenotype.learners import Job

__all__ = ["BayesLearner", "bayes_learner"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@compiled(nogil=True)
def _posterior(codes: Any, y: Any, new: Any, n_bins: int) -> Any:
    n, p = codes.shape
    counts = np.zeros((p, n_bins, 2))
    high = 0
    for i in range(n):
        high += y[i]
        for f in range(p):
            if codes[i, f] >= 0:
                counts[f, codes[i, f], y[i]] += 1.0
    prior = np.log((high + 1) / (n + 2)) - np.log((n - high + 1) / (n + 2))
    # What a bin adds to the log odds.
    odds = np.empty((p, n_bins))
    for f in range(p):
        for b in range(n_bins):
            odds[f, b] = np.log(counts[f, b, 1] + 1) - np.log(counts[f, b, 0] + 1) - prior
    out = np.empty(len(new))
    for i in range(len(new)):
        value = prior
        for f in range(p):
            if new[i, f] >= 0:
                value += odds[f, new[i, f]]
        out[i] = 1 / (1 + np.exp(-value))
    return out


@dataclass(frozen=True)
class BayesLearner:
    """:class:`~imrad.phenotype.BinnedNaiveBayes` on given bins, as one sum of log odds."""

    def predict_many(self, jobs: Sequence[Job]) -> list[Floats]:
        """Count each job's bins and return P(class 1) of its new rows."""
        return [
            np.asarray(_posterior(job.codes, np.asarray(job.y, dtype=np.int64), job.codes_new, job.n_bins))
            for job in jobs
        ]


def bayes_learner(defaults: str) -> BayesLearner:
    """Return the learner; the bins are the job's."""
    make_classifier("naive_bayes", defaults=defaults)
    return BayesLearner()
