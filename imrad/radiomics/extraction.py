"""One case: open its image and region, read what is needed, measure it, extract its features."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from imrad.exceptions import ConfigError, ImageError, InputError, RegionError
from imrad.radiomics.case_table import image_paths
from imrad.radiomics.dynamic import open_dynamic
from imrad.radiomics.geometry import GeometryLimits, Grid, Mask, bounding_box
from imrad.radiomics.image_settings import ImageSettings
from imrad.radiomics.images import MAX_VOXELS, OpenImage, open_image
from imrad.radiomics.intensity import scaled
from imrad.radiomics.perturb import KINDS, Kind, draw_perturbations, shuffle_voxels, slices_seen
from imrad.radiomics.quality import inspect_case, thumbnail
from imrad.radiomics.reach import local_reach, perturbed_pad
from imrad.radiomics.region_features import Engine, perturbed_features, region_features
from imrad.radiomics.regions import Region, open_region, read_region
from imrad.radiomics.roi import in_order
from imrad.radiomics.settings import RadiomicsSettings
from imrad.seeds import child_seed

__all__ = ["Engine", "ReadingSettings", "estimate_memory_mb", "extract_case", "open_case"]


class ReadingSettings(BaseModel):
    """How images and regions are read, and what is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roi: str | None = Field(default=None, description="Region expression for cases that name neither label nor roi.")
    regions: dict[str, str] = Field(
        default_factory=dict, description="Named regions, such as tumour: '2|3', that roi may use."
    )
    feature_sets: dict[str, str] = Field(
        default_factory=dict,
        description="Regions measured in every case: NAME: expression, in which case is the case's own region.",
    )
    aggregation: Literal["none", "mean", "volume_weighted_mean", "median", "maximum", "largest"] = Field(
        default="none", description="How the parts of each(...) become one row per case; none keeps a row for each."
    )
    min_part_voxels: int = Field(default=1, ge=1, description="Smaller parts of each(...) are left out.")
    max_shift_mm: float = Field(default=1.0, ge=0, description="Refuse a region whose grid is further off the image's.")
    max_overlap_loss: float = Field(
        default=0.05, ge=0, le=1, description="Refuse a region with more of it outside the image."
    )
    max_volume_change: float = Field(default=0.1, ge=0, description="Refuse a region that resampling changes more.")
    fractional_threshold: float = Field(
        default=0.5, ge=0, le=1, description="Fraction from which a voxel of a fractional segment counts."
    )
    max_voxels: int = Field(default=MAX_VOXELS, gt=0, description="Refuse larger images before decoding them.")
    max_memory_mb: float = Field(default=4096, gt=0, description="Refuse a case that is estimated to need more memory.")
    perturbations: int = Field(
        default=0, ge=0, description="Perturbations of each case, for features' robustness where one mask exists."
    )
    perturbed: tuple[Kind, ...] = Field(default=KINDS, description="What a perturbation changes.")
    shuffle_voxels: bool = Field(
        default=False, description="Control: the region's intensities in random order, texture without meaning."
    )
    seed: int = Field(default=20230901, ge=0, description="Of perturbations and shuffled voxels.")
    thumbnails: int = Field(
        default=96, ge=0, le=512, description="Side of the contact sheet's pictures in pixels; 0: none."
    )

    @field_validator("feature_sets")
    @classmethod
    def _readable_sets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if re.fullmatch(r"[^\W\d]\w*", name) is None:
                message = f"a feature set is called '{name}'; use letters, digits and underscores"
                raise ValueError(message)
        try:
            return in_order(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @property
    def limits(self) -> GeometryLimits:
        """What bringing a region to its image may cost."""
        return GeometryLimits(self.max_shift_mm, self.max_overlap_loss, self.max_volume_change)


def extract_case(
    item: Mapping[str, Any], settings: RadiomicsSettings, reading: ReadingSettings, engine: Engine
) -> dict[str, Any]:
    """Extract one case.

    Parameters
    ----------
    item : mapping
        ``image``, ``mask``, ``case``, and where given ``patient``, ``label``, ``roi``, ``series``,
        ``measure`` (see :func:`imrad.radiomics.case_table.expand_cases`).
    settings, reading, engine
        See :func:`imrad.radiomics.cases.extract_cases`.

    Returns
    -------
    dict
        Plain values and arrays: ``cases`` and ``values`` (a row for each region), ``names`` of the
        features, ``quality``, ``geometry``, ``imaging``, and where asked for ``repeats`` and ``thumbnail``.

    Raises
    ------
    ImradError
        If the case cannot be used, in one sentence.
    """
    with _single_thread():
        return _extract(item, settings, reading, engine)


@contextmanager
def _single_thread() -> Iterator[None]:
    """Hold ITK to one thread: workers share the machine."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _extract(
    item: Mapping[str, Any], settings: RadiomicsSettings, reading: ReadingSettings, engine: Engine
) -> dict[str, Any]:
    image, region = open_case(item, settings, reading)
    how = dict(item.get("measure") or {})
    how.pop("map", None)
    image = scaled(image, region.mask, ImageSettings(**how))
    first, last = _slices_needed(region, settings, engine, perturbed=reading.perturbations > 0)
    _check_memory(region.grid, last - first, settings, reading)
    masks = [region.mask[first:last]]
    names = [str(item["case"])]
    if region.each:
        found = [part for part in region.parts() if np.count_nonzero(part) >= reading.min_part_voxels]
        if not found:
            message = f"no part of the region has {reading.min_part_voxels} voxels; lower min_part_voxels"
            raise RegionError(message)
        masks = [part[first:last] for part in found]
        names = [f"{item['case']}/{number}" for number in range(1, len(masks) + 1)]
    slab = image.read(first, last)
    values = sitk.GetArrayViewFromImage(slab)
    _refuse_non_finite(values, region.mask[first:last])
    if reading.shuffle_voxels:
        seed = child_seed(reading.seed, "shuffled voxels", item.get("patient", ""), item["case"])
        slab = shuffle_voxels(slab, region.mask[first:last], seed)
    rows = region_features(slab, masks, settings, engine)
    look = partial(_inspect, values, grid=Grid.of(slab), modality=image.modality, settings=settings)
    quality = [look(mask) for mask in masks]
    if region.each and reading.aggregation != "none":
        sizes = [int(np.count_nonzero(mask)) for mask in masks]
        rows, names = [_aggregate(rows, sizes, reading.aggregation)], [str(item["case"])]
        quality = [look(np.logical_or.reduce(masks))]
    result: dict[str, Any] = {
        "cases": names,
        "names": list(rows[0]),
        "values": np.array([[row[name] for name in rows[0]] for row in rows], dtype=float),
        "quality": quality,
        "geometry": {
            "method": region.fit.method,
            "shift_mm": region.fit.shift_mm,
            "overlap_loss": region.fit.overlap_loss,
            "volume_change": region.fit.volume_change,
            "spacing_x_mm": region.grid.spacing_mm[0],
            "spacing_y_mm": region.grid.spacing_mm[1],
            "spacing_z_mm": region.grid.spacing_mm[2],
            "segments": ", ".join(str(segment) for segment in region.segments),
            "slices_read": f"{first + 1}-{last} of {region.grid.size[2]}",
            "notes": "; ".join((*image.notes, *region.notes)),
        },
        "imaging": {
            **image.acquisition,
            **{f"spacing_{axis}_mm": step for axis, step in zip("xyz", region.grid.spacing_mm, strict=True)},
        },
    }
    if reading.perturbations:
        seed = child_seed(reading.seed, "perturbations", item.get("patient", ""), item["case"])
        changes = draw_perturbations(reading.perturbations, seed, reading.perturbed)
        result["repeats"] = perturbed_features(
            slab, region.mask[first:last], settings, changes, result["names"], engine=engine
        )
    if reading.thumbnails:
        seen = region.mask[first:last]
        grey, outline = thumbnail(values, seen, Grid.of(slab), modality=image.modality, size=reading.thumbnails)
        result["thumbnail"] = [grey, outline]
    return result


def _inspect(
    values: NDArray[Any], mask: Mask, *, grid: Grid, modality: str, settings: RadiomicsSettings
) -> dict[str, Any]:
    own = settings.for_image("Original")
    return inspect_case(values, mask, grid, modality=modality, bin_width=own.binWidth, bin_count=own.binCount)


def open_case(
    item: Mapping[str, Any], settings: RadiomicsSettings, reading: ReadingSettings
) -> tuple[OpenImage, Region]:
    """Open image and region; a SEG or RTSTRUCT names the series to take from a folder of several."""
    series = item.get("series")
    mask = Path(str(item["mask"]))
    how = item.get("measure") or {}
    paths = image_paths(str(item["image"]))
    for path in (*paths, str(mask)):
        if not Path(path).exists():
            message = f"{path} does not exist; check the path"
            raise InputError(message)
    if paths == [str(mask)]:
        message = f"{mask} is given as both image and mask; give the image that it was drawn on"
        raise InputError(message)
    if len(paths) > 1 and not how.get("map"):
        message = f"{len(paths)} images stand in one row, and no map over time is declared; give one image a row"
        raise InputError(message)
    try:
        image: OpenImage = (
            _dynamic(paths, how, reading)
            if how.get("map")
            else open_image(str(item["image"]), series=series, max_voxels=reading.max_voxels)
        )
    except ImageError:
        alone = series is None and not how.get("map")
        named = open_region(mask, max_voxels=reading.max_voxels).series_uids if alone else ()
        if len(named) != 1:
            raise
        image = open_image(str(item["image"]), series=named[0], max_voxels=reading.max_voxels)
    _check_memory(image.grid, 1, settings, reading)
    label, roi = item.get("label"), item.get("roi")
    if label is None and roi is None:
        roi = reading.roi
    if label is None and roi is None and "label" in settings.model_fields_set:
        label = str(settings.label)
    region = read_region(
        mask,
        image,
        label=label,
        roi=roi,
        definitions=reading.regions,
        limits=reading.limits,
        fractional_threshold=reading.fractional_threshold,
        max_voxels=reading.max_voxels,
    )
    return image, region


def _dynamic(paths: list[str], how: Mapping[str, Any], reading: ReadingSettings) -> OpenImage:
    return open_dynamic(
        paths, how["times_s"], how["map"], unenhanced=int(how["unenhanced"]), max_voxels=reading.max_voxels
    )


def _slices_needed(
    region: Region, settings: RadiomicsSettings, engine: Engine, *, perturbed: bool = False
) -> tuple[int, int]:
    """Return the slices that the features can depend on: all, unless it is certain that fewer will do.

    Fewer will do where nothing looks at the whole image (normalisation, filters scaled by its
    maximum, recursive filters) or at its grid's origin (resampling), and the wavelet, which wraps
    around the image's ends, does not reach them.
    """
    n = region.grid.size[2]
    box = bounding_box(region.mask)
    reach = local_reach(settings)
    if box is None or reach is None or engine != "imrad" or settings.resampledPixelSpacing is not None:
        return 0, n
    low, high = box[0]
    wraps = "Wavelet" in settings.imageType
    if wraps and (low - reach < 0 or high + reach > n):
        return 0, n
    margin = max(reach, settings.padDistance) + 1
    first, last = max(0, low - margin), min(n, high + margin)
    if perturbed:
        seen = slices_seen(region.mask, box, region.grid, perturbed_pad(settings, region.grid.spacing_mm)[0])
        first, last = min(first, seen[0]), max(last, seen[1])
    return first, last


def estimate_memory_mb(grid: Grid, n_slices: int, settings: RadiomicsSettings) -> float:
    """Return about how many megabytes a case takes at its peak, apart from the libraries' own 250.

    Decoded slab and its copy (8 bytes a voxel at worst), two masks of the whole grid and two of the slab.
    """
    x, y, z = grid.size
    slab = x * y * n_slices
    whole = settings.normalize or not set(settings.imageType) <= {"Original", "Wavelet", "LoG"}
    per_voxel = 10 + (16 if whole else 0)
    return float((2 * x * y * z + per_voxel * slab) / 1e6)


def _check_memory(grid: Grid, n_slices: int, settings: RadiomicsSettings, reading: ReadingSettings) -> None:
    needs_mb = estimate_memory_mb(grid, n_slices, settings)
    if needs_mb > reading.max_memory_mb:
        size = " x ".join(str(n) for n in grid.size)
        message = (
            f"an image of {size} voxels needs about {needs_mb:.0f} MB, more than the {reading.max_memory_mb:g} MB "
            f"allowed; crop it or raise max_memory_mb"
        )
        raise ImageError(message)


def _refuse_non_finite(values: NDArray[Any], mask: Mask) -> None:
    if values.dtype.kind != "f":
        return
    odd = int(np.count_nonzero(~np.isfinite(values[mask])))
    if odd:
        message = f"{odd} of {np.count_nonzero(mask)} voxels of the region are not finite; repair the image"
        raise ImageError(message)


def _aggregate(rows: list[dict[str, float]], sizes: list[int], how: str) -> dict[str, float]:
    """Make one row of the parts' rows, largest part first."""
    if how == "largest":
        return rows[0]
    table = np.array([[row[name] for name in rows[0]] for row in rows], dtype=float)
    if how == "mean":
        joined = table.mean(axis=0)
    elif how == "volume_weighted_mean":
        joined = np.average(table, axis=0, weights=np.asarray(sizes, dtype=float))
    elif how == "median":
        joined = np.median(table, axis=0)
    else:
        joined = table.max(axis=0)
    return dict(zip(rows[0], joined.tolist(), strict=True))
