"""What to look at before trusting a case: size, parts, grey levels, plausible HU, a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imrad.radiomics.geometry import Box, Grid, Mask, bounding_box

__all__ = ["constant_features", "inspect_case", "preview_bins", "thumbnail"]

# Fewer levels hide texture, more make every level rare: the range in which texture has been found repeatable.
FEW_BINS, MANY_BINS = 16, 128


def inspect_case(
    values: NDArray[Any],
    mask: Mask,
    grid: Grid,
    *,
    modality: str = "",
    bin_width: float = 25.0,
    bin_count: int | None = None,
) -> dict[str, Any]:
    """Measure a region before its features.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
        Intensities, of the whole image or of a slab of it.
    mask : ndarray of bool, same shape
        The region; not empty.
    grid : Grid
        Where they lie.
    modality : str
        DICOM's (``"CT"``), or empty where it is not known.
    bin_width, bin_count
        The grey levels that features will use.

    Returns
    -------
    dict
        ``n_voxels``, ``volume_ml``, ``n_parts`` (26 neighbours), ``largest_part`` (its fraction),
        ``n_slices``, ``n_gap_slices`` (empty ones between the first and the last), ``on_border``,
        ``intensity_min``, ``intensity_median``, ``intensity_max``, ``n_intensities``, ``n_bins``,
        and ``flags``, a text that is empty where nothing looks odd.
    """
    from scipy.ndimage import label

    box = bounding_box(mask)
    if box is None:
        return {"n_voxels": 0, "flags": "empty region"}
    crop = mask[_slices(box)]
    inside = values[_slices(box)][crop]
    numbered, n_parts = label(crop, structure=np.ones((3, 3, 3)))
    largest = np.bincount(numbered.ravel())[1:].max() / inside.size
    filled = np.any(crop, axis=(1, 2))
    low, high = float(inside.min()), float(inside.max())
    row: dict[str, Any] = {
        "n_voxels": int(inside.size),
        "volume_ml": inside.size * grid.voxel_ml,
        "n_parts": int(n_parts),
        "largest_part": float(largest),
        "n_slices": int(filled.sum()),
        "n_gap_slices": int((~filled).sum()),
        "on_border": any(
            start == 0 or stop == n for (start, stop), n in zip(box[1:], mask.shape[1:], strict=True)
        ),  # in-plane only: a slab's ends are no border
        "intensity_min": low,
        "intensity_median": float(np.median(inside)),
        "intensity_max": high,
        "n_intensities": int(np.unique(inside).size),
        "n_bins": int(bin_count or n_bins(low, high, bin_width)),
    }
    row["flags"] = "; ".join(_flags(row, values, modality))
    return row


def n_bins(low: float, high: float, bin_width: float) -> int:
    """Return how many bins of a fixed width, starting at a multiple of it, a range takes."""
    return int(np.floor(high / bin_width) - np.floor(low / bin_width)) + 1


def _flags(row: dict[str, Any], values: NDArray[Any], modality: str) -> list[str]:
    flags = []
    if row["n_voxels"] < 64:
        flags.append(f"only {row['n_voxels']} voxels: texture needs more")
    if row["n_slices"] == 1:
        flags.append("one slice only")
    if row["n_gap_slices"]:
        flags.append(f"{row['n_gap_slices']} slices without region inside it")
    if row["on_border"]:
        flags.append("touches the image's border")
    if row["n_intensities"] == 1:
        flags.append("constant intensity")
    elif row["n_bins"] < FEW_BINS:
        flags.append(f"{row['n_bins']} grey levels: a narrower bin keeps more texture")
    elif row["n_bins"] > MANY_BINS:
        flags.append(f"{row['n_bins']} grey levels: a wider bin is steadier")
    if modality in ("CT", ""):
        flags.extend(_implausible_hu(row, values, known_ct=modality == "CT"))
    return flags


def _implausible_hu(row: dict[str, Any], values: NDArray[Any], *, known_ct: bool) -> list[str]:
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 255 and high > 1.5:
        return [f"intensities {low:g} to {high:g} look rescaled to 8 bits, not HU"]
    if not known_ct:
        return []
    if low >= 0 and high > 255:
        return [f"no intensity below 0 (lowest {low:g}): the rescale intercept looks lost"]
    if low > -300:
        return [f"no air in the image (lowest {low:g} HU): windowed or masked"]
    if row["intensity_median"] < -950 or row["intensity_median"] > 2000:
        return [f"median {row['intensity_median']:g} HU is no tissue"]
    return []


def preview_bins(quality: pd.DataFrame, widths: tuple[float, ...] = (5, 10, 25, 50)) -> pd.DataFrame:
    """Tabulate how many grey levels the cohort's regions would have at several bin widths.

    Parameters
    ----------
    quality : DataFrame
        Columns ``intensity_min`` and ``intensity_max``, one row per case.
    widths : tuple of float
        Bin widths, in intensity units.

    Returns
    -------
    DataFrame
        ``bin_width``, ``n_bins_p5``, ``n_bins_median``, ``n_bins_p95``, and ``n_unfit``: cases with
        fewer than 16 or more than 128.
    """
    ranges = quality[["intensity_min", "intensity_max"]].dropna().to_numpy(dtype=float)
    rows = []
    for width in widths:
        counts = np.array([n_bins(low, high, width) for low, high in ranges], dtype=float)
        if counts.size == 0:
            counts = np.array([np.nan])
        p5, median, p95 = np.percentile(counts, [5, 50, 95])
        unfit = int(((counts < FEW_BINS) | (counts > MANY_BINS)).sum())
        rows.append((float(width), p5, median, p95, unfit))
    return pd.DataFrame(rows, columns=["bin_width", "n_bins_p5", "n_bins_median", "n_bins_p95", "n_unfit"])


def constant_features(features: pd.DataFrame) -> list[str]:
    """Return the numeric columns that take a single value, or none, over all rows."""
    numeric = features.select_dtypes("number")
    return [name for name in numeric.columns if numeric[name].nunique(dropna=True) <= 1]


def thumbnail(
    values: NDArray[Any], mask: Mask, grid: Grid, *, modality: str = "", size: int = 96
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the region's largest slice and its outline, for a contact sheet.

    Returns
    -------
    grey : ndarray of uint8, shape (size, size)
        The slice around the region: -160 to 240 HU where it looks like CT, else its own 1st to
        99th percentile.
    outline : ndarray of uint8, shape (size, size)
        1 on the region's rim.
    """
    areas = mask.sum(axis=(1, 2))
    at = int(np.argmax(areas))
    plane, region = values[at], mask[at]
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    step_x, step_y = grid.spacing_mm[0], grid.spacing_mm[1]
    reach_mm = max(np.ptp(rows) * step_y, np.ptp(columns) * step_x, 20.0) * 0.9
    y = np.linspace(-reach_mm, reach_mm, size) / step_y + (rows[0] + rows[-1]) / 2
    x = np.linspace(-reach_mm, reach_mm, size) / step_x + (columns[0] + columns[-1]) / 2
    yi, xi = np.rint(y).astype(int), np.rint(x).astype(int)
    seen = ((yi >= 0) & (yi < plane.shape[0]))[:, None] & ((xi >= 0) & (xi < plane.shape[1]))
    yi, xi = np.clip(yi, 0, plane.shape[0] - 1), np.clip(xi, 0, plane.shape[1] - 1)
    sampled = plane[np.ix_(yi, xi)].astype(float)
    low, high = -160.0, 240.0
    if modality != "CT" and not (values.min() < -500 and values.max() > 100):
        low, high = (float(v) for v in np.percentile(sampled[seen], [1, 99]))
    scaled = np.clip((sampled - low) / max(high - low, 1e-12), 0.0, 1.0) * 255
    grey = np.where(seen, np.rint(scaled), 0).astype(np.uint8)
    shown = region[np.ix_(yi, xi)] & seen
    core = shown.copy()
    core[1:] &= shown[:-1]
    core[:-1] &= shown[1:]
    core[:, 1:] &= shown[:, :-1]
    core[:, :-1] &= shown[:, 1:]
    return grey, (shown & ~core).astype(np.uint8)


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(*ends) for ends in box)
