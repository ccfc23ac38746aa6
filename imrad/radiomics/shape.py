"""Size and shape of a region: triangle mesh, diameters and principal axes.

The mesh joins the midpoints between voxel centres inside and outside the region (marching cubes,
Lorensen and Cline 1987, doi:10.1145/37402.37422). What the mesh adds per cube of eight voxels
depends only on which of the eight are inside, so area and volume follow from counting the 256
cases; the diameters follow from the convex hulls of the mesh's planar sections.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imrad.radiomics.kernels import jit

__all__ = ["mesh_measures", "principal_axes", "shape2d_features", "shape_features"]

# Triangles of the cases 1 to 127, each corner given as a cube edge (a to l in the order of _EDGES);
# a case above 127 is its complement with the triangles turned round. Where several triangulations
# are possible, these have the area and volume of pyradiomics' mesh.
_TRIANGLES = (
    "abc ced dbedab gbf agcafg cedgbf dgedfgdaf egh eghbca cgdghd hbghabhda ebhbfh aecaheafh cbdbfdfhd dahafh jia "
    "jbcjib cedjia dieibedji gbfjia jgcjfgjif cedgbfjia dgedfgdifdji eghjia eghbcicji cgdghdjia hbghjbjibhdj "
    "ebhbfhjia jecjfefhejif cbdbfdfhdjia jidifdfhd dkj abcdkj cejekj kbekabkja gbfdkj agcafgdkj cejekjgbf "
    "kgekagafgkja eghdkj eghbcadkj cgjghjhkj hbghabhjahkj ebhbfhdkj aecaheafhdkj cbjbhjbfhhkj akjahkafh kidiad "
    "dbcdkbkib ceaeiaeki kbekib gbfkidiad dgcdfgdifdki ceaeiaekigbf kieigeifg eghkidiad eghbkibckcdk cgaghahkakia "
    "hbghkbkib ebhbfhkidiad dkckicifcfhchec ciackichkcfhcbf kihifh fil alclbclfbail cedfil dlelbelfbdalail gblbil "
    "alclgcail dgedlgdildbidcb dgedigilgdai eihegigfiilh aecahealhailfbg cidcgigfiihdilh fbghilhaihda eihebiilh "
    "aecahealhail cbdbldbillhd hilhaihda jlalfa jlclbclfb ceaefaelfejledj dbedfbdlfdjl gjlgbjbaj jgcjlg "
    "dgedjgjlgacb dgedjgjlg elhejleajefaegf jlcleclhefbg cgagfajldlhd fbgjldlhd ebhbahajhjlh jlcleclhe cbajldlhd "
    "jldlhd kldlfdfidijd dbcdfbdlfdklija cfjcefekfklffij kbekfbklfija gdlgbdbidijddkl dlclgcdklija kgeklgicbijc "
    "kgeklgija egdgfdfidijdklh decfbgklhija cgjgfjfijklh fbgklhija eidebiijdklh decklhija cbjbijklh klhija "
    "kldlfdfad dbcdfbdlfdkl ceaelaekllfa kbekfbklf gblbdlbaddkl dlclgcdkl kgeklgacb kgeklg egdgfdfadklh decfbgklh "
    "cgagfaklh fbgklh ebdbadklh decklh cbaklh klh "
)

_CORNERS = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
_EDGES = [
    tuple(c + (0.5 if a == axis else 0.0) for a, c in enumerate(corner))
    for corner in _CORNERS
    for axis in range(3)
    if corner[axis] == 0
]


def _cube_tables() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return triangle normals (256, 5, 3), their sums (256, 3) and the volume terms (256,)."""
    points = np.array(_EDGES)
    normals = np.zeros((256, 5, 3))
    volumes = np.zeros(256)
    for case, word in enumerate(_TRIANGLES.split(), start=1):
        corners = points[[ord(letter) - ord("a") for letter in word]].reshape(-1, 3, 3)
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals[case, : len(cross)] = cross
        volumes[case] = np.linalg.det(corners).sum()
        normals[255 - case] = -normals[case]
        volumes[255 - case] = -volumes[case]
    return normals, normals.sum(axis=1), volumes


_NORMALS, _NORMAL_SUMS, _VOLUMES = _cube_tables()


@jit
def _count_cases(mask: Any) -> Any:
    """Count the cube cases of a zero-padded mask, and sum the cubes' positions per case."""
    depth, height, width = mask.shape
    count = np.zeros(256, np.int64)
    position = np.zeros((256, 3), np.int64)
    for z in range(depth - 1):
        for y in range(height - 1):
            left = mask[z, y, 0] | mask[z, y + 1, 0] << 2 | mask[z + 1, y, 0] << 4 | mask[z + 1, y + 1, 0] << 6
            for x in range(width - 1):
                n = x + 1
                right = mask[z, y, n] | mask[z, y + 1, n] << 2 | mask[z + 1, y, n] << 4 | mask[z + 1, y + 1, n] << 6
                case = left | right << 1
                left = right
                if case != 0 and case != 255:
                    count[case] += 1
                    position[case, 0] += z
                    position[case, 1] += y
                    position[case, 2] += x
    return count, position


@jit
def _extremes(mask: Any, low: Any, high: Any) -> None:
    """Find the outermost mesh vertices on the lines of every plane, in half voxels.

    ``low[a, plane, line]`` and ``high`` hold the ends along the third axis, for planes across axis
    a and lines along the last other axis.
    """
    depth, height, width = mask.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                for axis in range(3):
                    z1, y1, x1 = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if z1 >= depth or y1 >= height or x1 >= width or mask[z, y, x] == mask[z1, y1, x1]:
                        continue
                    vz, vy, vx = z + z1, y + y1, x + x1
                    low[0, vz, vy] = min(low[0, vz, vy], vx)
                    high[0, vz, vy] = max(high[0, vz, vy], vx)
                    low[1, vy, vz] = min(low[1, vy, vz], vx)
                    high[1, vy, vz] = max(high[1, vy, vz], vx)
                    low[2, vx, vz] = min(low[2, vx, vz], vy)
                    high[2, vx, vz] = max(high[2, vx, vz], vy)


@jit
def _half_hull(line: Any, end: Any, number: int, sign: int, out_line: Any, out_end: Any) -> int:
    top = 0
    for n in range(number):
        while top >= 2:
            turn = (out_line[top - 1] - out_line[top - 2]) * (end[n] - out_end[top - 2]) - (
                out_end[top - 1] - out_end[top - 2]
            ) * (line[n] - out_line[top - 2])
            if turn * sign > 0:
                break
            top -= 1
        out_line[top] = line[n]
        out_end[top] = end[n]
        top += 1
    return top


@jit
def _hulls(low: Any, high: Any, empty: int) -> Any:
    """Return the convex hull vertices of each plane: (plane, line, end) and where each plane starts."""
    planes, lines = low.shape
    points = np.empty((planes * lines * 2, 3), np.int64)
    first = np.zeros(planes + 1, np.int64)
    line = np.empty(lines, np.int64)
    ends = np.empty(lines, np.int64)
    hull_line = np.empty(lines, np.int64)
    hull_end = np.empty(lines, np.int64)
    total = 0
    for plane in range(planes):
        first[plane] = total
        for side in range(2):
            number = 0
            for n in range(lines):
                if low[plane, n] != empty:
                    line[number] = n
                    ends[number] = low[plane, n] if side == 0 else high[plane, n]
                    number += 1
            kept = _half_hull(line, ends, number, 1 if side == 0 else -1, hull_line, hull_end)
            for n in range(kept):
                points[total, 0] = plane
                points[total, 1] = hull_line[n]
                points[total, 2] = hull_end[n]
                total += 1
    first[planes] = total
    return points[:total], first


@jit
def _widest_in_plane(points: Any, first: Any, step_line: float, step_end: float) -> float:
    best = 0.0
    for plane in range(first.size - 1):
        for n in range(first[plane], first[plane + 1]):
            for m in range(first[plane], n):
                a = (points[n, 1] - points[m, 1]) * step_line
                b = (points[n, 2] - points[m, 2]) * step_end
                best = max(best, a * a + b * b)
    return best


@jit
def _widest(points: Any, first: Any, step: Any) -> float:  # noqa: C901 - one compiled loop
    planes = first.size - 1
    bounds = np.zeros((planes, 4))
    for plane in range(planes):
        for n in range(first[plane], first[plane + 1]):
            for k in range(2):
                place = points[n, k + 1] * step[k + 1]
                if n == first[plane]:
                    bounds[plane, 2 * k] = bounds[plane, 2 * k + 1] = place
                bounds[plane, 2 * k] = min(bounds[plane, 2 * k], place)
                bounds[plane, 2 * k + 1] = max(bounds[plane, 2 * k + 1], place)
    best = 0.0
    here = 0
    for _ in range(4):  # walk to a far pair first: most plane pairs then cannot hold a farther one
        far = here
        for n in range(points.shape[0]):
            d = 0.0
            for k in range(3):
                d += ((points[n, k] - points[here, k]) * step[k]) ** 2
            if d > best:
                best = d
                far = n
        here = far
    for p in range(planes):
        for q in range(planes - 1, p - 1, -1):
            if first[p] == first[p + 1] or first[q] == first[q + 1]:
                continue
            dz = (q - p) * step[0]
            dy = max(bounds[p, 1] - bounds[q, 0], bounds[q, 1] - bounds[p, 0])
            dx = max(bounds[p, 3] - bounds[q, 2], bounds[q, 3] - bounds[p, 2])
            if dz * dz + dy * dy + dx * dx <= best:
                continue
            for n in range(first[p], first[p + 1]):
                for m in range(first[q], first[q + 1]):
                    a = (points[n, 1] - points[m, 1]) * step[1]
                    b = (points[n, 2] - points[m, 2]) * step[2]
                    best = max(best, dz * dz + a * a + b * b)
    return best


def mesh_measures(mask: npt.NDArray[Any], spacing: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return area, volume and diameters of the mesh of a mask.

    Parameters
    ----------
    mask : array of uint8, shape (z, y, x)
        Padded by one voxel of zeros on every side.
    spacing : array, shape (3,)
        In mm along z, y, x.

    Returns
    -------
    dict
        ``area`` (mm^2), ``volume`` (mm^3), and ``slice``, ``column``, ``row`` and ``whole``: the largest distances
        (mm) between mesh vertices in planes across z, y and x, and anywhere.
    """
    count, position = _count_cases(mask)
    across = np.array([spacing[1] * spacing[2], spacing[0] * spacing[2], spacing[0] * spacing[1]])
    case_area = 0.5 * np.sqrt(((_NORMALS * across) ** 2).sum(axis=2)).sum(axis=1)
    volume = (count * _VOLUMES).sum() + (position * _NORMAL_SUMS).sum()
    size = 2 * max(mask.shape)
    empty = np.iinfo(np.int32).max
    low = np.full((3, size, size), empty, np.int32)
    high = np.full((3, size, size), -1, np.int32)
    _extremes(mask, low, high)
    half = spacing / 2
    slices = _hulls(low[0], high[0], empty)
    columns = _hulls(low[1], high[1], empty)
    rows = _hulls(low[2], high[2], empty)
    return {
        "area": float((count * case_area).sum()),
        "volume": float(volume * spacing.prod() / 6),
        "slice": float(np.sqrt(_widest_in_plane(slices[0], slices[1], half[1], half[2]))),
        "column": float(np.sqrt(_widest_in_plane(columns[0], columns[1], half[0], half[2]))),
        "row": float(np.sqrt(_widest_in_plane(rows[0], rows[1], half[0], half[1]))),
        "whole": float(np.sqrt(_widest(slices[0], slices[1], half))),
    }


def principal_axes(mask: npt.NDArray[Any], spacing: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the ascending variances (mm^2) of the voxel centres along their principal axes."""
    points = np.argwhere(mask) * spacing
    points -= points.mean(axis=0)
    points /= np.sqrt(len(points))
    # By the general product, as pyradiomics: in a plane across no axis the least variance is its rounding.
    variances = np.linalg.eigvals(np.dot(points.T.copy(), points)).real
    variances[(variances < 0) & (variances > -1e-10)] = 0
    variances.sort()
    return np.asarray(variances, dtype=np.float64)


def _root(value: float) -> float:
    return float(np.sqrt(value)) if value >= 0 else float("nan")


def shape_features(mask: npt.NDArray[Any], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Return the shape features of a region.

    Parameters
    ----------
    mask : array of bool, shape (z, y, x)
    spacing : tuple
        In mm along x, y, z.
    """
    step = np.array(spacing[::-1], dtype=np.float64)
    padded = np.pad(mask, 1).astype(np.uint8)
    mesh = mesh_measures(padded, step)
    least, minor, major = principal_axes(padded, step)
    area, volume = mesh["area"], mesh["volume"]
    with np.errstate(divide="ignore", invalid="ignore"):
        sphericity = np.cbrt(36 * np.pi * volume**2) / np.float64(area)
        return {
            "Elongation": _root(minor / major),
            "Flatness": _root(least / major),
            "LeastAxisLength": 4 * _root(least),
            "MajorAxisLength": 4 * _root(major),
            "Maximum2DDiameterColumn": mesh["column"],
            "Maximum2DDiameterRow": mesh["row"],
            "Maximum2DDiameterSlice": mesh["slice"],
            "Maximum3DDiameter": mesh["whole"],
            "MeshVolume": volume,
            "MinorAxisLength": 4 * _root(minor),
            "Sphericity": float(sphericity),
            "SurfaceArea": area,
            "SurfaceVolumeRatio": float(np.float64(area) / volume),
            "VoxelVolume": float(mask.sum() * step.prod()),
            "Compactness1": float(volume / (np.float64(area) ** 1.5 * np.sqrt(np.pi))),
            "Compactness2": float(36 * np.pi * volume**2 / np.float64(area) ** 3),
            "SphericalDisproportion": float(1 / sphericity),
        }


def shape2d_features(mask: npt.NDArray[Any], spacing: tuple[float, float]) -> dict[str, float]:
    """Return the shape features of a plane region.

    Parameters
    ----------
    mask : array of bool, shape (rows, columns)
    spacing : tuple
        In mm along rows and columns.
    """
    step = np.array(spacing, dtype=np.float64)
    padded = np.pad(mask, 1).astype(np.int64)
    corner = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, 1:] + 8 * padded[1:, :-1]
    cases = np.bincount(corner.ravel(), minlength=16)
    diagonal = float(np.hypot(*step)) / 2
    corners = np.array([0, 1, 1, 0, 1, 2, 0, 1, 1, 0, 2, 1, 0, 1, 1, 0])
    perimeter = (cases * corners).sum() * diagonal
    perimeter += (cases[3] + cases[12]) * step[1] + (cases[6] + cases[9]) * step[0]
    inside = np.array([0, 1, 1, 4, 1, 2, 4, 7, 1, 4, 2, 7, 4, 7, 7, 8]) / 8
    surface = float((cases * inside).sum() * step.prod())
    vertical = np.argwhere(padded[:-1] != padded[1:]) + np.array([0.5, 0.0])
    horizontal = np.argwhere(padded[:, :-1] != padded[:, 1:]) + np.array([0.0, 0.5])
    vertices = np.concatenate([vertical, horizontal]) * step
    diameter = 0.0
    for vertex in vertices:
        diameter = max(diameter, float(((vertices - vertex) ** 2).sum(axis=1).max()))
    minor, major = principal_axes(padded, step)
    with np.errstate(divide="ignore", invalid="ignore"):
        sphericity = float(2 * np.sqrt(np.pi * surface) / np.float64(perimeter))
        return {
            "Elongation": _root(minor / major),
            "MajorAxisLength": 4 * _root(major),
            "MaximumDiameter": float(np.sqrt(diameter)),
            "MeshSurface": surface,
            "MinorAxisLength": 4 * _root(minor),
            "Perimeter": float(perimeter),
            "PerimeterSurfaceRatio": float(perimeter / np.float64(surface)),
            "PixelSurface": float(mask.sum() * step.prod()),
            "Sphericity": sphericity,
            "SphericalDisproportion": float(1 / np.float64(sphericity)),
        }
