"""Planes become a grid: one kind of plane, sorted by position, evenly spaced and straight, or a sentence why not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrad.exceptions import GeometryError, ImageError
from imrad.radiomics.dicom_frames import Frame
from imrad.radiomics.dicom_pixels import pixels
from imrad.radiomics.geometry import Grid

__all__ = ["one_kind", "stack"]


def one_kind(frames: list[Frame], path: Path, notes: list[str]) -> list[Frame]:
    """Leave out localisers and planes without a position; refuse mixed sizes, spacings and orientations."""
    slices = [frame for frame in frames if not frame.localiser]
    if slices and len(slices) < len(frames):
        notes.append(f"{len(frames) - len(slices)} localiser images left out")
    slices = slices or frames
    placed = [f for f in slices if f.position_mm and f.orientation and f.spacing_mm]
    if not placed:
        message = (
            f"{path}: none of {len(slices)} images has position, orientation and pixel spacing; give a volume image"
        )
        raise GeometryError(message)
    if len(placed) < len(slices):
        notes.append(f"{len(slices) - len(placed)} images without a position left out")
    turns = Counter(tuple(np.round(f.orientation or (), 3) + 0.0) for f in placed)
    main, n_main = turns.most_common(1)[0]
    odd = len(placed) - n_main
    if odd and odd <= max(3, len(placed) // 20):
        placed = [f for f in placed if tuple(np.round(f.orientation or (), 3) + 0.0) == main]
        notes.append(f"{odd} localiser images of another orientation left out")
    elif odd:
        counts = ", ".join(str(n) for _, n in turns.most_common(4))
        message = f"{path} mixes {len(turns)} orientations ({counts} images); give a folder with one series"
        raise GeometryError(message)
    for what, values in (
        ("image sizes", Counter(f"{f.shape[1]} x {f.shape[0]}" for f in placed)),
        ("pixel spacings", Counter(" x ".join(f"{s:.4f}" for s in f.spacing_mm or ()) for f in placed)),
        ("frames of reference", Counter(f.frame_of_reference for f in placed)),
    ):
        if len(values) > 1:
            counts = ", ".join(f"{n} of {value}" for value, n in values.most_common(4))
            message = f"{path} mixes {len(values)} {what} ({counts}); give a folder with one series"
            raise GeometryError(message)
    return placed


def stack(frames: list[Frame], path: Path, notes: list[str]) -> tuple[list[Frame], Grid]:
    """Sort planes along their normal and return them with the grid they make."""
    turn = np.array([f.orientation for f in frames], dtype=float).mean(axis=0)
    row, column = turn[:3] / np.linalg.norm(turn[:3]), turn[3:] / np.linalg.norm(turn[3:])
    if abs(row @ column) > 1e-3:
        message = f"{path}: row and column directions are not at right angles ({row @ column:.4f}); check the header"
        raise GeometryError(message)
    column = column - (row @ column) * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    along = [float(np.asarray(f.position_mm) @ normal) for f in frames]
    order = np.argsort(along, kind="stable")
    ordered = _drop_copies([frames[i] for i in order], [along[i] for i in order], path, notes)
    heights = np.array([np.asarray(f.position_mm) @ normal for f in ordered])
    spacing_z = _even_spacing(heights, ordered, path, notes)
    _straight(ordered, normal, path)
    spacing_row, spacing_column = (ordered[0].spacing_mm or (0.0, 0.0))[:2]
    origin = ordered[0].position_mm or (0.0, 0.0, 0.0)
    rows, columns = ordered[0].shape
    grid = Grid(
        (columns, rows, len(ordered)),
        (spacing_column, spacing_row, spacing_z),
        (origin[0], origin[1], origin[2]),
        tuple(float(v) for v in np.column_stack([row, column, normal]).ravel()),
    )
    return ordered, grid


def _drop_copies(frames: list[Frame], along: list[float], path: Path, notes: list[str]) -> list[Frame]:
    """Keep one of identical slices at one position; refuse different ones."""
    groups: list[list[Frame]] = []
    last = None
    for frame, height in zip(frames, along, strict=True):
        if last is not None and height - last < 1e-3:
            groups[-1].append(frame)
        else:
            groups.append([frame])
            last = height
    crowded = [group for group in groups if len(group) > 1]
    different = [group for group in crowded if not _same_pixels(group)]
    if different:
        acquisitions = sorted({frame.acquisition for group in different for frame in group if frame.acquisition})
        hint = f" (acquisitions {', '.join(acquisitions)})" if len(acquisitions) > 1 else ""
        message = (
            f"{path}: {len(different)} of {len(groups)} positions hold several different slices{hint}; "
            f"give a folder with one acquisition"
        )
        raise ImageError(message)
    if crowded:
        notes.append(f"{sum(len(group) - 1 for group in crowded)} duplicate slices left out")
    return [group[0] for group in groups]


def _same_pixels(group: list[Frame]) -> bool:
    first, *rest = pixels(group)
    return all(np.array_equal(first, other) for other in rest)


def _even_spacing(heights: NDArray[np.float64], frames: list[Frame], path: Path, notes: list[str]) -> float:
    if len(heights) == 1:
        notes.append("one slice only: its thickness is taken as the spacing")
        return frames[0].thickness_mm or 1.0
    steps = np.diff(heights)
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps > 1.5 * usual)
    if wide.size:
        missing = int(np.rint(steps[wide] / usual).sum() - wide.size)
        at = int(wide[0])
        message = (
            f"{path}: about {missing} slices are missing in {wide.size} gaps, the first of {steps[at]:.2f} mm between "
            f"{heights[at]:.2f} and {heights[at + 1]:.2f} mm where slices are {usual:.2f} mm apart; "
            f"fetch the series again"
        )
        raise GeometryError(message)
    if np.abs(steps - usual).max() > 0.1 * usual:
        message = (
            f"{path}: slices are unevenly spaced, {steps.min():.3f} to {steps.max():.3f} mm apart; "
            f"give an evenly spaced series"
        )
        raise GeometryError(message)
    mean = float((heights[-1] - heights[0]) / (len(heights) - 1))
    if np.abs(steps - mean).max() > 0.01 * mean:
        notes.append(f"slice distances vary from {steps.min():.3f} to {steps.max():.3f} mm")
    return mean


def _straight(frames: list[Frame], normal: NDArray[np.float64], path: Path) -> None:
    """Refuse a stack whose slices slide sideways: a tilted gantry, or planes that do not stack."""
    if len(frames) < 2:
        return
    positions = np.array([f.position_mm for f in frames])
    course = positions[-1] - positions[0]
    aside = float(np.linalg.norm(course - (course @ normal) * normal))
    tilt = float(np.degrees(np.arctan2(aside, abs(course @ normal))))
    spacing = min(frames[0].spacing_mm or (1.0,))
    if tilt > 0.1 and aside > 0.5 * spacing:
        message = (
            f"{path}: the slices are tilted by {tilt:.1f} degrees (they slide {aside:.1f} mm sideways over the stack); "
            f"resample the series to an upright grid first"
        )
        raise GeometryError(message)
    line = positions[0] + np.linspace(0.0, 1.0, len(frames))[:, None] * course
    off = positions - line
    sideways = np.linalg.norm(off - (off @ normal)[:, None] * normal, axis=1)
    if sideways.max() > 0.5 * spacing:
        message = f"{path}: a slice lies {sideways.max():.2f} mm beside the stack; give a folder with one series"
        raise GeometryError(message)
