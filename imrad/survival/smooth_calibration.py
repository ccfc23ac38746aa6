"""A smooth calibration curve of predicted survival, and how far it lies from the diagonal."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import FloatArray, finite, survival_outcome
from imrad.exceptions import CohortError
from imrad.survival.coxph import CoxPH
from imrad.survival.hazard_regression import fit_hazard_regression

__all__ = ["calibration_distance", "restricted_cubic_spline", "smooth_survival_calibration"]


def restricted_cubic_spline(x: FloatArray, knots: FloatArray) -> FloatArray:
    """Return x and its restricted cubic spline terms, linear beyond the outer knots; shape (n, n_knots - 1)."""
    first, last, before = knots[0], knots[-1], knots[-2]
    columns = [x]
    for knot in knots[:-2]:
        term = (
            np.maximum(x - knot, 0) ** 3
            - np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
            + np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        )
        columns.append(term / (last - first) ** 2)
    return np.column_stack(columns)


def smooth_survival_calibration(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    survival: npt.ArrayLike,
    t: float,
    at: npt.ArrayLike | None = None,
    *,
    n_knots: int = 4,
    smoother: Literal["spline", "hare"] = "spline",
    max_terms: int = 5,
) -> tuple[FloatArray, FloatArray]:
    """Return predicted and observed probabilities of being event-free at t, the observed by a smooth regression.

    The log of minus the log of the predicted survival enters a Cox regression as a restricted cubic
    spline (``spline``; Austin, Harrell and van Klaveren), or hazard regression (``hare``), as
    rms::calibrate does by default: it places knots by itself, drops the assumption of proportional
    hazards and gives a more angular, less steady curve.

    Parameters
    ----------
    time, event, survival : array_like, shape (n_patients,)
        Outcome and predicted survival at t.
    t : float
    at : array_like, optional
        Predicted probabilities at which to read the curve; by default those of the patients. NaN
        outside the range of the predictions.
    n_knots : int
        Of the spline, at the usual quantiles; fewer where predictions are few.
    smoother : {"spline", "hare"}
    max_terms : int
        Of hazard regression before deletion; 5 as rms.

    Raises
    ------
    CohortError
        If predictions lie outside [0, 1], there are fewer than 2 patients, or, for ``hare``, fewer
        than two distinct times of events.

    References
    ----------
    Austin et al., 2020, doi:10.1002/sim.8570.
    """
    times, events = survival_outcome(time, event)
    if len(times) < 2:
        message = f"a calibration curve needs 2 patients or more, found {len(times)}"
        raise CohortError(message)
    predicted = finite(survival, len(times), "predicted survival")
    if ((predicted < 0) | (predicted > 1)).any():
        message = "predicted survival has values outside [0, 1]; calibration needs probabilities"
        raise CohortError(message)
    asked = predicted if at is None else np.asarray(at, dtype=float)
    # 0 and 1 have no finite transform; a hair inside they keep their order.
    low, high = 1e-6, 1 - 1e-6
    x, new = (np.log(-np.log(np.clip(part, low, high))) for part in (predicted, asked))
    inside = (asked >= predicted.min() - 1e-12) & (asked <= predicted.max() + 1e-12)
    if smoother == "hare":
        regression = fit_hazard_regression(times, events, x, max_terms=max_terms)
        return asked, np.where(inside, regression.survival(t, new), np.nan)
    shares = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
    knots = np.unique(np.quantile(x, shares[int(np.clip(n_knots, 3, 5))]))
    if len(knots) < 3:
        columns, wanted = x[:, None], new[:, None]
    else:
        columns, wanted = restricted_cubic_spline(x, knots), restricted_cubic_spline(new, knots)
    model = CoxPH(ridge=1e-6).fit(columns, (times, events))
    observed = model.predict_survival(wanted, [t])[:, 0]
    return asked, np.where(inside, observed, np.nan)


def calibration_distance(
    time: npt.ArrayLike, event: npt.ArrayLike, survival: npt.ArrayLike, t: float, *, n_knots: int = 4
) -> dict[str, float]:
    """Return ici, e50, e90 and emax: mean, median, 90 % quantile and largest distance to the diagonal.

    References
    ----------
    Austin et al., 2020, doi:10.1002/sim.8570.
    """
    predicted, observed = smooth_survival_calibration(time, event, survival, t, n_knots=n_knots)
    error = np.abs(predicted - observed)
    return {
        "ici": float(error.mean()),
        "e50": float(np.median(error)),
        "e90": float(np.quantile(error, 0.9)),
        "emax": float(error.max()),
    }
