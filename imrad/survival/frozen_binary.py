"""A final model of a binary outcome read back from plain values, for other patients: it learns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import BundleError
from imrad.survival.binary_design import Design
from imrad.survival.binary_forest import FittedForest
from imrad.survival.design import BlockCoding

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
        for coding in self._linear.codings(block):
            found |= {column.name: column.kind for column in coding.columns}
        return list(found.items())

    def linear_predictor(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        """Return log odds; single missing values take the training median.

        Parameters
        ----------
        tables : mapping of str to DataFrame
            Patients x columns of each block, rows in the same order. Columns that have no part in
            the probability may be absent.

        Raises
        ------
        BundleError
            If a column that has a part in the probability is absent.
        """
        absent = [
            name
            for block in self.blocks
            for name in self.needed[block]
            if name not in tables.get(block, pd.DataFrame())
        ]
        if absent:
            message = f"the model {self.name} needs columns that are missing: {', '.join(absent[:5])}"
            raise BundleError(message)
        n_patients = max(len(table) for table in tables.values())
        whole = {}
        for block in self.blocks:
            table = tables[block] if block in tables else pd.DataFrame(index=range(n_patients))
            whole[block] = table.reindex(columns=[name for name, _ in self.columns(block)])
        return self._linear.value(whole)

    def probability(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        """Return predicted probabilities of outcome 1; parameters as for :meth:`linear_predictor`."""
        return np.asarray(special.expit(self.linear_predictor(tables)))


class _Linear:
    """Coded columns, and perhaps a score, times coefficients."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        codings = {str(name): BlockCoding.from_plain(part) for name, part in plain["coding"].items()}
        kept = {name: np.asarray(plain["columns"][name], dtype=np.intp) for name in codings}
        names = [codings[name].names[j] for name in codings for j in kept[name]]
        block = [name for name in codings for _ in kept[name]]
        cuts = np.asarray(plain["cuts"], dtype=float)
        self.design = Design(codings, kept, names, block, np.zeros(len(names), dtype=bool), cuts)
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

    def codings(self, block: str) -> list[BlockCoding]:
        found = [self.design.codings[block]] if block in self.design.codings else []
        if isinstance(self.score, FittedForest):
            found += [self.score.codings[block]] if block in self.score.codings else []
        elif self.score is not None:
            found += self.score.codings(block)
        return found

    def needed(self) -> list[tuple[str, str]]:
        """Return block and raw column of everything with a coefficient."""
        raw = {
            name: [
                column.name
                for column in coding.columns
                for _ in range(len(column.levels) if column.kind == "classes" else 1)
            ]
            for name, coding in self.design.codings.items()
        }
        columns = [(name, raw[name][j]) for name, kept in self.design.kept.items() for j in kept]
        found = [pair for pair, weight in zip(columns, self.coef, strict=False) if weight != 0]
        if self.score is None or self.coef[-1] == 0:
            return found
        if isinstance(self.score, FittedForest):
            return found + [(name, item) for name, part in self.score.codings.items() for item in _raw_columns(part)]
        return found + self.score.needed()


def _raw_columns(coding: BlockCoding) -> list[str]:
    return [column.name for column in coding.columns]
