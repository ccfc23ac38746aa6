"""From archives or a hospital's folder to immune-radiomic phenotypes and a survival-fusion report."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "PhenotypeGrid": "imrad.phenotype",
    "SurvivalFusion": "imrad.survival",
    "LassoCox": "imrad.survival",
    "Report": "imrad.report",
    "Run": "imrad.run",
    "extract": "imrad.radiomics",
    "load_tcga_blca": "imrad.datasets",
    "make_cohort": "imrad.datasets",
    "run_config": "imrad.stages",
}

__all__ = [*_DOORS]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # The package database takes longer to open than everything else that this import does.
        from importlib import metadata

        try:
            return metadata.version("imrad")
        except metadata.PackageNotFoundError:
            return "0+unknown"
    if name in _DOORS:
        return getattr(import_module(_DOORS[name]), name)
    message = f"module 'imrad' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
