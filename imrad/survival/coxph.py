"""Cox regression without penalty, with the tables that R's survival and SPSS print."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from imrad.evaluation.discrimination import harrell_c
from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import FitError
from imrad.survival.baseline import breslow_hazard, efron_hazard, survival_at
from imrad.survival.columns import checked_columns, checked_training, checked_weights
from imrad.survival.outcome import as_outcome
from imrad.survival.partial_likelihood import CoxRows, newton

__all__ = ["CoxPH"]


class CoxPH(BaseEstimator):  # type: ignore[misc]
    """Cox regression by the partial likelihood.

    Parameters
    ----------
    ties : {"efron", "breslow", "exact"}
        Efron's is the default of R, Breslow's that of SPSS and scikit-survival; ``exact`` is the
        discrete likelihood (R's ties="exact", conditional logistic regression), without weights.
    ridge : float
        Penalty ``ridge / 2 * sum b_j^2`` on standardised coefficients; 0 for none.

    Attributes
    ----------
    coef_ : ndarray, shape (n_features,)
        NaN for a column that is constant or determined by others, among all patients or in every
        risk set.
    variance_ : ndarray, shape (n_features, n_features)
    log_likelihood_, log_likelihood_null_, score_test_ : float
    n_events_ : int
    event_times_, baseline_hazard_ : ndarray
        Cumulative baseline hazard at the training mean of the linear predictor, of one stratum:
        Efron's where ties are Efron's, else Breslow's.

    References
    ----------
    Cox, 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Efron, 1977, doi:10.1080/01621459.1977.10480613.
    """

    def __init__(self, *, ties: str = "efron", ridge: float = 0.0) -> None:
        self.ties = ties
        self.ridge = ridge

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, strata: Any = None) -> Self:
        """Fit.

        Parameters
        ----------
        X : array-like, shape (n_patients, n_features)
        y : structured array, (time, event), or two columns
        sample_weight, strata : array-like, shape (n_patients,), optional

        Raises
        ------
        TooFewEventsError
            If there is no event.
        FitError
            If a column separates the outcome, so that no maximum exists.
        """
        X, time, event = checked_training(self, X, y)
        weight = checked_weights(sample_weight, len(X))
        rows = CoxRows.sort(X, time, event, weight=weight, strata=strata)
        fitted = newton(rows, ties=self.ties, ridge=self.ridge)
        if fitted.separated.any():
            names = getattr(self, "feature_names_in_", np.arange(X.shape[1]))
            message = (
                f"column {names[int(np.argmax(fitted.separated))]} separates the outcome and has no finite "
                "coefficient; leave it out, or set ridge"
            )
            raise FitError(message)
        self.coef_, self.variance_ = fitted.coef, fitted.variance
        self.log_likelihood_, self.log_likelihood_null_ = fitted.log_likelihood, fitted.log_likelihood_null
        self.score_test_, self.n_iter_ = fitted.score_test, fitted.iterations
        self.n_, self.n_events_ = len(event), int(event.sum())
        score = X @ np.nan_to_num(self.coef_)
        self.offset_ = float(score.mean())
        hazard = efron_hazard if self.ties == "efron" else breslow_hazard
        self.event_times_, self.baseline_hazard_ = hazard(time, event, score - self.offset_, weight)
        return self

    def predict(self, X: Any) -> FloatArray:
        """Return the linear predictor; higher is an earlier event."""
        check_is_fitted(self)
        X = checked_columns(self, X, fitted=True)
        return np.asarray(X @ np.nan_to_num(self.coef_))

    def predict_survival(self, X: Any, times: Any) -> FloatArray:
        """Return survival probabilities, shape (n_patients, n_times)."""
        return survival_at(self.event_times_, self.baseline_hazard_, self.predict(X) - self.offset_, times)

    def score(self, X: Any, y: Any) -> float:
        """Return Harrell's C."""
        time, event = as_outcome(y)
        return harrell_c(time, event, self.predict(X))

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return one row a predictor: feature, coef, se, hr, hr_low, hr_high, hr_inverse, z, p."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{j}" for j in range(len(self.coef_))])
        return wald_table(names, self.coef_, np.sqrt(np.diag(self.variance_)), level=level)

    def tests(self) -> pd.DataFrame:
        """Return the omnibus tests: test, statistic, df, p, and -2 log likelihood with and without predictors."""
        check_is_fitted(self)
        used = np.isfinite(self.coef_)
        df = int(used.sum())
        inside = self.variance_[np.ix_(used, used)]
        wald = float(self.coef_[used] @ np.linalg.solve(inside, self.coef_[used])) if df else 0.0
        ratio = 2 * (self.log_likelihood_ - self.log_likelihood_null_)
        values = [ratio, wald, self.score_test_]
        return pd.DataFrame(
            {
                "test": ["likelihood ratio", "wald", "score"],
                "statistic": values,
                "df": df,
                "p": stats.chi2.sf(values, df) if df else np.nan,
                "minus_2_log_likelihood": -2 * self.log_likelihood_,
                "minus_2_log_likelihood_null": -2 * self.log_likelihood_null_,
            }
        )


def wald_table(names: Any, coef: FloatArray, se: FloatArray, *, level: float = 0.95) -> pd.DataFrame:
    """Return hazard ratios with Wald intervals and p values, one row a predictor."""
    half = stats.norm.ppf(0.5 + level / 2) * se
    z = coef / se
    with np.errstate(over="ignore"):
        return pd.DataFrame(
            {
                "feature": [str(name) for name in names],
                "coef": coef,
                "se": se,
                "hr": np.exp(coef),
                "hr_low": np.exp(coef - half),
                "hr_high": np.exp(coef + half),
                "hr_inverse": np.exp(-coef),
                "z": z,
                "p": 2 * stats.norm.sf(np.abs(z)),
            }
        )
