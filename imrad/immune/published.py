"""Published scores: the TCGA CIBERSORT table, and any table of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from imrad.exceptions import InputError
from imrad.immune.barcodes import choose_samples, dashed, patient_of
from imrad.immune.reading import read_table
from imrad.immune.scores import ImmuneScores, apply_p_rule
from imrad.immune.signatures import coverage_table
from imrad.immune.targets import PLAIN_TARGETS, canonical_cell
from imrad.names import LM22_CELLS

__all__ = ["read_cibersort_table", "read_score_table"]

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


def read_score_table(path: str | Path, *, index: str | None = None) -> pd.DataFrame:
    """Read any table of scores; its columns become targets.

    Columns that are targets (``TMB``, ``gene:PDCD1``), LM22 cell types or well known published names
    (``Non-silent_per_Mb``, ``MANTIS_Score``, ``StromalScore``) are spelt as the target language spells
    them; other numeric columns keep their names. A column ``ESTIMATE`` whose values lie in [0, 1] is
    the purity of that method, as in Aran 2015, and not its score. Of several TCGA samples of a
    patient the primary tumour counts.

    Parameters
    ----------
    path : path
        csv or tsv, gzip recognised, or Parquet.
    index : str, optional
        Column of patients or samples; default the first with a usual name, else the first.

    Returns
    -------
    DataFrame
        Index patient; ``attrs["attrition"]`` where samples were chosen.

    Raises
    ------
    InputError
        If the file is missing, has repeated patients that no barcode tells apart, or no numbers.
    """
    table = read_table(path, "score table")
    lower = {str(name).lower(): str(name) for name in table.columns}
    who = index or next((lower[key] for key in _INDEX if key in lower), str(table.columns[0]))
    if who not in table.columns:
        message = f"{path} has no column {who!r}; its columns are {', '.join(map(str, table.columns))[:200]}"
        raise InputError(message)
    numeric = [name for name in table.columns if name != who and pd.api.types.is_numeric_dtype(table[name].dtype)]
    if not numeric:
        message = f"{path} holds no column of numbers"
        raise InputError(message)
    names = [dashed(str(name)) for name in table[who]]
    result = table[numeric].astype(float)
    attrs = {}
    if any(patient_of(name) != name for name in names):
        chosen, attrs["attrition"] = choose_samples(names)
        result = result.iloc[chosen["row"].to_numpy(dtype=int)]
        names = chosen["patient"].tolist()
    result.index = pd.Index(names, name="patient")
    if not result.index.is_unique:
        repeated = sorted(set(result.index[result.index.duplicated()]))
        message = f"{path} has {len(repeated)} repeated patients ({', '.join(repeated[:5])}); keep one row a patient"
        raise InputError(message)
    result.columns = pd.Index([_column(str(name), result[name]) for name in numeric])
    result.attrs.update(attrs)
    return result


_INDEX = ("patient", "patient_id", "case_id", "sample", "sampleid", "sample_id", "tumor_sample_id", "mixture")
_PUBLISHED = {
    "non-silent_per_mb": "TMB",
    "tmb_nonsynonymous": "TMB",
    "mantis_score": "MSI",
    "msi_score_mantis": "MSI",
    "stromalscore": "stromal",
    "immunescore": "immune",
    "estimatescore": "estimate",
    "tumorpurity": "purity",
}


def _column(name: str, values: pd.Series[float]) -> str:
    cell = canonical_cell(name)
    if cell in LM22_CELLS:
        return f"cell:{cell}"
    known = _PUBLISHED | {plain.lower(): plain for plain in PLAIN_TARGETS}
    target = known.get(name.lower(), name)
    return "purity" if target == "estimate" and values.dropna().between(0, 1).all() else target
