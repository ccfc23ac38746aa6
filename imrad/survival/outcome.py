"""What every survival method takes as y: follow-up times and whether the event happened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation.outcomes import BoolArray, FloatArray, survival_outcome
from imrad.exceptions import CohortError, NumbersError, TooFewEventsError

__all__ = ["as_numbers", "as_outcome", "matched_outcome", "require_events"]


def as_outcome(y: Any) -> tuple[FloatArray, BoolArray]:
    """Return follow-up times and events of any of the usual forms of y.

    Parameters
    ----------
    y : structured array, DataFrame, pair of arrays, or array of shape (n, 2)
        scikit-survival's structured array (one boolean and one numeric field), a table of two
        columns of which one is boolean or named ``event``, ``status`` or ``..._event``,
        ``(time, event)``, or two columns time and event.

    Returns
    -------
    time : ndarray of float64, shape (n,)
    event : ndarray of bool, shape (n,)

    Raises
    ------
    CohortError
        If y has another form, a value is missing, a time is negative, or events are not 0 and 1.
    """
    time, event = _split(y)
    return survival_outcome(as_numbers(time), as_numbers(event))


def matched_outcome(X: FloatArray, y: Any) -> tuple[FloatArray, BoolArray]:
    """Return times and events as :func:`as_outcome`, one for each row of X.

    Raises
    ------
    NumbersError
        If there are more or fewer, with both numbers.
    """
    time, event = as_outcome(y)
    if len(time) != len(X):
        message = f"X has {len(X)} rows and y has {len(time)}: one of each per patient is needed"
        raise NumbersError(message)
    return time, event


def require_events(
    event: BoolArray, needed: int = 1, *, where: str = "the data", advice: str = "choose an endpoint with more events"
) -> None:
    """Refuse data with fewer events than a method needs; `advice` says what to do.

    Raises
    ------
    TooFewEventsError
        With the number of patients and events.
    """
    found = int(event.sum())
    if found < needed:
        censored = "" if found else "all are censored, so "
        message = f"{where}: {found} events in {len(event)} patients, at least {needed} are needed; {censored}{advice}"
        raise TooFewEventsError(message)


def _split(y: Any) -> tuple[Any, Any]:
    if isinstance(y, np.ndarray) and y.dtype.names is not None:
        names = list(y.dtype.names)
        flags = [name for name in names if y.dtype[name].kind == "b"]
        if len(names) == 2 and len(flags) == 1:
            return y[next(name for name in names if name != flags[0])], y[flags[0]]
        message = f"a structured y needs one boolean and one numeric field; found {names}"
        raise CohortError(message)
    if isinstance(y, pd.DataFrame):
        names = list(y.columns)
        flags = [name for name in names if y[name].dtype.kind == "b"] or [
            name for name in names if str(name).lower().endswith(("event", "status"))
        ]
        if len(names) == 2 and len(flags) == 1:
            return y[next(name for name in names if name != flags[0])], y[flags[0]]
        message = f"a table y needs the two columns time and event; found {[str(name) for name in names]}"
        raise CohortError(message)
    if isinstance(y, tuple | list) and len(y) == 2 and np.ndim(y[0]) == 1:
        return y[0], y[1]
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 2:
        return array[:, 0], array[:, 1]
    message = (
        f"y must hold times and events (a structured array, a pair, or two columns); "
        f"found an array of shape {array.shape}"
    )
    raise CohortError(message)


def as_numbers(values: Any) -> Any:
    """Return outcomes as an array of floats, or of truth values where a table holds those.

    Raises
    ------
    CohortError
        If they are no numbers.
    """
    if isinstance(values, pd.Series):
        if values.dtype.kind == "b":
            return values.to_numpy()
        values = values.astype(object).where(values.notna(), np.nan).to_numpy()
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        message = f"outcomes must be numbers ({error})"
        raise CohortError(message) from error
