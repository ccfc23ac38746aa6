"""One home of every name in a cohort: slots, columns and the way they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = [
    "ATTRITION_COLUMNS",
    "CARD_COLUMNS",
    "IMMUNE",
    "LM22_CELLS",
    "NAMESPACE",
    "OUT_OF_FOLD",
    "PATIENT",
    "PHENOTYPE",
    "RISK",
    "SCHEMA_VERSION",
    "TARGET_KINDS",
    "VAR_COLUMNS",
    "cell_target",
    "days_column",
    "event_column",
    "is_target",
    "safe_key",
    "some",
]

SCHEMA_VERSION = 1
NAMESPACE = "imrad"
PATIENT = "patient"

IMMUNE = "immune"
PHENOTYPE = "phenotype"
RISK = "risk"
OUT_OF_FOLD = "out_of_fold"

VAR_COLUMNS = ("feature_class", "image_filter", "unit", "ibsi_code", "robustness")
ATTRITION_COLUMNS = ("step", "n_in", "n_out", "reason")
CARD_COLUMNS = ("name", "kind", "summary", "range", "unit", "reference")

PLAIN_TARGETS = ("TMB", "MSI", "purity", "stromal", "immune", "estimate")
TARGET_KINDS = ("cell", "gene", "sig", "mut")

LM22_CELLS = (
    "B_cells_naive",
    "B_cells_memory",
    "Plasma_cells",
    "T_cells_CD8",
    "T_cells_CD4_naive",
    "T_cells_CD4_memory_resting",
    "T_cells_CD4_memory_activated",
    "T_cells_follicular_helper",
    "T_cells_regulatory_Tregs",
    "T_cells_gamma_delta",
    "NK_cells_resting",
    "NK_cells_activated",
    "Monocytes",
    "Macrophages_M0",
    "Macrophages_M1",
    "Macrophages_M2",
    "Dendritic_cells_resting",
    "Dendritic_cells_activated",
    "Mast_cells_resting",
    "Mast_cells_activated",
    "Eosinophils",
    "Neutrophils",
)


def cell_target(name: str) -> str:
    """Return the target of a cell type however its table spells it.

    ``T.cells.regulatory..Tregs.`` and ``T cells regulatory (Tregs)`` are both
    ``cell:T_cells_regulatory_Tregs``.
    """
    return "cell:" + re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")


def is_target(name: str) -> bool:
    """Tell whether a name is spelled in the target language (``TMB``, ``cell:...``, ``gene:...``)."""
    kind, colon, rest = name.partition(":")
    return name in PLAIN_TARGETS if not colon else kind in TARGET_KINDS and bool(rest)


def days_column(endpoint: str) -> str:
    """Return the obs column of an endpoint's time in days."""
    return f"{endpoint}_days"


def event_column(endpoint: str) -> str:
    """Return the obs column of an endpoint's event, 1 where it happened."""
    return f"{endpoint}_event"


def safe_key(name: str) -> str:
    """Return a column name that HDF5 can hold: a slash would open a group."""
    return re.sub(r"\s*/\s*", "_per_", name.strip()) or "unnamed"


def some(names: Iterable[object], limit: int = 5) -> str:
    """Name the first few of many, for one sentence."""
    texts: Sequence[str] = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"
