"""A final survival model read back from plain values, to be applied to other patients: it learns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.preparation import FittedPreparation
from imrad.exceptions import BundleError, FitError
from imrad.survival.baseline import survival_at
from imrad.survival.design import BlockCoding
from imrad.survival.trees import TreeSum

__all__ = ["FrozenModel", "needed_tables"]


def needed_tables(
    model: str, needed: Mapping[str, list[str]], tables: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return a table for every block of a frozen model, without columns where it needs none.

    Raises
    ------
    BundleError
        If a needed column is absent.
    """
    absent = [
        name for block, names in needed.items() for name in names if name not in tables.get(block, pd.DataFrame())
    ]
    if absent:
        message = f"the model {model} needs columns that are missing: {', '.join(absent[:5])}"
        raise BundleError(message)
    n_patients = max(len(table) for table in tables.values())
    return {block: tables[block] if block in tables else pd.DataFrame(index=range(n_patients)) for block in needed}


class FrozenModel:
    """A model over blocks as :attr:`FusionResult.final` holds it.

    Parameters
    ----------
    plain : mapping
        One value of ``FusionResult.final``, also after :func:`imrad.content.save` and
        :func:`imrad.content.load`.

    Attributes
    ----------
    name : str
    blocks : list of str
    needed : dict of str to list of str
        Raw columns of each block that reach the risk with a coefficient other than 0.

    Raises
    ------
    BundleError
        If the values are not such a model, or one that cannot be written down as plain arrays.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        try:
            self.name = str(plain["name"])
            self.blocks = [str(name) for name in plain["blocks"]]
            self._codings = {name: BlockCoding.from_plain(plain["coding"][name]) for name in self.blocks}
            self._prepare = {
                name: FittedPreparation.from_plain(part) for name, part in plain.get("prepare", {}).items()
            }
            self._kept = {name: np.asarray(plain["columns"][name], dtype=np.intp) for name in self.blocks}
            self._median = {name: np.asarray(part, dtype=float) for name, part in plain["median"].items()}
            self._coef = np.asarray(plain["coef"], dtype=float)
            self._offset = float(plain["offset"])
            self._event_times = np.asarray(plain["event_times"], dtype=float)
            self._hazard = np.asarray(plain["baseline_hazard"], dtype=float)
            trees = plain.get("trees")
            self._trees = None if trees is None else TreeSum.from_plain(trees)
            self._slope = float(plain.get("slope", 1.0))
            usable = bool(plain["usable"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"this is not a survival model of this version ({error}); export it again"
            raise BundleError(message) from error
        if not usable:
            message = f"the model {self.name} has a part that cannot be written down as numbers, so it cannot travel"
            raise BundleError(message)
        coded = self._needed()
        # What the preparation has no use for may be absent.
        self._prepare = {name: part.narrowed(coded[name]) for name, part in self._prepare.items()}
        self.needed = coded | {name: list(part.inputs) for name, part in self._prepare.items()}

    def _needed(self) -> dict[str, list[str]]:
        found, start = {}, 0
        parts = self._coef
        if self._trees is not None:
            parts = np.isin(np.arange(len(self._coef)), self._trees.used).astype(float)
        for block in self.blocks:
            raw = self._raw_names(block)
            weights = parts[start : start + len(self._kept[block])]
            start += len(weights)
            used = [raw[column] for column, weight in zip(self._kept[block], weights, strict=True) if weight != 0]
            found[block] = list(dict.fromkeys(used))
        return found

    def _raw_names(self, block: str) -> list[str]:
        """Return the raw column behind each coded one."""
        names: list[str] = []
        for column in self._codings[block].columns:
            names += [column.name] * (len(column.levels) if column.kind == "classes" else 1)
        return names

    def columns(self, block: str) -> list[tuple[str, str]]:
        """Return name and kind (``number``, ``ordered`` or ``classes``) of every raw column of a block."""
        if block in self._prepare:
            return [(name, "number") for name in self._prepare[block].inputs]
        return [(column.name, column.kind) for column in self._codings[block].columns]

    def risk(self, tables: Mapping[str, pd.DataFrame], sides: Mapping[str, Any] | None = None) -> FloatArray:
        """Return linear predictors, 0 at the training mean; single missing values take the training median.

        Parameters
        ----------
        tables : mapping of str to DataFrame
            Patients x columns of each block, rows in the same order. Columns that have no part in
            the risk may be absent.
        sides : mapping, optional
            Side tables of the preparation by name, such as sites, indexed by patient.

        Raises
        ------
        BundleError
            If a column that has a part in the risk is absent.
        """
        given = needed_tables(self.name, self.needed, tables)
        parts = []
        for block in self.blocks:
            coding, table = self._codings[block], given[block]
            if block in self._prepare:
                table = self._prepared(block, table, sides)
            whole = table.reindex(columns=[column.name for column in coding.columns])
            part = coding.apply(whole)[:, self._kept[block]]
            parts.append((part > self._median[block]).astype(float) if block in self._median else part)
        X = np.column_stack(parts)
        if self._trees is not None:
            return self._slope * self._trees.predict(X) - self._offset
        return np.asarray(X @ self._coef - self._offset)

    def _prepared(self, block: str, table: pd.DataFrame, sides: Mapping[str, Any] | None) -> pd.DataFrame:
        try:
            return self._prepare[block].transform(table, sides)
        except FitError as error:
            message = f"the model {self.name} cannot be applied: {error}"
            raise BundleError(message) from error

    def survival(self, risk: FloatArray, times: Any) -> FloatArray:
        """Return survival probabilities of risks, shape (n_patients, n_times)."""
        return survival_at(self._event_times, self._hazard, risk, times)

    def expected(self, risk: FloatArray, time: FloatArray) -> FloatArray:
        """Return each patient's cumulative hazard over its own follow-up: the events expected of it."""
        at = np.concatenate(([0.0], self._hazard))[np.searchsorted(self._event_times, time, side="right")]
        return np.asarray(at * np.exp(np.minimum(risk, 700.0)))

    def shift(self, risk: FloatArray, time: FloatArray, event: BoolArray) -> float:
        """Return what must be added to risks for expected to equal observed events: calibration in the large.

        References
        ----------
        Crowson, Atkinson and Therneau, 2016, doi:10.1177/0962280213497434.
        """
        expected = float(self.expected(risk, time).sum())
        observed = int(np.asarray(event, dtype=bool).sum())
        if observed == 0 or expected <= 0:
            message = (
                f"the model {self.name} cannot be recalibrated on {observed} events with {expected:g} expected; "
                "at least one event is needed"
            )
            raise BundleError(message)
        return float(np.log(observed / expected))
