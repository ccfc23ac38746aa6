"""Whether other patients are like the training cohort: feature by feature, together, and in clinical columns.

What travels is of the cohort, never of a patient: quantiles, means, and the directions in which features
vary together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["clinical_reference", "clinical_shift", "distances", "joint_reference", "reference", "strangers"]

LEVELS = (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)
"""Quantiles of every feature that travel; the outer two bound what counts as seen in training."""

MANY_OUTSIDE = 0.1
"""Least share of features beyond the training range at which a patient counts as out of distribution."""

MOST_DIRECTIONS = 20
"""Most directions of joint variation; never more than one for ten patients."""


def reference(table: pd.DataFrame) -> dict[str, Any]:
    """Return the distribution of every feature in the training cohort, and when a patient is unlike it."""
    values = table.to_numpy(dtype=float)
    known = np.isfinite(values)
    filled = np.flatnonzero(known.any(axis=0))
    values, known = values[:, filled], known[:, filled]
    quantiles = np.nanquantile(values, LEVELS, axis=0)
    share = outside_share(values, quantiles[0], quantiles[-1])
    return {
        "names": [str(name) for name in table.columns[filled]],
        "levels": list(LEVELS),
        "quantiles": quantiles,
        "mean": np.nanmean(values, axis=0),
        "sd": np.nanstd(values, axis=0),
        "missing": 1 - known.mean(axis=0),
        "limit": max(MANY_OUTSIDE, float(np.nanquantile(share, 0.99))),
    }


def outside_share(values: Any, low: Any, high: Any) -> Any:
    """Return each patient's share of known features below `low` or above `high`; NaN where none is known."""
    known = np.isfinite(values)
    outside = known & ((values < low) | (values > high))
    counts = known.sum(axis=1)
    return np.divide(outside.sum(axis=1), counts, out=np.full(len(values), np.nan), where=counts > 0)


def joint_reference(table: pd.DataFrame, used: Sequence[str]) -> dict[str, Any]:
    """Return how the features that the models use vary together, and how far apart training patients are.

    A Gaussian with as many free directions as the patients can carry and the same variance in all
    others (probabilistic principal components: Tipping and Bishop, 1999, doi:10.1111/1467-9868.00196).
    The limit is the 99th percentile of patients that the directions had not seen, in five parts.

    Returns
    -------
    dict
        Empty where fewer than 20 patients or no varying feature would carry it.
    """
    names = [name for name in dict.fromkeys(used) if name in table.columns]
    values = table[names].to_numpy(dtype=float)
    varying = [j for j in range(len(names)) if np.nanstd(values[:, j]) > 0] if len(values) else []
    if len(values) < 20 or not varying:
        return {}
    names, values = [names[j] for j in varying], values[:, varying]
    part = np.arange(len(values)) % 5
    unseen = np.concatenate(
        [_distance(_directions(values[part != number]), values[part == number]) for number in range(5)]
    )
    return {
        "names": names,
        **_directions(values),
        "levels": list(LEVELS),
        "quantiles": np.quantile(unseen, LEVELS),
        "limit": float(np.quantile(unseen, 0.99)),
    }


def _directions(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    median = np.nanmedian(values, axis=0)
    filled = np.where(np.isfinite(values), values, median)
    mean, sd = filled.mean(axis=0), filled.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    scaled = (filled - mean) / sd
    n, p = scaled.shape
    _, singular, rows = np.linalg.svd(scaled, full_matrices=False)
    variance = singular**2 / max(n - 1, 1)
    kept = max(1, min(p, n // 10, MOST_DIRECTIONS))
    rest = float(variance[kept:].sum()) / (p - kept) if p > kept else 1.0
    floor = 1e-3
    return {
        "mean": mean,
        "sd": sd,
        "directions": rows[:kept],
        "variance": np.maximum(variance[:kept], floor),
        "rest": max(rest, floor),
    }


def _distance(joint: Mapping[str, Any], values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    scaled = (values - np.asarray(joint["mean"])) / np.asarray(joint["sd"])
    directions, variance = np.asarray(joint["directions"]), np.asarray(joint["variance"])
    scaled = _completed(scaled, directions, variance, float(joint["rest"]))
    along = scaled @ directions.T
    across = np.maximum((scaled**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
    squared = (along**2 / variance).sum(axis=1) + across / float(joint["rest"])
    return np.asarray(np.sqrt(squared / scaled.shape[1]))


def _completed(
    scaled: np.ndarray[Any, Any], directions: np.ndarray[Any, Any], variance: np.ndarray[Any, Any], rest: float
) -> np.ndarray[Any, Any]:
    """Fill what is missing with what the known features let expect, so that it makes nobody a stranger."""
    known = np.isfinite(scaled)
    loadings = directions.T * np.sqrt(np.maximum(variance - rest, 1e-9))
    out = np.where(known, scaled, 0.0)
    for row in np.flatnonzero(~known.all(axis=1)):
        seen = known[row]
        inner = loadings[seen].T @ loadings[seen] + rest * np.eye(loadings.shape[1])
        out[row, ~seen] = loadings[~seen] @ np.linalg.solve(inner, loadings[seen].T @ scaled[row, seen])
    return np.asarray(out)


def distances(joint: Mapping[str, Any], features: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return each patient's distance from the training cohort, about 1 within it; absent features count as typical."""
    if not joint:
        return np.full(len(features), np.nan)
    names = [str(name) for name in joint["names"]]
    return _distance(joint, features.reindex(columns=names).to_numpy(dtype=float, na_value=np.nan))


def strangers(
    training: Mapping[str, Any], features: pd.DataFrame, joint: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return who among other patients is unlike the training cohort, and each feature's shift.

    Parameters
    ----------
    training : mapping
        What :func:`reference` returned.
    features : DataFrame
        Patients x features.
    joint : mapping, optional
        What :func:`joint_reference` returned.
    """
    names = [str(name) for name in training["names"]]
    values = features.reindex(columns=names).to_numpy(dtype=float, na_value=np.nan)
    low, high = (np.asarray(training["quantiles"])[row] for row in (0, -1))
    known = np.isfinite(values)
    share = outside_share(values, low, high)
    apart = distances(joint or {}, features)
    limit = float(joint["limit"]) if joint else np.inf
    patients = pd.DataFrame(
        {
            "patient": features.index.astype(str),
            "n_features": known.sum(axis=1),
            "n_missing": (~known).sum(axis=1),
            "share_outside": share,
            "distance": apart,
            # A patient of whom nothing is known is not like the others either.
            "out_of_distribution": ~(share <= training["limit"]) | (apart > limit),
        }
    )
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known.any(axis=0), np.where(known, values, 0.0).sum(axis=0) / counts, np.nan)
    sd = np.asarray(training["sd"])
    shift = np.divide(mean - np.asarray(training["mean"]), sd, out=np.full(len(names), np.nan), where=sd > 0)
    table = pd.DataFrame(
        {
            "feature": names,
            "missing": 1 - known.mean(axis=0),
            "missing_training": training["missing"],
            "share_below": (known & (values < low)).sum(axis=0) / counts,
            "share_above": (known & (values > high)).sum(axis=0) / counts,
            "shift_sd": shift,
        }
    )
    return patients, table


def clinical_reference(data: AnnData, used: Sequence[str]) -> dict[str, Any]:
    """Return ranges of the numbers and names of the classes of the clinical columns that models use."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(used):
        if name not in data.obs:
            continue
        column = data.obs[name]
        if pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=float, na_value=np.nan)
            if np.isfinite(values).any():
                found[name] = {"kind": "number", "quantiles": np.nanquantile(values, LEVELS)}
        else:
            classes = sorted({str(value) for value in column[column.notna()]})
            found[name] = {"kind": "classes", "classes": classes}
    return found


def clinical_shift(training: Mapping[str, Any], data: AnnData, *, name_classes: bool) -> tuple[pd.DataFrame, list[str]]:
    """Compare clinical columns with the training cohort's, and return what a person should look at.

    Parameters
    ----------
    training : mapping
        What :func:`clinical_reference` returned.
    data : AnnData
        The other patients.
    name_classes : bool
        Whether classes that training did not see may be named; an odd class can point at a patient.
    """
    rows, lines = [], []
    for name, known in training.items():
        if name not in data.obs:
            rows.append({"column": name, "kind": known["kind"], "missing": 1.0})
            lines.append(f"clinical column {name} is missing")
            continue
        column = data.obs[name]
        row: dict[str, Any] = {"column": name, "kind": known["kind"], "missing": float(column.isna().mean())}
        if known["kind"] == "number":
            values = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            low, middle, high = (float(known["quantiles"][at]) for at in (0, len(LEVELS) // 2, -1))
            here = float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan
            row |= {"median_training": middle, "median": here}
            row["share_outside"] = float(outside_share(values[None], low, high)[0])
            if here < low or here > high:
                lines.append(
                    f"{name}: its median is {here:g} here and {middle:g} in training ({low:g} to {high:g}); "
                    "is it in the same unit?"
                )
        else:
            seen = {str(value) for value in known["classes"]}
            odd = column[column.notna() & ~column.astype(str).isin(seen)].astype(str)
            row["share_outside"] = float(len(odd) / max(int(column.notna().sum()), 1))
            if len(odd):
                named = f" ({', '.join(sorted(set(odd))[:3])})" if name_classes else ""
                lines.append(
                    f"{name}: {len(odd)} patients are of a class that training did not see{named}; "
                    "they count as its most frequent class or its median"
                )
        rows.append(row)
    columns = ["column", "kind", "missing", "share_outside", "median", "median_training"]
    return pd.DataFrame(rows).reindex(columns=columns), lines
