"""Published scores: the TCGA CIBERSORT table, and any table of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from imrad.exceptions import InputError, ScoreError
from imrad.immune.barcodes import choose_samples, dashed
from imrad.immune.reading import read_table
from imrad.immune.scores import ImmuneScores
from imrad.immune.signatures import coverage_table
from imrad.immune.targets import LM22_CELLS, PLAIN_TARGETS, canonical_cell

__all__ = ["P_CUT", "apply_p_rule", "read_cibersort_table", "read_score_table"]

P_CUT = 0.05
_FIT = {"p_value": "p_value", "correlation": "correlation", "rmse": "rmse"}


def read_cibersort_table(
    path: str | Path, *, cancer_type: str | None = None, p_rule: str = "keep", per_patient: bool = True
) -> ImmuneScores:
    """Read published CIBERSORT fractions, such as the TCGA table.

    Dots in barcodes become dashes, normal samples are left out, and of a patient's several rows the
    primary tumour's counts, then that of the highest correlation, then the first barcode.

    Parameters
    ----------
    path : path
        One row a sample: SampleID (or Mixture), optionally CancerType, cell types, P.value,
        Correlation, RMSE.
    cancer_type : str, optional
        Keep rows of this CancerType only.
    p_rule : {"keep", "exclude"}
        Rows with p >= 0.05 are kept or excluded; their number is reported either way.
    per_patient : bool
        One row a patient; else all rows under their own names.

    Raises
    ------
    InputError
        If the file is missing or not such a table.
    """
    table = read_table(path, "score table")
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    who = next(
        (name for name in table.columns if name.lower() in ("sampleid", "mixture", "sample", "input sample")), ""
    )
    if not who:
        who = str(table.columns[0])
    attrition = [("rows of the table", len(table), len(table), "as published")]
    if cancer_type is not None:
        own = table[table.get("CancerType", pd.Series("", index=table.index)) == cancer_type]
        if own.empty:
            message = f"{path} has no rows of cancer type {cancer_type!r} in a CancerType column"
            raise InputError(message)
        attrition.append((f"cancer type {cancer_type}", len(table), len(own), "other cancer types"))
        table = own.reset_index(drop=True)
    cells = {name: canonical_cell(name) for name in table.columns if canonical_cell(name) in LM22_CELLS}
    if not cells:
        message = f"{path} holds no column named after an LM22 cell type; use read_score_table for other scores"
        raise InputError(message)
    fractions = table[list(cells)].rename(columns={old: f"cell:{new}" for old, new in cells.items()}).astype(float)
    fit = _fit_columns(table)
    samples = [dashed(str(name)) for name in table[who]]
    extra = pd.DataFrame(columns=["step", "n_in", "n_out", "reason"])
    if per_patient:
        chosen, extra = choose_samples(samples, quality=fit["correlation"].fillna(-np.inf))
        rows = chosen["row"].to_numpy(dtype=int)
        fractions, fit = fractions.iloc[rows], fit.iloc[rows]
        index = pd.Index(chosen["patient"], name="patient")
        fit = fit.assign(sample=[samples[row] for row in rows])
    else:
        index = pd.Index(samples, name="sample")
    fractions.index = fit.index = index
    steps = pd.concat([pd.DataFrame(attrition, columns=extra.columns), extra], ignore_index=True)
    result = ImmuneScores(
        scores=fractions,
        fit=fit,
        coverage=coverage_table([]),
        second={},
        messages=(f"CIBERSORT fractions read from a published table of {len(fractions)} rows",),
        cards=("cibersort",),
        attrition=steps,
    )
    return apply_p_rule(result, p_rule)


def _fit_columns(table: pd.DataFrame) -> pd.DataFrame:
    lower = {str(name).lower().replace("-", "_").replace(".", "_").replace(" ", "_"): name for name in table.columns}
    fit = pd.DataFrame(index=table.index)
    for name, key in _FIT.items():
        fit[name] = pd.to_numeric(table[lower[key]], errors="coerce") if key in lower else np.nan
    return fit


def apply_p_rule(scores: ImmuneScores, rule: str) -> ImmuneScores:
    """Keep or exclude the rows whose deconvolution has p >= 0.05, and say how many they are.

    Excluded rows keep their place; their cell fractions become missing.
    """
    if rule not in ("keep", "exclude"):
        message = f"unknown p_rule {rule!r}; write keep or exclude"
        raise ScoreError(message)
    p = scores.fit["p_value"] if "p_value" in scores.fit else pd.Series(np.nan, index=scores.scores.index)
    if p.isna().all():
        return scores
    poor = (p >= P_CUT).to_numpy()
    said = f"{int(poor.sum())} of {len(poor)} rows have a deconvolution p of {P_CUT} or more: rule {rule}"
    table = scores.scores
    if rule == "exclude":
        cells = [name for name in table.columns if str(name).startswith("cell:")]
        table = table.copy()
        table.loc[poor, cells] = np.nan
    step = pd.DataFrame(
        [("deconvolution p < 0.05", len(poor), int((~poor).sum()) if rule == "exclude" else len(poor), said)],
        columns=["step", "n_in", "n_out", "reason"],
    )
    attrition = pd.concat([scores.attrition, step], ignore_index=True)
    return scores.replaced(scores=table, messages=(*scores.messages, said), attrition=attrition)


def read_score_table(path: str | Path, *, index: str | None = None) -> pd.DataFrame:
    """Read any table of scores; its columns become targets.

    Columns that are targets (``TMB``, ``gene:PDCD1``) or LM22 cell types are spelt as the target
    language spells them; other numeric columns keep their names.

    Parameters
    ----------
    path : path
        csv or tsv, gzip recognised, or Parquet.
    index : str, optional
        Column of patients or samples; default ``patient``, ``sample`` or the first.

    Raises
    ------
    InputError
        If the file is missing, has repeated patients, or no numeric column.
    """
    table = read_table(path, "score table")
    lower = {str(name).lower(): str(name) for name in table.columns}
    who = index or next((lower[key] for key in ("patient", "sample", "sampleid", "case_id") if key in lower), "")
    who = who or str(table.columns[0])
    if who not in table.columns:
        message = f"{path} has no column {who!r}; its columns are {', '.join(map(str, table.columns))[:200]}"
        raise InputError(message)
    names = pd.Index([dashed(str(name)) for name in table[who]], name="patient")
    if not names.is_unique:
        repeated = sorted(set(names[names.duplicated()]))
        message = f"{path} has {len(repeated)} repeated patients ({', '.join(repeated[:5])}); keep one row a patient"
        raise InputError(message)
    numeric = [name for name in table.columns if name != who and pd.api.types.is_numeric_dtype(table[name].dtype)]
    if not numeric:
        message = f"{path} holds no column of numbers"
        raise InputError(message)
    result = table[numeric].astype(float)
    result.index = names
    result.columns = pd.Index([_column(str(name)) for name in numeric])
    return result


def _column(name: str) -> str:
    cell = canonical_cell(name)
    if cell in LM22_CELLS:
        return f"cell:{cell}"
    return {plain.lower(): plain for plain in PLAIN_TARGETS}.get(name.lower(), name)
