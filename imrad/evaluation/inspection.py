"""What no record of rows can see: a part that carries the cohort's rows, or was fitted before the split."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from imrad.exceptions import LeakError

__all__ = ["inspect_parts"]

_LIBRARIES = ("builtins", "imrad", "numpy", "pandas", "scipy", "sklearn")


def inspect_parts(own: Mapping[str, Any], X: np.ndarray[Any, Any], Y: pd.DataFrame) -> None:
    """Search what the user's parts carry, close over or call by name for cohort rows and fitted models.

    Raises
    ------
    LeakError
        Naming the step and where it was found.
    """
    for part, what in own.items():
        # What a clone forgets cannot leak.
        for place, found in _reachable(clone(what) if isinstance(what, BaseEstimator) else what, "", set(), 0):
            if isinstance(found, BaseEstimator):
                message = (
                    f"leak: {part} holds a {type(found).__name__} that was fitted before the split"
                    f"{' (' + place.lstrip('.') + ')' if place else ''}; give it unfitted"
                )
                raise LeakError(message)
            if _is_cohort(found, X, Y):
                message = (
                    f"leak: {part} holds the cohort's rows itself ({place.lstrip('.') or 'the object'}), the held-out "
                    "patients among them; learn everything in fit() from the rows it is given"
                )
                raise LeakError(message)


def _reachable(what: Any, place: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if id(what) in seen or depth > 6:
        return
    seen.add(id(what))
    if isinstance(what, np.ndarray | pd.DataFrame | pd.Series):
        yield place, what
        return
    if isinstance(what, BaseEstimator) and any(name.endswith("_") and name[0] != "_" for name in vars(what)):
        yield place, what
    for name, item in _parts_of(what):
        yield from _reachable(item, f"{place}{name}", seen, depth + 1)


def _parts_of(what: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object is made of, with how one gets there."""
    if isinstance(what, list | tuple | set | frozenset):
        yield from ((f"[{number}]", item) for number, item in enumerate(list(what)[:1000]))
    elif isinstance(what, Mapping):
        yield from ((f"[{name!r}]", item) for name, item in list(what.items())[:1000])
    elif isinstance(what, types.FunctionType | types.MethodType):
        yield from _parts_of_function(what)
    elif isinstance(what, type):
        if what.__module__.split(".")[0] not in _LIBRARIES:
            yield from ((f".{name}", getattr(item, "__func__", item)) for name, item in vars(what).items())
    elif hasattr(what, "__dict__") and not isinstance(what, types.ModuleType):
        yield from ((f".{name}", item) for name, item in vars(what).items())
        yield from (("", kind) for kind in type(what).__mro__)


def _parts_of_function(what: types.FunctionType | types.MethodType) -> Iterator[tuple[str, Any]]:
    function: Any = what.__func__ if isinstance(what, types.MethodType) else what
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f" closes over {name}", cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    names, inside = set(function.__code__.co_names), list(function.__code__.co_consts)
    while inside:
        # Functions within the function read the same globals.
        item = inside.pop()
        if isinstance(item, types.CodeType):
            names |= set(item.co_names)
            inside += item.co_consts
    for name in sorted(names):
        if name in function.__globals__:
            yield f" reads {name}", function.__globals__[name]
    for item in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield " has a default", item


def _is_cohort(found: Any, X: np.ndarray[Any, Any], Y: pd.DataFrame) -> bool:
    """Say whether an array holds the cohort's features or a target, row by row."""
    try:
        values = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        return False
    if values.ndim not in (1, 2) or len(values) != len(X) or len(X) == 0:
        return False
    columns = values.reshape(len(values), -1)
    if columns.shape[1] == 0:
        return False
    targets = Y.to_numpy(dtype=float, na_value=np.nan)
    probe = columns[:, : min(5, columns.shape[1])]
    for column in probe.T:
        # A constant, or two classes, may agree by chance.
        if len(np.unique(column[~np.isnan(column)])) < 3:
            continue
        for known in (X, targets):
            same = (known == column[:, None]) | (np.isnan(known) & np.isnan(column)[:, None])
            if same.all(axis=0).any() or (np.sort(known, axis=0) == np.sort(column)[:, None]).all(axis=0).any():
                return True
    return False
