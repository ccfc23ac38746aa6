"""A final model of a binary outcome read back from plain values, for other patients: it learns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import BundleError, FitError
from imrad.survival.binary_design import Design
from imrad.survival.binary_forest import FittedForest
from imrad.survival.frozen import needed_tables

__all__ = ["FrozenBinary"]


class FrozenBinary:
    """A model over blocks as :attr:`BinaryResult.final` holds it.

    Parameters
    ----------
    plain : mapping
        One value of ``BinaryResult.final``, also after :func:`imrad.content.save` and
        :func:`imrad.content.load`.

    Attributes
    ----------
    name : str
    blocks : list of str
    needed : dict of str to list of str
        Raw columns of each block that reach the probability with a coefficient other than 0.
    threshold : float
        Youden's cut-point of the training patients; NaN where none came with the model.

    Raises
    ------
    BundleError
        If the values are not such a model.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        try:
            self.name = str(plain["name"])
            self.blocks = [str(name) for name in plain["blocks"]]
            self._linear = _Linear(plain)
            self.threshold = float(plain.get("threshold", np.nan))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            message = f"this is not a model of a binary outcome of this version ({error}); export it again"
            raise BundleError(message) from error
        self.needed: dict[str, list[str]] = {name: [] for name in self.blocks}
        for block, column in self._linear.needed():
            if column not in self.needed[block]:
                self.needed[block].append(column)

    def columns(self, block: str) -> list[tuple[str, str]]:
        """Return name and kind (``number``, ``ordered`` or ``classes``) of every raw column of a block."""
        found: dict[str, str] = {}
        for design in self._linear.designs():
            found |= dict(design.raw_columns(block)) if block in design.codings else {}
        return list(found.items())

    def linear_predictor(
        self, tables: Mapping[str, pd.DataFrame], sides: Mapping[str, Any] | None = None
    ) -> FloatArray:
        """Return log odds; single missing values take the training median.

        Parameters
        ----------
        tables : mapping of str to DataFrame
            Patients x columns of each block, rows in the same order. Columns that have no part in
            the probability may be absent.
        sides : mapping, optional
            Side tables of the preparation by name, such as sites, indexed by patient.

        Raises
        ------
        BundleError
            If a column that has a part in the probability is absent.
        """
        given = needed_tables(self.name, self.needed, tables)
        whole = {
            block: table.reindex(columns=[name for name, _ in self.columns(block)]) for block, table in given.items()
        }
        try:
            return self._linear.with_sides(sides or {}).value(whole)
        except FitError as error:
            message = f"the model {self.name} cannot be applied: {error}"
            raise BundleError(message) from error

    def probability(self, tables: Mapping[str, pd.DataFrame], sides: Mapping[str, Any] | None = None) -> FloatArray:
        """Return predicted probabilities of outcome 1; parameters as for :meth:`linear_predictor`."""
        return np.asarray(special.expit(self.linear_predictor(tables, sides)))


class _Linear:
    """Coded columns, and perhaps a score, times coefficients."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.design = Design.from_plain(plain)
        self.coef = np.asarray(plain["coef"], dtype=float)
        self.intercept = float(plain["intercept"])
        score = plain["score"]
        self.score: _Linear | FittedForest | None = None
        if score:
            self.score = FittedForest.from_plain(score) if score["kind"] == "forest" else _Linear(score)

    def value(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        matrix = self.design.apply(tables)
        if self.score is not None:
            matrix = np.column_stack([matrix, self.score.value(tables)])
        return np.asarray(self.intercept + matrix @ self.coef)

    def with_sides(self, sides: Mapping[str, Any]) -> _Linear:
        out = copy(self)
        out.design = self.design.with_sides(sides)
        if isinstance(self.score, FittedForest):
            out.score = replace(self.score, design=self.score.design.with_sides(sides))
        elif self.score is not None:
            out.score = self.score.with_sides(sides)
        return out

    def designs(self) -> list[Design]:
        if isinstance(self.score, FittedForest):
            return [self.design, self.score.design]
        return [self.design, *(self.score.designs() if self.score is not None else [])]

    def needed(self) -> list[tuple[str, str]]:
        """Return block and raw column of everything with a coefficient."""
        pairs = [
            (block, column)
            for (block, columns), weight in zip(self.design.behind(), self.coef, strict=False)
            if weight != 0
            for column in columns
        ]
        if self.score is None or self.coef[-1] == 0:
            return pairs
        if isinstance(self.score, FittedForest):
            design = self.score.design
            return pairs + [(name, column) for name in design.codings for column, _ in design.raw_columns(name)]
        return pairs + self.score.needed()
