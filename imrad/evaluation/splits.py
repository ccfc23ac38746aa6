"""One split table per cohort: outer and inner folds, drawn once, serving every target and endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from imrad.exceptions import CohortError, SchemaError
from imrad.seeds import generator

__all__ = ["Fold", "SplitTable", "draw_splits"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Fold:
    """Rows of one fit and of what it is judged on.

    Attributes
    ----------
    name : str
        ``r0/o2`` for an outer fold, ``r0/o2/i1`` for an inner fold of its training part.
    train, test : ndarray of int
        Row numbers into the cohort's patients; never overlapping.
    """

    name: str
    train: IntArray
    test: IntArray


@dataclass(frozen=True)
class SplitTable:
    """Outer and inner fold of every patient.

    Attributes
    ----------
    table : DataFrame
        Columns patient, repeat, outer, inner_0 .. inner_{k-1}; ``inner_i`` is the patient's inner
        fold within the training part of outer fold i, and empty where ``outer == i``.
    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        """Refuse a table that does not partition the patients.

        Raises
        ------
        SchemaError
            If a column is missing, a patient is missing from a repeat, or an inner fold is empty.
        """
        needed = {"patient", "repeat", "outer"}
        if not needed <= set(self.table.columns):
            message = f"splits need the columns patient, repeat, outer, inner_0 ...; found {list(self.table.columns)}"
            raise SchemaError(message)
        patients = self.patients
        for repeat, part in self.table.groupby("repeat", sort=True):
            if sorted(part["patient"]) != sorted(patients) or part["patient"].duplicated().any():
                message = f"splits: repeat {repeat} does not name every patient exactly once"
                raise SchemaError(message)
            for outer in sorted(part["outer"].unique()):
                column = f"inner_{outer}"
                if column not in part:
                    message = f"splits: outer fold {outer} has no column {column}"
                    raise SchemaError(message)
                inside = part["outer"] == outer
                if part.loc[inside, column].notna().any() or part.loc[~inside, column].isna().any():
                    message = f"splits: {column} must be empty exactly where outer is {outer} (repeat {repeat})"
                    raise SchemaError(message)

    @property
    def patients(self) -> list[str]:
        """Patients in cohort order: that of the first repeat."""
        first = self.table["repeat"].iloc[0]
        return [str(name) for name in self.table.loc[self.table["repeat"] == first, "patient"]]

    @property
    def repeats(self) -> list[int]:
        """Numbers of the repeats."""
        return sorted(int(number) for number in self.table["repeat"].unique())

    def outer(self, repeat: int = 0) -> Iterator[Fold]:
        """Yield the outer folds of a repeat."""
        outer = self._column("outer", repeat)
        rows = np.arange(len(outer))
        for fold in np.unique(outer):
            yield Fold(f"r{repeat}/o{int(fold)}", rows[outer != fold], rows[outer == fold])

    def inner(self, fold: Fold) -> Iterator[Fold]:
        """Yield the inner folds of an outer fold's training part."""
        repeat, outer = (int(part[1:]) for part in fold.name.split("/")[:2])
        inner = self._column(f"inner_{outer}", repeat)
        rows = np.arange(len(inner))
        for number in np.unique(inner[~np.isnan(inner)]):
            kept = ~np.isnan(inner) & (inner != number)
            yield Fold(f"{fold.name}/i{int(number)}", rows[kept], rows[inner == number])

    def held_out(self, name: str) -> set[str]:
        """Return the patients that a fit in the fold `name` must not see.

        ``all`` names a fit on the whole cohort, from which nobody is held out.
        """
        if name == "all":
            return set()
        parts = [int(part[1:]) for part in name.split("/")]
        patients = np.asarray(self.patients, dtype=object)
        outer = self._column("outer", parts[0])
        held = outer == parts[1]
        if len(parts) > 2:
            held = held | (self._column(f"inner_{parts[1]}", parts[0]) == parts[2])
        return {str(name) for name in patients[held]}

    def _column(self, column: str, repeat: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        return self._columns[repeat, column]

    @cached_property
    def _columns(self) -> dict[tuple[int, str], np.ndarray[Any, np.dtype[np.float64]]]:
        """Every column of every repeat, in the order of the patients; each fold of each target asks for them."""
        out = {}
        names = [name for name in self.table.columns if name not in ("patient", "repeat")]
        for repeat in self.repeats:
            part = self.table[self.table["repeat"] == repeat].set_index("patient").loc[self.patients]
            for name in names:
                out[repeat, name] = part[name].to_numpy(dtype=float)
                out[repeat, name].flags.writeable = False
        return out


def draw_splits(
    patients: Sequence[str],
    stratify: Sequence[Any],
    *,
    seed: int,
    n_outer: int = 5,
    n_inner: int = 5,
    n_repeats: int = 1,
    groups: Sequence[Any] | None = None,
) -> SplitTable:
    """Draw outer folds and, within each one's training part, inner folds.

    Parameters
    ----------
    patients : sequence of str
        The cohort's patients, in order.
    stratify : sequence
        Class of each patient, usually the event of the first endpoint; balanced over the folds.
    seed : int
        The config's seed; the draw of each repeat and fold has its own child seed.
    n_outer, n_inner, n_repeats : int
        Folds and repeats.
    groups : sequence, optional
        Rows that must stay together, such as a patient's several lesions.

    Raises
    ------
    CohortError
        If there are fewer patients (or groups) than folds.
    """
    names = [str(name) for name in patients]
    strata = pd.factorize(np.array(["missing" if pd.isna(item) else str(item) for item in stratify]), sort=True)[0]
    group = np.arange(len(names)) if groups is None else pd.factorize(pd.Series(list(groups)).astype(str))[0]
    n_units, needed = len(np.unique(group)), max(n_outer, n_inner + 1)
    if n_units < needed:
        message = f"{n_units} patients cannot be split into {n_outer} outer folds; at least {needed} are needed"
        raise CohortError(message)
    tables = []
    for repeat in range(n_repeats):
        outer = _balanced(strata, group, n_outer, seed, "splits", repeat, "outer")
        table = pd.DataFrame({"patient": names, "repeat": repeat, "outer": outer})
        for fold in range(n_outer):
            train = outer != fold
            inner = np.full(len(names), np.nan)
            inner[train] = _balanced(strata[train], group[train], n_inner, seed, "splits", repeat, "inner", fold)
            table[f"inner_{fold}"] = pd.array(inner, dtype="Int64")
        tables.append(table)
    return SplitTable(pd.concat(tables, ignore_index=True))


def _balanced(strata: IntArray, group: IntArray, n_folds: int, seed: int, *names: object) -> IntArray:
    rng = generator(seed, *names)
    folds = np.full(len(strata), -1)
    units, first = np.unique(group, return_index=True)
    # Dealing the shuffled units of one stratum after another keeps both class counts and fold
    # sizes within one of each other.
    order = rng.permutation(len(units))
    order = order[np.argsort(strata[first[order]], kind="stable")]
    start = int(rng.integers(n_folds))
    for position, unit in enumerate(order):
        folds[group == units[unit]] = (start + position) % n_folds
    return folds
