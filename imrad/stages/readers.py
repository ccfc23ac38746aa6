"""Several readers of the same images: their features side by side, their agreement on signs and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.exceptions import ConfigError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["add_readers", "reader_agreement"]


def add_readers(data: AnnData, tables: Mapping[str, Path]) -> None:
    """Put further readers' features beside the first one's, patient by patient; not all need be read twice.

    Parameters
    ----------
    data : AnnData
        The cohort; the tables go to its obsm.
    tables : mapping of str to path
        Name, such as ``reader_2``, to a feature table.

    Raises
    ------
    ConfigError
        If a name is taken by the cohort itself.
    InputError
        If a table shares no patient or no feature with the cohort, or names a patient twice.
    """
    from imrad import cohort

    for name, path in tables.items():
        if name in ("immune", "phenotype", "risk"):
            message = f"assemble.readers: '{name}' is taken; call a second reader's table reader_2"
            raise ConfigError(message)
        table, _ = cohort.read_cases(cohort.read_table(path))
        table.index = table.index.astype(str)
        if table.index.has_duplicates:
            message = f"{path.name}: patient {table.index[table.index.duplicated()][0]} has several rows; give one"
            raise InputError(message)
        shared = [feature for feature in data.var_names.astype(str) if feature in table.columns]
        both = set(table.index) & set(data.obs_names.astype(str))
        if not shared or not both:
            message = (
                f"{path.name} shares {len(shared)} features and {len(both)} patients with the cohort's own features; "
                "a second reader's table needs the same patients' ids and the same feature names"
            )
            raise InputError(message)
        data.obsm[name] = table[shared].astype(float).reindex(data.obs_names)


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
