"""An expression matrix made ready: symbols, one row a gene, known scale; values are never copied whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.exceptions import ScoreError
from imrad.immune.identifiers import identifier_kind, reference_symbols, to_symbols
from imrad.immune.reading import read_expression
from imrad.immune.units import Scale, detect_scale, named_scale, to_linear

__all__ = ["Expression", "prepare_expression", "require_levels"]

_RULES = ("highest_mean", "mean", "median", "sum", "first", "refuse")
_STEP = 512


@dataclass(frozen=True)
class Expression:
    """Genes x samples, ready to be scored.

    Attributes
    ----------
    genes : Index
        Unique symbols, sorted, so that no score depends on the order of the rows read.
    samples : Index
        Unique sample names in the order read.
    scale : Scale
        Unit and logarithm of the values, with the evidence.
    messages : tuple of str
        What was detected, converted, collapsed and dropped, in sentences.
    """

    genes: pd.Index[str]
    samples: pd.Index[str]
    scale: Scale
    messages: tuple[str, ...]
    _values: np.ndarray[Any, Any] = field(repr=False)
    _rows: np.ndarray[Any, Any] = field(repr=False)
    _collapsed: np.ndarray[Any, Any] = field(repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (number of genes, number of samples)."""
        return len(self.genes), len(self.samples)

    def raw(self, samples: slice = slice(None), genes: Sequence[str] | None = None) -> np.ndarray[Any, Any]:
        """Return values as read, float64 of shape (n_samples, n_genes), contiguous."""
        rows = self._rows if genes is None else self._rows[self.genes.get_indexer(pd.Index(genes))]
        plain = rows < self._values.shape[0]
        if plain.all() and len(rows) > 0.2 * self._values.shape[0]:
            whole = np.ascontiguousarray(self._values[:, samples].T)
            return np.take(whole, rows, axis=1).astype(np.float64, copy=False)
        width = len(range(*samples.indices(len(self.samples))))
        block = np.empty((width, len(rows)), dtype=np.float64)
        block[:, plain] = self._values[rows[plain], samples].T
        if not plain.all():
            block[:, ~plain] = self._collapsed[rows[~plain] - self._values.shape[0], samples].T
        return block

    def linear(self, samples: slice = slice(None), genes: Sequence[str] | None = None) -> np.ndarray[Any, Any]:
        """Return values on the linear scale, float64 of shape (n_samples, n_genes)."""
        return to_linear(self.raw(samples, genes), self.scale)

    def log2(self, samples: slice = slice(None), genes: Sequence[str] | None = None) -> np.ndarray[Any, Any]:
        """Return log2 values: log2(x + 1) of linear values, array data on their own log2 scale."""
        values = self.raw(samples, genes)
        if self.scale.unit == "z-score" or (self.scale.log == "log2" and self.scale.offset in (0.0, 1.0)):
            return values
        return np.asarray(np.log2(np.maximum(to_linear(values, self.scale), 0.0) + 1.0))

    def blocks(self, size: int = 256) -> Iterator[slice]:
        """Yield slices that cover the samples, `size` at a time."""
        for start in range(0, len(self.samples), size):
            yield slice(start, min(start + size, len(self.samples)))

    def to_frame(self) -> pd.DataFrame:
        """Return the prepared genes x samples table (a copy)."""
        return pd.DataFrame(self.raw().T, index=self.genes, columns=self.samples)


def prepare_expression(
    matrix: pd.DataFrame | Expression | str | Path,
    *,
    unit: str = "auto",
    gene_map: str | Path | pd.DataFrame | Mapping[str, str] | None = None,
    duplicates: str = "highest_mean",
    orientation: str = "auto",
    genes: Collection[str] = (),
) -> Expression:
    """Detect and settle everything about a matrix that would make a score silently wrong.

    Parameters
    ----------
    matrix : DataFrame, Expression or path
        Expression of genes x samples or samples x genes; a path goes through :func:`read_expression`.
        It should hold all genes measured, since units are told by the sums over genes.
    unit : {"auto", "counts", "tpm", "fpkm", "linear", "log2", "ln", "log10"}
        Scale of the values; ``auto`` detects it (:func:`imrad.immune.units.detect_scale`).
    gene_map : path, DataFrame or mapping, optional
        Ids to symbols; needed for Ensembl ids without symbols.
    duplicates : {"highest_mean", "mean", "median", "sum", "first", "refuse"}
        Rule for rows of the same symbol: keep the row of the highest mean over samples, or combine
        them; ``sum`` adds on the linear scale.
    orientation : {"auto", "genes_in_rows", "genes_in_columns"}
        ``auto`` looks where the labels are genes.
    genes : collection of str
        Further symbols by which genes are recognised, such as those of the signature to be used.

    Raises
    ------
    ScoreError
        If orientation, ids, samples or values cannot be settled; the message says what was found.
    """
    if isinstance(matrix, Expression):
        return matrix
    if isinstance(matrix, str | Path):
        matrix = read_expression(matrix)
    if duplicates not in _RULES:
        message = f"unknown rule for duplicates {duplicates!r}; write one of {', '.join(_RULES)}"
        raise ScoreError(message)
    stated = str(matrix.attrs.get("unit", ""))
    matrix = _numeric(matrix)
    values, labels, samples, messages = _oriented(matrix, orientation, genes)
    _check_samples(samples)
    symbols, said = to_symbols(labels, gene_map)
    messages += said
    finite, odd = _row_state(values)
    if odd:
        message = f"{odd} expression values are infinite; the matrix was logged without an offset or is damaged"
        raise ScoreError(message)
    if unit == "auto" and stated:
        scale = Scale(named_scale(stated).unit, evidence=str(matrix.attrs.get("evidence", "stated by the file")))
    else:
        scale = detect_scale(values) if unit == "auto" else named_scale(unit)
    messages.append(f"expression is {scale} ({scale.evidence})")
    if not finite.all():
        messages.append(f"{int((~finite).sum())} genes with missing values dropped")
    keep = np.array([bool(symbol) for symbol in symbols]) & finite
    if not keep.any():
        message = "no gene is left after dropping rows without symbol or with missing values; check ids and values"
        raise ScoreError(message)
    order, rows, collapsed, said = _collapse(values, labels, symbols, keep, duplicates, scale)
    return Expression(
        pd.Index(order, name="gene"),
        pd.Index(samples, name="sample"),
        scale,
        tuple(messages + said),
        values,
        rows,
        collapsed,
    )


def require_levels(expression: Expression, what: str, *, allow_counts: bool = False) -> None:
    """Refuse values whose order of genes within a sample does not mean expression.

    Raises
    ------
    ScoreError
        On z-scores, and on counts unless `allow_counts`.
    """
    scale = expression.scale
    if scale.unit == "z-score":
        message = (
            f"the matrix holds z-scores ({scale.evidence}), which no longer compare genes within a sample as {what} "
            "needs; give TPM, FPKM or array intensities"
        )
        raise ScoreError(message)
    if scale.unit == "counts" and not allow_counts:
        message = (
            f"the matrix holds {scale} ({scale.evidence}) and {what} compares genes within a sample, which counts "
            "distort by gene length; give TPM or FPKM (GDC STAR files carry both), or set allow_counts, or name the "
            "unit if this is wrong"
        )
        raise ScoreError(message)


def _numeric(matrix: pd.DataFrame) -> pd.DataFrame:
    kinds = zip(matrix.columns, matrix.dtypes, strict=True)
    text = [name for name, kind in kinds if not pd.api.types.is_numeric_dtype(kind)]
    if len(text) == 1 and len(matrix.columns) > 1:
        attrs = dict(matrix.attrs)
        matrix = matrix.set_index(text[0])
        matrix.attrs.update(attrs)
        text = []
    if text or matrix.empty:
        message = (
            f"the expression matrix has {len(text)} columns that are not numbers ({', '.join(map(str, text[:5]))}); "
            "give one column of labels and otherwise values only"
        )
        raise ScoreError(message)
    return matrix


def _oriented(
    matrix: pd.DataFrame, orientation: str, genes: Collection[str]
) -> tuple[np.ndarray[Any, Any], list[str], list[str], list[str]]:
    rows = [str(label).strip() for label in matrix.index]
    columns = [str(label).strip() for label in matrix.columns]
    values = matrix.to_numpy()
    if values.dtype.kind != "f":
        values = matrix.to_numpy(dtype=np.float64, na_value=np.nan)
    if orientation == "auto":
        known = reference_symbols() | set(genes)
        in_rows, in_columns = _gene_share(rows, known), _gene_share(columns, known)
        if in_rows == in_columns == 0.0:
            orientation = "genes_in_rows"
            said = ["no label is a known gene; genes taken to be in rows"]
        else:
            orientation = "genes_in_rows" if in_rows >= in_columns else "genes_in_columns"
            said = [f"genes are in {'rows' if in_rows >= in_columns else 'columns'}"]
    elif orientation in ("genes_in_rows", "genes_in_columns"):
        said = []
    else:
        message = f"unknown orientation {orientation!r}; write auto, genes_in_rows or genes_in_columns"
        raise ScoreError(message)
    if orientation == "genes_in_rows":
        return values, rows, columns, said
    return values.T, columns, rows, said


def _gene_share(labels: Sequence[str], known: Collection[str]) -> float:
    kind = identifier_kind(labels)
    if kind not in ("symbol", "entrez"):
        return 1.0
    if kind == "entrez":
        plain = [str(number) for number in range(len(labels))]
        return 0.0 if list(labels) == plain or len(labels) < 200 else 0.9
    return sum(label in known for label in labels) / max(len(labels), 1)


def _check_samples(samples: Sequence[str]) -> None:
    counts = pd.Series(list(samples)).value_counts()
    repeated = [str(name) for name in counts.index[counts > 1]]
    if repeated:
        message = (
            f"{len(repeated)} samples occur more than once ({', '.join(sorted(repeated)[:5])}); "
            "keep one column a sample or rename them"
        )
        raise ScoreError(message)


def _row_state(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], int]:
    finite = np.ones(values.shape[0], dtype=bool)
    infinite = 0
    for start in range(0, values.shape[0], _STEP):
        part = values[start : start + _STEP]
        finite[start : start + _STEP] = np.isfinite(part).all(axis=1)
        infinite += int(np.isinf(part).sum())
    return finite, infinite


def _collapse(
    values: np.ndarray[Any, Any],
    labels: Sequence[str],
    symbols: Sequence[str],
    keep: np.ndarray[Any, Any],
    rule: str,
    scale: Scale,
) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any], list[str]]:
    groups: dict[str, list[int]] = {}
    for row in np.flatnonzero(keep).tolist():
        groups.setdefault(symbols[row], []).append(row)
    order = sorted(groups)
    repeated = [symbol for symbol in order if len(groups[symbol]) > 1]
    if repeated and rule == "refuse":
        message = (
            f"{len(repeated)} symbols stand in several rows ({', '.join(repeated[:5])}); name a rule for duplicates"
        )
        raise ScoreError(message)
    rows = np.empty(len(order), dtype=np.int64)
    extra: list[np.ndarray[Any, Any]] = []
    for number, symbol in enumerate(order):
        members = groups[symbol]
        if len(members) == 1 or rule == "first":
            rows[number] = members[0]
        elif rule == "highest_mean":
            rows[number] = max(members, key=lambda row: (float(values[row].mean()), labels[row], values[row].tobytes()))
        else:
            rows[number] = values.shape[0] + len(extra)
            extra.append(_combined(np.asarray(values[members], dtype=np.float64), rule, scale))
    collapsed = np.vstack(extra) if extra else np.empty((0, values.shape[1]))
    dropped = sum(len(groups[symbol]) for symbol in repeated)
    said = [f"{dropped} rows of {len(repeated)} repeated symbols collapsed by {rule}"] if repeated else []
    return order, rows, collapsed, said


def _combined(members: np.ndarray[Any, Any], rule: str, scale: Scale) -> np.ndarray[Any, Any]:
    if rule == "median":
        return np.asarray(np.median(members, axis=0))
    if rule == "mean":
        return np.asarray(members.mean(axis=0))
    total = to_linear(members, scale).sum(axis=0) + scale.offset
    if not scale.log:
        return np.asarray(total)
    return np.asarray(np.log(total) / np.log({"log2": 2.0, "ln": np.e, "log10": 10.0}[scale.log]))
