"""Which patient a sample is of, and which sample speaks for a patient."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

__all__ = ["choose_samples", "patient_of", "sample_type"]

_TCGA = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(\d{2})([A-Z])?)?(?:[-.]|$)", re.IGNORECASE)
_DOTTED = re.compile(r"TCGA[._][A-Za-z0-9]{2}[._][A-Za-z0-9]{4}(?:$|[._-])", re.IGNORECASE)
# Primary tumour (blood-derived cancers: 03) before additional primary, recurrence and metastasis.
_PREFERENCE = ("01", "03", "09", "05", "02", "06", "07", "")


def patient_of(sample: str) -> str:
    """Return the 12-character TCGA patient of a sample, or the name itself where it is no TCGA barcode."""
    match = _TCGA.match(dashed(sample))
    return match.group(1).upper() if match else sample


def dashed(sample: str) -> str:
    """Return a TCGA barcode with dashes where a program wrote dots or underscores."""
    text = sample.strip()
    return re.sub(r"[._]", "-", text) if _DOTTED.match(text) else text


def sample_type(sample: str) -> str:
    """Return the two-digit TCGA sample type (``01`` primary tumour, ``11`` normal), or empty."""
    match = _TCGA.match(dashed(sample))
    return match.group(2) or "" if match else ""


def choose_samples(
    samples: Sequence[str], *, quality: pd.Series[float] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose one sample a patient: tumours only, primary first, then best quality, then first barcode.

    Parameters
    ----------
    samples : sequence of str
        One a row; may repeat.
    quality : Series, optional
        One a row, higher is better.

    Returns
    -------
    chosen : DataFrame
        Columns row, sample, patient, one row a patient, sorted by patient.
    attrition : DataFrame
        Columns step, n_in, n_out, reason.
    """
    table = pd.DataFrame({"sample": [dashed(str(name)) for name in samples], "row": range(len(samples))})
    table["patient"] = [patient_of(name) for name in table["sample"]]
    table["type"] = [sample_type(name) for name in table["sample"]]
    table["quality"] = 0.0 if quality is None else quality.to_numpy(dtype=float)
    steps = []
    tumours = table[[kind in _PREFERENCE for kind in table["type"]]]
    steps.append(("tumour samples", len(table), len(tumours), "normal and control samples left out"))
    table = tumours.assign(order=[_PREFERENCE.index(kind) for kind in tumours["type"]])
    table = table.sort_values(
        ["patient", "order", "quality", "sample", "row"], ascending=[True, True, False, True, True]
    )
    chosen = table.drop_duplicates("patient")
    reason = "one sample a patient: primary tumour first, then best fit, then first barcode"
    steps.append(("one sample a patient", len(table), len(chosen), reason))
    attrition = pd.DataFrame(steps, columns=["step", "n_in", "n_out", "reason"])
    return chosen[["row", "sample", "patient"]].reset_index(drop=True), attrition
