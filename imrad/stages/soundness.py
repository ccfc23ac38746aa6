"""Soundness: a file from elsewhere is looked over before anything in it is used."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from imrad.exceptions import BundleError

__all__ = ["check_archive", "check_models"]

MOST_BYTES = 2_000_000_000
"""Most bytes that a file may unfold to."""

MOST_MEMBERS = 200_000
_MEMBER = re.compile(r"tree\.json|\d+\.npy")

MAY_BE_MISSING = {"penalty", "threshold", "quantiles", "mean", "sd", "missing", "bins", "cut", "cuts", "criterion"}
"""Values that no prediction multiplies by: they may be NaN or infinite."""

SECTIONS = {
    **{"name": str, "training": Mapping, "features": Mapping, "levels": Mapping, "phenotypes": Mapping},
    **{"endpoints": Mapping, "responses": Mapping, "extraction": Mapping, "sheet": Mapping, "clinical": Mapping},
    "joint": Mapping,
}


def check_archive(path: str | Path) -> None:
    """Refuse a file with members that imrad does not write, or that unfolds to more than is reasonable.

    Raises
    ------
    BundleError
        In one sentence; nothing was unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        message = f"{path} is no exported model, or is cut short ({error}); ask for the file again"
        raise BundleError(message) from error
    names = [member.filename for member in members]
    odd = next((name for name in names if not _MEMBER.fullmatch(name)), None)
    if odd is not None or len(set(names)) != len(names):
        what = f"a member {odd!r}" if odd is not None else "a member twice"
        message = f"{path} holds {what}, which no export writes; do not use it"
        raise BundleError(message)
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES or len(members) > MOST_MEMBERS:
        message = (
            f"{path} would unfold to {total / 1e6:.0f} MB in {len(members)} members, more than an exported model has; "
            "do not use it"
        )
        raise BundleError(message)


def check_models(path: str | Path, value: Mapping[str, Any]) -> None:
    """Refuse a bundle whose parts are missing, of the wrong shape, or hold values that are not finite.

    Raises
    ------
    BundleError
        Naming the first part that is wrong.
    """
    for name, kind in SECTIONS.items():
        if not isinstance(value.get(name), kind):
            message = f"{path} lacks its part '{name}', or it is not what it should be; ask for the file again"
            raise BundleError(message)
    try:
        for where, reason in _problems(value):
            message = f"{path}: {where} {reason}; ask for the file again"
            raise BundleError(message)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        message = (
            f"{path} does not have the parts of an exported model ({type(error).__name__}: {error}); export it again"
        )
        raise BundleError(message) from error


def _problems(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _reference(value["features"])
    if value["joint"]:
        yield from _joint(value["joint"])
    for target, bundle in value["phenotypes"].items():
        if bundle.get("model") is not None:
            yield from _phenotype(f"phenotype {target}", bundle)
    for kind in ("endpoints", "responses"):
        for endpoint, part in value[kind].items():
            for name, plain in part["models"].items():
                where = f"{endpoint} {name}"
                yield from _finite(where, plain)
                yield from _trees(where, plain)
                if kind == "endpoints" and plain.get("usable"):
                    yield from _survival(where, plain)


def _finite(where: str, value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Name every number that is not finite, but those that no prediction uses."""
    if name in MAY_BE_MISSING or name == "ledger":
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _finite(where, item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _finite(where, item, name)
    elif (isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all()) or (
        isinstance(value, float) and not np.isfinite(value)
    ):
        yield where, f"holds values of {name} that are not finite"


def _trees(where: str, value: Any) -> Iterator[tuple[str, str]]:
    """Name every tree that could not be walked from its root to a leaf."""
    if isinstance(value, Mapping):
        if {"left", "right", "feature", "threshold"} <= set(value):
            yield from _tree(where, value)
        for item in value.values():
            yield from _trees(where, item)
    elif isinstance(value, list):
        for item in value:
            yield from _trees(where, item)


def _tree(where: str, tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    left, right, feature = (np.asarray(tree[name]) for name in ("left", "right", "feature"))
    n = len(left)
    nodes = ("left", "right", "feature", "threshold", "leaf", "value", "weight")
    alike = all(np.shape(tree[name])[:1] == (n,) for name in nodes if name in tree)
    whole = all(part.dtype.kind in "iu" for part in (left, right, feature))
    # Several trees may stand one after another, children counted from the start of their own.
    start = np.asarray(tree.get("start", [0]))
    ordered = start.ndim == 1 and start.dtype.kind in "iu" and len(start) and start[0] == 0 and start[-1] < n
    if not n or not alike or not whole or not ordered or (np.diff(start) <= 0).any():
        yield where, "holds a tree that does not end"
        return
    own = np.searchsorted(start, np.arange(n), side="right") - 1
    first, size = start[own], np.diff([*start, n])[own]
    inner = np.flatnonzero(left >= 0)
    # Children lie behind their parent, so that every walk ends.
    ends = all(((part[inner] > (inner - first[inner])) & (part[inner] < size[inner])).all() for part in (left, right))
    if not ends or (feature[inner] < 0).any():
        yield where, "holds a tree that does not end"


def _reference(features: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    n = len(features["names"])
    quantiles = np.asarray(features["quantiles"])
    if quantiles.shape != (len(features["levels"]), n) or any(
        np.shape(features[name]) != (n,) for name in ("mean", "sd", "missing")
    ):
        yield "the reference distribution", f"is not of its {n} features"
    if not np.isfinite(float(features["limit"])):
        yield "the reference distribution", "has no limit"


def _joint(joint: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    n, kept = len(joint["names"]), len(np.asarray(joint["variance"]))
    shapes = {"mean": (n,), "sd": (n,), "directions": (kept, n), "variance": (kept,)}
    wrong = next((name for name, shape in shapes.items() if np.shape(joint[name]) != shape), None)
    if wrong is not None:
        yield "the joint distribution", f"has {wrong} of the shape {np.shape(joint[wrong])}, not {shapes[wrong]}"
    sizes = [np.asarray(joint[name], dtype=float) for name in (*shapes, "rest", "limit")]
    if not all(np.isfinite(part).all() for part in sizes) or (np.asarray(joint["variance"]) <= 0).any():
        yield "the joint distribution", "holds values that are not finite or not positive"


def _phenotype(where: str, bundle: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model = bundle["model"]
    n = len(bundle.get("columns", bundle["features"]))
    for name in ("medians", "means", "scales"):
        if np.shape(bundle[name]) != (n,):
            yield where, f"has {name} of the shape {np.shape(bundle[name])} for {n} features"
    yield from _finite(where, {name: bundle[name] for name in ("medians", "means", "scales", "model", "reference")})
    yield from _trees(where, model)
    kind = str(model["kind"])
    if kind == "logistic_regression":
        fits = np.shape(model["coef"]) == (n,)
    elif kind == "naive_bayes":
        ratio = np.shape(model["log_ratio"])
        fits = len(ratio) == 3 and ratio[0] == n == len(bundle["bins"]) and np.shape(model["log_prior"]) == (2,)
    elif kind == "neural_network":
        fits = _chained(n, model["weights"], model["biases"])
    elif kind in ("random_forest", "gradient_boosting"):
        fits = _within(n, model["trees"])
    else:
        yield where, f"is of an unknown kind, {kind!r}"
        return
    if not fits:
        yield where, f"has weights of the wrong shape for {n} features"


def _chained(n: int, weights: list[Any], biases: list[Any]) -> bool:
    for weight, bias in zip(weights, biases, strict=True):
        if np.ndim(weight) != 2 or np.shape(weight)[0] != n or np.shape(bias) != (np.shape(weight)[1],):
            return False
        n = np.shape(weight)[1]
    return bool(weights) and n == 1


def _within(n: int, trees: list[Any]) -> bool:
    return bool(trees) and all(int(np.max(tree["feature"], initial=-1)) < n for tree in trees)


def _survival(where: str, plain: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    n = sum(len(part) for part in plain["columns"].values())
    times, hazard = (np.asarray(plain[name], dtype=float) for name in ("event_times", "baseline_hazard"))
    if "coef" in plain and np.shape(plain["coef"]) != (n,):
        yield where, f"has {np.size(plain['coef'])} coefficients for {n} columns"
    trees = plain.get("trees")
    if trees is not None and int(np.max(np.asarray(trees["feature"]), initial=-1)) >= n:
        yield where, f"has trees that split on more than its {n} columns"
    if times.shape != hazard.shape or times.ndim != 1:
        yield where, f"has {hazard.size} baseline hazards for {times.size} event times"
    elif (np.diff(times) <= 0).any() or (np.diff(hazard) < 0).any() or (hazard < 0).any():
        yield where, "has a baseline hazard that falls, or times out of order"
