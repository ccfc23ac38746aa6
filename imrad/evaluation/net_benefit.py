"""Decision curves, with censoring too, and reclassification (NRI, IDI)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import kaplan_meier
from imrad.evaluation.outcomes import FloatArray, binary_outcome, finite, survival_outcome
from imrad.exceptions import CohortError

__all__ = ["THRESHOLDS", "decision_curve", "decision_curve_survival", "net_benefit", "reclassification"]

THRESHOLDS = tuple(round(0.01 * k, 2) for k in range(1, 100))


def _checked(p: npt.ArrayLike, n: int, thresholds: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    risk = finite(p, n, "probability")
    if n == 0 or ((risk < 0) | (risk > 1)).any():
        message = f"{n} probabilities, some outside [0, 1]: a decision curve needs predicted probabilities"
        raise CohortError(message)
    cuts = np.atleast_1d(np.asarray(thresholds, dtype=float))
    if ((cuts <= 0) | (cuts >= 1)).any():
        message = f"thresholds from {cuts.min():g} to {cuts.max():g}: they must lie between 0 and 1"
        raise CohortError(message)
    return risk, cuts


def net_benefit(outcome: npt.ArrayLike, p: npt.ArrayLike, thresholds: npt.ArrayLike = THRESHOLDS) -> FloatArray:
    """Return the net benefit at each threshold probability: TP/n - FP/n * t/(1-t), positive at p >= t.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    p : array_like, shape (n_patients,)
        Predicted probabilities.
    thresholds : array_like, shape (n_thresholds,)

    References
    ----------
    Vickers and Elkin, 2006, doi:10.1177/0272989X06295361.
    """
    y = binary_outcome(outcome)
    risk, cuts = _checked(p, len(y), thresholds)
    tp, fp = _rates(y, risk, cuts)
    return np.asarray(tp - fp * cuts / (1 - cuts))


def _rates(y: npt.NDArray[np.bool_], risk: FloatArray, cuts: FloatArray) -> tuple[FloatArray, FloatArray]:
    # A probability that equals a threshold but for rounding is at it.
    cases, controls = np.sort(risk[y]), np.sort(risk[~y])
    tp = len(cases) - np.searchsorted(cases, cuts - 1e-12)
    fp = len(controls) - np.searchsorted(controls, cuts - 1e-12)
    return tp / len(y), fp / len(y)


def decision_curve(outcome: npt.ArrayLike, p: npt.ArrayLike, thresholds: npt.ArrayLike = THRESHOLDS) -> pd.DataFrame:
    """Return a decision curve beside treating all and none, as dcurves.

    Returns
    -------
    DataFrame
        threshold, tp_rate, fp_rate (of all patients), net_benefit, net_benefit_all,
        net_benefit_none and interventions_avoided per patient.
    """
    y = binary_outcome(outcome)
    risk, cuts = _checked(p, len(y), thresholds)
    tp, fp = _rates(y, risk, cuts)
    return _curve(cuts, tp, fp, float(y.mean()))


def _curve(cuts: FloatArray, tp: FloatArray, fp: FloatArray, prevalence: float) -> pd.DataFrame:
    odds = cuts / (1 - cuts)
    benefit, everyone = tp - fp * odds, prevalence - (1 - prevalence) * odds
    return pd.DataFrame(
        {
            "threshold": cuts,
            "tp_rate": tp,
            "fp_rate": fp,
            "net_benefit": benefit,
            "net_benefit_all": everyone,
            "net_benefit_none": 0.0,
            "interventions_avoided": (benefit - everyone) / odds,
        }
    )


def decision_curve_survival(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    p: npt.ArrayLike,
    t: float,
    thresholds: npt.ArrayLike = THRESHOLDS,
    *,
    beyond: str = "last",
) -> pd.DataFrame:
    """Return a decision curve for the event by time t, censoring handled by Kaplan-Meier in those positive.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
    p : array_like, shape (n_patients,)
        Predicted probability of the event by t; positive at p > threshold.
    t : float
        Horizon, in the unit of the times.
    thresholds : array_like
    beyond : {"last", "missing"}
        Where the positives' follow-up ends before t: continue their curve at its last value, or give
        NaN as dcurves does.

    References
    ----------
    Vickers et al., 2008, doi:10.1186/1472-6947-8-53.
    """
    times, events = survival_outcome(time, event)
    risk, cuts = _checked(p, len(times), thresholds)
    everyone = float(kaplan_meier(times, events).at(t)["survival"].iloc[0])
    tp, fp = np.zeros(len(cuts)), np.zeros(len(cuts))
    known: dict[int, tuple[float, float]] = {}
    for number, cut in enumerate(cuts):
        positive = risk > cut
        n = int(positive.sum())
        if n not in known:
            known[n] = _positive_rates(times[positive], events[positive], t, len(times), beyond)
        tp[number], fp[number] = known[n]
    return _curve(cuts, tp, fp, 1 - everyone)


def _positive_rates(
    times: FloatArray, events: npt.NDArray[np.bool_], t: float, n: int, beyond: str
) -> tuple[float, float]:
    if len(times) == 0:
        return 0.0, 0.0
    if beyond == "missing" and times.max() < t:
        return float("nan"), float("nan")
    survival = float(kaplan_meier(times, events).at(t)["survival"].iloc[0])
    return (1 - survival) * len(times) / n, survival * len(times) / n


def reclassification(
    outcome: npt.ArrayLike, p_old: npt.ArrayLike, p_new: npt.ArrayLike, *, categories: Sequence[float] | None = None
) -> pd.DataFrame:
    """Return net reclassification and integrated discrimination improvement, as Hmisc::improveProb.

    For description only: both favour the larger model even where it adds nothing, so no verdict
    rests on them (doi:10.1002/sim.6297).

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    p_old, p_new : array_like, shape (n_patients,)
        Predicted probabilities of two models.
    categories : sequence of float, optional
        Limits of risk categories; by default any rise or fall counts (continuous NRI).

    Returns
    -------
    DataFrame
        Rows nri, nri_events, nri_nonevents, idi, sensitivity_gain, specificity_gain; columns
        estimate, se, z, p, low, high, n (patients behind the row) and, of the two classes' nri, up and
        down (shares whose risk rose and fell).

    References
    ----------
    Pencina et al., 2011, doi:10.1002/sim.4085.
    """
    y = binary_outcome(outcome)
    old, new = (finite(p, len(y), "probability") for p in (p_old, p_new))
    if y.all() or not y.any():
        message = f"{int(y.sum())} events among {len(y)} patients: reclassification needs both classes"
        raise CohortError(message)
    gain = new - old
    move = np.sign(gain)
    if categories is not None:
        edges = np.asarray(categories, dtype=float)
        move = np.sign(np.digitize(new, edges) - np.digitize(old, edges))
    parts, moved = {}, {}
    for name, rows, sign in (("events", y, 1.0), ("nonevents", ~y, -1.0)):
        up, down = float(np.mean(move[rows] > 0)), float(np.mean(move[rows] < 0))
        n = int(rows.sum())
        moved[f"nri_{name}"] = (n, up, down)
        spread = gain[rows].var(ddof=1) / n if n > 1 else np.nan
        parts[name] = (sign * (up - down), (up + down - (up - down) ** 2) / n, sign * gain[rows].mean(), spread)
    (ev, v_ev, sens, v_sens), (ne, v_ne, spec, v_spec) = parts["events"], parts["nonevents"]
    rows_out = {
        "nri": (ev + ne, v_ev + v_ne),
        "nri_events": (ev, v_ev),
        "nri_nonevents": (ne, v_ne),
        "idi": (sens + spec, v_sens + v_spec),
        "sensitivity_gain": (sens, v_sens),
        "specificity_gain": (spec, v_spec),
    }
    table = pd.DataFrame(
        {"estimate": [item[0] for item in rows_out.values()], "se": [np.sqrt(item[1]) for item in rows_out.values()]},
        index=pd.Index(list(rows_out), name="measure"),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        table["z"] = table["estimate"] / table["se"]
    table["p"] = 2 * stats.norm.sf(np.abs(table["z"]))
    half = stats.norm.ppf(0.975) * table["se"]
    table["low"], table["high"] = table["estimate"] - half, table["estimate"] + half
    sizes = {"sensitivity_gain": int(y.sum()), "specificity_gain": int((~y).sum())}
    table["n"] = [sizes.get(name, moved.get(name, (len(y),))[0]) for name in table.index]
    for column, place in (("up", 1), ("down", 2)):
        table[column] = [moved[name][place] if name in moved else np.nan for name in table.index]
    return table
