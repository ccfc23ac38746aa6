"""The scale of an image's intensities: SUV of a PET, and scores that make MRI of different scanners comparable.

Everything here is learnt from one image alone, so nothing of it needs a fold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import ImageError
from imrad.radiomics.geometry import Mask
from imrad.radiomics.image_settings import ImageSettings
from imrad.radiomics.images import OpenImage
from imrad.radiomics.series import DicomSeries
from imrad.radiomics.suv import suv_scale

__all__ = ["ScaledImage", "body_mask", "scaled"]


class ScaledImage:
    """An open image whose intensities are brought to another scale slice by slice, as they are read.

    Parameters
    ----------
    image : OpenImage
        As stored.
    multiply : ndarray, shape (slices,)
        Factor of each slice, applied after `subtract`.
    subtract : float
        In the stored unit.
    note : str
        What was done, with the numbers.
    """

    def __init__(self, image: OpenImage, multiply: NDArray[np.float64], subtract: float, note: str) -> None:
        self._image, self._multiply, self._subtract = image, multiply, subtract
        self.grid, self.modality = image.grid, image.modality
        self.acquisition = image.acquisition
        self.series_uid, self.frame_of_reference = image.series_uid, image.frame_of_reference
        self.notes = (*image.notes, note)

    @property
    def positions_mm(self) -> dict[str, tuple[float, ...]]:
        """Position of each slice by its SOPInstanceUID; empty outside DICOM."""
        return self._image.positions_mm

    def read(self, first: int = 0, last: int | None = None) -> sitk.Image:
        """Decode slices `first` to `last` (excluded) as 64 bit floats."""
        slab = self._image.read(first, last)
        values = (sitk.GetArrayFromImage(slab).astype(np.float64) - self._subtract) * self._multiply[
            first:last, None, None
        ]
        scaled_slab = sitk.GetImageFromArray(values)
        scaled_slab.CopyInformation(slab)
        return scaled_slab


def scaled(image: OpenImage, mask: Mask, settings: ImageSettings) -> OpenImage:
    """Return an image on the scale that its settings name.

    Parameters
    ----------
    image : OpenImage
        As stored.
    mask : ndarray of bool, shape ``image.grid.shape``
        The region that is measured; ``within: region`` takes its voxels.
    settings : ImageSettings
        The scale. SUV is in g/ml; z-scores have the population's standard deviation (divisor n);
        percentiles interpolate linearly.

    Raises
    ------
    ImageError
        If SUV is asked for and the headers do not tell it, or if the voxels asked for are all alike.
    """
    if settings.intensity == "stored":
        return image
    n_slices = image.grid.size[2]
    if settings.intensity == "suv":
        if not isinstance(image, DicomSeries):
            message = (
                "SUV needs the headers of a DICOM PET series, and the image is none; give the DICOM folder, or measure "
                "it as stored if it holds SUV already"
            )
            raise ImageError(message)
        scale = suv_scale([file for file, _ in image.files], image.path)
        factors = np.array([scale.factors[uid] for _, uid in image.files], dtype=np.float64)
        return ScaledImage(image, factors, 0.0, scale.note)
    values = sitk.GetArrayFromImage(image.read())
    where: Any = mask
    if settings.within == "image":
        where = np.isfinite(values)
    elif settings.within == "body":
        where = body_mask(values)
    inside = values[where].astype(np.float64)
    inside = inside[np.isfinite(inside)]
    centre, width = _centre_and_width(inside, settings)
    if not width > 0:
        what = "standard deviation" if settings.intensity == "zscore" else "range between its percentiles"
        message = (
            f"the {len(inside)} voxels of the {settings.within} have a {what} of {width:g} around {centre:g}; "
            f"{settings.intensity} needs intensities that differ"
        )
        raise ImageError(message)
    note = f"{settings.intensity} within the {settings.within}: {centre:.6g} taken off, divided by {width:.6g}"
    return ScaledImage(image, np.full(n_slices, settings.factor / width), centre, note)


def _centre_and_width(inside: NDArray[np.float64], settings: ImageSettings) -> tuple[float, float]:
    if not inside.size:
        return 0.0, 0.0
    if settings.intensity == "zscore":
        return float(inside.mean()), float(inside.std())
    low, high = (float(v) for v in np.percentile(inside, settings.percentiles))
    return low, high - low


def body_mask(values: NDArray[Any]) -> Mask:
    """Return the patient without the air around: the largest part above Otsu's threshold, holes filled.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
        Intensities of a whole image.

    References
    ----------
    Otsu 1979, doi 10.1109/TSMC.1979.4310076 (256 bins over the image's range).
    """
    from scipy.ndimage import binary_fill_holes, label

    finite: Mask = np.isfinite(values)
    if not finite.any():
        return finite
    above = finite & (values > _otsu(values[finite].astype(np.float64)))
    numbered, n_parts = label(above)
    if n_parts == 0:
        return finite
    largest = int(np.bincount(numbered.ravel())[1:].argmax()) + 1
    body: Mask = finite & (numbered == largest)
    for plane in body:
        plane[:] = binary_fill_holes(plane)
    body &= finite
    return body


def _otsu(values: NDArray[np.float64]) -> float:
    """Return the threshold that leaves the most variance between its two sides."""
    counts, edges = np.histogram(values, bins=256)
    middle = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts)[:-1].astype(float), np.cumsum(counts[::-1])[::-1][1:].astype(float)
    total = np.cumsum(counts * middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(edges[1:-1][int(np.nanargmax(between))]) if np.isfinite(between).any() else float(values.min())
