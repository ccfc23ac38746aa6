"""The language of regions: what it means, and that it runs nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from imrad.exceptions import ConfigError
from imrad.radiomics.geometry import Grid
from imrad.radiomics.roi import parse_roi, split_parts

GRID = Grid((30, 30, 12), (1.0, 1.0, 2.5), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


def cube(z, y, x, side=3):
    mask = np.zeros(GRID.shape, bool)
    mask[z : z + side, y : y + side, x : x + side] = True
    return mask


LABELS = {"1": cube(2, 4, 4, 6), "2": cube(3, 5, 5), "3": cube(6, 20, 20, 2), "kidney": cube(2, 4, 4, 6)}


def region(text, **definitions):
    return parse_roi(text, definitions).evaluate(lambda name: LABELS[name].copy(), GRID)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1", LABELS["1"]),
        ("2|3", LABELS["2"] | LABELS["3"]),
        ("tumour = 2|3", LABELS["2"] | LABELS["3"]),
        ("1 - 2", LABELS["1"] & ~LABELS["2"]),
        ("1 & 2 | 3", LABELS["2"] | LABELS["3"]),
        ("3 | 1 & 2", LABELS["2"] | LABELS["3"]),
        ("1 - 2 - 1", np.zeros(GRID.shape, bool)),
        ("(1 - 2) | 2", LABELS["1"]),
        ("'kidney' & 2", LABELS["2"]),
        ("a = 1; b = 2; a - b", LABELS["1"] & ~LABELS["2"]),
        ("largest(2|3)", LABELS["2"]),
        ("largest(2|3, 2)", LABELS["2"] | LABELS["3"]),
        ("parts(2|3, 0.05 ml)", LABELS["2"]),
        ("fill(1 - 2)", LABELS["1"]),
    ],
)
def test_meaning(text, want):
    np.testing.assert_array_equal(region(text), want)


def test_definitions_are_shared_and_spelling_is_free():
    np.testing.assert_array_equal(region("Tumor", tumour="2|3"), LABELS["2"] | LABELS["3"])
    np.testing.assert_array_equal(region("whole - tumour", tumour="2", whole="1"), LABELS["1"] & ~LABELS["2"])


def brute(mask, distance):
    steps = [2.5, 1, 1]
    index = np.indices(mask.shape).reshape(3, -1).T * steps
    nearest, _ = cKDTree(np.argwhere(mask) * steps).query(index)
    return (nearest <= distance + 1e-9).reshape(mask.shape)


def test_distances_are_millimetres_between_voxel_centres():
    small = LABELS["3"]
    for mm in (1, 2.5, 5):
        np.testing.assert_array_equal(region(f"grow(3, {mm} mm)"), brute(small, mm))
        np.testing.assert_array_equal(region(f"ring(3, {mm} mm)"), brute(small, mm) & ~small)
    want = LABELS["1"] & ~brute(~LABELS["1"], 2)
    np.testing.assert_array_equal(region("shrink(1, 2 mm)"), want)
    np.testing.assert_array_equal(region("ring(1, 1 mm, 2 mm)"), brute(LABELS["1"], 1) & ~want)


def test_each_stands_outermost():
    found = parse_roi("each(2|3)")
    assert found.each
    parts = split_parts(found.evaluate(lambda name: LABELS[name], GRID))
    assert [int(p.sum()) for p in parts] == [27, 8]
    np.testing.assert_array_equal(parts[1], LABELS["3"])
    with pytest.raises(ConfigError, match="outermost"):
        parse_roi("1 | each(2)")


def test_corners_connect():
    mask = cube(1, 1, 1) | cube(4, 4, 4)
    assert len(split_parts(mask)) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("2 |", "a region was expected where the end"),
        ("2 3", "';' was expected where 3"),
        ("(2", r"'\)' was expected"),
        ("shell(2, 5 mm)", "no function 'shell', only each, fill, grow"),
        ("ring(2)", "ring takes 1 to 2 numbers, not 0"),
        ("ring(2, 5 cm)", r"ring takes millimetres \(mm\), not cm"),
        ("ring(2, mm)", "a number was expected"),
        ("2.5", "label 2.5 is not a whole number"),
        ("a = a | 2", "defined by itself"),
        ("__import__('os')", "no function '__import__'"),
        ("os.system('true')", "'.system\\('t' is not understood"),
        ("2 @ 3", "'@ 3' is not understood"),
        ("(" * 60 + "2" + ")" * 60, "nested more than 40"),
        ("2|" * 600 + "2", "1201 characters"),
    ],
)
def test_what_cannot_be_read_is_named(text, what):
    with pytest.raises(ConfigError, match=what):
        parse_roi(text)
