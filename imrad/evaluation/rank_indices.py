"""Rank correlation of a score with a binary outcome, exact and by rms's bins of the probability."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import FloatArray, binary_outcome, finite
from imrad.evaluation.roc import auc

__all__ = ["LRM_BINS", "in_lrm_bins", "rank_indices"]

LRM_BINS = 5000
"""rms::lrm (6.5) ranks probabilities in steps of 1/5000: two patients in one step are tied to it."""


def rank_indices(outcome: npt.ArrayLike, score: npt.ArrayLike) -> dict[str, float]:
    """Return c, dxy, gamma and tau_a of a score, over pairs of a patient with and one without the outcome.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    score : array_like, shape (n_patients,)
        Scores that differ by rounding alone must be rounded first. :func:`in_lrm_bins` makes of
        probabilities the score that rms::lrm and rms::val.prob rank, up to 0.004 off.

    Returns
    -------
    dict
        c; dxy (2 c - 1); gamma (pairs with tied scores left out); tau_a (over all pairs of patients).
    """
    y = binary_outcome(outcome)
    values, place = np.unique(finite(score, len(y), "score"), return_inverse=True)
    c = float(auc(y, place))
    pairs = float(y.sum()) * float((~y).sum())
    cases, controls = (np.bincount(place[part], minlength=len(values)) for part in (y, ~y))
    tied, excess = float(cases @ controls), (2 * c - 1) * pairs
    return {
        "c": c,
        "dxy": 2 * c - 1,
        "gamma": excess / (pairs - tied) if pairs > tied else float("nan"),
        "tau_a": excess / (len(y) * (len(y) - 1) / 2) if len(y) > 1 else float("nan"),
    }


def in_lrm_bins(probability: npt.ArrayLike) -> FloatArray:
    """Return the number of the bin in which rms::lrm ranks each probability."""
    return np.asarray(np.floor(np.asarray(probability, dtype=float) * LRM_BINS))
