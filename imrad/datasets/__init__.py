"""The embedded real cohort and synthetic cohorts with planted truth."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_ROOMS = {
    "draw_expression": "omics",
    "draw_mutations": "omics",
    "draw_phantom": "images",
    "STUDIES": "standins",
    "StandinMap": "pictured",
    "Study": "standins",
    "draw_study": "standins",
    "load_tcga_blca": "tcga",
    "make_cohort": "synthetic",
    "standin": "standins",
    "standin_maps": "pictured",
    "tcga_blca_tables": "tcga",
    "write_images": "images",
}

__all__ = [*_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(import_module(f"imrad.datasets.{_ROOMS[name]}"), name)
    message = f"module 'imrad.datasets' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
