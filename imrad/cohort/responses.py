"""Binary endpoints as they were recorded: RECIST, pathology, yes or no; and what each recorded value counts as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort import keys
from imrad.exceptions import CohortError

__all__ = ["count_responses", "read_responses", "recorded_responses"]

_RECIST = {
    "CR": ("cr", "complete response", "完全缓解"),
    "PR": ("pr", "partial response", "部分缓解"),
    "SD": ("sd", "stable disease", "疾病稳定", "病情稳定", "稳定"),
    "PD": ("pd", "progressive disease", "疾病进展", "病情进展", "进展"),
    "NE": ("ne", "not evaluable", "无法评价", "无法评估", "不可评估", "不可评价"),
}
"""RECIST 1.1 (doi:10.1016/j.ejca.2008.10.026) as it is written."""
_CODES = {word: code for code, words in _RECIST.items() for word in words}
_RESPONDED = {"1", "1.0", "true", "yes", "y", "pcr", "response", "responder", "是", "有反应"}
_NO_RESPONSE = {"0", "0.0", "false", "no", "n", "non-pcr", "npcr", "non-response", "non-responder", "否"}
_NO_RESPONSE |= {"无反应", "no response"}
_NOT_EVALUABLE = {"", "na", "nan", "n/a", "unknown", "[not available]"}
_VALUES = {"CR": 1.0, "PR": 1.0, "SD": 0.0, "PD": 0.0, "NE": np.nan}
_ORDER = tuple(_RECIST)


def recorded_responses(column: pd.Series[Any]) -> pd.Series[str]:
    """Return what was recorded, as text: RECIST by its code, else as it was written; empty where nothing was."""

    def read(value: Any) -> str:
        text = "" if pd.isna(value) else " ".join(str(value).split())
        text = text.removesuffix(".0") if text in ("1.0", "0.0") else text
        return "" if text.lower() == "nan" else _CODES.get(text.lower(), text)

    return pd.Series([read(value) for value in column], index=column.index, dtype=object)


def read_responses(column: pd.Series[Any], endpoint: str) -> pd.Series[float]:
    """Return 1 (response), 0 (none) or missing for every patient of a clinical column.

    CR and PR of RECIST 1.1 respond, SD and PD do not, NE is missing.

    Raises
    ------
    CohortError
        If a value is none that is known, naming it and whose it is.
    """
    recorded = recorded_responses(column)
    responses = recorded.map(_value).astype(float)
    wrong = column.index[responses == -1.0]
    if len(wrong):
        values = sorted({str(column[name]) for name in wrong[:50]})
        message = (
            f"endpoint {endpoint}: the column {column.name} holds {keys.some(values)} for {keys.some(wrong)}; "
            "it must hold RECIST (CR, PR, SD, PD, NE), pCR and non-pCR, yes and no, or 1 and 0"
        )
        raise CohortError(message)
    return responses


def _value(text: str) -> float:
    if text in _VALUES:
        return _VALUES[text]
    lower = text.lower()
    if lower in _NOT_EVALUABLE:
        return float("nan")
    return 1.0 if lower in _RESPONDED else 0.0 if lower in _NO_RESPONSE else -1.0


def count_responses(adata: Any) -> pd.DataFrame:
    """Count a cohort's patients by what was recorded for each binary endpoint.

    Returns
    -------
    DataFrame
        ``endpoint``, ``column`` (of the clinical table), ``recorded``, ``counts_as`` (1, 0 or missing), ``n`` and
        ``scale`` (``RECIST 1.1`` where every value is one of its, else empty). CR, PR, SD, PD and NE are there even
        where nobody has them; an empty ``recorded`` is a patient for whom nothing was.
    """
    columns = ["endpoint", "column", "recorded", "counts_as", "n", "scale"]
    recorded = adata.obsm.get(keys.RECORDED)
    table = adata.uns[keys.NAMESPACE].get("endpoints")
    rows: list[tuple[Any, ...]] = []
    for item in () if recorded is None else table[table["kind"] == "binary"].itertuples():
        if item.name not in recorded:
            continue
        levels = [str(text) for text in recorded[item.name]]
        is_recist = set(levels) <= {*_ORDER, ""}
        scale = "RECIST 1.1" if is_recist else ""
        order = [*_ORDER] if is_recist else sorted(set(levels) - {""}, key=lambda text: (-_value(text), text))
        order += [""] if "" in levels else []
        rows += [(item.name, item.columns, text, _value(text), levels.count(text), scale) for text in order]
    return pd.DataFrame(rows, columns=columns)
