"""DICOM files: what they are, read whole or by their header, and never inflated without a bound."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from imrad.exceptions import InputError

__all__ = ["BROKEN", "NATIVE", "functional_group", "is_dicom", "read_dataset", "reason"]

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
NATIVE = {IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, DEFLATED}
# Inflated size of a deflated file: a label map of 2,400 slices of 512 x 512, one byte a voxel.
MAX_INFLATED_BYTES = 600 << 20

# Anything pydicom raises on bytes that are not what their header says.
BROKEN = (ValueError, AttributeError, KeyError, IndexError, TypeError, EOFError, OSError, RuntimeError,
           NotImplementedError, struct.error, zlib.error)  # fmt: skip


def is_dicom(path: Path) -> bool:
    """Return whether a file starts as DICOM files do: ``DICM`` after 128 bytes, or, in old exports, group 8 at once."""
    try:
        with path.open("rb") as handle:
            start = handle.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or start[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")


def read_dataset(path: Path, *, pixels: bool = True, tags: list[str] | None = None) -> Any:
    """Read one DICOM file, inflating a deflated one only up to a fixed size.

    Parameters
    ----------
    path : Path
        The file.
    pixels : bool
        Whether to read on to the pixel data.
    tags : list of str, optional
        Keywords to keep; all by default.

    Raises
    ------
    InputError
        If the file is missing, truncated, not DICOM, or inflates to more than it may.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    if not path.is_file():
        message = f"{path} does not exist; check the path"
        raise InputError(message)
    try:
        with warnings.catch_warnings(action="ignore"), path.open("rb") as handle:
            if _is_deflated(handle):
                return _read_deflated(path)
            handle.seek(0)
            bare = handle.read(2) == b"\x08\x00"
            handle.seek(0)
            dataset = pydicom.dcmread(handle, stop_before_pixels=not pixels, specific_tags=tags, force=bare)
            if "TransferSyntaxUID" not in dataset.file_meta:
                implicit = dataset.original_encoding[0]
                dataset.file_meta.TransferSyntaxUID = IMPLICIT_LITTLE_ENDIAN if implicit else EXPLICIT_LITTLE_ENDIAN
            return dataset
    except InvalidDicomError as error:
        message = f"{path} is not a DICOM file; give a DICOM file or another format by its extension"
        raise InputError(message) from error
    except BROKEN as error:
        message = f"{path} is damaged or truncated ({reason(error)}); fetch it again"
        raise InputError(message) from error


def _is_deflated(handle: BinaryIO) -> bool:
    """Return whether the meta group, whose length its first element holds, names the deflated transfer syntax."""
    start = handle.read(144)
    if start[128:132] != b"DICM" or start[132:136] != b"\x02\x00\x00\x00":
        return False
    (length,) = struct.unpack("<L", start[140:144])
    return DEFLATED.encode() in handle.read(min(length, 1 << 16))


def _read_deflated(path: Path) -> Any:
    from pydicom.filereader import read_dataset as parse
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(str(path))
    with path.open("rb") as handle:
        # The first element of the meta group, (0002,0000) UL, holds the length of the rest of it.
        (length,) = struct.unpack("<L", handle.read(144)[140:])
        handle.seek(144 + length)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        data = inflater.decompress(handle.read(), MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        message = (
            f"{path} inflates to more than {MAX_INFLATED_BYTES >> 20} MB from {path.stat().st_size >> 10} kB, "
            f"more than any segmentation needs; it was not read"
        )
        raise InputError(message)
    if not inflater.eof:
        message = f"{path} is truncated: its deflated part ends early; fetch it again"
        raise InputError(message)
    dataset = parse(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    meta.TransferSyntaxUID = EXPLICIT_LITTLE_ENDIAN
    dataset.file_meta = meta
    return dataset


def reason(error: BaseException) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, AttributeError) and error.name:
        return f"it lacks {error.name}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def functional_group(group: Any, shared: Any, keyword: str) -> Any:
    """Return the one item of a functional group of a frame, or of the group that all frames share, or nothing."""
    for holder in (group, shared):
        if holder is not None and keyword in holder and len(holder[keyword].value):
            return holder[keyword].value[0]
    return {}
