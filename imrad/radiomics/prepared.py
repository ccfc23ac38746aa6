"""An image made ready for several regions: what they share is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from imrad.exceptions import ImageError, RegionError
from imrad.radiomics.boxes import box_around, contains, shifted, union
from imrad.radiomics.filters import Box, filtered, filtered_names, laplacian_of_gaussian, log_margin
from imrad.radiomics.kernels import region_box
from imrad.radiomics.label_region import check_size, find_region, resegmented
from imrad.radiomics.resample import (
    IDENTITY,
    Geometry,
    ResampledGrid,
    new_grid,
    resample_image,
    resample_image_itk,
    resample_mask,
    wider_grid,
)
from imrad.radiomics.settings import RadiomicsSettings
from imrad.radiomics.texture import RegionVoxels

__all__ = ["PreparedImage"]

Array = npt.NDArray[Any]


@dataclass
class _Work:
    """The image that filters see, and the region in it."""

    image: Array
    spacing: tuple[float, float, float]
    box: Box
    region: RegionVoxels
    shape_region: RegionVoxels
    grid: ResampledGrid | None = None


class PreparedImage:
    """An image made ready for several regions: what they share is computed once.

    Parameters
    ----------
    image : array, shape (z, y, x)
    spacing : tuple
        In mm along x, y, z.
    settings : RadiomicsSettings, optional
    origin, direction : tuple, optional
        As SimpleITK gives them.

    Notes
    -----
    Filtered images are kept for the box of the largest region asked for so far (:meth:`reserve` sets
    it beforehand) and serve every region inside it; a resampled image likewise. Values do not depend
    on what was asked before: where a filter's result depends on the crop (LoG after resampling, with
    ``logSupport: pad``), it is computed anew for each region.
    """

    def __init__(
        self,
        image: Array,
        spacing: tuple[float, float, float],
        settings: RadiomicsSettings | None = None,
        *,
        origin: tuple[float, float, float] | None = None,
        direction: tuple[float, ...] | None = None,
    ) -> None:
        image = np.asarray(image)
        if image.ndim != 3:
            message = f"the image must have three axes (z, y, x), not {image.ndim}; give a plane as one slice"
            raise ImageError(message)
        if image.dtype == np.bool_:
            image = image.view(np.uint8)
        if image.dtype == np.float16:
            image = image.astype(np.float32)
        if image.dtype.kind not in "iuf":
            message = f"the image must hold real numbers, not {image.dtype}"
            raise ImageError(message)
        steps = tuple(float(step) for step in spacing)
        if len(steps) != 3 or not all(np.isfinite(steps)) or min(steps) <= 0:
            message = f"spacing must be three positive lengths in mm along x, y, z, not {spacing}"
            raise ImageError(message)
        self.settings = settings or RadiomicsSettings()
        self.geometry = Geometry(
            (steps[0], steps[1], steps[2]), _three(origin or (0.0, 0.0, 0.0)), tuple(direction or IDENTITY)
        )
        if self.settings.normalize:
            image = self._normalized(image)
        self.image = image
        self._cache: dict[str, tuple[Box, list[tuple[str, Array | None]]]] = {}
        self._reserved: Box | None = None

    def _normalized(self, image: Array) -> Array:
        settings = self.settings
        values = sitk.GetArrayFromImage(sitk.Normalize(self.geometry.of(image)))
        if settings.removeOutliers is not None:
            np.clip(values, -settings.removeOutliers, settings.removeOutliers, out=values)
        return values * settings.normalizeScale  # type: ignore[no-any-return]

    def reserve(self, mask: Array, label: int | None = None) -> None:
        """Make room for every region inside this one's box, so that filters run once for all of them.

        Parameters
        ----------
        mask : array, shape (z, y, x)
            For example the union of all regions to come.
        """
        found = find_region(self._mask(mask), self.settings.label if label is None else label)
        self._reserved = box_around(found)

    def extract(self, mask: Array, label: int | None = None) -> dict[str, float]:
        """Compute the features of one region; see :func:`extract`."""
        label = self.settings.label if label is None else label
        mask = self._mask(mask)
        if mask.shape != self.image.shape:
            message = f"image {self.image.shape} and mask {mask.shape} must have the same voxels (z, y, x)"
            raise ImageError(message)
        if self.settings.mode == "ibsi":
            from imrad.radiomics.ibsi import extract_ibsi

            return extract_ibsi(self.image, mask == label, self.geometry, self.settings)
        found = find_region(mask, label)
        resampling = self.settings.resampledPixelSpacing is not None and self.settings.interpolator is not None
        if resampling:
            size = (mask.shape[2], mask.shape[1], mask.shape[0])
            grid = new_grid(found, size, self.geometry, self.settings, self.settings.padDistance)
            if grid is not None:
                inside = resample_mask(self._mask_image(mask, label, found), grid) == 1
                values = resample_image(self.image, self.geometry, grid, self.settings)
                return self._features(self._work(values, inside, grid.spacing, grid))
        if resampling or self.settings.preCrop:
            check_size(found, self.settings)
            pad = self.settings.padDistance
            crop = tuple(
                slice(max(part.start - pad, 0), min(part.stop + pad, size))
                for part, size in zip(box_around(found), mask.shape, strict=True)
            )
            return self._features(self._work(self.image[crop], mask[crop] == label, self.geometry.spacing))
        return self._features(self._work(self.image, mask, self.geometry.spacing, label=label, found=found))

    def extract_other_grid(self, mask: sitk.Image, label: int) -> dict[str, float]:
        """Compute the features of a region given on another grid, by resampling both onto a third."""
        geometry = Geometry.from_image(mask)
        array = sitk.GetArrayViewFromImage(mask)
        found = find_region(array, label)
        pad = self.settings.padDistance
        grid = new_grid(found, mask.GetSize(), geometry, self.settings, pad, self.geometry.spacing)
        image = self.geometry.of(self.image)
        if grid is None:
            onto = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())
            return self.extract(sitk.GetArrayFromImage(onto), label=label)
        inside = resample_mask(mask, grid) == label
        values = resample_image_itk(image, grid, self.settings)
        return self._features(self._work(values, inside, grid.spacing))

    def _mask(self, mask: Array) -> Array:
        mask = np.asarray(mask)
        if mask.ndim != 3:
            message = f"the mask must have three axes (z, y, x), not {mask.ndim}"
            raise ImageError(message)
        return mask.view(np.uint8) if mask.dtype == np.bool_ else mask

    def _mask_image(self, mask: Array, label: int, found: Array) -> sitk.Image:
        # Nearest neighbour looks at one voxel: what lies well beyond the region may be left out, but
        # nothing before it, for the grid's origin decides ties.
        stop = tuple(slice(0, int(last) + 3) for last in found[1:6:2])
        return self.geometry.of((mask[stop] == label).astype(np.uint8))

    def _work(
        self,
        image: Array,
        mask: Array,
        spacing: tuple[float, float, float],
        grid: ResampledGrid | None = None,
        *,
        label: int = 1,
        found: Array | None = None,
    ) -> _Work:
        if mask.dtype == np.bool_:
            mask = mask.view(np.uint8)
        if found is None:
            found = region_box(mask, label)
            if found[6] == 0:
                message = "nothing is left of the region after resampling; it is thinner than the new voxels"
                raise RegionError(message)
        check_size(found, self.settings)
        box = box_around(found)
        inside = mask[box] == label
        region = shape_region = RegionVoxels(inside, spacing)
        if self.settings.resegmentRange is not None:
            kept = resegmented(image[box], inside, self.settings)
            found = region_box(kept.view(np.uint8), 1)
            check_size(found, self.settings)
            within = box_around(found)
            region = RegionVoxels(kept[within], spacing)
            box = shifted(within, [part.start for part in box])
            # pyradiomics cuts the untouched mask to the box of the re-segmented one.
            shape_region = region if self.settings.resegmentShape else RegionVoxels(inside[within], spacing)
        return _Work(image, spacing, box, region, shape_region, grid)

    def _features(self, work: _Work) -> dict[str, float]:
        settings = self.settings
        out: dict[str, float] = {}
        for feature_class in settings.featureClass:
            if feature_class.startswith("shape"):
                found = work.shape_region.shape(feature_class, settings.force2Ddimension)
                for feature in settings.features_of(feature_class):
                    out[f"original_{feature_class}_{feature}"] = found[feature]
        classes = {name: wanted for name, wanted in settings.featureClass.items() if not name.startswith("shape")}
        if not classes:
            return out
        for image_type in settings.imageType:
            own = settings.for_image(image_type)
            for image_name, values in self._images(image_type, work):
                found_classes = None if values is None else work.region.features(values, own, classes)
                for feature_class in classes:
                    for feature in settings.features_of(feature_class):
                        out[f"{image_name}_{feature_class}_{feature}"] = (
                            float("nan") if found_classes is None else found_classes[feature_class][feature]
                        )
        return out

    def _images(self, image_type: str, work: _Work) -> Iterator[tuple[str, Array | None]]:
        own = self.settings.for_image(image_type)
        if image_type == "LoG" and work.grid is not None and self.settings.logSupport == "full":
            yield from self._full_log(work, own.sigma)
            return
        whole = work.image is self.image
        if not whole or image_type in ("Original", "LBP3D"):
            yield from filtered(image_type, work.image, work.spacing, work.box, own, work.region.inside)
            return
        box, kept = self._cache.get(image_type, (None, []))
        if box is None or not contains(box, work.box):
            box = union(work.box, self._reserved)
            kept = list(filtered(image_type, work.image, work.spacing, box, own, work.region.inside))
            if self._reserved is None:
                yield from kept
                return
            self._cache[image_type] = (box, kept)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(work.box, box, strict=True))
        for name, values in kept:
            yield name, None if values is None else values[inner]

    def _full_log(self, work: _Work, sigmas: tuple[float, ...]) -> Iterator[tuple[str, Array | None]]:
        assert work.grid is not None
        for sigma, name in zip(sigmas, filtered_names("LoG", self.settings.for_image("LoG")), strict=True):
            grid, shift = wider_grid(work.grid, log_margin(sigma, work.spacing), self.image.shape)
            image = resample_image(self.image, self.geometry, grid, self.settings)
            box = shifted(work.box, shift)
            yield name, laplacian_of_gaussian(image, work.spacing, box, sigma)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = (float(value) for value in values)
    return a, b, c
