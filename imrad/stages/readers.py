"""How far two readers of the same images agree on signs and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["reader_agreement"]


def reader_agreement(obs: pd.DataFrame, rules: Mapping[str, str]) -> pd.DataFrame:
    """Return the agreement behind every column that is derived from two readers'.

    Parameters
    ----------
    obs : DataFrame
        The cohort's, with both readers' columns.
    rules : mapping of str to str
        As for :func:`imrad.cohort.derive_columns`.

    Returns
    -------
    DataFrame
        variable, reader_1, reader_2, measure (Cohen's kappa of signs, ICC(2,1) of measurements), n, value, low,
        high, share_equal.
    """
    from imrad.cohort import reader_pairs

    rows = []
    for name, how, one, two in reader_pairs(rules):
        found = _kappa(obs[one], obs[two]) if how == "consensus" else _icc(obs[one], obs[two])
        rows.append({"variable": name, "reader_1": one, "reader_2": two} | found)
    columns = ["variable", "reader_1", "reader_2", "measure", "n", "value", "low", "high", "share_equal"]
    return pd.DataFrame(rows, columns=columns)


def _kappa(one: pd.Series[Any], two: pd.Series[Any]) -> dict[str, Any]:
    from imrad.evaluation.agreement import cohen_kappa

    known = (one.notna() & two.notna()).to_numpy()
    first, second = one[known].astype(str).to_numpy(), two[known].astype(str).to_numpy()
    out: dict[str, Any] = {"measure": "kappa", "n": int(known.sum())}
    if not known.any():
        return out
    found = cohen_kappa(first, second)
    return out | {
        "value": found.value,
        "low": found.lower,
        "high": found.upper,
        "share_equal": np.mean(first == second),
    }


def _icc(one: pd.Series[Any], two: pd.Series[Any]) -> dict[str, Any]:
    from imrad.evaluation.agreement import icc

    ratings = np.column_stack([one.to_numpy(dtype=float), two.to_numpy(dtype=float)])
    known = ratings[np.isfinite(ratings).all(axis=1)]
    found = icc(ratings, "2,1")
    equal = float(np.mean(known[:, 0] == known[:, 1])) if len(known) else np.nan
    figures = {"value": float(found.value[0]), "low": float(found.lower[0]), "high": float(found.upper[0])}
    return {"measure": "ICC(2,1)", "n": len(known), "share_equal": equal} | figures
