"""Filters of features before any model: by a rank-sum test, by redundancy, by spread, by another outcome."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.redundancy import correlation_matrix, find_correlation
from imrad.evaluation.two_group import screen
from imrad.exceptions import FitError

__all__ = ["ByOtherOutcome", "CorrelationFilter", "RankSumFilter", "VarianceFilter"]

BoolArray = npt.NDArray[np.bool_]


class _Filter(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    def _get_support_mask(self) -> BoolArray:
        check_is_fitted(self, "support_")
        mask: BoolArray = self.support_
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class RankSumFilter(_Filter):
    """Keep features that differ between the two classes (Mann-Whitney U test).

    Parameters
    ----------
    alpha : float
        Keep p values below this.
    method : str, optional
        Adjustment of the p values before `alpha` (``"BH"``, ``"holm"`` ...); studies use none.
    correct : bool
        Continuity correction.
    at_least : int
        Keep so many of the smallest p values where fewer are below `alpha`.

    Attributes
    ----------
    p_, p_adjusted_ : ndarray, shape (n_features,)
    support_ : ndarray of bool
    """

    def __init__(
        self, alpha: float = 0.05, method: str | None = None, *, correct: bool = True, at_least: int = 0
    ) -> None:
        self.at_least = at_least
        self.alpha = alpha
        self.method = method
        self.correct = correct

    def fit(self, X: Any, y: Any) -> Self:
        """Test every feature.

        Raises
        ------
        FitError
            If there is only one class.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        self.classes_ = np.unique(y)
        if len(self.classes_) != 2:
            message = f"{len(self.classes_)} classes in the training rows; a U test compares two"
            raise FitError(message)
        found = screen(y == self.classes_[1], X, correct=self.correct)
        self.p_ = found["p"].to_numpy()
        self.p_adjusted_ = self.p_ if self.method is None else adjust(self.p_, self.method)
        p = np.nan_to_num(self.p_adjusted_, nan=1.0)
        self.support_ = p < self.alpha
        if self.support_.sum() < self.at_least:
            self.support_[np.argsort(p, kind="stable")[: self.at_least]] = True
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class CorrelationFilter(_Filter):
    """Drop features until no two correlate above a threshold, as caret's findCorrelation.

    Parameters
    ----------
    threshold : float
        On absolute correlations.
    method : {"pearson", "spearman"}

    Attributes
    ----------
    support_ : ndarray of bool
    """

    def __init__(self, threshold: float = 0.9, method: str = "pearson") -> None:
        self.threshold = threshold
        self.method = method

    def fit(self, X: Any, y: Any = None) -> Self:
        """Correlate all pairs; missing values count as the median."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2)
        matrix = correlation_matrix(_filled(X), method=self.method)
        self.support_ = np.ones(X.shape[1], dtype=bool)
        self.support_[[int(k) for k in find_correlation(matrix, self.threshold)]] = False
        return self


class VarianceFilter(_Filter):
    """Drop features that hardly vary.

    Parameters
    ----------
    threshold : float
        Keep features of a larger variance; 0 drops constant ones only.

    Attributes
    ----------
    variances_ : ndarray, shape (n_features,)
    support_ : ndarray of bool
    """

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def fit(self, X: Any, y: Any = None) -> Self:
        """Measure every feature's variance over its known values."""
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        filled = _filled(X)
        self.variances_ = filled.var(axis=0)
        # Rounding leaves dust in the spread of a constant feature.
        dust = (10 * np.finfo(float).eps * np.abs(filled).max(axis=0, initial=0.0)) ** 2
        self.support_ = self.variances_ > np.maximum(self.threshold, dust)
        return self


class ByOtherOutcome(_Filter):
    """Select features by a selector that looks at another outcome than the model's own.

    Parameters
    ----------
    selector : selector
        Unfitted; it is handed the rows whose other outcome is known.

    Attributes
    ----------
    selector_ : selector
    n_known_ : int
    support_ : ndarray of bool
    """

    def __init__(self, selector: Any = None) -> None:
        self.selector = selector

    def fit(self, X: Any, y: Any = None, labels: Any = None) -> Self:
        """Fit the selector on the rows with a known other outcome.

        Parameters
        ----------
        X : array or DataFrame, shape (n, p)
        y : ignored
        labels : Series (classes) or DataFrame (time, event), n rows
            The other outcome.

        Raises
        ------
        FitError
            If too few rows know it, or all have the same class.
        """
        matrix = validate_data(self, X, dtype=np.float64)
        values = np.asarray(labels, dtype=float).reshape(len(matrix), -1)
        known = np.isfinite(values).all(axis=1)
        self.n_known_ = int(known.sum())
        event = values[known, -1]
        if self.n_known_ < 10 or event.min() == event.max():
            message = f"the other outcome is known for {self.n_known_} training rows, with {int(event.sum())} events"
            raise FitError(message)
        if values.shape[1] == 2:
            target: Any = (values[known, 0], event == 1)
        else:
            target = event.astype(int)
        self.selector_ = clone(self.selector).fit(matrix[known], target)
        self.support_ = np.asarray(self.selector_.get_support())
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        return tags


def _filled(X: FloatArray) -> FloatArray:
    known = ~np.isnan(X)
    medians = np.zeros(X.shape[1])
    some = known.any(axis=0)
    medians[some] = np.nanmedian(X[:, some], axis=0)
    return np.asarray(np.where(known, X, medians))
