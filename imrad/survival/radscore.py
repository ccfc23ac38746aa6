"""Radscore: the features that several learners agree on, in a Cox regression chosen by AIC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import FitError
from imrad.survival.columns import checked_columns
from imrad.survival.coxph import CoxPH
from imrad.survival.learners import study_learners
from imrad.survival.outcome import as_outcome, require_events
from imrad.survival.partial_likelihood import univariate
from imrad.survival.stepwise import StepwiseAIC

__all__ = ["Radscore"]


class Radscore(BaseEstimator):  # type: ignore[misc]
    """Common features of several survival learners, then stepwise Cox regression by AIC.

    Parameters
    ----------
    learners : mapping of str to estimator, optional
        With ``selected_`` after the fit; the six of the oesophageal founding study by default.
    events_per_candidate : int
        Of the common features no more enter the stepwise search than one per so many events, those of
        the largest univariate z; a search that begins with more would not converge.
    seed : int
        Of the learners.

    Attributes
    ----------
    learners_ : list of str
        Names of those that could be fitted.
    votes_ : ndarray of bool, shape (n_learners, n_features)
        Which learner selected which feature.
    needed_ : int
        Learners that had to agree: all, or fewer where all agree on nothing.
    candidates_, selected_ : ndarray of int
        Features before and after the stepwise search.
    coef_, se_ : ndarray, shape (n_features,)
        0 for features left out; standard errors ignore the selection.
    """

    def __init__(
        self, *, learners: Mapping[str, Any] | None = None, events_per_candidate: int = 5, seed: int = 0
    ) -> None:
        self.learners = learners
        self.events_per_candidate = events_per_candidate
        self.seed = seed

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the learners, take what they share, and search.

        Parameters
        ----------
        X : array, shape (n_patients, n_features)
            Usually what a univariate screening kept.
        y
            Times and events.

        Raises
        ------
        FitError
            If no learner can be fitted or none selects a feature.
        """
        X = checked_columns(self, X)
        time, event = as_outcome(y)
        require_events(event)
        votes: dict[str, BoolArray] = {}
        for name, model in (self.learners or study_learners(seed=self.seed)).items():
            try:
                found = clone(model).fit(X, (time, event)).selected_
            except FitError:
                continue
            votes[name] = np.isin(np.arange(X.shape[1]), found)
        if not any(vote.any() for vote in votes.values()):
            message = f"none of the learners selects any of {X.shape[1]} features; screen less strictly"
            raise FitError(message)
        self.learners_ = list(votes)
        self.votes_ = np.stack(list(votes.values()))
        counts = self.votes_.sum(axis=0)
        self.needed_ = int(counts.max())
        shared = np.flatnonzero(counts == self.needed_)
        most = max(1, int(event.sum()) // self.events_per_candidate)
        if len(shared) > most:
            z = np.abs(np.nan_to_num(univariate(X[:, shared], time, event)["z"]))
            shared = np.sort(shared[np.argsort(-z, kind="stable")[:most]])
        self.candidates_ = shared
        kept = StepwiseAIC().fit(X[:, shared], (time, event)).selected_
        # AIC may prefer no feature at all; a score needs one.
        self.selected_ = shared[np.sort(kept)] if len(kept) else shared[:1]
        model = _cox(X[:, self.selected_], time, event)
        self.coef_, self.se_ = np.zeros(X.shape[1]), np.full(X.shape[1], np.nan)
        self.coef_[self.selected_] = np.nan_to_num(model.coef_)
        self.se_[self.selected_] = np.sqrt(np.diag(model.variance_))
        return self

    def votes(self) -> dict[str, Any]:
        """Return who chose what, as plain values for a table."""
        check_is_fitted(self)
        candidates = [int(column) for column in self.candidates_]
        plain = {"learners": self.learners_, "matrix": self.votes_, "needed": self.needed_}
        return {**plain, "candidates": candidates}

    def predict(self, X: Any) -> FloatArray:
        """Return the Radscore, a log hazard ratio up to a constant."""
        check_is_fitted(self)
        return np.asarray(checked_columns(self, X, fitted=True) @ self.coef_)


def _cox(X: FloatArray, time: FloatArray, event: BoolArray) -> CoxPH:
    try:
        return CoxPH().fit(X, (time, event))
    except FitError:
        # One unit of information per column: enough to hold a separating column.
        return CoxPH(ridge=1.0).fit(X, (time, event))
