"""Features of several regions of one image, and of a region under small changes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import RegionError
from imrad.radiomics.geometry import Grid, Mask
from imrad.radiomics.perturb import Perturbation, Perturber
from imrad.radiomics.prepared import PreparedImage
from imrad.radiomics.reach import perturbed_pad
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["Engine", "perturbed_features", "region_features"]

Engine = Literal["imrad", "pyradiomics"]


def region_features(
    image: sitk.Image, masks: Sequence[Mask], settings: RadiomicsSettings, engine: Engine = "imrad"
) -> list[dict[str, float]]:
    """Return the features of each region of one image."""
    if engine == "pyradiomics":
        from imrad.radiomics import extract_pyradiomics

        grid = Grid.of(image)
        return [
            {str(name): float(value) for name, value in found.items()}
            for found in (extract_pyradiomics(image, grid.image(m.astype(np.uint8)), settings, label=1) for m in masks)
        ]
    prepared = _prepared(sitk.GetArrayViewFromImage(image), Grid.of(image), masks, settings)
    return [prepared.extract(mask, label=1) for mask in masks]


def perturbed_features(
    image: sitk.Image,
    mask: Mask,
    settings: RadiomicsSettings,
    changes: Sequence[Perturbation],
    names: Sequence[str],
    *,
    engine: Engine = "imrad",
) -> NDArray[np.float64]:
    """Return the features of a region under each change, equal to those of the changed image and mask alone.

    Parameters
    ----------
    image : SimpleITK.Image
    mask : array of bool, shape (z, y, x)
        On the image's voxels.
    names : sequence of str
        The features wanted.

    Returns
    -------
    array, shape (changes, names)
        NaN where a change leaves no usable region.
    """
    grid, plain = Grid.of(image), settings
    if settings.normalize:
        # By the mean of the whole image, which its perturbed parts are not.
        values = PreparedImage(sitk.GetArrayViewFromImage(image), grid.spacing_mm, settings).image
        image = grid.image(values)
        plain = plain.model_copy(update={"normalize": False})
    x, y, z = grid.spacing_mm
    if settings.resampledPixelSpacing is not None and settings.interpolator is not None:
        # A perturbed image is sampled once, where the features want it, rather than twice.
        plain = plain.model_copy(update={"resampledPixelSpacing": None})
        x, y, z = (step or own for step, own in zip(settings.resampledPixelSpacing, (x, y, z), strict=True))
    perturber = Perturber(image, mask, spacing_mm=(x, y, z), pad=perturbed_pad(settings, (x, y, z)))
    table = np.full((len(changes), len(names)), np.nan)
    masks: dict[int, Mask] = {}
    for number, change in enumerate(changes):
        with suppress(RegionError):
            found = perturber.perturbed(change)
            if engine == "imrad" and perturber.keeps_image(change):
                masks[number] = found.inside
                continue
            if engine == "imrad":
                prepared = _prepared(found.values, found.grid, [found.inside], plain)
                row = prepared.extract(found.inside, label=1)
            else:
                row = region_features(found.grid.image(found.values), [found.inside], plain, engine)[0]
            table[number] = [row[name] for name in names]
    if masks:
        # Changes of the mask alone look at one image, filtered once.
        still = perturber.unchanged
        prepared = _prepared(still.values, still.grid, list(masks.values()), plain)
        for number, mask_alone in masks.items():
            with suppress(RegionError):
                row = prepared.extract(mask_alone, label=1)
                table[number] = [row[name] for name in names]
    return table


def _prepared(values: NDArray[Any], grid: Grid, masks: Sequence[Mask], settings: RadiomicsSettings) -> PreparedImage:
    """Return an image that is filtered once for all of these regions."""
    prepared = PreparedImage(values, grid.spacing_mm, settings, origin=grid.origin_mm, direction=grid.direction)
    if len(masks) > 1:
        prepared.reserve(np.logical_or.reduce(masks), label=1)
    return prepared
