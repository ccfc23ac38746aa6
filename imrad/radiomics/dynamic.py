"""Maps of an image that was taken several times while contrast arrived (DCE): slopes, time to peak, enhancement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import ConfigError, GeometryError, ImageError
from imrad.radiomics.dicom_time import acquired_at
from imrad.radiomics.dicom_volumes import volumes_in
from imrad.radiomics.geometry import Grid
from imrad.radiomics.image_settings import MAPS, MapName
from imrad.radiomics.images import OpenImage, VolumeFile, VoxelsInMemory, open_image
from imrad.radiomics.series import DicomSeries

__all__ = ["DynamicImage", "dynamic_map", "open_dynamic"]


def dynamic_map(signal: Any, times_s: Sequence[float], name: MapName, *, unenhanced: int = 1) -> NDArray[np.float64]:
    """Return one map of a series of volumes.

    Parameters
    ----------
    signal : array-like, shape (n_times, ...)
        Intensity at each time point.
    times_s : sequence of float
        Acquisition times in s, increasing.
    name : str
        A key of :data:`imrad.radiomics.image_settings.MAPS`. Slopes are ordinary least squares, in
        intensity per minute; a slope over one point is 0.
    unenhanced : int
        How many of the first time points are before contrast. The peak is the first maximum from the
        last of them on.

    Returns
    -------
    ndarray of float, shape of one volume
        NaN where a percentage has no positive unenhanced intensity.

    Raises
    ------
    ImageError
        If there are fewer than two time points, or times that do not increase.
    ConfigError
        If the map is not known.
    """
    values = np.asarray(signal, dtype=np.float64)
    times = _times(times_s, len(values), unenhanced)
    if name not in MAPS:
        message = f"there is no map '{name}'; known are {', '.join(MAPS)}"
        raise ConfigError(message)
    minutes = times / 60.0
    if name == "slope_per_min":
        return _slope(values, minutes, np.ones(values.shape, dtype=bool))
    last = unenhanced - 1
    peak = last + values[last:].argmax(axis=0)
    if name == "time_to_peak_s":
        found: NDArray[np.float64] = times[peak] - times[last]
        return found
    number = np.arange(len(values)).reshape(-1, *([1] * peak.ndim))
    if name == "wash_in_slope_per_min":
        return _slope(values, minutes, (number >= last) & (number <= peak))
    if name == "wash_out_slope_per_min":
        return _slope(values, minutes, number >= peak)
    before = values[:unenhanced].mean(axis=0)
    rise: NDArray[np.float64] = np.take_along_axis(values, peak[None], axis=0)[0] - before
    if name == "peak_enhancement":
        return rise
    percent: NDArray[np.float64] = np.full(rise.shape, np.nan)
    np.divide(100.0 * rise, before, out=percent, where=before > 0)
    return percent


def _slope(values: NDArray[np.float64], minutes: NDArray[np.float64], used: Any) -> NDArray[np.float64]:
    """Return the least-squares slope over the time points used in each voxel; 0 over a single one."""
    t = minutes.reshape(-1, *([1] * (values.ndim - 1)))
    n = used.sum(axis=0)
    away = np.where(used, t - np.where(used, t, 0.0).sum(axis=0) / n, 0.0)
    spread = (away**2).sum(axis=0)
    slope: NDArray[np.float64] = np.zeros(spread.shape)
    np.divide((away * values).sum(axis=0), spread, out=slope, where=spread > 0)
    return slope


def _times(times_s: Sequence[float], n: int, unenhanced: int) -> NDArray[np.float64]:
    times = np.asarray(times_s, dtype=np.float64)
    if n < 2:
        message = f"a map over time needs at least two time points, and there is {n or 'none'}; give every volume"
        raise ImageError(message)
    if len(times) != n:
        message = f"{n} volumes have {len(times)} acquisition times; give one time in s for each volume (times_s)"
        raise ImageError(message)
    wrong = np.flatnonzero(~(np.diff(times) > 0))
    if wrong.size or not np.isfinite(times).all():
        at = int(wrong[0]) if wrong.size else 0
        message = (
            f"acquisition times do not increase ({times[at]:g} s, then {times[at + 1]:g} s); list the volumes in the "
            f"order of their times"
        )
        raise ImageError(message)
    if unenhanced >= n:
        message = f"{unenhanced} of {n} time points are said to be unenhanced; at least one must follow them"
        raise ImageError(message)
    return times


class DynamicImage:
    """One map of several volumes on the same grid, computed slice by slice as it is read.

    Raises
    ------
    ImageError
        If the volumes or times cannot make a map.
    GeometryError
        If the volumes lie on different grids; with the numbers.
    """

    def __init__(
        self, volumes: Sequence[OpenImage], times_s: Sequence[float], name: MapName, *, unenhanced: int = 1
    ) -> None:
        self._volumes, self._name, self._unenhanced = tuple(volumes), name, unenhanced
        self._times = _times(times_s, len(volumes), unenhanced)
        first = volumes[0]
        for number, volume in enumerate(volumes[1:], start=2):
            _same_grid(first.grid, volume.grid, number)
        self.grid, self.modality = first.grid, first.modality
        self.acquisition = first.acquisition
        self.series_uid, self.frame_of_reference = first.series_uid, first.frame_of_reference
        span = f"{self._times[0]:g} to {self._times[-1]:g} s"
        self.notes = (*first.notes, f"{name} over {len(volumes)} time points, {span}")

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Position of each slice of the first volume by its SOPInstanceUID; empty outside DICOM."""
        return self._volumes[0].positions_mm

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Decode slices `first` to `last` (excluded) of every volume and return their map."""
        parts = [volume.read(first, last) for volume in self._volumes]
        signal = np.stack([sitk.GetArrayViewFromImage(part) for part in parts])
        found = sitk.GetImageFromArray(
            dynamic_map(signal, self._times.tolist(), self._name, unenhanced=self._unenhanced)
        )
        found.CopyInformation(parts[0])
        return found


def _same_grid(first: Grid, other: Grid, number: int) -> None:
    if first.size != other.size:
        sizes = [" x ".join(map(str, grid.size)) for grid in (first, other)]
        message = f"time point {number} has {sizes[1]} voxels where the first has {sizes[0]}; resample them to one grid"
        raise GeometryError(message)
    ends = np.array([[0, 0, 0], [n - 1 for n in first.size]], dtype=float)
    off = float(np.abs(first.to_physical(ends) - other.to_physical(ends)).max())
    if off > 0.1 * min(first.spacing_mm):
        message = f"time point {number} lies {off:.2f} mm off the first; register and resample them to one grid"
        raise GeometryError(message)


def open_dynamic(
    paths: Sequence[str | Path], times_s: Sequence[float], name: MapName, *, unenhanced: int = 1, max_voxels: int
) -> DynamicImage:
    """Open the volumes of a dynamic image: a file or DICOM folder each, one folder of all, or a four-dimensional file.

    Without `times_s` DICOM volumes tell their times themselves, from the first one on.

    Raises
    ------
    InputError, ImageError, GeometryError
        If a volume cannot be read or they make no map; in one sentence.
    """
    path = Path(paths[0])
    if len(paths) > 1:
        volumes = [open_image(path, max_voxels=max_voxels) for path in paths]
    elif path.is_dir():
        volumes = [DicomSeries(path, files=files, max_voxels=max_voxels) for files in volumes_in(path)]
        order = _own_times(volumes)
        if order is not None:
            volumes = [volumes[number] for number in np.argsort(order, kind="stable")]
    else:
        volumes = _volumes_of(path, max_voxels)
    times = times_s or _own_times(volumes)
    if not times:
        message = (
            f"{path}: {len(volumes)} volumes do not tell when each was acquired; give the times in s, such as 0;60;120"
            f", in a column times_s"
        )
        raise ImageError(message)
    return DynamicImage(volumes, times, name, unenhanced=unenhanced)


def _own_times(volumes: Sequence[OpenImage]) -> list[float] | None:
    """Return the times of DICOM volumes in s, from the earliest on: of their acquisition, or else of their trigger."""
    told = [acquired_at([file for file, _ in v.files]) for v in volumes if isinstance(v, DicomSeries)]
    moments = [at for at, _ in told if at is not None]
    if len(moments) == len(volumes) == len(set(moments)):
        return [(at - min(moments)).total_seconds() for at in moments]
    delays = [delay for _, delay in told if delay is not None]
    if len(delays) == len(volumes) == len(set(delays)):
        return [(delay - min(delays)) / 1000.0 for delay in delays]
    return None


def _volumes_of(path: Path, max_voxels: int) -> list[OpenImage]:
    """Return the volumes of a four-dimensional file, its fourth axis taken as time."""
    file = VolumeFile(path, max_voxels=max_voxels, volumes=True)
    if file.n_volumes < 2:
        message = f"{path} holds one volume where a map over time needs several; give a four-dimensional file or a list"
        raise ImageError(message)
    return [VoxelsInMemory(file.read_volume(number)) for number in range(file.n_volumes)]
