"""One home of every name in a cohort: slots, columns and the way they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = [
    "ATTRITION_COLUMNS",
    "CARD_COLUMNS",
    "IMMUNE",
    "NAMESPACE",
    "OUT_OF_FOLD",
    "PATIENT",
    "PHENOTYPE",
    "RECORDED",
    "RISK",
    "SCHEMA_VERSION",
    "VAR_COLUMNS",
    "days_column",
    "event_column",
    "safe_key",
    "some",
]

SCHEMA_VERSION = 1
NAMESPACE = "imrad"
PATIENT = "patient"

IMMUNE = "immune"
PHENOTYPE = "phenotype"
RISK = "risk"
RECORDED = "recorded"
OUT_OF_FOLD = "out_of_fold"

VAR_COLUMNS = ("feature_class", "image_filter", "unit", "ibsi_code", "robustness")
ATTRITION_COLUMNS = ("step", "n_in", "n_out", "reason")
CARD_COLUMNS = ("name", "kind", "summary", "range", "unit", "reference")


def days_column(endpoint: str) -> str:
    """Return the obs column of an endpoint's time in days."""
    return f"{endpoint}_days"


def event_column(endpoint: str) -> str:
    """Return the obs column of an endpoint's event, 1 where it happened."""
    return f"{endpoint}_event"


def safe_key(name: str) -> str:
    """Return a column name that HDF5 can hold: a slash would open a group, ``.`` is the group itself."""
    safe = re.sub(r"\s*/\s*", "_per_", name.strip())
    return f"column{safe}" if safe in ("", ".", "..", "_index") else safe


def some(names: Iterable[object], limit: int = 5) -> str:
    """Name the first few of many, for one sentence."""
    texts: Sequence[str] = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"
