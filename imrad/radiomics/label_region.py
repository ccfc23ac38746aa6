"""The region that a label names: found, measured against what features need, and cut to a range of intensities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.exceptions import RegionError
from imrad.radiomics.kernels import region_box
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["check_size", "find_region", "resegmented"]

Array = npt.NDArray[Any]


def find_region(mask: Array, label: int) -> Array:
    """Return first and last index along z, y and x of a label's voxels, and how many there are.

    Raises
    ------
    RegionError
        If there is none; the labels that there are, are named.
    """
    found = region_box(mask, label)
    if found[6] == 0:
        raise RegionError(_missing(mask, label))
    return found  # type: ignore[no-any-return]


def _missing(mask: Array, label: int) -> str:
    present = [int(value) for value in np.unique(mask) if value != 0]
    if not present:
        return "the mask is empty: nothing is segmented"
    return f"label {label} is not in the mask, which has {present}; name one of these"


def check_size(found: Array, settings: RadiomicsSettings) -> None:
    """Refuse a region that is a single voxel, or smaller than the settings ask for.

    Raises
    ------
    RegionError
        With the numbers.
    """
    extended = int(sum(found[2 * k + 1] > found[2 * k] for k in range(3)))
    if extended == 0:
        message = "the region is a single voxel; features need more"
        raise RegionError(message)
    if extended < settings.minimumROIDimensions:
        message = (
            f"the region extends along {extended} axes, minimumROIDimensions asks for {settings.minimumROIDimensions}"
        )
        raise RegionError(message)
    if settings.minimumROISize is not None and found[6] <= settings.minimumROISize:
        message = f"the region has {found[6]} voxels, it needs more than minimumROISize {settings.minimumROISize}"
        raise RegionError(message)


def resegmented(image: Array, inside: Array, settings: RadiomicsSettings) -> Array:
    """Return the voxels of a region whose intensities lie in ``resegmentRange``.

    Raises
    ------
    RegionError
        If fewer than two are left.
    """
    assert settings.resegmentRange is not None
    values = image[inside]
    limits = np.array(sorted(settings.resegmentRange), dtype=np.float64)
    if settings.resegmentMode == "relative":
        limits = limits * values.max()
    elif settings.resegmentMode == "sigma":
        limits = np.mean(values) + np.std(values) * limits
    kept = inside.copy()
    chosen = values >= limits[0]
    if len(limits) == 2:
        chosen &= values <= limits[1]
    kept[inside] = chosen
    if chosen.sum() <= 1:
        message = (
            f"resegmentRange {list(settings.resegmentRange)} ({settings.resegmentMode}) keeps "
            f"{int(chosen.sum())} of {chosen.size} voxels (intensities {values.min():g} to "
            f"{values.max():g}); widen it"
        )
        raise RegionError(message)
    return kept
