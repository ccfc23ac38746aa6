"""Maximum likelihood logistic regression with R's tables: glm, profile intervals, lrm's indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

from imrad.evaluation.outcomes import FloatArray, binary_outcome, finite
from imrad.evaluation.rank_indices import in_lrm_bins, rank_indices
from imrad.exceptions import FitError

__all__ = ["LogisticFit", "fit_each_column", "fit_logistic", "gini_mean_difference"]


@dataclass(frozen=True)
class LogisticFit:
    """A fitted logistic regression; the first coefficient is the intercept.

    Attributes
    ----------
    names : list of str
    coef : ndarray, shape (n_coefficients,)
    covariance : ndarray, shape (n_coefficients, n_coefficients)
    loglik, loglik_null : float
    design, outcome, weights, offset : ndarray
        What was fitted, for profile intervals.
    separated : bool
        A combination of the columns tells the classes apart (nearly) perfectly; coefficients and
        intervals then have no finite value and what is shown is where the iteration stopped.
    """

    names: list[str]
    coef: FloatArray
    covariance: FloatArray
    loglik: float
    loglik_null: float
    design: FloatArray
    outcome: FloatArray
    weights: FloatArray
    offset: FloatArray
    separated: bool

    @property
    def linear_predictor(self) -> FloatArray:
        """Log odds of the fitted patients."""
        return np.asarray(self.design @ self.coef + self.offset)

    def predict(self, columns: npt.ArrayLike) -> FloatArray:
        """Return probabilities for new rows of the same columns (without intercept)."""
        x = np.asarray(columns, dtype=float).reshape(-1, len(self.coef) - 1)
        return np.asarray(special.expit(self.coef[0] + x @ self.coef[1:]))

    def table(self, *, level: float = 0.95, profile: bool = False) -> pd.DataFrame:
        """Return term, coef, se, z, p, odds_ratio, low, high; limits by Wald or profile likelihood."""
        se = np.sqrt(np.diag(self.covariance))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = self.coef / se
            half = stats.norm.ppf(0.5 + level / 2) * se
            limits = np.column_stack([self.coef - half, self.coef + half])
            if profile and not self.separated:
                limits = np.array([self.profile_interval(k, level=level) for k in range(len(self.coef))])
            return pd.DataFrame(
                {
                    "term": self.names,
                    "coef": self.coef,
                    "se": se,
                    "z": z,
                    "p": 2 * stats.norm.sf(np.abs(z)),
                    "odds_ratio": np.exp(self.coef),
                    "low": np.exp(limits[:, 0]),
                    "high": np.exp(limits[:, 1]),
                }
            )

    def profile_interval(self, column: int, *, level: float = 0.95) -> tuple[float, float]:
        """Return the limits of one coefficient where twice the profile log likelihood falls by chi-square's quantile.

        Infinite where it never falls that far.
        """
        drop = float(stats.chi2.ppf(level, 1)) / 2
        others = [k for k in range(len(self.coef)) if k != column]
        start = self.coef[others]

        def gap(value: float) -> float:
            shifted = self.offset + value * self.design[:, column]
            _, loglik, _ = _newton(self.design[:, others], self.outcome, self.weights, shifted, start)
            return self.loglik - loglik - drop

        se = float(np.sqrt(self.covariance[column, column]))
        ends = []
        for sign in (-1.0, 1.0):
            step = 1.0
            while step < 64 and gap(self.coef[column] + sign * step * se) < 0:
                step *= 2
            far = self.coef[column] + sign * step * se
            ends.append(float(optimize.brentq(gap, self.coef[column], far, xtol=1e-10)) if step < 64 else sign * np.inf)
        return ends[0], ends[1]

    def indices(self) -> dict[str, float]:
        """Return lrm's indices: lr_chi2, df, p, r2 (Nagelkerke), r2_n, r2_adjusted, c, dxy, brier, g, gr, gp, aic.

        Besides gamma and tau_a, by patients (case weights do not count). lrm bins predictions before it
        ranks them; what it prints is c_binned, dxy_binned, gamma_binned and tau_a_binned, off by up to
        0.004.
        """
        n, p = float(self.weights.sum()), len(self.coef) - 1
        lr = 2 * (self.loglik - self.loglik_null)
        prevalence = float(self.weights @ self.outcome) / n
        effective = 3 * n * prevalence * (1 - prevalence)
        probability = special.expit(self.linear_predictor)
        largest = 1 - np.exp(2 * self.loglik_null / n)
        return {
            "n": n,
            "lr_chi2": lr,
            "df": float(p),
            "p": float(stats.chi2.sf(lr, p)) if p else float("nan"),
            "deviance": -2 * self.loglik,
            "null_deviance": -2 * self.loglik_null,
            "aic": -2 * self.loglik + 2 * (p + 1),
            "r2": float((1 - np.exp(-lr / n)) / largest) if largest > 0 else float("nan"),
            "r2_n": float(1 - np.exp(-lr / n)),
            "r2_n_adjusted": float(1 - np.exp(-max(lr - p, 0) / n)),
            "r2_effective": float(1 - np.exp(-lr / effective)) if effective > 0 else float("nan"),
            "r2_effective_adjusted": float(1 - np.exp(-max(lr - p, 0) / effective)) if effective > 0 else float("nan"),
            **rank_indices(self.outcome, np.round(self.linear_predictor, 12)),
            **{f"{name}_binned": v for name, v in rank_indices(self.outcome, in_lrm_bins(probability)).items()},
            "brier": float(np.average((self.outcome - probability) ** 2, weights=self.weights)),
            "g": gini_mean_difference(self.linear_predictor),
            "gr": float(np.exp(min(gini_mean_difference(self.linear_predictor), 700.0))),
            "gp": gini_mean_difference(probability),
        }


def gini_mean_difference(values: npt.ArrayLike) -> float:
    """Return the mean absolute difference between two patients' values."""
    x = np.sort(np.asarray(values, dtype=float))
    n = len(x)
    if n < 2:
        return float("nan")
    return float(2 * np.sum((2 * np.arange(1, n + 1) - n - 1) * x) / (n * (n - 1)))


def fit_logistic(
    outcome: npt.ArrayLike,
    columns: npt.ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    weights: npt.ArrayLike | None = None,
    offset: npt.ArrayLike | None = None,
) -> LogisticFit:
    """Fit a logistic regression with intercept by maximum likelihood.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    columns : array_like, shape (n_patients, n_columns), optional
        Without columns, the intercept alone.
    names : sequence of str, optional
        Of the columns.
    weights, offset : array_like, shape (n_patients,), optional

    Raises
    ------
    FitError
        If a class is empty, a column is constant, or columns depend on each other.
    CohortError
        If a value is missing.
    """
    y = binary_outcome(outcome).astype(float)
    n = len(y)
    x = np.zeros((n, 0)) if columns is None else finite(columns, n, "predictors").reshape(n, -1)
    labels = list(names) if names is not None else [f"x{k}" for k in range(x.shape[1])]
    case = np.ones(n) if weights is None else finite(weights, n, "weights")
    shift = np.zeros(n) if offset is None else finite(offset, n, "offset")
    positive = float(case @ y)
    if positive == 0 or positive == case.sum():
        message = f"{positive:g} events among {case.sum():g} patients: a logistic regression needs both classes"
        raise FitError(message)
    used = case > 0
    constant = [name for name, column in zip(labels, x[used].T, strict=True) if np.ptp(column) == 0]
    if constant:
        message = f"{constant[0]} has one value in all patients fitted: leave it out"
        raise FitError(message)
    # Fitted on standardised columns, so that scales do not hurt the iteration.
    mean, sd = np.average(x, axis=0, weights=case), x[used].std(axis=0)
    scaled = np.column_stack([np.ones(n), (x - mean) / sd])
    if np.linalg.matrix_rank(scaled[used]) < scaled.shape[1]:
        message = f"the {x.shape[1]} predictors depend on each other in {int(used.sum())} patients: leave some out"
        raise FitError(message)
    coef, loglik, information = _newton(scaled, y, case, shift, np.zeros(scaled.shape[1]))
    null = _newton(np.ones((n, 1)), y, case, shift, np.zeros(1))[1]
    back = np.eye(len(coef))
    back[1:, 1:] = np.diag(1 / sd)
    back[0, 1:] = -mean / sd
    fitted = special.expit(scaled @ coef + shift)[used]
    separated = bool(np.any(np.minimum(fitted, 1 - fitted) < 1e-8) and (np.abs(coef) > 15).any()) or loglik > -1e-6
    covariance = back @ np.linalg.pinv(information) @ back.T
    design = np.column_stack([np.ones(n), x])
    return LogisticFit(
        ["(Intercept)", *labels], back @ coef, covariance, loglik, null, design, y, case, shift, separated
    )


def fit_each_column(
    outcome: npt.ArrayLike, columns: npt.ArrayLike, *, standardise: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Fit a logistic regression on each column alone, all at once.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    columns : array_like, shape (n_patients, n_columns)
        Missing values are left out, column by column.
    standardise : bool
        Coefficients per standard deviation (of n) instead of per unit.

    Returns
    -------
    coef, se : ndarray, shape (n_columns,)
        NaN where a class is empty, the column is constant or it separates the classes.
    """
    y = binary_outcome(outcome).astype(float)[:, None]
    x = np.asarray(columns, dtype=float).reshape(len(y), -1)
    known = np.isfinite(x)
    n = known.sum(axis=0)
    positive = (known * y).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, x, 0.0).sum(axis=0) / n
        sd = np.sqrt(np.where(known, (x - mean) ** 2, 0.0).sum(axis=0) / n)
        possible = (positive > 0) & (positive < n) & (sd > 1e-12 * np.abs(mean))
        z = np.where(known & possible, (x - mean) / np.where(possible, sd, 1.0), 0.0)
        start = np.where(possible, np.log(positive / np.maximum(n - positive, 1)), 0.0)
    coef = np.vstack([start, np.zeros(len(start))])
    determinant = information = np.ones((3, len(start)))
    for _ in range(40):
        p = special.expit(coef[0] + z * coef[1])
        weight = known * p * (1 - p)
        residual = known * (y - p)
        information = np.array([weight.sum(axis=0), (weight * z).sum(axis=0), (weight * z * z).sum(axis=0)])
        determinant = np.maximum(information[0] * information[2] - information[1] ** 2, 1e-300)
        slope = np.array([residual.sum(axis=0), (residual * z).sum(axis=0)])
        step = np.array(
            [
                information[2] * slope[0] - information[1] * slope[1],
                information[0] * slope[1] - information[1] * slope[0],
            ]
        )
        step = np.clip(step / determinant, -2.0, 2.0)
        coef = coef + step
        if np.abs(step[:, possible]).max(initial=0.0) < 1e-10:
            break
    fine = possible & (np.abs(step).max(axis=0) < 1e-6) & (np.abs(coef[1]) < 30)
    unit = np.ones(len(sd)) if standardise else sd
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(information[0] / determinant) / unit
        return np.where(fine, coef[1] / unit, np.nan), np.where(fine, se, np.nan)


def _newton(
    design: FloatArray, y: FloatArray, case: FloatArray, offset: FloatArray, start: FloatArray
) -> tuple[FloatArray, float, FloatArray]:
    def value(beta: FloatArray) -> float:
        eta = design @ beta + offset
        return float(case @ (y * eta - np.logaddexp(0.0, eta)))

    coef = np.asarray(start, dtype=float)
    loglik = value(coef)
    information = np.eye(design.shape[1])
    for _ in range(60):
        p = special.expit(design @ coef + offset)
        information = (design * (case * p * (1 - p))[:, None]).T @ design
        step = np.linalg.lstsq(information, design.T @ (case * (y - p)), rcond=None)[0]
        length = 1.0
        while length > 1e-6 and not value(coef + length * step) >= loglik - 1e-12 * abs(loglik):
            length /= 2
        coef = coef + length * step
        new = value(coef)
        if abs(new - loglik) <= 1e-13 * (abs(new) + 0.1) and np.max(np.abs(step), initial=0.0) < 1e-8:
            loglik = new
            break
        loglik = new
    p = special.expit(design @ coef + offset)
    information = (design * (case * p * (1 - p))[:, None]).T @ design
    return coef, loglik, information
