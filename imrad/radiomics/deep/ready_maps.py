"""Maps of relevance that come with ready-made vectors: read, checked, and drawn as those that were computed here."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import DuplicateError, GeometryError, ImageError, InputError
from imrad.radiomics.deep.maps import Bytes, draw_plane, plane_of_cells, slice_sums

__all__ = ["MOST_VOXELS", "draw_map", "read_map", "read_maps_table"]

COLUMNS = ("patient", "case", "image", "map", "mask", "label")
MOST_VOXELS = 1 << 27
"""Voxels of the largest image or map that is read for a picture: 512 x 512 x 512."""
LEAST_SIDE = 32
"""Pixels of the square around a region that is shown at least, where the slice has as many."""
NEAR = 1e-3
"""How far, in voxels, a map's grid may lie off its image's."""


def read_maps_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a table of maps.

    Parameters
    ----------
    path : path-like
        CSV, TSV or Excel. Columns ``patient``, ``image`` and ``map``; optional ``case`` (default: the patient),
        ``mask`` (the region, for its outline and its slice) and ``label``. Relative paths start at the file's folder.

    Raises
    ------
    InputError
        If the table, a column, a cell or a file is missing.
    DuplicateError
        If a case stands twice.
    """
    from imrad.radiomics.case_table import read_case_table

    path = Path(path)
    if not path.is_file():
        message = f"{path} does not exist; give a table with the columns patient, image and map"
        raise InputError(message)
    raw = read_case_table(path)
    table: pd.DataFrame = raw.rename(columns={column: str(column).strip().lower() for column in raw.columns})
    for name in ("patient", "image", "map"):
        if name not in table.columns:
            message = f"{path} lacks the column {name}; it has {', '.join(map(str, raw.columns)) or 'none'}"
            raise InputError(message)
    table = table[[name for name in COLUMNS if name in table.columns]].copy()
    for column in table.columns:
        plain = [None if pd.isna(value) or not str(value).strip() else str(value).strip() for value in table[column]]
        table[column] = pd.Series(plain, index=table.index, dtype=object)
    if table.empty or table[["patient", "image", "map"]].isna().to_numpy().any():
        message = f"{path} needs a patient, an image and a map in every row"
        raise InputError(message)
    if "case" not in table.columns:
        table["case"] = table["patient"]
    table["case"] = table["case"].where(table["case"].notna(), table["patient"])
    twice = table["case"][table.duplicated(["patient", "case"])]
    if len(twice):
        message = f"{path} has several rows for the case {twice.iloc[0]}; tell them apart in a column case"
        raise DuplicateError(message)
    for column in ("image", "map", "mask"):
        if column not in table.columns:
            continue
        table[column] = [None if value is None else str(path.parent / value) for value in table[column]]
        absent = [value for value in table[column] if value is not None and not Path(value).exists()]
        if absent:
            message = f"{path}: {len(absent)} files of the column {column} do not exist, the first being {absent[0]}"
            raise InputError(message)
    return table.reset_index(drop=True)


def read_map(item: Mapping[str, Any], *, size: int = 96) -> tuple[Bytes, Bytes, Bytes]:
    """Return grey slice, relevance and outline of one row of a table of maps, three pictures of (size, size).

    An image is a DICOM folder, a NIfTI, NRRD or MetaImage file, or an array (``.npy``; z, y, x). A map is a file on
    the image's grid, or an array of its shape or coarser by whole factors, such as one value a patch.

    Raises
    ------
    ImradError
        If one of the three cannot be read, or they do not belong together; see :func:`draw_map`.
    """
    from imrad.radiomics.images import open_image

    name = str(item["map"])
    if _is_array(item["image"]):
        grid, image = None, _array(item["image"])
    else:
        opened = open_image(str(item["image"]), max_voxels=MOST_VOXELS)
        grid, image = opened.grid, sitk.GetArrayFromImage(opened.read())
    if _is_array(name):
        relevance = _array(name)
    else:
        on = open_image(name, max_voxels=MOST_VOXELS)
        if grid is not None:
            _same_grid(name, on.grid, grid)
        relevance = sitk.GetArrayFromImage(on.read())
    region = None
    if item.get("mask"):
        region = _region(str(item["mask"]), item.get("label"), None if grid is None else opened)
    return draw_map(image, relevance, region, size=size, name=name)


def draw_map(
    image: NDArray[Any],
    relevance: NDArray[Any],
    region: NDArray[np.bool_] | None = None,
    *,
    size: int = 96,
    name: str = "the map",
) -> tuple[Bytes, Bytes, Bytes]:
    """Return grey slice, relevance and outline of a ready-made map, three pictures of (size, size).

    Parameters
    ----------
    image : ndarray, shape (z, y, x) or (y, x)
        Grey values.
    relevance : ndarray
        Values in [0, 1], of the image's shape or coarser by whole factors.
    region : ndarray of bool, optional
        On the image's grid. The slice with most of it is shown, cut to a square around it; else the whole slice with
        most relevance.
    size : int
        Pixels of a side.
    name : str
        What an error calls the map.

    Returns
    -------
    grey, heat, outline : ndarray of uint8
        Heat is 255 at the whole map's most relevant voxel.

    Raises
    ------
    ImageError
        If shapes do not fit, a value is no finite number or outside [0, 1], or the map is zero everywhere.
    """
    volume, cells = _three(image, "the image of " + name), _three(relevance, name)
    drawn = None if region is None else _three(np.asarray(region).astype(bool), "the mask of " + name)
    shape = volume.shape
    if any(n % k for n, k in zip(shape, cells.shape, strict=True)):
        message = (
            f"{name} has the shape {_by(cells.shape)} on an image of {_by(shape)} (z, y, x); give a map of the image's "
            "shape, or coarser by whole factors"
        )
        raise ImageError(message)
    if drawn is not None and drawn.shape != shape:
        message = f"the mask of {name} has the shape {_by(drawn.shape)}, its image {_by(shape)}; give one of its shape"
        raise ImageError(message)
    cells = cells.astype(np.float64)
    _check_values(cells, name)
    if drawn is not None and drawn.any():
        at = int(drawn.sum(axis=(1, 2)).argmax())
    else:
        at = int(slice_sums(cells, shape[0]).argmax())
    grey, heat = volume[at].astype(float), plane_of_cells(cells, shape, at)
    if not np.isfinite(grey).all():
        message = f"the image of {name} holds values that are no finite numbers; fill or cut them before"
        raise ImageError(message)
    plane = np.zeros(grey.shape, dtype=bool) if drawn is None else drawn[at]
    rows, columns = _square(plane)
    parts = [_padded(part[rows, columns], fill) for part, fill in ((grey, grey.min()), (heat, 0.0), (plane, False))]
    return draw_plane(parts[0], parts[1] / float(cells.max()), parts[2], size=size)


def _check_values(cells: NDArray[np.float64], name: str) -> None:
    wrong = int(np.count_nonzero(~np.isfinite(cells)))
    if wrong:
        message = f"{name} holds {wrong} values that are no finite numbers; give a number in [0, 1] for each voxel"
        raise ImageError(message)
    low, high = float(cells.min()), float(cells.max())
    if low < 0 or high > 1:
        message = f"{name} holds values from {low:.4g} to {high:.4g}; scale the map to [0, 1]"
        raise ImageError(message)
    if high == 0:
        message = f"{name} is zero everywhere, so it shows nothing; leave its row out"
        raise ImageError(message)


def _three(values: NDArray[Any], name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "biuf":
        message = f"{name} is an array of {array.dtype} and shape {_by(array.shape)}; give numbers (z, y, x) or (y, x)"
        raise ImageError(message)
    if array.size > MOST_VOXELS:
        message = f"{name} holds {_by(array.shape)} values, where {MOST_VOXELS} are allowed; cut it around the region"
        raise ImageError(message)
    return array[None] if array.ndim == 2 else array


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "()"


def _is_array(path: object) -> bool:
    return str(path).lower().endswith(".npy")


def _array(path: object) -> NDArray[Any]:
    """Read an array; its header tells how large it is before a value is read, and nothing in it is executed."""
    try:
        found = np.load(str(path), mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        message = f"{path} is no readable array of numbers ({str(error).splitlines()[0]}); save it by numpy.save"
        raise InputError(message) from error
    if not isinstance(found, np.ndarray):
        message = f"{path} holds several arrays; give one in a file of its own (.npy)"
        raise InputError(message)
    return _three(found, str(path))


def _region(path: str, label: Any, image: Any) -> NDArray[np.bool_]:
    if _is_array(path):
        values = _array(path)
        if label is None:
            return np.asarray(values != 0)
        if not str(label).strip().isdecimal():
            message = f"{path} is an array, whose label is a whole number; '{label}' is none"
            raise InputError(message)
        return np.asarray(values == int(str(label)))
    if image is None:
        message = f"{path} lies on a grid in the patient, its image is an array; give both as files or both as arrays"
        raise InputError(message)
    from imrad.radiomics.regions import read_region

    return np.asarray(read_region(path, image, label=label, max_voxels=MOST_VOXELS).mask)


def _same_grid(name: str, on: Any, image: Any) -> None:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (np.array(image.size) - 1)
    off = np.abs(image.to_index(on.to_physical(corners)) - corners).max() if on.size == image.size else math.inf
    if off > NEAR:
        how = f"{off:.3g} voxels off" if math.isfinite(off) else f"{_by(on.shape)} voxels on {_by(image.shape)}"
        message = f"{name} lies on another grid than its image ({how}); resample the map to the image"
        raise GeometryError(message)


def _square(region: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of a square around the region, three times as wide; the whole plane without one."""
    if not region.any():
        return slice(None), slice(None)
    ends = [np.flatnonzero(region.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    side = max(LEAST_SIDE, *(3 * int(last - first + 1) for first, last in ends))
    out = []
    for (first, last), n in zip(ends, region.shape, strict=True):
        width = min(side, n)
        start = min(max(int(first + last + 1 - width) // 2, 0), n - width)
        out.append(slice(start, start + width))
    return out[0], out[1]


def _padded(plane: NDArray[Any], fill: Any) -> NDArray[Any]:
    missing = [max(plane.shape) - n for n in plane.shape]
    return np.pad(plane, [(n // 2, n - n // 2) for n in missing], constant_values=fill)
