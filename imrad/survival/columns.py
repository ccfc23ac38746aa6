"""The predictors that every estimator takes, checked once: one name each, numbers, none missing, none too large."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import CohortError, FitError, NumbersError
from imrad.survival.outcome import matched_outcome, require_events

__all__ = ["LARGEST", "Chooser", "checked_columns", "checked_training", "checked_weights"]

LARGEST = 1e60
"""Fourth powers of larger values have no finite sum over a large cohort."""


def checked_columns(estimator: Any, X: Any, *, fitted: bool = False) -> FloatArray:
    """Return X as a matrix of numbers, and record its names in the estimator, or compare them.

    Parameters
    ----------
    estimator : BaseEstimator
    X : array-like, shape (n_patients, n_features)
    fitted : bool
        Whether X is new data for a fitted estimator.

    Raises
    ------
    CohortError
        If a table's column has no name of its own or holds text.
    NumbersError
        If values are missing, infinite or beyond 1e60.
    ValueError
        If X has no shape that can be used.
    """
    if isinstance(X, pd.DataFrame):
        X = _numbers(X)
    least = {} if fitted else {"ensure_min_samples": 2}
    matrix = np.asarray(
        validate_data(estimator, X, dtype=np.float64, ensure_all_finite=False, reset=not fitted, **least)
    )
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(matrix) <= LARGEST)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        names = getattr(estimator, "feature_names_in_", np.arange(matrix.shape[1]))
        message = (
            f"{int(bad.sum())} values of X are missing, infinite or beyond {LARGEST:g} (NaN or inf; the first is "
            f"{matrix[row, column]:g} in column {names[column]}, row {row}); impute or rescale them in the training "
            "part of each fold, or leave those patients out"
        )
        raise NumbersError(message)
    return matrix


def checked_training(estimator: Any, X: Any, y: Any) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return predictors, times and events of training patients, at least one of whom has an event."""
    matrix = checked_columns(estimator, X)
    time, event = matched_outcome(matrix, y)
    require_events(event)
    return matrix, time, event


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    names = pd.Index([str(name) for name in table.columns])
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        message = f"the table has several columns named {twice}; give each its own name"
        raise CohortError(message)
    kinds = {type(name) for name in table.columns}
    if str in kinds and len(kinds) > 1:
        table = table.set_axis(names, axis=1)
    odd = [name for name, kind in table.dtypes.items() if not isinstance(kind, np.dtype) or kind.kind == "O"]
    table = table.copy() if odd else table
    for name in odd:
        known = table[name].astype(object).where(table[name].notna(), np.nan)
        try:
            table[name] = known.astype(float)
        except (TypeError, ValueError) as error:
            message = f"column {name} does not hold numbers ({error}); code its classes as numbers first"
            raise CohortError(message) from error
    return table


def checked_weights(weight: Any, n: int) -> FloatArray | None:
    """Return one weight a patient, or None where none are given.

    Raises
    ------
    FitError
        If one is negative or not finite, or all are 0.
    """
    if weight is None:
        return None
    found = np.asarray(weight, dtype=float)
    if found.shape != (n,) or not np.isfinite(found).all() or (found < 0).any() or found.sum() <= 0:
        message = f"weights must be {n} finite numbers, none negative and not all 0; found an array of {found.shape}"
        raise FitError(message)
    return found


class Chooser(SelectorMixin):  # type: ignore[misc]
    """What every selector does alike: keep the columns `selected_`, in the order of X."""

    selected_: Any
    n_features_in_: int

    def _get_support_mask(self) -> BoolArray:
        check_is_fitted(self)
        return np.isin(np.arange(self.n_features_in_), self.selected_)

    def transform(self, X: Any) -> Any:
        """Return the selected columns.

        Raises
        ------
        FitError
            If none was selected.
        """
        if not self._get_support_mask().any():
            message = (
                f"{type(self).__name__} selected none of {self.n_features_in_} columns, so nothing is left to go on "
                "with; select less strictly, or leave this step out"
            )
            raise FitError(message)
        return super().transform(_numbers(X) if isinstance(X, pd.DataFrame) else X)
