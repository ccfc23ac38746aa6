"""Local binary patterns in three dimensions, described by spherical harmonics.

Around each voxel of the region the image is sampled on an icosphere; the sign of the difference to
the voxel is expanded in spherical harmonics, whose power per degree does not depend on orientation
(Banerjee et al. 2013, doi:10.1007/978-3-642-37410-4_3). As in pyradiomics, polar and azimuthal angle
stand in each other's place, and whole-number images are sampled in whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from imrad.radiomics.settings import FilterSettings

__all__ = ["binary_patterns_3d"]

Array = npt.NDArray[Any]

# Cubic splines see 40 voxels far to the last bit (their pole is 0.268).
SUPPORT = 40
BATCH = 20_000


def icosphere(subdivisions: int, radius: float = 1.0) -> Array:
    """Return the vertices of a subdivided icosahedron, shape (vertices, 3).

    Middles of edges are moved out onto the sphere as trimesh moves them: beside an image's edge, the last bit
    of a place decides whether it lies inside.
    """
    golden = (1 + np.sqrt(5)) / 2
    corners = []
    for a in (-1.0, 1.0):
        for b in (-golden, golden):
            corners += [(a, b, 0.0), (0.0, a, b), (b, 0.0, a)]
    points = np.array(corners) / np.sqrt(1 + golden**2)
    side = 2 / np.sqrt(1 + golden**2)
    faces = [
        face
        for face in combinations(range(12), 3)
        if all(abs(np.linalg.norm(points[i] - points[j]) - side) < 1e-9 for i, j in combinations(face, 2))
    ]
    for _ in range(subdivisions):
        known: dict[tuple[int, int], int] = {}
        vertices = list(points)
        smaller = []
        for face in faces:
            middles = []
            for i, j in combinations(face, 2):
                edge = (min(i, j), max(i, j))
                if edge not in known:
                    known[edge] = len(vertices)
                    vertices.append((points[i] + points[j]) / 2)
                middles.append(known[edge])
            ab, ac, bc = middles
            a, b, c = face
            smaller += [(a, ab, ac), (b, ab, bc), (c, ac, bc), (ab, ac, bc)]
        points = _onto_sphere(np.array(vertices), radius)
        faces = smaller
    return points if subdivisions else _onto_sphere(points, radius)


def _onto_sphere(points: Array, radius: float) -> Array:
    length = np.sqrt(np.dot(points**2, [1, 1, 1]))[:, None]
    return points + points / length * (radius - length)  # type: ignore[no-any-return]


def binary_patterns_3d(
    image: Array, box: tuple[slice, slice, slice], settings: FilterSettings, inside: Array
) -> Iterator[Array]:
    """Yield the power of each degree below ``lbp3DLevels``, then the kurtosis of the samples.

    Parameters
    ----------
    image : array, shape (z, y, x)
    box : tuple of slices
    settings : FilterSettings
    inside : array of bool
        The region in the box; values elsewhere are 0.
    """
    radius = settings.lbp3DIcosphereRadius
    sphere = icosphere(settings.lbp3DIcosphereSubdivision, radius)
    azimuth = np.arccos(np.clip(sphere[:, 2] / radius, -1, 1))
    polar = np.abs(np.arctan2(sphere[:, 1], sphere[:, 0]))
    harmonics = [
        [special.sph_harm_y(degree, order, polar, azimuth) for order in range(-degree, degree + 1)]
        for degree in range(settings.lbp3DLevels)
    ]
    reach = int(np.ceil(radius)) + SUPPORT
    starts = [max(part.start - reach, 0) for part in box]
    part = tuple(slice(start, b.stop + reach) for start, b in zip(starts, box, strict=True))
    source = image[part]
    whole = np.issubdtype(source.dtype, np.integer)
    spline = ndimage.spline_filter(source.astype(np.float64), order=3, mode="mirror")
    voxels = np.argwhere(inside) + [b.start - start for b, start in zip(box, starts, strict=True)]
    power = np.empty((settings.lbp3DLevels, len(voxels)))
    kurtosis = np.empty(len(voxels))
    for first in range(0, len(voxels), BATCH):
        batch = voxels[first : first + BATCH]
        places = batch[:, None, :] + sphere[None]
        samples = ndimage.map_coordinates(spline, np.moveaxis(places, 2, 0), order=3, prefilter=False)
        # SciPy returns samples in the image's own type.
        if whole:
            samples = np.trunc(samples + np.copysign(0.5, samples))
            if source.dtype.kind == "u":
                samples = np.clip(samples, 0, np.iinfo(source.dtype).max)
        else:
            samples = samples.astype(source.dtype).astype(np.float64)
        stop = first + len(batch)
        kurtosis[first:stop] = _kurtosis(samples)
        centre = source[tuple(batch.T)].astype(np.float64)
        signs = (samples >= centre[:, None]).astype(np.float64)
        for degree, orders in enumerate(harmonics):
            again = sum((signs @ y)[:, None] * y[None] for y in orders)
            power[degree, first:stop] = np.sqrt((again**2).sum(axis=1)).real
    for values in (*power, kurtosis):
        out = np.zeros(inside.shape)
        out[inside] = values
        yield out


def _kurtosis(samples: Array) -> Array:
    squares = (samples - samples.mean(axis=1, keepdims=True)) ** 2
    m2 = squares.mean(axis=1)
    m4 = (squares**2).mean(axis=1)
    return np.where(m2 > 0, m4 / np.where(m2 > 0, m2, 1) ** 2, 0) - 3  # type: ignore[no-any-return]
