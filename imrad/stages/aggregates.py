"""Aggregates: what may leave a hospital, and which counts are too small to."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from imrad.exceptions import ConfigError

__all__ = ["LEAST", "SMALL", "refuse_rows", "without_small", "without_small_cells"]

LEAST = 10
"""Fewest patients whose aggregates may leave a hospital, and fewest at risk at a horizon that is judged."""

SMALL = 5
"""Counts below this are not written where only aggregates may leave."""


def refuse_rows(folder: Path, n_patients: int) -> None:
    """Refuse aggregates of few patients, and a folder in which rows of patients lie.

    Raises
    ------
    ConfigError
        If so.
    """
    if n_patients < LEAST:
        message = f"aggregates of {n_patients} patients tell about single ones; --aggregate-only needs {LEAST}"
        raise ConfigError(message)
    names = ("patients.csv", "phenotypes.csv", "measured.csv", "failures.csv", "external/*/risk.csv")
    rows = [path for name in names for path in folder.glob(name)]
    if rows:
        message = f"{rows[0]} holds rows of patients from an earlier call; choose another folder for aggregates"
        raise ConfigError(message)


def without_small(table: pd.DataFrame, n_patients: int) -> pd.DataFrame:
    """Leave out shares that stand for fewer than five patients, but not those of none."""
    out = table.copy()
    for name in out.columns.intersection(["share_below", "share_above", "share_outside", "missing"]):
        counts = out[name].astype(float) * n_patients
        out[name] = out[name].where((counts < 0.5) | (counts >= SMALL - 0.5))
    return out


def without_small_cells(models: pd.DataFrame) -> pd.DataFrame:
    """Leave out the cells of a fourfold table that count fewer than five patients, and every share that tells them.

    Parameters
    ----------
    models : DataFrame
        A row a model: tp, fp, tn, fn, and the shares with their limits.
    """
    out = models.copy()
    small = {name: out[name].between(1, SMALL - 1) for name in ("tp", "fp", "tn", "fn") if name in out}
    if not small:
        return out
    of_positive, of_negative = small["tp"] | small["fn"], small["tn"] | small["fp"]
    ends = ("", "_low", "_high")
    hidden = {"tp": of_positive, "fn": of_positive, "tn": of_negative, "fp": of_negative}
    hidden |= {f"sensitivity{end}": of_positive for end in ends} | {f"specificity{end}": of_negative for end in ends}
    # The others mix both rows of the table: beside the row that is shown, they would tell the one that is not.
    hidden |= {f"{name}{end}": of_positive | of_negative for name in ("accuracy", "ppv", "npv") for end in ends}
    for name, where in hidden.items():
        if name in out:
            out[name] = out[name].astype(float).mask(where)
    return out
