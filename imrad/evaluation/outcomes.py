"""The arrays that every metric takes, checked once: survival and binary outcomes, and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.exceptions import CohortError

__all__ = ["BoolArray", "FloatArray", "binary_outcome", "finite", "merge_close_times", "ranks", "survival_outcome"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
IntArray = np.ndarray[Any, np.dtype[np.intp]]


_ENDLESS = 1e100
"""Times from here on have no finite square; no unit needs them."""


def survival_outcome(time: npt.ArrayLike, event: npt.ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Return times and events as checked arrays.

    Parameters
    ----------
    time : array_like, shape (n_patients,)
        Time to event or censoring, such as days; 0 or more.
    event : array_like of bool or 0/1, shape (n_patients,)
        True where the event happened.

    Raises
    ------
    CohortError
        If lengths differ, a time is negative, missing or no number, or an event is neither 0 nor 1.
    """
    try:
        times = np.asarray(time, dtype=float)
    except (TypeError, ValueError) as error:
        message = f"times must be numbers ({error}); give days, or another unit, as numbers"
        raise CohortError(message) from error
    events = _zero_one(event, "event")
    if times.ndim != 1 or times.shape != events.shape:
        message = f"times of shape {times.shape} and events of shape {events.shape}: one of each per patient is needed"
        raise CohortError(message)
    bad = ~((times >= 0) & (times < _ENDLESS))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        message = (
            f"{int(bad.sum())} times are missing, infinite or negative (row {first}: {times[first]:g}); "
            "correct them or leave those patients out"
        )
        raise CohortError(message)
    return times, events


def binary_outcome(outcome: npt.ArrayLike) -> BoolArray:
    """Return a binary outcome as a checked array.

    Raises
    ------
    CohortError
        If a value is missing or neither 0 nor 1.
    """
    return _zero_one(outcome, "outcome")


def _zero_one(values: npt.ArrayLike, name: str) -> BoolArray:
    array = np.asarray(values)
    if array.dtype == np.bool_:
        return array.astype(bool)
    try:
        numbers = array.astype(float)
    except (TypeError, ValueError):
        numbers = np.full(array.shape, np.nan)
    bad = ~np.isin(numbers, (0.0, 1.0))
    if bad.any():
        message = f"{name}: {int(bad.sum())} values are neither 0 nor 1 (first: {array[bad][0]!s}); code it 0/1"
        raise CohortError(message)
    return np.asarray(numbers == 1.0)


def finite(values: npt.ArrayLike, n: int, name: str) -> FloatArray:
    """Return scores, probabilities or weights as floats, one per patient.

    Raises
    ------
    CohortError
        If the number of values is not `n`, or one is missing.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim == 0 or array.shape[0] != n:
        message = f"{name} of shape {array.shape} for {n} patients: one row per patient is needed"
        raise CohortError(message)
    if np.isnan(array).any():
        message = f"{name}: {int(np.isnan(array).sum())} values are missing; impute or leave those patients out"
        raise CohortError(message)
    return array


def merge_close_times(time: FloatArray) -> FloatArray:
    """Set times that differ by rounding only to the smallest of them, as survival::aeqSurv does.

    Times closer than 1.5e-8, or than 1.5e-8 of the mean time, are one time.
    """
    unique, inverse = np.unique(time, return_inverse=True)
    if len(unique) < 2:
        return time
    tolerance = np.sqrt(np.finfo(float).eps) * max(1.0, float(np.mean(np.abs(unique))))
    start = np.flatnonzero(np.concatenate(([True], np.diff(unique) > tolerance)))
    if len(start) == len(unique):
        return time
    merged = np.repeat(unique[start], np.diff(np.append(start, len(unique))))
    return np.asarray(merged[inverse])


def ranks(values: FloatArray) -> IntArray:
    """Return dense ranks from 0, values that differ by rounding only being tied.

    A linear predictor of two identical patients can differ in the last bit; 1e-13 of the largest
    absolute value is taken as equal.
    """
    unique, inverse = np.unique(values, return_inverse=True)
    finite_values = unique[np.isfinite(unique)]
    scale = float(np.abs(finite_values).max()) if len(finite_values) else 0.0
    with np.errstate(invalid="ignore"):
        new = np.diff(unique) > 1e-13 * scale
    return np.asarray(np.concatenate(([0], np.cumsum(new)))[inverse])
