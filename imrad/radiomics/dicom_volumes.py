"""One DICOM folder that holds a volume many times: which files make each time point."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from imrad.exceptions import ImageError, InputError
from imrad.radiomics.dicom import is_dicom, read_dataset

__all__ = ["volumes_in"]

# What scanners count time points by, most explicit first.
_COUNTED_BY = (
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "TriggerTime",
    "AcquisitionTime",
    "ContentTime",
    "SeriesNumber",
)


def volumes_in(folder: Path) -> list[list[Path]]:
    """Return the files of each time point, in the order of what they are counted by.

    An attribute counts time points if each of its values stands at the same slice positions once.

    Raises
    ------
    InputError
        If there is no DICOM image.
    ImageError
        If nothing in the headers tells the time points apart; with the numbers.
    """
    tags = [*_COUNTED_BY, "ImagePositionPatient", "Rows"]
    heads: list[tuple[Path, Any]] = []
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            file = Path(place) / name
            if name != "DICOMDIR" and not name.startswith(".") and is_dicom(file):
                head = read_dataset(file, pixels=False, tags=tags)
                if "Rows" in head and head.get("ImagePositionPatient") is not None:
                    heads.append((file, head))
    if not heads:
        message = f"{folder} holds no DICOM slice with a position; give the folder of a dynamic series"
        raise InputError(message)
    positions = {_position(head) for _, head in heads}
    for tag in _COUNTED_BY:
        groups: dict[Any, list[tuple[Path, Any]]] = defaultdict(list)
        for file, head in heads:
            groups[_value(head.get(tag))].append((file, head))
        whole = all(
            len(group) == len(positions) and {_position(head) for _, head in group} == positions
            for group in groups.values()
        )
        if len(groups) > 1 and whole:
            return [[file for file, _ in groups[key]] for key in sorted(groups)]
    counted = ", ".join(_COUNTED_BY)
    message = (
        f"{folder} holds {len(heads)} slices at {len(positions)} positions, and no attribute ({counted}) parts them "
        f"into whole volumes; give the folder of each time point, separated by semicolons"
    )
    raise ImageError(message)


def _position(head: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in np.round(np.asarray(head.ImagePositionPatient, dtype=float), 2) + 0.0)


def _value(value: Any) -> tuple[float, str]:
    try:
        return float(value), ""
    except (TypeError, ValueError):
        return float("inf"), str(value or "")
