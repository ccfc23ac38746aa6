"""From blocks to the columns of a model of a binary outcome: coding, screening and cut-points of the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.preparation import FittedPreparation
from imrad.evaluation.roc import youden
from imrad.survival.design import BlockCoding
from imrad.survival.rank_kernel import order_codes, rank_sum_p

if TYPE_CHECKING:
    from imrad.survival.binary_models import BinaryModel

__all__ = ["Design", "Rows"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Rows:
    """Some patients' rows of every block, with the ranks of wide blocks worked out once for all subsets.

    Attributes
    ----------
    tables : mapping of str to DataFrame
    codes : mapping of str to ndarray, shape (n_columns, n_rows)
        Of blocks of numbers that a model screens.
    """

    tables: Mapping[str, pd.DataFrame]
    codes: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Mapping[str, pd.DataFrame], model: BinaryModel) -> Rows:
        """Rank the columns of the blocks that the model screens."""
        screened = [
            name
            for name in model.blocks
            if name in model.screening and name not in model.prepare and _numeric(tables[name])
        ]
        return cls(tables, {name: order_codes(_finite(tables[name])) for name in screened})

    def take(self, rows: IntArray) -> Rows:
        """Return some rows, also repeated ones."""
        return Rows(
            {name: table.iloc[rows] for name, table in self.tables.items()},
            {name: code[:, rows] for name, code in self.codes.items()},
        )


def _numeric(table: pd.DataFrame) -> bool:
    return table.shape[1] > 0 and all(pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes))


def _finite(table: pd.DataFrame) -> FloatArray:
    x = table.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(x), x, np.nan)


@dataclass(frozen=True)
class Design:
    """How blocks become columns.

    Attributes
    ----------
    codings : dict of str to BlockCoding
        Of the columns that are left of each block.
    kept : dict of str to ndarray of int
        Coded columns that are used.
    names, block : list of str
        Of every used column.
    free : ndarray of bool
        Columns without penalty.
    cuts : ndarray
        Cut-point of each column, above which it is 1 and else 0; NaN where it is not cut.
    prepared : dict of str to FittedPreparation
        Steps before the coding of a block.
    sides : dict of str to mapping
        Side tables of those steps; they stay here.
    funnel : dict of str to list of dict
        Columns that went into and came out of each step, of blocks that are prepared or screened.
    """

    codings: dict[str, BlockCoding]
    kept: dict[str, IntArray]
    names: list[str]
    block: list[str]
    free: BoolArray
    cuts: FloatArray
    prepared: dict[str, FittedPreparation] = field(default_factory=dict)
    sides: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    funnel: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def learn(cls, model: BinaryModel, rows: Rows, y: BoolArray, blocks: tuple[str, ...] | None = None) -> Design:
        """Learn coding, cut-points and screening from training rows."""
        codings: dict[str, BlockCoding] = {}
        kept: dict[str, IntArray] = {}
        names: list[str] = []
        block: list[str] = []
        cuts: list[float] = []
        prepared: dict[str, FittedPreparation] = {}
        funnel: dict[str, list[dict[str, Any]]] = {}
        for name in model.blocks if blocks is None else blocks:
            table, rule, codes = rows.tables[name], model.screening.get(name), rows.codes.get(name)
            steps = [{"step": "extracted", "n_in": table.shape[1], "n_out": table.shape[1]}]
            if name in model.prepare:
                found = model.prepare[name].fit(table, y)
                table = found.transform(table, model.prepare[name].sides)
                prepared[name], steps, codes = found, found.funnel(), None
            if rule is not None and _numeric(table) and name not in model.unpenalised:
                # Only what passes is coded: medians of a thousand columns are not free.
                passed = _passed(rank_sum_p(order_codes(_finite(table)) if codes is None else codes, y), rule)
                steps.append({"step": "rank sum", "n_in": table.shape[1], "n_out": len(passed)})
                table, rule = table.iloc[:, passed], None
            coding = BlockCoding.learn(table)
            matrix = coding.apply(table)
            at = [_cut(y, matrix[:, j]) if item in model.cuts else np.nan for j, item in enumerate(coding.names)]
            columns = np.arange(len(coding.names))
            if rule is not None:
                columns = _passed(rank_sum_p(order_codes(_cut_columns(matrix, np.array(at))), y), rule)
                steps.append({"step": "rank sum", "n_in": len(coding.names), "n_out": len(columns)})
            codings[name], kept[name], funnel[name] = coding, columns, steps
            if name in prepared:
                prepared[name] = prepared[name].narrowed([column.name for column in coding.columns])
            names += [coding.names[j] for j in columns]
            block += [name] * len(columns)
            cuts += [at[j] for j in columns]
        free = np.array([name in model.unpenalised for name in block], dtype=bool)
        sides: dict[str, Mapping[str, Any]] = {name: model.prepare[name].sides for name in prepared}
        return cls(codings, kept, names, block, free, np.array(cuts, dtype=float), prepared, sides, funnel)

    def apply(self, tables: Mapping[str, pd.DataFrame]) -> FloatArray:
        """Return the coded matrix of patients, shape (n_patients, n_columns)."""
        parts = []
        for name, coding in self.codings.items():
            table, wanted = tables[name], [column.name for column in coding.columns]
            if name in self.prepared:
                table = self.prepared[name].transform(table, self.sides.get(name))
            # Thirty of a thousand columns are taken before anything looks at all of them.
            part = coding.apply(table[wanted] if table.shape[1] > len(wanted) else table)
            parts.append(part[:, self.kept[name]])
        n = len(next(iter(tables.values())))
        # Sums, and so the last bits, depend on the order in memory: it is always the same.
        return _cut_columns(np.ascontiguousarray(np.column_stack(parts)) if parts else np.zeros((n, 0)), self.cuts)

    def only(self, columns: BoolArray) -> Design:
        """Return the design of some of its columns."""
        kept, start = {}, 0
        for name, now in self.kept.items():
            kept[name] = now[columns[start : start + len(now)]]
            start += len(now)
        at = np.flatnonzero(columns)
        return Design(
            self.codings,
            kept,
            [self.names[j] for j in at],
            [self.block[j] for j in at],
            self.free[at],
            self.cuts[at],
            self.prepared,
            self.sides,
            self.funnel,
        )

    def to_plain(self) -> dict[str, Any]:
        """Return steps, coding, used columns and cut-points as plain values."""
        return {
            "prepare": {name: part.to_plain() for name, part in self.prepared.items()},
            "coding": {name: coding.to_plain() for name, coding in self.codings.items()},
            "columns": {name: [int(j) for j in kept] for name, kept in self.kept.items()},
            "cuts": self.cuts,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a design from :meth:`to_plain`; side tables come with the patients it is applied to."""
        codings = {str(name): BlockCoding.from_plain(part) for name, part in plain["coding"].items()}
        kept = {name: np.asarray(plain["columns"][name], dtype=np.intp) for name in codings}
        names = [codings[name].names[j] for name in codings for j in kept[name]]
        block = [name for name in codings for _ in kept[name]]
        prepared = {str(name): FittedPreparation.from_plain(part) for name, part in plain["prepare"].items()}
        cuts = np.asarray(plain["cuts"], dtype=float)
        return cls(codings, kept, names, block, np.zeros(len(names), dtype=bool), cuts, prepared)

    def with_sides(self, sides: Mapping[str, Any]) -> Design:
        """Return the design with the side tables of other patients."""
        return replace(self, sides=dict.fromkeys(self.prepared, sides))

    def raw_columns(self, block: str) -> list[tuple[str, str]]:
        """Return name and kind (``number``, ``ordered`` or ``classes``) of every raw column of a block."""
        if block in self.prepared:
            return [(name, "number") for name in self.prepared[block].inputs]
        return [(column.name, column.kind) for column in self.codings[block].columns]

    def behind(self) -> list[tuple[str, list[str]]]:
        """Return the block of every used column, and the raw columns that it is made of."""
        out: list[tuple[str, list[str]]] = []
        for name, coding in self.codings.items():
            raw = [
                column.name
                for column in coding.columns
                for _ in range(len(column.levels) if column.kind == "classes" else 1)
            ]
            for j in self.kept[name]:
                steps = self.prepared.get(name)
                out.append((name, [raw[j]] if steps is None else list(steps.narrowed([raw[j]]).inputs)))
        return out


def _passed(p: FloatArray, rule: float) -> IntArray:
    """Return columns by the smallest p (a whole number: how many) or those with p below the rule."""
    if rule < 1:
        return np.flatnonzero(p < rule)
    if len(p) <= rule:
        return np.arange(len(p))
    return np.sort(np.argsort(np.nan_to_num(p, nan=2.0), kind="stable")[: int(rule)])


def _cut(y: BoolArray, values: FloatArray) -> float:
    """Return Youden's cut-point, whichever side of it the outcome is commoner on."""
    found = []
    for sign in (1.0, -1.0):
        best = youden(y, sign * values)
        inside = best[np.isfinite(best["threshold"])]
        if len(inside):
            found.append((-float(inside["youden"].iloc[0]), sign * float(inside["threshold"].iloc[0])))
    return min(found)[1] if found else float(np.median(values))


def _cut_columns(matrix: FloatArray, cuts: FloatArray) -> FloatArray:
    where = np.flatnonzero(~np.isnan(cuts))
    if len(where):
        matrix = matrix.copy()
        matrix[:, where] = matrix[:, where] > cuts[where]
    return matrix
