"""Every column by itself against a binary outcome: the first table of a clinical paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.contingency import chi_square, cross_table, fisher_exact
from imrad.evaluation.logistic import fit_each_column
from imrad.evaluation.multiplicity import adjust
from imrad.evaluation.outcomes import BoolArray, FloatArray, binary_outcome
from imrad.evaluation.two_group import screen
from imrad.exceptions import CohortError
from imrad.survival.columns import LARGEST

__all__ = ["univariable_table"]

COLUMNS = ["block", "feature", "kind", "n", "test", "p", "p_chi2", "p_fisher", "q", "or", "or_low", "or_high", "auc"]
SUMMARIES = ["summary_0", "summary_1"]


def univariable_table(outcome: npt.ArrayLike, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare every column between the classes; missing values are left out, column by column.

    Parameters
    ----------
    outcome : array_like of bool or 0/1, shape (n_patients,)
    tables : mapping of str to DataFrame
        Blocks of columns, rows as the outcome. Numbers of more than two values are tested by rank
        sum, everything else as categories: chi-square, or Fisher's exact test where an expected count
        is below 5.

    Returns
    -------
    DataFrame
        block, feature, kind, n, test, p, p_chi2, p_fisher, q (Benjamini and Hochberg within the
        block), or, or_low, or_high (per SD of a number; second against first of two categories), auc,
        summary_0 and summary_1 (median and quartiles of a number, counts of categories, in each class).
    """
    y = binary_outcome(outcome)
    for name, table in tables.items():
        if len(table) != len(y):
            message = f"block {name} has {len(table)} rows for {len(y)} outcomes: one of each per patient is needed"
            raise CohortError(message)
    parts = [_block(y, table).assign(block=name) for name, table in tables.items() if table.shape[1]]
    columns = [*COLUMNS, *SUMMARIES]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _block(y: BoolArray, table: pd.DataFrame) -> pd.DataFrame:
    columns = [table.iloc[:, number] for number in range(table.shape[1])]
    numeric = [number for number, values in enumerate(columns) if _is_number(values)]
    rows: list[dict[str, Any]] = [{} for _ in columns]
    if numeric:
        x = table.iloc[:, numeric].to_numpy(dtype=float, na_value=np.nan)
        if (np.abs(x) > LARGEST).any():
            column = table.columns[numeric[int(np.argmax((np.abs(x) > LARGEST).any(axis=0)))]]
            message = f"column {column} holds values beyond {LARGEST:g}; rescale it, or leave it out"
            raise CohortError(message)
        found = screen(y, x)
        parts = {"n": found["n"], "p": found["p"], "auc": found["auc"]} | _odds_ratios(y, x)
        for place, number in enumerate(numeric):
            rows[number] = {"kind": "number", "test": "rank sum"}
            rows[number] |= {name: float(np.asarray(values)[place]) for name, values in parts.items()}
    for number, values in enumerate(columns):
        rows[number] = {"feature": str(table.columns[number])} | (rows[number] or _categories(y, values))
    out = pd.DataFrame(rows).reindex(columns=COLUMNS[1:])
    out = out.astype({name: float for name in COLUMNS[4:] if name != "test"})
    out["n"] = out["n"].astype(int)
    for name, inside in (("summary_0", ~y), ("summary_1", y)):
        out[name] = [_summary(values[inside], number in numeric) for number, values in enumerate(columns)]
    out["q"] = adjust(out["p"].to_numpy(dtype=float), "BH")
    return out


def _summary(values: pd.Series[Any], number: bool) -> str:
    known = values.dropna()
    if not len(known):
        return ""
    if number:
        low, middle, high = known.astype(float).quantile([0.25, 0.5, 0.75])
        return f"{middle:.4g} ({low:.4g} to {high:.4g})"
    counts = known.astype(str).value_counts().sort_index()
    return ", ".join(f"{level}: {n} ({100 * n / len(known):.0f} %)" for level, n in counts.items())


def _is_number(values: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(values.dtype)) and int(values.nunique()) > 2


def _odds_ratios(y: BoolArray, x: FloatArray) -> dict[str, FloatArray]:
    coef, se = fit_each_column(y, x)
    half = stats.norm.ppf(0.975) * se
    with np.errstate(over="ignore"):
        return {"or": np.exp(coef), "or_low": np.exp(coef - half), "or_high": np.exp(coef + half)}


def _categories(y: BoolArray, values: pd.Series[Any]) -> dict[str, Any]:
    known = values.notna().to_numpy()
    row: dict[str, Any] = {"n": int(known.sum()), "kind": "categories", "test": "none"}
    codes = pd.factorize(values[known], sort=True)[0] if known.any() else np.zeros(0)
    if len(np.unique(codes)) < 2 or y[known].all() or not y[known].any():
        return row
    counts = cross_table(codes, y[known]).to_numpy()
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    row["p_chi2"], row["p_fisher"] = chi_square(counts)["p"], fisher_exact(counts).p
    exact = bool((expected < 5).any())
    row |= {"test": "Fisher" if exact else "chi-square", "p": row["p_fisher"] if exact else row["p_chi2"]}
    if counts.shape[0] == 2:
        # One standard deviation of a 0/1 column is no step: the odds ratio is of one class to the other.
        coef, se = fit_each_column(y[known], codes.astype(float)[:, None], standardise=False)
        half = stats.norm.ppf(0.975) * se
        row |= {
            "or": float(np.exp(coef[0])),
            "or_low": float(np.exp(coef - half)[0]),
            "or_high": float(np.exp(coef + half)[0]),
        }
    return row
