"""Images and regions to radiomic features, with pyradiomics' names and values."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DOORS = {
    "PreparedImage": "prepared",
    "RadiomicsSettings": "settings",
    "compare": "comparison",
    "compare_case": "cases",
    "extract": "engine",
    "extract_image": "engine",
    "extract_pyradiomics": "comparison",
    "feature_names": "engine",
    "feature_table": "features",
    "ComBat": "harmonise",
    "Extraction": "cases",
    "Grid": "geometry",
    "GeometryLimits": "geometry",
    "Region": "regions",
    "Segment": "segmentation",
    "ICCFilter": "robustness",
    "ReaderMean": "robustness",
    "Perturber": "perturb",
    "ReadingSettings": "extraction",
    "VolumeFilter": "robustness",
    "agreement": "robustness",
    "average_readers": "robustness",
    "constant_features": "quality",
    "draw_perturbations": "perturb",
    "extract_cases": "cases",
    "extract_one": "cases",
    "list_segments": "regions",
    "open_image": "images",
    "parse_roi": "roi",
    "preview_bins": "quality",
    "ImageSettings": "image_settings",
    "body_mask": "intensity",
    "dynamic_map": "dynamic",
    "read_cases": "cases",
    "suv_scale": "suv",
    "read_image": "images",
    "read_region": "regions",
    "robust_features": "robustness",
    "shuffle_voxels": "perturb",
}

__all__ = [*_DOORS]


def __getattr__(name: str) -> Any:
    if name in _DOORS:
        return getattr(import_module(f"imrad.radiomics.{_DOORS[name]}"), name)
    message = f"module 'imrad.radiomics' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
