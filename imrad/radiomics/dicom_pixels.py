"""Pixels of DICOM planes: decoded by whoever can, checked for their length, and rescaled."""

from __future__ import annotations

import locale
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from imrad.exceptions import ImageError, ImradError
from imrad.radiomics.dicom import BROKEN, EXPLICIT_LITTLE_ENDIAN, NATIVE, read_dataset, reason
from imrad.radiomics.dicom_frames import Frame

__all__ = ["pixels"]


def pixels(frames: Sequence[Frame]) -> Iterable[NDArray[Any]]:
    """Yield the rescaled pixels of each frame, reading a multi-frame file once."""
    path, dataset = None, None
    for frame in frames:
        if frame.path != path:
            path, dataset = frame.path, read_dataset(frame.path)
        try:
            yield _decode(dataset, frame)
        except ImradError:
            raise
        except BROKEN as error:
            message = f"{frame.path} holds pixels that cannot be decoded ({reason(error)}); fetch it again"
            raise ImageError(message) from error


def _decode(dataset: Any, frame: Frame) -> NDArray[Any]:
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        message = f"{frame.path} is a colour image; give one with a single value per pixel"
        raise ImageError(message)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", EXPLICIT_LITTLE_ENDIAN))
    allocated = int(dataset.BitsAllocated)
    if syntax in NATIVE and allocated in (8, 16, 32) and "PixelData" in dataset:
        stored = _native(dataset, frame, allocated)
    else:
        try:
            from pydicom.pixels import pixel_array

            with warnings.catch_warnings(action="ignore"):
                stored = pixel_array(dataset, index=frame.number)
        except (RuntimeError, ImportError, NotImplementedError):
            # No plugin for this compression: ITK brings decoders for JPEG, JPEG-LS and JPEG 2000, and rescales itself.
            return _decode_with_itk(frame)
    if frame.slope == 1.0 and frame.intercept == 0.0:
        return stored
    if float(frame.slope).is_integer() and float(frame.intercept).is_integer():
        rescaled: NDArray[Any] = stored.astype(np.int32) * np.int32(frame.slope) + np.int32(frame.intercept)
        return rescaled
    return stored * frame.slope + frame.intercept


def _native(dataset: Any, frame: Frame, allocated: int) -> NDArray[Any]:
    rows, columns = frame.shape
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    dtype = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    n_bytes = rows * columns * dtype.itemsize
    data = dataset.PixelData
    if len(data) < (frame.number + 1) * n_bytes:
        message = (
            f"{frame.path} is truncated: {len(data)} bytes of pixels where {(frame.number + 1) * n_bytes} are needed; "
            f"fetch it again"
        )
        raise ImageError(message)
    stored = np.frombuffer(data, dtype=dtype, count=rows * columns, offset=frame.number * n_bytes)
    unused = allocated - int(dataset.get("BitsStored", allocated))
    if unused > 0:
        # Bits above BitsStored may hold overlays or a missing sign.
        stored = (stored << unused) >> unused
    return stored.reshape(rows, columns)


def _decode_with_itk(frame: Frame) -> NDArray[Any]:
    # ITK's JPEG decoder leaves the process in the C locale, in which other code no longer reads UTF-8.
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        plane: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(frame.path)))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return plane[frame.number] if plane.ndim == 3 else plane
