"""Reference cases, and the walk over one: every key that R printed must be given, and equal, or be left out by name."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

DATA = Path(__file__).parent / "data"


def load(path: str) -> dict[str, Any]:
    """Return the cases of a file of the folder data, by name."""
    return json.loads(gzip.decompress((DATA / f"{path}.json.gz").read_bytes()))


def pytest_generate_tests(metafunc):
    """Run a test marked ``survival_cases`` on each case of the files named, and of data/survival/other_keys."""
    for mark in metafunc.definition.iter_markers("survival_cases"):
        other, only = load("survival/other_keys"), mark.kwargs.get("only")
        found = {name: case for path in mark.args for name, case in load(path).items()}
        for path in mark.args:
            found |= {f"other:{name}": case for name, case in other.get(path.split("/")[-1], {}).items()}
        found = {name: case for name, case in found.items() if only is None or only(name)}
        metafunc.parametrize(("name", "case"), found.items(), ids=list(found))


@pytest.fixture(scope="session")
def outcome():
    """Return the function that gives a case's times and events."""

    def of(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        table = pd.DataFrame(case["input"])
        return table["time"].to_numpy(float), (table["status"] == table["status"].max()).to_numpy()

    return of


@dataclass(frozen=True)
class Near:
    """A figure with a tolerance of its own."""

    value: Any
    rtol: float = 0.0
    atol: float = 0.0


def _numbers(values: Any) -> np.ndarray:
    """R's NA, NaN and Inf are null in the files."""
    items = np.ravel(np.array(values, dtype=object))
    return np.array([np.nan if item is None else item for item in items], dtype=float)


def _compare(path: str, found: Any, expected: Any, rtol: float, atol: float, left_out: set[str], faults: list[str]):
    if path in left_out:
        return
    if isinstance(found, Near):
        found, rtol, atol = found.value, found.rtol, found.atol
    if isinstance(expected, dict) and not isinstance(found, dict) and "data" in expected:
        expected = expected["data"]
    if isinstance(expected, dict):
        for name, part in expected.items():
            below = f"{path}.{name}" if path else name
            if isinstance(found, dict) and name in found:
                _compare(below, found[name], part, rtol, atol, left_out, faults)
            elif below not in left_out:
                faults.append(f"{below}: nothing gives it")
        return
    items = np.ravel(np.array(expected, dtype=object))
    if any(isinstance(item, str) for item in items):
        if [str(item) for item in np.ravel(np.array(found, dtype=object))] != [str(item) for item in items]:
            faults.append(f"{path}: {found} instead of {expected}")
        return
    ours, theirs = np.ravel(np.asarray(found, dtype=float)), _numbers(expected)
    # An infinite value is null in the files, so that null asks for anything but a finite number.
    if ours.shape != theirs.shape or not np.allclose(
        np.where(np.isfinite(ours), ours, np.nan), theirs, rtol=rtol, atol=atol, equal_nan=True
    ):
        faults.append(f"{path}: {ours[:6]} instead of {theirs[:6]}")


@pytest.fixture
def agree():
    """Return a function that compares what imrad gives with all that a case holds."""

    def check(found: dict[str, Any], expected: dict[str, Any], *, rtol=1e-8, atol=0.0, left_out=()) -> None:
        faults: list[str] = []
        _compare("", found, expected, rtol, atol, set(left_out), faults)
        assert not faults, "\n".join(faults)

    return check


@pytest.fixture
def near():
    """Return the figure with a tolerance of its own."""
    return Near
