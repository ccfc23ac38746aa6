"""Immune scores from expression and mutations, equal to the published programs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "CARDS": "cards",
    "CELL_GROUPS": "targets",
    "Deconvolution": "deconvolution",
    "Expression": "expression",
    "ImmuneScores": "scores",
    "ImmuneSettings": "settings",
    "METHODS": "scores",
    "NON_SILENT": "mutation",
    "Target": "targets",
    "agreement": "scores",
    "apply_p_rule": "scores",
    "canonical_cell": "targets",
    "cibersort": "deconvolution",
    "detect_scale": "units",
    "estimate_scores": "estimate",
    "known_targets": "targets",
    "marker_scores": "markers",
    "msi_table": "msi",
    "mutated_genes": "mutation",
    "parse_target": "targets",
    "prepare_expression": "expression",
    "quantile_normalise": "quantile",
    "gene_symbol": "targets",
    "same_target": "targets",
    "read_cibersort_table": "published",
    "read_expression": "reading",
    "read_gmt": "signatures",
    "read_maf": "mutation",
    "read_score_table": "published",
    "read_signature": "signatures",
    "score": "scores",
    "ssgsea": "enrichment",
    "target_help": "targets",
    "tmb_from_maf": "mutation",
}

__all__ = list(_DOORS)


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return getattr(import_module(f"imrad.immune.{_DOORS[name]}"), name)
    message = f"module 'imrad.immune' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
