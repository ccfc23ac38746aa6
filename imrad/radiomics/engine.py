"""Arrays in, features out: the order of steps is pyradiomics', the work is only the region's.

Images and masks are arrays in z, y, x order (as ``SimpleITK.GetArrayFromImage`` gives them); spacing
and origin are in mm in x, y, z order (as SimpleITK writes them).

Where pyradiomics 3.0.1 raises or goes wrong, and what is done here:

========================================  ===========================================  ==========================
case                                      pyradiomics 3.0.1                            imrad
========================================  ===========================================  ==========================
one voxel, or fewer extended axes than    ``ValueError``                               ``RegionError``
``minimumROIDimensions``
whole-number images near their type's     bin edges wrap round (8-bit images above     edges and samples in
end                                       205 at bin width 25): wrong levels; samples  double precision
                                          of ``LBP3D`` wrap round
image too small for LoG; image all 0 for  image left out, or NaN intensities and an    the same columns, NaN
square, logarithm and exponential         error
``LBP2D``, ``LBP3D`` without extra        image left out with a log line;              always computed
packages; ``LBP3D`` with SciPy >= 1.15,   ``IndexError``
or with ``lbp3DLevels: 1``
``LBP2D`` by ``var`` of whole numbers     NaN cut to a whole number: what the          0
where samples are alike                   processor makes of it
``LBP3D`` where all samples around a      kurtosis NaN with recent SciPy, -3 with      -3
voxel are alike                           older
``shape2D``                               tests the wrong axis (x for z); fails on     tests ``force2Ddimension``
                                          regions of few pixels
``force2D`` and no ``featureClass`` in    ``shape2D`` joins the other classes where    the seven classes; name
the file                                  the region is flat, and raises where not     ``shape2D`` to have it
shape with ``resegmentRange`` without     shape of the mask cut to the box of what     the same (set
``resegmentShape``                        re-segmentation keeps                        ``resegmentShape``)
a mask with a single value, such as all   ``ValueError``: "no labels found"            computed
ones
NaN or infinite intensities in a region   undefined levels                             ``ImageError``
IMC2 of directions without information    NaN for that direction, by rounding          the same
whole-number images resampled             values cut off at the point, so that a       the same (``mode: ibsi``
                                          constant 57 may become 56                    rounds)
``interpolator: 3``                       B-spline with SimpleITK before 2.4; since    B-spline
                                          then "interpolator not set"
a distance given twice                    counted twice in GLDM                        ``ConfigError``
settings of one image type that act       no effect, and no word of it                 left out, with a warning
before the filters; LoG without sigma
========================================  ===========================================  ==========================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from imrad.exceptions import GeometryError, ImageError, RegionError
from imrad.radiomics.comparison import extract_pyradiomics
from imrad.radiomics.features import CLASSES
from imrad.radiomics.filters import filtered, filtered_names, laplacian_of_gaussian, log_margin
from imrad.radiomics.kernels import region_box
from imrad.radiomics.resample import (
    IDENTITY,
    Geometry,
    ResampledGrid,
    new_grid,
    resample_image,
    resample_image_itk,
    resample_mask,
)
from imrad.radiomics.settings import RadiomicsSettings
from imrad.radiomics.texture import RegionVoxels

__all__ = ["PreparedImage", "extract", "extract_image", "extract_pyradiomics", "feature_names"]

Array = npt.NDArray[Any]
Box = tuple[slice, slice, slice]


def feature_names(settings: RadiomicsSettings | None = None) -> list[str]:
    """Return the names of the features that `settings` ask for, in the order of :func:`extract`."""
    settings = settings or RadiomicsSettings()
    names = [f"original_{c}_{f}" for c in settings.featureClass if c.startswith("shape") for f in _wanted(settings, c)]
    for image_type in settings.imageType:
        for image_name in filtered_names(image_type, settings.for_image(image_type)):
            for feature_class in settings.featureClass:
                if not feature_class.startswith("shape"):
                    names += [f"{image_name}_{feature_class}_{f}" for f in _wanted(settings, feature_class)]
    return names


def _wanted(settings: RadiomicsSettings, feature_class: str) -> tuple[str, ...]:
    return settings.featureClass[feature_class] or tuple(CLASSES[feature_class])


def extract(
    image: Array,
    mask: Array,
    spacing: tuple[float, float, float],
    settings: RadiomicsSettings | None = None,
    *,
    origin: tuple[float, float, float] | None = None,
    direction: tuple[float, ...] | None = None,
    label: int | None = None,
) -> dict[str, float]:
    """Compute the radiomic features of one region.

    Parameters
    ----------
    image : array, shape (z, y, x)
        Intensities, whole or real numbers.
    mask : array, shape (z, y, x)
        Label image on the same voxels; True counts as label 1.
    spacing : tuple
        Voxel spacing in mm along **x, y, z**, as SimpleITK gives it.
    settings : RadiomicsSettings, optional
        The defaults of pyradiomics where left out.
    origin, direction : tuple, optional
        Position (mm) of the first voxel, and direction cosines, as SimpleITK gives them. They matter
        for nothing but the last bit of a resampling.
    label : int, optional
        The region's value in the mask, instead of the settings'.

    Returns
    -------
    dict
        Feature name (``original_glcm_Contrast``) to value, with the names and in the order of
        pyradiomics; NaN where a feature is not defined.

    Raises
    ------
    ImageError
        If image and mask have different shapes, or intensities cannot be used.
    RegionError
        If the label is missing or the region too small.

    References
    ----------
    van Griethuysen et al. 2017, doi:10.1158/0008-5472.CAN-17-0339.
    """
    prepared = PreparedImage(image, spacing, settings, origin=origin, direction=direction)
    return prepared.extract(mask, label=label)


def extract_image(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings | None = None, label: int | None = None
) -> dict[str, float]:
    """Compute the radiomic features of one region of a SimpleITK image.

    As :func:`extract`. The two may lie on different grids where pyradiomics allows it: when
    resampling (onto a grid aligned to the mask), or with ``correctMask``.

    Raises
    ------
    GeometryError
        If image and mask lie on different grids and nothing in the settings brings them together, or
        the region reaches outside the image.
    """
    settings = settings or RadiomicsSettings()
    if image.GetDimension() != 3 or mask.GetDimension() != 3:
        message = (
            f"image and mask must have three dimensions, not {image.GetDimension()} and {mask.GetDimension()}; "
            "give a plane as one slice, with force2D"
        )
        raise ImageError(message)
    if image.GetNumberOfComponentsPerPixel() > 1:
        message = f"the image has {image.GetNumberOfComponentsPerPixel()} values per voxel; choose one channel of it"
        raise ImageError(message)
    components = mask.GetNumberOfComponentsPerPixel()
    if components > 1:
        if settings.label_channel >= components:
            message = f"label_channel {settings.label_channel} is beyond the mask's {components} channels"
            raise RegionError(message)
        mask = sitk.VectorIndexSelectionCast(mask, settings.label_channel)
    image_geometry, mask_geometry = Geometry.from_image(image), Geometry.from_image(mask)
    same = image.GetSize() == mask.GetSize() and image_geometry.agrees(mask_geometry, settings.geometryTolerance)
    prepared = PreparedImage(
        sitk.GetArrayViewFromImage(image),
        image_geometry.spacing,
        settings,
        origin=image_geometry.origin,
        direction=image_geometry.direction,
    )
    label = settings.label if label is None else label
    if same and image_geometry == mask_geometry:
        return prepared.extract(sitk.GetArrayViewFromImage(mask), label=label)
    resampling = settings.resampledPixelSpacing is not None and settings.interpolator is not None
    resampling = resampling and settings.mode == "pyradiomics"
    if not resampling and not same:
        if not settings.correctMask:
            message = (
                f"image and mask lie on different grids ({_grid_words(image)} against {_grid_words(mask)}); "
                "resample the mask to the image, or set correctMask: true"
            )
            raise GeometryError(message)
        _check_within(image, mask, label)
        mask = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())
    if not resampling:
        return prepared.extract(sitk.GetArrayViewFromImage(mask), label=label)
    _check_within(image, mask, label)
    return prepared.extract_other_grid(mask, label)


def _grid_words(image: sitk.Image) -> str:
    spacing = " x ".join(f"{step:g}" for step in image.GetSpacing())
    origin = ", ".join(f"{place:g}" for place in image.GetOrigin())
    return f"{' x '.join(map(str, image.GetSize()))} voxels of {spacing} mm from ({origin})"


def _check_within(image: sitk.Image, mask: sitk.Image, label: int) -> None:
    found = region_box(sitk.GetArrayViewFromImage(mask), label)
    if found[6] == 0:
        raise RegionError(_missing(sitk.GetArrayViewFromImage(mask), label))
    corners = [np.array([found[4], found[2], found[0]]) - 0.5, np.array([found[5], found[3], found[1]]) + 0.5]
    places = np.array(
        [
            image.TransformPhysicalPointToContinuousIndex(mask.TransformContinuousIndexToPhysicalPoint(c.tolist()))
            for c in corners
        ]
    )
    if np.any(places.min(axis=0) < -0.501) or np.any(places.max(axis=0) > np.array(image.GetSize()) - 0.499):
        message = (
            f"the region reaches outside the image (to voxels {np.round(places.min(axis=0), 1).tolist()} to "
            f"{np.round(places.max(axis=0), 1).tolist()} of {image.GetSize()}); check that both belong together"
        )
        raise GeometryError(message)


def _missing(mask: Array, label: int) -> str:
    present = [int(value) for value in np.unique(mask) if value != 0]
    if not present:
        return "the mask is empty: nothing is segmented"
    return f"label {label} is not in the mask, which has {present}; name one of these"


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
        found = self._find(self._mask(mask), self.settings.label if label is None else label)
        self._reserved = _slices(found)

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
        found = self._find(mask, label)
        resampling = self.settings.resampledPixelSpacing is not None and self.settings.interpolator is not None
        if resampling:
            size = (mask.shape[2], mask.shape[1], mask.shape[0])
            grid = new_grid(found, size, self.geometry, self.settings, self.settings.padDistance)
            if grid is not None:
                inside = resample_mask(self._mask_image(mask, label, found), grid) == 1
                values = resample_image(self.image, self.geometry, grid, self.settings)
                return self._features(self._work(values, inside, grid.spacing, grid))
        if resampling or self.settings.preCrop:
            self._check_size(found)
            pad = self.settings.padDistance
            crop = tuple(
                slice(max(part.start - pad, 0), min(part.stop + pad, size))
                for part, size in zip(_slices(found), mask.shape, strict=True)
            )
            return self._features(self._work(self.image[crop], mask[crop] == label, self.geometry.spacing))
        return self._features(self._work(self.image, mask, self.geometry.spacing, label=label, found=found))

    def extract_other_grid(self, mask: sitk.Image, label: int) -> dict[str, float]:
        """Compute the features of a region given on another grid, by resampling both onto a third."""
        geometry = Geometry.from_image(mask)
        array = sitk.GetArrayViewFromImage(mask)
        found = self._find(array, label)
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

    def _find(self, mask: Array, label: int) -> Array:
        found = region_box(mask, label)
        if found[6] == 0:
            raise RegionError(_missing(mask, label))
        return found  # type: ignore[no-any-return]

    def _mask_image(self, mask: Array, label: int, found: Array) -> sitk.Image:
        # Nearest neighbour looks at one voxel: what lies well beyond the region may be left out, but
        # nothing before it, for the grid's origin decides ties.
        stop = tuple(slice(0, int(last) + 3) for last in found[1:6:2])
        return self.geometry.of((mask[stop] == label).astype(np.uint8))

    def _check_size(self, found: Array) -> None:
        settings = self.settings
        extended = int(sum(found[2 * k + 1] > found[2 * k] for k in range(3)))
        if extended == 0:
            message = "the region is a single voxel; features need more"
            raise RegionError(message)
        if extended < settings.minimumROIDimensions:
            message = (
                f"the region extends along {extended} axes, minimumROIDimensions asks for "
                f"{settings.minimumROIDimensions}"
            )
            raise RegionError(message)
        if settings.minimumROISize is not None and found[6] <= settings.minimumROISize:
            message = f"the region has {found[6]} voxels, it needs more than minimumROISize {settings.minimumROISize}"
            raise RegionError(message)

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
        self._check_size(found)
        box = _slices(found)
        inside = mask[box] == label
        region = shape_region = RegionVoxels(inside, spacing)
        if self.settings.resegmentRange is not None:
            kept = self._resegmented(image[box], inside)
            found = region_box(kept.view(np.uint8), 1)
            self._check_size(found)
            within = _slices(found)
            region = RegionVoxels(kept[within], spacing)
            box = _shifted(within, [part.start for part in box])
            # pyradiomics cuts the untouched mask to the box of the re-segmented one.
            shape_region = region if self.settings.resegmentShape else RegionVoxels(inside[within], spacing)
        return _Work(image, spacing, box, region, shape_region, grid)

    def _resegmented(self, image: Array, inside: Array) -> Array:
        settings = self.settings
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

    def _features(self, work: _Work) -> dict[str, float]:
        settings = self.settings
        out: dict[str, float] = {}
        for feature_class in settings.featureClass:
            if feature_class.startswith("shape"):
                found = work.shape_region.shape(feature_class, settings.force2Ddimension)
                for feature in _wanted(settings, feature_class):
                    out[f"original_{feature_class}_{feature}"] = found[feature]
        classes = {name: wanted for name, wanted in settings.featureClass.items() if not name.startswith("shape")}
        if not classes:
            return out
        for image_type in settings.imageType:
            own = settings.for_image(image_type)
            for image_name, values in self._images(image_type, work):
                found_classes = None if values is None else work.region.features(values, own, classes)
                for feature_class in classes:
                    for feature in _wanted(settings, feature_class):
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
        if box is None or not _contains(box, work.box):
            box = _union(work.box, self._reserved)
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
            grid, shift = _wider(work.grid, log_margin(sigma, work.spacing), self.image.shape)
            image = resample_image(self.image, self.geometry, grid, self.settings)
            box = _shifted(work.box, shift)
            yield name, laplacian_of_gaussian(image, work.spacing, box, sigma)


def _slices(found: Array) -> Box:
    z, y, x = (slice(int(found[2 * k]), int(found[2 * k + 1]) + 1) for k in range(3))
    return z, y, x


def _shifted(box: Box, shift: Sequence[int]) -> Box:
    z, y, x = (slice(part.start + n, part.stop + n) for part, n in zip(box, shift, strict=True))
    return z, y, x


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    a, b, c = (float(value) for value in values)
    return a, b, c


def _contains(outer: Box, inner: Box) -> bool:
    return all(o.start <= i.start and i.stop <= o.stop for o, i in zip(outer, inner, strict=True))


def _union(box: Box, other: Box | None) -> Box:
    if other is None:
        return box
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return z, y, x


def _wider(
    grid: ResampledGrid, margin: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[ResampledGrid, tuple[int, ...]]:
    """Return the grid grown by whole voxels (within the image), and by how many on the low sides (z, y, x)."""
    start, size, shift = list(grid.start), list(grid.size), []
    for axis in range(3):
        k = 2 - axis
        step = grid.spacing[k] / grid.old_spacing[k]
        before = int(min(margin[axis], np.floor((start[k] + 0.5) / step + 1e-9)))
        last = start[k] + (size[k] - 1) * step
        after = int(min(margin[axis], max(np.floor((shape[axis] - 0.5 - last) / step - 1e-9), 0)))
        start[k] -= before * step
        size[k] += before + after
        shift.append(before)
    offsets = np.array(start) - np.array(grid.start)
    turn = np.array(grid.direction).reshape(3, 3)
    origin = np.array(grid.origin) + turn @ (offsets * np.array(grid.old_spacing))
    wider = ResampledGrid(
        spacing=grid.spacing,
        origin=_three(origin.tolist()),
        size=(size[0], size[1], size[2]),
        start=_three(start),
        direction=grid.direction,
        old_spacing=grid.old_spacing,
    )
    return wider, tuple(shift)
