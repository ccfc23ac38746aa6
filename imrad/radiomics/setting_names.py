"""The names that a parameter file may use, and the nearest of them to a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from imrad.radiomics.features import BY_NAME_ONLY, CLASSES, WITHOUT_VALUE

__all__ = ["BEFORE_FILTERS", "IMAGE_TYPES", "INTERPOLATORS", "VOXEL_KEYS", "check_feature", "known_key", "nearest"]

IMAGE_TYPES = (
    "Original",
    "Wavelet",
    "LoG",
    "Square",
    "SquareRoot",
    "Logarithm",
    "Exponential",
    "Gradient",
    "LBP2D",
    "LBP3D",
)

INTERPOLATORS = (
    "sitkNearestNeighbor",
    "sitkLinear",
    "sitkBSpline",
    "sitkGaussian",
    "sitkLabelGaussian",
    "sitkHammingWindowedSinc",
    "sitkCosineWindowedSinc",
    "sitkWelchWindowedSinc",
    "sitkLanczosWindowedSinc",
    "sitkBlackmanWindowedSinc",
)

BEFORE_FILTERS = (
    "normalize",
    "normalizeScale",
    "removeOutliers",
    "resampledPixelSpacing",
    "interpolator",
    "preCrop",
    "padDistance",
    "resegmentRange",
    "resegmentMode",
    "resegmentShape",
    "minimumROIDimensions",
    "minimumROISize",
    "correctMask",
    "geometryTolerance",
    "label",
    "label_channel",
    "additionalInfo",
    "logSupport",
    "ivhBinWidth",
    "mode",
)

VOXEL_KEYS = ("kernelRadius", "maskedKernel", "initValue", "voxelBatch")


def nearest(word: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an unknown word: the nearest known one, or all of them."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    if not close:
        lower = {str(k).lower(): k for k in known}
        close = [lower[m] for m in difflib.get_close_matches(word.lower(), list(lower), n=1, cutoff=0.5)]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(map(str, known))}"


def known_key(key: object, known: Collection[str], where: str) -> None:
    """Raise ValueError if a key is none of those known in its place."""
    if key not in known:
        message = f"{where} has no key {key!r}{nearest(str(key), known)}"
        raise ValueError(message)


def check_feature(feature_class: str, feature: str) -> None:
    """Raise ValueError if a class has no such feature, or one that equals another."""
    known = {**CLASSES[feature_class], **BY_NAME_ONLY.get(feature_class, {})}
    if feature in known:
        return
    if feature in WITHOUT_VALUE.get(feature_class, {}):
        message = (
            f"{feature_class} {feature} has no value of its own: it equals {WITHOUT_VALUE[feature_class][feature]}"
        )
        raise ValueError(message)
    message = f"featureClass {feature_class} has no feature {feature!r}{nearest(feature, known)}"
    raise ValueError(message)
