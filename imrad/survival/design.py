"""From blocks of clinical and measured columns to a matrix: coding and imputation learnt in the fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from imrad.evaluation.outcomes import FloatArray

__all__ = ["BlockCoding"]


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    """``number``, ``ordered`` or ``classes``."""
    fill: Any
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockCoding:
    """How a block's columns become numbers, learnt on training patients only.

    Numbers keep their values, missing ones get the training median. Ordered categories become their
    rank. Other categories become one column a class except the most frequent, which is the
    reference; missing values count as the reference, and so do classes not seen in training.

    Attributes
    ----------
    columns : tuple
        What was learnt of each column.
    names : list of str
        Names of the coded columns: ``age_years``, ``sex=female``.
    """

    columns: tuple[_Column, ...]

    @classmethod
    def learn(cls, table: pd.DataFrame) -> Self:
        """Learn medians, classes and references from training rows."""
        if _all_numbers(table):
            matrix = _matrix(table)
            known = np.isfinite(matrix)
            fill = np.zeros(matrix.shape[1])
            some = known.any(axis=0)
            fill[some] = np.nanmedian(np.where(known, matrix, np.nan)[:, some], axis=0)
            pairs = zip(table.columns, fill, strict=True)
            return cls(tuple(_Column(str(name), "number", float(value)) for name, value in pairs))
        return cls(tuple(_learn(str(name), table[name]) for name in table.columns))

    @property
    def names(self) -> list[str]:
        """Names of the coded columns."""
        out: list[str] = []
        for column in self.columns:
            out += [column.name] if column.kind != "classes" else [f"{column.name}={level}" for level in column.levels]
        return out

    def apply(self, table: pd.DataFrame) -> FloatArray:
        """Return the coded matrix, shape (n_patients, n_names), without missing values."""
        names = [column.name for column in self.columns]
        if all(column.kind == "number" for column in self.columns) and _all_numbers(table):
            matrix = _matrix(table if list(table.columns) == names else table[names])
            return np.where(np.isfinite(matrix), matrix, [column.fill for column in self.columns])
        parts: list[FloatArray] = []
        for column in self.columns:
            values = table[column.name]
            if column.kind == "classes":
                text = _text(values)
                parts += [np.asarray(text == level, dtype=float) for level in column.levels]
            else:
                numbers = _ranks(values, column.levels) if column.kind == "ordered" else _numbers(values)
                parts.append(np.where(np.isfinite(numbers), numbers, column.fill))
        return np.column_stack(parts) if parts else np.zeros((len(table), 0))

    def to_plain(self) -> list[dict[str, Any]]:
        """Return a plain form for a model bundle."""
        return [
            {"name": item.name, "kind": item.kind, "fill": item.fill, "levels": list(item.levels)}
            for item in self.columns
        ]

    @classmethod
    def from_plain(cls, plain: list[dict[str, Any]]) -> Self:
        """Rebuild a coding from :meth:`to_plain`."""
        return cls(tuple(_Column(item["name"], item["kind"], item["fill"], tuple(item["levels"])) for item in plain))


def _all_numbers(table: pd.DataFrame) -> bool:
    return table.shape[1] > 0 and all(pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes))


def _matrix(table: pd.DataFrame) -> FloatArray:
    return np.asarray(table.to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _learn(name: str, values: pd.Series[Any]) -> _Column:
    if isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.ordered:
        levels = tuple(str(level) for level in values.dtype.categories)
        return _Column(name, "ordered", _median(_ranks(values, levels)), levels)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _Column(name, "number", _median(_numbers(values)))
    text = _text(values)
    counts = pd.Series(text[[item is not None for item in text]], dtype=object).value_counts()
    # The most frequent class is the reference; equal counts are settled by name.
    order = sorted(counts.index, key=lambda level: (-int(counts[level]), str(level)))
    return _Column(name, "classes", order[0] if order else "", tuple(sorted(order[1:])))


def _median(numbers: FloatArray) -> float:
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if len(known) else 0.0


def _numbers(values: pd.Series[Any]) -> FloatArray:
    return np.asarray(values.to_numpy(dtype=float, na_value=np.nan), dtype=float)


def _ranks(values: pd.Series[Any], levels: tuple[str, ...]) -> FloatArray:
    rank = {level: float(number) for number, level in enumerate(levels)}
    return np.array([np.nan if item is None else rank.get(item, np.nan) for item in _text(values)])


def _text(values: pd.Series[Any]) -> np.ndarray[Any, Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = [None if pd.isna(item) else str(item) for item in values]
    return out
