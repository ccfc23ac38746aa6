"""Tables that published studies print beside their models: agreement of learners, AUC over time, cut-points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import kaplan_meier, log_rank
from imrad.evaluation.time_dependent import time_dependent_roc
from imrad.exceptions import FeasibilityError
from imrad.survival.cutpoints import maximally_selected

if TYPE_CHECKING:
    from imrad.survival.fusion_tables import Finished

__all__ = ["tables"]


def tables(done: Finished, risk: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables by name; only ``signature`` where the others were not asked for."""
    found = {"signature": signature(done)}
    if not done.data.study_tables:
        others = ("time_auc", "time_roc", "cut_groups", "cut_curves", "predictor_groups", "predictor_curves")
        return found | {name: pd.DataFrame() for name in others}
    groups, curves = cut_groups(done)
    own_groups, own_curves = predictor_groups(done)
    found |= {"predictor_groups": own_groups, "predictor_curves": own_curves}
    more = {"time_auc": time_auc(done), "time_roc": time_roc(done, risk), "cut_groups": groups, "cut_curves": curves}
    return found | more


def signature(done: Finished) -> pd.DataFrame:
    """Return which learner selected which feature, and what the stepwise search left of those shared.

    One row a feature that any learner selected, by model and fold (``all`` is the final fit), with one 0/1
    column a learner. Standard errors, and so ``low``, ``high`` and ``p``, ignore the selection.
    """
    rows: list[dict[str, Any]] = []
    for task, found in done.results.items():
        votes = found.get("votes")
        if votes is None or task.kind not in ("outer", "all"):
            continue
        matrix = np.asarray(votes["matrix"], dtype=bool)
        for column in np.flatnonzero(matrix.any(axis=0)):
            coef, se = float(found["coef"][column]), float(found["se"][column])
            half = stats.norm.ppf(0.975) * se
            used = coef != 0
            rows.append(
                {
                    "model": task.model,
                    "fold": task.fold,
                    "feature": found["names"][column],
                    **{name: int(vote) for name, vote in zip(votes["learners"], matrix[:, column], strict=True)},
                    "n_learners": int(matrix[:, column].sum()),
                    "needed": int(votes["needed"]),
                    "shared": int(column in votes["candidates"]),
                    "chosen": int(used),
                    "coef": coef if used else np.nan,
                    "hr": np.exp(coef) if used else np.nan,
                    "hr_inverse": np.exp(-coef) if used else np.nan,
                    "hr_low": np.exp(coef - half) if used else np.nan,
                    "hr_high": np.exp(coef + half) if used else np.nan,
                    "p": 2 * stats.norm.sf(abs(coef / se)) if used else np.nan,
                }
            )
    first = ["model", "fold", "feature"]
    last = ["n_learners", "needed", "shared", "chosen", "coef", "hr", "hr_inverse", "hr_low", "hr_high", "p"]
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    learners = [name for name in table.columns if name not in (*first, *last)]
    table = table[[*first, *learners, *last]]
    return table.sort_values(["model", "fold", "n_learners"], ascending=[True, True, False], ignore_index=True)


def time_auc(done: Finished) -> pd.DataFrame:
    """Return the time-dependent AUC of every outer fold at each feasible horizon, on its training and test part."""
    rows: list[dict[str, Any]] = []
    for name in done.fitted:
        for fold, part in done.outer(name):
            for column, horizon in enumerate(done.data.horizons):
                for kind, measure in (("training", "auc_train"), ("validation", "auc")):
                    value = float(np.asarray(part[measure])[column])
                    rows.append({"model": name, "fold": fold, "horizon_days": horizon, "part": kind, "auc": value})
    return pd.DataFrame(rows, columns=["model", "fold", "horizon_days", "part", "auc"])


def time_roc(done: Finished, risk: pd.DataFrame) -> pd.DataFrame:
    """Return the time-dependent ROC curves at each feasible horizon.

    ``outer folds``: the mean of the folds' curves, since risks of different fits do not share a scale;
    ``apparent``: the final model on its own patients.
    """
    parts = []
    usable = np.flatnonzero(done.data.usable)
    at = np.linspace(0, 1, 101)
    number = {patient: row for row, patient in enumerate(done.data.patients)}
    for name in done.fitted:
        own = np.asarray(done.whole(name)["risk"])
        mine = risk[risk["model"] == name]
        for horizon in done.data.horizons:
            curve = _roc(done.data.time[usable], done.data.event[usable], own, horizon, at)
            if curve is not None:
                table = {
                    "model": name,
                    "horizon_days": horizon,
                    "source": "apparent",
                    "auc": _area(curve),
                    "fpr": at,
                    "tpr": curve,
                }
                parts.append(pd.DataFrame(table))
            curves = []
            for _, held in mine.groupby("fold", sort=False):
                rows = np.array([number[str(patient)] for patient in held["patient"]], dtype=int)
                values = held["risk"].to_numpy(dtype=float)
                curves.append(_roc(done.data.time[rows], done.data.event[rows], values, horizon, at))
            known = [curve for curve in curves if curve is not None]
            if known:
                mean = np.mean(known, axis=0)
                table = {
                    "model": name,
                    "horizon_days": horizon,
                    "source": "outer folds",
                    "auc": _area(mean),
                    "fpr": at,
                    "tpr": mean,
                }
                parts.append(pd.DataFrame(table))
    columns = ["model", "horizon_days", "source", "auc", "fpr", "tpr"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _area(curve: Any) -> float:
    """Return the area under sensitivities at evenly spaced false positive rates."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def _roc(time: Any, event: Any, risk: Any, horizon: float, at: Any) -> Any:
    """Return the sensitivities at these false positive rates, or None without cases and controls."""
    if not (event & (time <= horizon)).any() or not (time > horizon).any():
        return None
    curve = time_dependent_roc(time, event, risk, horizon)
    fpr, tpr = curve["fp"].to_numpy(dtype=float), curve["tp"].to_numpy(dtype=float)
    order = np.lexsort((tpr, fpr))
    found = np.interp(at, fpr[order], tpr[order])
    found[0] = 0.0
    return found


def cut_groups(done: Finished) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return groups cut by maximally selected ranks, and their Kaplan-Meier curves.

    ``apparent``: the cut was searched on the very patients it divides, as studies publish it; ``outer
    folds``: each fold's cut was searched on its training patients and divides the held-out ones.
    """
    groups: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    usable = np.flatnonzero(done.data.usable)
    first = f"r{done.data.splits.repeats[0]}/"
    for name in done.fitted:
        time, event = done.data.time[usable], done.data.event[usable]
        try:
            best = maximally_selected(time, event, np.asarray(done.whole(name)["risk"]))
        except FeasibilityError:
            continue
        high = np.asarray(done.whole(name)["risk"]) > best.cutpoint
        base = {"model": name, "source": "apparent", "cutpoint": best.cutpoint, "p_corrected": best.p}
        _add(groups, curves, base, time, event, high)
        rows, above = [], []
        for fold, part in done.outer(name):
            if fold.startswith(first) and part.get("high_selected") is not None:
                rows.append(done.data.fold(fold).test)
                above.append(np.asarray(part["high_selected"], dtype=bool))
        if rows:
            test, high = np.concatenate(rows), np.concatenate(above)
            base = {"model": name, "source": "outer folds", "cutpoint": np.nan, "p_corrected": np.nan}
            _add(groups, curves, base, done.data.time[test], done.data.event[test], high)
    columns = ["model", "source", "group", "cutpoint", "n", "n_events", "median_days", "median_low", "median_high"]
    table = pd.DataFrame(groups, columns=[*columns, "log_rank_p", "p_corrected"])
    return table, pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()


def predictor_groups(done: Finished) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return patients high and low in each predictor that a final linear model keeps, and their Kaplan-Meier curves.

    High is above the median; in a column of two values it is the larger. A phenotype score is out of fold for each
    patient; that the model kept the predictor is not, so p is too small.
    """
    groups: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    usable = np.flatnonzero(done.data.usable)
    time, event = done.data.time[usable], done.data.event[usable]
    for name in done.fitted:
        whole = done.whole(name)
        if whole["kind"] != "linear":
            continue
        for column in np.flatnonzero(np.asarray(whole["used"])):
            values = np.asarray(whole["matrix"])[:, column]
            levels = np.unique(values)
            cut = float(levels[0] if len(levels) <= 2 else min(np.median(values), levels[-2]))
            base = {"model": name, "predictor": whole["names"][column], "cutpoint": cut}
            _add(groups, curves, base, time, event, values > cut)
    columns = ["model", "predictor", "group", "cutpoint", "n", "n_events", "median_days", "median_low", "median_high"]
    table = pd.DataFrame(groups, columns=[*columns, "log_rank_p"])
    return table, pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()


def _add(
    groups: list[dict[str, Any]], curves: list[pd.DataFrame], base: dict[str, Any], time: Any, event: Any, high: Any
) -> None:
    test = log_rank(time, event, high) if high.any() and not high.all() else None
    for label, inside in (("low", ~high), ("high", high)):
        if not inside.any():
            continue
        curve = kaplan_meier(time[inside], event[inside])
        median, low, upper = curve.median()
        row = {"group": label, "n": int(inside.sum()), "n_events": int(event[inside].sum())}
        row |= {"median_days": median, "median_low": low, "median_high": upper}
        groups.append(base | row | {"log_rank_p": test.p if test else np.nan})
        named = {name: base[name] for name in ("model", "source", "predictor") if name in base}
        curves.append(curve.table().assign(**named, group=label))
