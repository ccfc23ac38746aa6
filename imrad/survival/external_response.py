"""Frozen models of a binary outcome on patients they have never seen: discrimination, calibration, net benefit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation.calibration import calibration_indices
from imrad.evaluation.net_benefit import decision_curve
from imrad.evaluation.operating import SHARES, operating_point
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.roc import delong_interval, delong_test
from imrad.evaluation.two_group import ks_two_sample
from imrad.survival.binary_tasks import GRID, THRESHOLDS, flat_predictions, observed_share
from imrad.survival.binary_views import roc_points

__all__ = ["external_tables"]

LEAST_CLASS = 2
LEAST_CURVE = 10
"""Patients of the rarer class below which a calibration curve shows nothing but chance."""

MODEL_COLUMNS = [
    *("model", "n", "n_positive", "auc", "auc_low", "auc_high", "threshold"),
    *(f"{name}{end}" for name in SHARES for end in ("", "_low", "_high")),
    *("tp", "fp", "tn", "fn", "brier", "intercept", "slope", "expected", "o_over_e", "ks", "ks_p", "reason"),
]
SHAPES = {
    "models": MODEL_COLUMNS,
    "pairs": ["model", "reference", "difference", "low", "high", "z", "p"],
    "roc": ["model", "threshold", "false_positive_share", "sensitivity"],
    "calibration": ["model", "predicted", "observed"],
    "net_benefit": ["model", "threshold", "net_benefit", "net_benefit_all"],
}


def external_tables(
    outcome: BoolArray, probability: Mapping[str, FloatArray], thresholds: Mapping[str, float]
) -> dict[str, pd.DataFrame]:
    """Judge probabilities that nobody was fitted to.

    Parameters
    ----------
    outcome : ndarray of bool, shape (n_patients,)
    probability : mapping of str to ndarray
        Of each model.
    thresholds : mapping of str to float
        Learnt on the training patients; a patient is called positive above it.

    Returns
    -------
    dict of str to DataFrame
        ``models`` (AUC with DeLong's interval, shares at the threshold with Wilson's, Brier score, calibration
        intercept and slope, observed over expected, KS), ``pairs`` (DeLong's paired test), ``roc``,
        ``calibration`` and ``net_benefit``.
    """
    n, positive = len(outcome), int(outcome.sum())
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in SHAPES}
    for name, p in probability.items():
        row = {"model": name, "n": n, "n_positive": positive, "threshold": thresholds[name], "reason": ""}
        if min(positive, n - positive) < LEAST_CLASS:
            row["reason"] = f"{positive} of {n} patients have the outcome; {LEAST_CLASS} of each class are needed"
            parts["models"].append(pd.DataFrame([row]))
            continue
        parts["models"].append(pd.DataFrame([row | _judged(outcome, p, thresholds[name])]))
        parts["roc"].append(roc_points(outcome, p).assign(model=name))
        curve = decision_curve(outcome, p, THRESHOLDS)
        parts["net_benefit"].append(curve.assign(model=name))
        if min(positive, n - positive) >= LEAST_CURVE and np.ptp(p) > 0:
            observed = np.clip(observed_share(outcome, p), 0, 1)
            table = pd.DataFrame({"model": name, "predicted": GRID, "observed": observed})
            parts["calibration"].append(table.dropna())
    if min(positive, n - positive) >= LEAST_CLASS:
        for reference, model in combinations(probability, 2):
            test = delong_test(outcome, probability[model], probability[reference])
            row = {"model": model, "reference": reference, "difference": test.difference}
            row |= {"low": test.low, "high": test.high, "z": test.statistic, "p": test.p}
            parts["pairs"].append(pd.DataFrame([row]))
    return {name: _stack(parts[name], columns) for name, columns in SHAPES.items()}


def _judged(y: BoolArray, p: FloatArray, threshold: float) -> dict[str, Any]:
    auc, low, high = delong_interval(y, p)
    statistic, ks_p = ks_two_sample(p[y], p[~y])
    found: dict[str, Any] = {"auc": auc, "auc_low": low, "auc_high": high, "ks": statistic, "ks_p": ks_p}
    point = operating_point(y, p > threshold)
    found |= {name: value for name, value in point.items() if name != "n"}
    expected = float(p.sum())
    found |= {"brier": float(np.mean((y - p) ** 2)), "expected": expected}
    found["o_over_e"] = float(y.sum()) / expected if expected > 0 else np.nan
    if np.ptp(p) > 0:
        with flat_predictions():
            indices = calibration_indices(y, p)
        found |= {"intercept": indices["intercept"], "slope": indices["slope"]}
    return found


def _stack(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)
