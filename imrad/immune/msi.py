"""Microsatellite instability from MANTIS or MSIsensor tables.

References
----------
Kautto et al., Oncotarget 2017, doi 10.18632/oncotarget.13918 (MANTIS);
Niu et al., Bioinformatics 2014, doi 10.1093/bioinformatics/btt755 (MSIsensor).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from imrad.exceptions import InputError
from imrad.immune.barcodes import choose_samples
from imrad.immune.reading import read_table

__all__ = ["USUAL_CUTS", "msi_table"]

USUAL_CUTS = {"mantis": 0.4, "msisensor": 3.5}
"""Scores above which each program's authors call a tumour unstable."""

_PATIENT = ("patient", "case_id", "patient_id", "#patient identifier", "patient identifier", "submitter_id", "case")
_SAMPLE = ("sample_id", "sample", "tumor_sample_id", "sampleid", "tumor_sample_barcode")
_SCORES = {
    "mantis": ("mantis_score", "msi_score_mantis", "mantis", "msi mantis score"),
    "msisensor": ("msi_sensor_score", "msisensor_score", "msisensor", "msi_score", "%", "msi"),
}


def msi_table(
    source: str | Path | pd.DataFrame, *, method: str = "auto", threshold: float | None = None
) -> pd.DataFrame:
    """Read MSI scores, one a patient.

    Parameters
    ----------
    source : path or DataFrame
        A table with a patient or sample column and a MANTIS or MSIsensor score (cBioPortal's sample
        tables with their `#` lines are recognised).
    method : {"auto", "mantis", "msisensor"}
        Which score; ``auto`` takes MANTIS first.
    threshold : float, optional
        If given, the MSI column is 1.0 above it and 0.0 otherwise; without it MSI is the score,
        to be cut at the median inside each fold (unstable tumours are rare in most cancers).

    Returns
    -------
    DataFrame
        Index patient; columns MSI, score, unstable (by the program's usual cut); the program is in
        ``attrs["method"]``.

    Raises
    ------
    InputError
        If the file is missing or the columns are not found.
    """
    table = source if isinstance(source, pd.DataFrame) else read_table(source, "MSI table")
    lower = {str(name).strip().lower(): name for name in table.columns}
    column, found = "", ""
    for name in _SCORES if method == "auto" else [method]:
        if name not in _SCORES:
            message = f"unknown MSI method {method!r}; write auto, mantis or msisensor"
            raise InputError(message)
        column = next((lower[key] for key in _SCORES[name] if key in lower), "")
        found = name
        if column:
            break
    who = next((lower[key] for key in (*_SAMPLE, *_PATIENT) if key in lower), "")
    if not column or not who:
        message = (
            f"the MSI table has columns {', '.join(map(str, table.columns))[:200]}; needed are a patient or sample "
            "column and MANTIS_Score or MSIsensor_score"
        )
        raise InputError(message)
    scores = pd.to_numeric(table[column], errors="coerce")
    measured = table.loc[scores.notna(), who].astype(str).tolist()
    values = scores[scores.notna()].to_numpy(dtype=float)
    chosen, attrition = choose_samples(measured)
    kept = values[chosen["row"].to_numpy(dtype=int)]
    result = pd.DataFrame(index=pd.Index(chosen["patient"], name="patient"))
    result["MSI"] = kept if threshold is None else (kept > threshold).astype(float)
    result["score"] = kept
    result["unstable"] = kept > USUAL_CUTS[found]
    result.attrs.update(method=found, threshold=threshold, attrition=attrition)
    return result
