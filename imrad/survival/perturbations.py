"""What perturbed images do to a model: the outer folds' fits applied to perturbed features, nothing fitted anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.evaluation.agreement import icc
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.survival.fusion_core import IMRAD, FinishedFits, FusionRows, aligned

if TYPE_CHECKING:
    from imrad.evaluation import Fold

__all__ = ["KIND", "Perturbation", "aligned_perturbations", "perturbed_patients", "perturbed_rows", "perturbed_scores"]

KIND = "perturbed features"
"""Name of these rows in the table of robustness."""

NONE_GIVEN = "no perturbed table was given"
NOT_KEPT = "phenotype models of the outer folds are not kept, so scores of perturbed images are not known"
PATIENT_COLUMNS = ["patient", "model", "fold", "n_perturbations", "risk", "risk_sd", "risk_low", "risk_high"]


@dataclass(frozen=True)
class Perturbation:
    """One perturbation's blocks of predictors, rows in cohort order.

    Attributes
    ----------
    name : str
    tables : dict of str to DataFrame
        Those blocks that come from images.
    known : ndarray of bool
        Patients whose perturbed features are known.
    """

    name: str
    tables: dict[str, pd.DataFrame]
    known: BoolArray


def aligned_perturbations(
    perturbed: Mapping[str, Mapping[str, pd.DataFrame]] | None, tables: Mapping[str, pd.DataFrame], patients: list[str]
) -> tuple[Perturbation, ...]:
    """Return each perturbation's blocks in cohort order, with the columns of the blocks themselves.

    Raises
    ------
    CohortError
        If a table cannot be read as a block.
    KeyError
        If a block lacks a column.
    """
    found = []
    for name, blocks in (perturbed or {}).items():
        own = {block: aligned(table, patients, f"block {block}, perturbed") for block, table in blocks.items()}
        own = {block: table[list(tables[block].columns)] for block, table in own.items() if block in tables}
        known = np.logical_and.reduce([table.notna().any(axis=1).to_numpy() for table in own.values()])
        found.append(Perturbation(str(name), own, np.asarray(known, dtype=bool)))
    return tuple(found)


def perturbed_scores(
    data: FusionRows, model: Any, fold: Fold, score: Callable[[dict[str, pd.DataFrame]], FloatArray]
) -> FloatArray | None:
    """Return a fitted model's scores of a fold's test patients under each perturbation, NaN where not known.

    Returns
    -------
    ndarray, shape (n_perturbations, n_test), or None
        None for a model that no perturbation reaches, or that needs phenotypes.
    """
    if IMRAD in model.blocks or not any(block in item.tables for item in data.perturbed for block in model.blocks):
        return None
    out = np.full((len(data.perturbed), len(fold.test)), np.nan)
    for number, item in enumerate(data.perturbed):
        inside = item.known[fold.test]
        if inside.any():
            rows = fold.test[inside]
            part = {name: item.tables.get(name, data.tables[name]).iloc[rows] for name in model.blocks}
            out[number, inside] = score(part)
    return out


def perturbed_rows(
    done: FinishedFits, judge: Callable[[Any, FloatArray], float], events: BoolArray, score: str
) -> list[dict[str, Any]]:
    """Return rows of the robustness table: C (or AUC) under each perturbation, and the spread of the risk.

    Parameters
    ----------
    done : FinishedFits
    judge : callable
        Returns the measure of some rows' scores; the mean over outer folds is shown.
    events : ndarray of bool, shape (n_patients,)
    score : str
        Name of the unperturbed scores in the results.
    """
    data = done.data
    if not data.perturbed:
        return [{"kind": KIND, "model": "", "level": "", "note": NONE_GIVEN}]
    rows: list[dict[str, Any]] = []
    for name in done.fitted:
        model = data.model(name)
        if IMRAD in model.blocks:
            rows.append({"kind": KIND, "model": name, "level": "", "note": NOT_KEPT})
        folds = [(data.fold(fold), part) for fold, part in done.outer(name) if part.get("perturbed") is not None]
        if not folds:
            continue
        first = [item for item in folds if item[0].name.startswith(f"r{data.splits.repeats[0]}/")]
        levels: list[tuple[str, Callable[[dict[str, Any]], FloatArray]]] = [
            ("not perturbed", lambda part: np.where(_known(part).any(axis=0), part[score], np.nan))
        ]
        levels += [
            (item.name, lambda part, number=number: np.asarray(part["perturbed"][number]))  # type: ignore[misc]
            for number, item in enumerate(data.perturbed)
        ]
        for level, scores in levels:
            tested = np.concatenate([fold.test[np.isfinite(scores(part))] for fold, part in first])
            values = [_judged(judge, fold, scores(part)) for fold, part in folds]
            known = [value for value in values if np.isfinite(value)]
            row = {"kind": KIND, "model": name, "level": level, "n": len(tested), "n_events": int(events[tested].sum())}
            rows.append(row | {"c": float(np.mean(known)) if known else np.nan, "note": "mean over outer folds"})
        rows.append({"kind": KIND, "model": name, "level": "spread of the risk"} | _spread(folds, first))
    return rows


def perturbed_patients(done: FinishedFits, score: str) -> pd.DataFrame:
    """Return each test patient's risk in every outer fold and its spread over the perturbations."""
    parts = []
    for name in done.fitted:
        for fold, part in done.outer(name):
            if part.get("perturbed") is None:
                continue
            known = _known(part)
            count = known.sum(axis=0)
            inside = count > 0
            found = np.asarray(part["perturbed"])[:, inside]
            several = count[inside] > 1
            sd = np.full(int(inside.sum()), np.nan)
            sd[several] = np.nanstd(found[:, several], axis=0, ddof=1)
            table = {
                "patient": [done.data.patients[row] for row in done.data.fold(fold).test[inside]],
                "model": name,
                "fold": fold,
                "n_perturbations": count[inside],
                "risk": np.asarray(part[score])[inside],
                "risk_sd": sd,
                "risk_low": np.nanmin(found, axis=0, initial=np.inf),
                "risk_high": np.nanmax(found, axis=0, initial=-np.inf),
            }
            parts.append(pd.DataFrame(table, columns=PATIENT_COLUMNS))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=PATIENT_COLUMNS)


def _known(part: Mapping[str, Any]) -> BoolArray:
    return np.asarray(np.isfinite(np.asarray(part["perturbed"], dtype=float)))


def _judged(judge: Callable[[Any, FloatArray], float], fold: Fold, scores: FloatArray) -> float:
    inside = np.isfinite(scores)
    return judge(fold.test[inside], scores[inside]) if inside.any() else np.nan


def _spread(folds: list[Any], first: list[Any]) -> dict[str, Any]:
    """Mean over patients of the SD of the risk, and the risk's ICC, folds apart: their scales differ."""
    n = sum(int(_known(part).all(axis=0).sum()) for _, part in first)
    spreads, agreements = [], []
    for _, part in folds:
        found = np.asarray(part["perturbed"])[:, _known(part).all(axis=0)]
        if found.shape[0] < 2 or not found.shape[1]:
            continue
        spreads.append(float(np.std(found, axis=0, ddof=1).mean()))
        if found.shape[1] > 1:
            agreements.append(float(icc(found.T, "1,1").value[0]))
    known = [value for value in agreements if np.isfinite(value)]
    few = "" if spreads else "; two perturbations of a patient are needed"
    return {
        "n": n,
        "risk_sd": float(np.mean(spreads)) if spreads else np.nan,
        "risk_icc": float(np.mean(known)) if known else np.nan,
        "note": f"SD of a patient's risk and ICC(1,1), mean over outer folds{few}",
    }
