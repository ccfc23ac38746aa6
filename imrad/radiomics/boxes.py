"""Boxes of voxels, as slices along z, y and x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from imrad.radiomics.filters import Box

__all__ = ["box_around", "contains", "shifted", "union"]

Array = npt.NDArray[Any]


def box_around(found: Array) -> Box:
    """Return the box of first and last indices along z, y and x (see :func:`imrad.radiomics.kernels.region_box`)."""
    z, y, x = (slice(int(found[2 * k]), int(found[2 * k + 1]) + 1) for k in range(3))
    return z, y, x


def shifted(box: Box, shift: Sequence[int]) -> Box:
    """Return the box moved by whole voxels along z, y and x."""
    z, y, x = (slice(part.start + n, part.stop + n) for part, n in zip(box, shift, strict=True))
    return z, y, x


def contains(outer: Box, inner: Box) -> bool:
    """Tell whether one box lies within another."""
    return all(o.start <= i.start and i.stop <= o.stop for o, i in zip(outer, inner, strict=True))


def union(box: Box, other: Box | None) -> Box:
    """Return the smallest box around two, or the one there is."""
    if other is None:
        return box
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True))
    return z, y, x
