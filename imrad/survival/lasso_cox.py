"""Lasso and elastic-net Cox regression with glmnet's objective, path and cross-validated choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import ConfigError
from imrad.survival.baseline import breslow_hazard, survival_at
from imrad.survival.columns import checked_columns, checked_weights
from imrad.survival.outcome import as_outcome, matched_outcome, require_events
from imrad.survival.penalised import PenalisedPath, Problem, fit_path
from imrad.survival.penalty_choice import balanced_folds, best, factors, fold_labels, over_folds

__all__ = ["LassoCox", "breslow_deviance", "choose_penalty"]


class LassoCox(BaseEstimator):  # type: ignore[misc]
    """Cox regression with a lasso or elastic-net penalty, chosen by cross-validation.

    Objective, standardisation (1/n), path and choice are those of glmnet and cv.glmnet; tied times
    are Breslow's whatever their unit and row order, and coefficients are the converged optimum
    rather than glmnet's state at its stopping rule.

    Parameters
    ----------
    l1_ratio : float
        1 for the lasso, 0 for ridge, between them the elastic net (glmnet's alpha).
    penalty : float, optional
        A fixed lambda; no cross-validation is then done.
    unpenalised : sequence of str or int
        Columns without penalty, by name or position, such as clinical variables.
    measure : {"deviance", "fold_deviance", "c"}
        What cross-validation compares: partial-likelihood deviance of all patients less that of the
        training part (cv.glmnet's grouped=TRUE), that of the left-out fold alone (grouped=FALSE), or
        Harrell's C within the left-out folds.
    choice : {"min", "1se"}
        The best penalty, or the largest within one standard error of it.
    n_folds : int
        Cross-validation folds, balanced over events; fewer if there are fewer events.
    n_lambdas, lambda_min_ratio : int, float
        Length and end of the path; the ratio is 1e-4, or 0.01 with more columns than patients.
    lambdas : sequence of float, optional
        A path to use instead, for the whole cohort and every fold.
    standardise : bool
        Whether the penalty acts on columns scaled to unit variance.
    seed : int
        Of the folds.
    tol : float
        Greatest change of a standardised coefficient in the last Newton step.

    Attributes
    ----------
    coef_ : ndarray, shape (n_features,)
        On the original scale; all zero for the empty model.
    selected_ : ndarray of int
        Positions of the coefficients that are not zero.
    lambda_, lambda_min_, lambda_1se_ : float
        The penalty used; the two chosen ones (NaN without cross-validation).
    path_ : PenalisedPath
        Coefficients along the path.
    cv_ : DataFrame or None
        lambda, mean, se, n_selected.
    event_times_, baseline_hazard_ : ndarray
        Breslow's cumulative baseline hazard, at the training mean of the linear predictor.

    References
    ----------
    Simon et al., 2011, doi:10.18637/jss.v039.i05.
    """

    def __init__(
        self,
        *,
        l1_ratio: float = 1.0,
        penalty: float | None = None,
        unpenalised: Any = (),
        measure: str = "deviance",
        choice: str = "min",
        n_folds: int = 10,
        n_lambdas: int = 100,
        lambda_min_ratio: float | None = None,
        lambdas: Any = None,
        standardise: bool = True,
        seed: int = 0,
        tol: float = 1e-7,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.penalty = penalty
        self.unpenalised = unpenalised
        self.measure = measure
        self.choice = choice
        self.n_folds = n_folds
        self.n_lambdas = n_lambdas
        self.lambda_min_ratio = lambda_min_ratio
        self.lambdas = lambdas
        self.standardise = standardise
        self.seed = seed
        self.tol = tol

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, folds: Any = None) -> Self:
        """Fit the path, choose the penalty, and keep its coefficients.

        Parameters
        ----------
        X : array-like, shape (n_patients, n_features)
        y : structured array, (time, event), or two columns
            See :func:`~imrad.survival.outcome.as_outcome`.
        sample_weight : array-like, shape (n_patients,), optional
        folds : array-like, shape (n_patients,), optional
            The fold of each patient, instead of drawn ones.

        Raises
        ------
        TooFewEventsError
            If there is no event, or too few to cross-validate.
        CohortError
            If y is not survival data.
        ConfigError
            If a setting is unknown.
        """
        X = checked_columns(self, X)
        time, event = matched_outcome(X, y)
        self._check()
        require_events(event)
        weight = checked_weights(sample_weight, len(X))
        factor = factors(self.unpenalised, getattr(self, "feature_names_in_", None), X.shape[1])
        fixed = self.penalty is not None
        self.lambda_min_ = self.lambda_1se_ = np.nan
        self.cv_: pd.DataFrame | None = None
        if fixed:
            self.path_ = self._path(X, time, event, weight, factor, np.array([self.penalty], dtype=float))
            step = 0
        else:
            given = None if self.lambdas is None else np.asarray(self.lambdas, dtype=float)
            self.path_ = self._path(X, time, event, weight, factor, given)
            step = self._choose(X, time, event, weight, factor, given, folds)
        self.lambda_ = float(self.path_.lambdas[step])
        self.coef_ = self.path_.coef[:, step].copy()
        self.selected_ = np.flatnonzero(self.coef_)
        score = X @ self.coef_
        self.offset_ = float(score.mean())
        self.event_times_, self.baseline_hazard_ = breslow_hazard(time, event, score - self.offset_, weight)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the linear predictor; higher is an earlier event."""
        check_is_fitted(self)
        X = checked_columns(self, X, fitted=True)
        return np.asarray(X @ self.coef_)

    def predict_survival(self, X: Any, times: Any) -> FloatArray:
        """Return survival probabilities, shape (n_patients, n_times)."""
        return survival_at(self.event_times_, self.baseline_hazard_, self.predict(X) - self.offset_, times)

    def score(self, X: Any, y: Any) -> float:
        """Return Harrell's C."""
        time, event = as_outcome(y)
        return harrell_c(time, event, self.predict(X))

    def coef_at(self, penalty: float) -> FloatArray:
        """Return coefficients at another penalty, linear between the steps of the path."""
        check_is_fitted(self)
        return np.asarray(self.path_.at(np.array([penalty]))[0][:, 0])

    def _check(self) -> None:
        for name, value, known in (
            ("measure", self.measure, ("deviance", "fold_deviance", "c")),
            ("choice", self.choice, ("min", "1se")),
        ):
            if value not in known:
                message = f"{name} must be one of {', '.join(known)}; found {value!r}"
                raise ConfigError(message)
        if not 0 <= self.l1_ratio <= 1:
            message = f"l1_ratio must lie between 0 (ridge) and 1 (lasso); found {self.l1_ratio}"
            raise ConfigError(message)

    def _path(
        self,
        X: FloatArray,
        time: FloatArray,
        event: BoolArray,
        weight: FloatArray | None,
        factor: FloatArray,
        lambdas: FloatArray | None,
    ) -> PenalisedPath:
        return fit_path(
            Problem.cox(X, time, event, weight, standardise=self.standardise),
            l1_ratio=self.l1_ratio,
            penalty_factor=factor,
            lambdas=lambdas,
            n_lambdas=self.n_lambdas,
            lambda_min_ratio=self.lambda_min_ratio,
            tol=self.tol,
        )

    def _choose(
        self,
        X: FloatArray,
        time: FloatArray,
        event: BoolArray,
        weight: FloatArray | None,
        factor: FloatArray,
        given: FloatArray | None,
        folds: Any,
    ) -> int:
        if folds is None:
            require_events(event, 2, where="cross-validation of the penalty")
            n_folds = min(self.n_folds, int(event.sum()), len(event))
            label = balanced_folds(event, n_folds, self.seed, "lasso_cox")
        else:
            label = fold_labels(folds, len(event))

        def scores_of(fold: int) -> FloatArray:
            kept = label != fold
            inside = None if weight is None else weight[kept]
            path = self._path(X[kept], time[kept], event[kept], inside, factor, given)
            return np.asarray(X @ path.at(self.path_.lambdas)[0])

        lambdas = self.path_.lambdas
        table, lowest, within = choose_penalty(lambdas, time, event, label, scores_of, weight, measure=self.measure)
        table["n_selected"] = (self.path_.coef != 0).sum(axis=0)
        self.cv_ = table
        self.lambda_min_, self.lambda_1se_ = float(lambdas[lowest]), float(lambdas[within])
        return lowest if self.choice == "min" else within


def choose_penalty(
    lambdas: FloatArray,
    time: FloatArray,
    event: BoolArray,
    label: Any,
    scores_of: Callable[[int], FloatArray],
    weight: FloatArray | None = None,
    *,
    measure: str = "deviance",
) -> tuple[pd.DataFrame, int, int]:
    """Cross-validate a path of penalties as cv.glmnet does for Cox.

    Parameters
    ----------
    lambdas : ndarray, shape (n_lambdas,)
    time, event : ndarray, shape (n_patients,)
    label : ndarray of int, shape (n_patients,)
        Fold of each patient, from 0.
    scores_of : callable
        Fold to linear predictors of all patients, shape (n_patients, n_lambdas), by fits that have
        not seen the fold.
    weight : ndarray, shape (n_patients,), optional
    measure : {"deviance", "fold_deviance", "c"}

    Returns
    -------
    table : DataFrame
        lambda, mean, se.
    lowest, within : int
        Steps of the best mean, and of the largest penalty within one standard error.

    Raises
    ------
    TooFewEventsError
        If a training part has no event.
    """
    everyone = np.ones(len(event)) if weight is None else weight
    n_folds = int(np.max(label)) + 1
    values = np.full((n_folds, len(lambdas)), np.nan)
    sizes = np.zeros(n_folds)
    for fold in range(n_folds):
        out = label == fold
        require_events(event[~out], where=f"training part of fold {fold}")
        scores = scores_of(fold)
        if measure == "fold_deviance":
            values[fold] = breslow_deviance(time[out], event[out], scores[out], everyone[out])
            sizes[fold] = everyone[out & event].sum()
        elif measure == "deviance":
            whole = breslow_deviance(time, event, scores, everyone)
            values[fold] = whole - breslow_deviance(time[~out], event[~out], scores[~out], everyone[~out])
            sizes[fold] = everyone[out & event].sum()
        else:
            columns = scores[out].T
            values[fold] = [harrell_c(time[out], event[out], one, weights=everyone[out]) for one in columns]
            sizes[fold] = everyone[out].sum()
    if measure != "c":
        values /= np.where(sizes > 0, sizes, 1.0)[:, None]
    mean, error = over_folds(values, sizes)
    lowest, within = best(mean, error, larger_is_better=measure == "c")
    return pd.DataFrame({"lambda": lambdas, "mean": mean, "se": error}), lowest, within


def breslow_deviance(
    time: FloatArray, event: BoolArray, scores: FloatArray, weight: FloatArray | None = None
) -> FloatArray:
    """Return twice the saturated minus the Breslow log partial likelihood of each column of scores.

    Parameters
    ----------
    scores : ndarray, shape (n_patients, n_models)
        Linear predictors.
    weight : ndarray, shape (n_patients,), optional
        Scaled to a mean of 1, as glmnet does.
    """
    n = len(time)
    weight = np.ones(n) if weight is None else weight * (n / weight.sum())
    order = np.argsort(time, kind="stable")
    times, happened, w, eta = time[order], event[order] & (weight[order] > 0), weight[order], scores[order]
    top = eta.max(axis=0, initial=-np.inf)
    # A left-out patient can lie far outside a training fold's range: the bound keeps every risk above 0.
    risk = np.cumsum((w[:, None] * np.exp(np.maximum(eta - top, -700.0)))[::-1], axis=0)[::-1]
    moments = np.unique(times[happened])
    first = np.searchsorted(times, moments, side="left")
    deaths = np.bincount(np.searchsorted(moments, times[happened]), weights=w[happened], minlength=len(moments))
    with np.errstate(divide="ignore"):
        partial = w[happened] @ eta[happened] - deaths @ (np.log(risk[first]) + top)
    return np.asarray(2 * (-np.sum(deaths * np.log(deaths)) - partial))
