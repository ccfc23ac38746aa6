"""Lasso and elastic net for a binary or numeric response, with cv.glmnet's measures of choice."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from imrad.evaluation.outcomes import FloatArray, binary_outcome
from imrad.evaluation.roc import auc
from imrad.exceptions import ConfigError, FeasibilityError
from imrad.survival.columns import checked_columns
from imrad.survival.outcome import as_numbers
from imrad.survival.penalised import GAUSSIAN, LOGISTIC, PenalisedPath, Problem, fit_path
from imrad.survival.penalty_choice import balanced_folds, best, factors, fold_labels, over_folds

__all__ = ["LassoResponse"]

_MEASURES = {"binomial": ("deviance", "auc", "mse", "class"), "gaussian": ("mse", "mae")}


class LassoResponse(BaseEstimator):  # type: ignore[misc]
    """Penalised logistic or linear regression, the penalty chosen by cross-validation.

    Parameters
    ----------
    family : {"binomial", "gaussian"}
    l1_ratio, penalty, unpenalised, choice, n_folds, n_lambdas, lambda_min_ratio, lambdas, standardise, seed, tol
        As in :class:`~imrad.survival.lasso_cox.LassoCox`.
    measure : str, optional
        ``deviance`` (default), ``auc``, ``mse`` or ``class`` for a binary response (one founding
        study chose by ``mse``); ``mse`` (default) or ``mae`` for a numeric one.

    Attributes
    ----------
    coef_, intercept_ : ndarray and float
        On the original scale.
    selected_, lambda_, lambda_min_, lambda_1se_, path_, cv_
        As in LassoCox.

    References
    ----------
    Friedman et al., 2010, doi:10.18637/jss.v033.i01.
    """

    def __init__(
        self,
        family: str = "binomial",
        *,
        l1_ratio: float = 1.0,
        penalty: float | None = None,
        unpenalised: Any = (),
        measure: str | None = None,
        choice: str = "min",
        n_folds: int = 10,
        n_lambdas: int = 100,
        lambda_min_ratio: float | None = None,
        lambdas: Any = None,
        standardise: bool = True,
        seed: int = 0,
        tol: float = 1e-7,
    ) -> None:
        self.family = family
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

    def fit(self, X: Any, y: Any, *, folds: Any = None) -> Self:
        """Fit the path, choose the penalty, and keep its coefficients.

        Raises
        ------
        ConfigError
            If a setting is unknown.
        FeasibilityError
            If a binary response has one class only, or a class has fewer than two patients.
        """
        X = checked_columns(self, X)
        if self.family not in _MEASURES or self.choice not in ("min", "1se"):
            message = f"family must be binomial or gaussian and choice min or 1se; found {self.family}, {self.choice}"
            raise ConfigError(message)
        measure = self.measure or _MEASURES[self.family][0]
        if measure not in _MEASURES[self.family]:
            message = f"measure must be one of {', '.join(_MEASURES[self.family])}; found {measure!r}"
            raise ConfigError(message)
        target = self._target(y, len(X))
        factor = factors(self.unpenalised, getattr(self, "feature_names_in_", None), X.shape[1])
        self.cv_: pd.DataFrame | None = None
        self.lambda_min_ = self.lambda_1se_ = np.nan
        given = None if self.lambdas is None else np.asarray(self.lambdas, dtype=float)
        if self.penalty is not None:
            given = np.array([self.penalty], dtype=float)
        self.path_ = self._path(X, target, factor, given)
        step = 0 if self.penalty is not None else self._choose(X, target, factor, given, folds, measure)
        self.lambda_ = float(self.path_.lambdas[step])
        self.coef_, self.intercept_ = self.path_.coef[:, step].copy(), float(self.path_.intercept[step])
        self.selected_ = np.flatnonzero(self.coef_)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the linear predictor."""
        check_is_fitted(self)
        X = checked_columns(self, X, fitted=True)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def probability(self, X: Any) -> FloatArray:
        """Return the probability of the event (binomial family)."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-self.predict(X))))

    def _target(self, y: Any, n: int) -> FloatArray:
        if self.family == "gaussian":
            target = np.asarray(as_numbers(y), dtype=float)
            if target.ndim == 1:
                target = checked_columns(clone(self), target[:, None])[:, 0]
        else:
            target = binary_outcome(y).astype(float)
            rarer = int(min(target.sum(), len(target) - target.sum()))
            if rarer < 2:
                message = (
                    f"the response has {rarer} patients in its rarer class of {len(target)}; at least 2 are needed"
                )
                raise FeasibilityError(message)
        if target.shape != (n,):
            message = f"X has {n} rows and y has shape {target.shape}: one value per patient is needed"
            raise ValueError(message)
        return target

    def _path(self, X: FloatArray, target: FloatArray, factor: FloatArray, lambdas: FloatArray | None) -> PenalisedPath:
        family = LOGISTIC if self.family == "binomial" else GAUSSIAN
        return fit_path(
            Problem.linear(X, target, family, standardise=self.standardise),
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
        target: FloatArray,
        factor: FloatArray,
        given: FloatArray | None,
        folds: Any,
        measure: str,
    ) -> int:
        classes = target if self.family == "binomial" else np.zeros(len(target))
        label = (
            balanced_folds(classes, min(self.n_folds, len(target)), self.seed, "lasso_response")
            if folds is None
            else fold_labels(folds, len(target))
        )
        lambdas = self.path_.lambdas
        values = np.full((label.max() + 1, len(lambdas)), np.nan)
        for fold in range(label.max() + 1):
            out = label == fold
            if self.family == "binomial" and len(np.unique(target[~out])) < 2:
                message = f"training part of fold {fold} has one class only; use fewer folds"
                raise FeasibilityError(message)
            coef, intercept = self._path(X[~out], target[~out], factor, given).at(lambdas)
            values[fold] = _loss(measure, target[out], X[out] @ coef + intercept, self.family)
        mean, error = over_folds(values, np.bincount(label).astype(float))
        lowest, within = best(mean, error, larger_is_better=measure == "auc")
        selected = (self.path_.coef != 0).sum(axis=0)
        self.cv_ = pd.DataFrame({"lambda": lambdas, "mean": mean, "se": error, "n_selected": selected})
        self.lambda_min_, self.lambda_1se_ = float(lambdas[lowest]), float(lambdas[within])
        return lowest if self.choice == "min" else within


def _loss(measure: str, target: FloatArray, link: FloatArray, family: str) -> FloatArray:
    """Mean loss of each column of linear predictors, on cv.glmnet's scales."""
    y = target[:, None]
    if family == "gaussian":
        return np.asarray(((y - link) ** 2 if measure == "mse" else np.abs(y - link)).mean(axis=0))
    if measure == "auc":
        if len(np.unique(target)) < 2:
            return np.full(link.shape[1], np.nan)
        return np.asarray(auc(target, link))
    with np.errstate(over="ignore"):
        probability = 1 / (1 + np.exp(-link))
    if measure == "mse":
        # Both classes count, so this is twice the Brier score.
        return np.asarray(2 * ((y - probability) ** 2).mean(axis=0))
    if measure == "class":
        return np.asarray(((probability > 0.5) != (y > 0.5)).mean(axis=0))
    bounded = np.clip(probability, 1e-5, 1 - 1e-5)
    return np.asarray(-2 * (y * np.log(bounded) + (1 - y) * np.log(1 - bounded)).mean(axis=0))
