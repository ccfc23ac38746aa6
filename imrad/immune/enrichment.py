"""Single-sample gene set enrichment, from the closed form of its running sum.

The score of a sample is the sum over all positions of the difference of two running sums along the
genes in decreasing order. A gene at position p of N adds its share to every later term, so the sum
is N - p + 1 times that share: only the positions of the set's own genes are needed, one sort a sample.

References
----------
Barbie et al., Nature 2009, doi 10.1038/nature08460.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.exceptions import ScoreError
from imrad.execution import Progress
from imrad.immune.expression import Expression, prepare_expression
from imrad.immune.signatures import Coverage, match_genes

__all__ = ["NORMALISATIONS", "running_sums", "ssgsea"]

NORMALISATIONS = {
    "estimate": "average ranks, no scaling (the ESTIMATE program; gseapy's ES)",
    "gsva": "average ranks cut to whole numbers, no scaling (R GSVA with ssgsea.norm = FALSE)",
    "gsva_scaled": "as gsva, divided by the range over all sets and samples (R GSVA's default)",
    "range": "as estimate, divided by the range over all sets and samples (gseapy's NES)",
}


def ssgsea(
    expression: Expression | pd.DataFrame | str | Path,
    gene_sets: Mapping[str, Sequence[str]],
    *,
    normalisation: str = "estimate",
    alpha: float = 0.25,
    min_coverage: float = 0.8,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score gene sets in each sample.

    Parameters
    ----------
    expression : Expression, DataFrame or path
        Whatever scale: only the order of genes within a sample counts. Tied genes are taken in
        the order of their symbols.
    gene_sets : mapping
        Name to genes; :func:`imrad.immune.read_gmt` reads them from a file.
    normalisation : {"estimate", "gsva", "gsva_scaled", "range"}
        See :data:`NORMALISATIONS`. The scaled ones depend on the sets and samples scored together.
    alpha : float
        Power of the rank weights.
    min_coverage : float
        Least share of a set's genes that the matrix must hold.

    Returns
    -------
    DataFrame of shape (n_samples, n_sets)

    Raises
    ------
    ScoreError
        If a set is covered too little or the whole matrix, or the normalisation is unknown.
    """
    wanted = [gene for genes in gene_sets.values() for gene in genes]
    ready = prepare_expression(expression, genes=wanted)
    if normalisation not in NORMALISATIONS:
        message = f"unknown ssGSEA normalisation {normalisation!r}; write one of {', '.join(NORMALISATIONS)}"
        raise ScoreError(message)
    members, coverages = locate_sets(ready, gene_sets)
    for coverage in coverages:
        coverage.require(min_coverage)
    parts = []
    for block in ready.blocks():
        whole = normalisation.startswith("gsva")
        parts.append(running_sums(ready.raw(block), members, alpha=alpha, whole_ranks=whole))
        if progress is not None:
            progress("ssgsea", block.stop, len(ready.samples))
    scores = np.concatenate(parts)
    if normalisation in ("gsva_scaled", "range"):
        spread = float(scores.max() - scores.min())
        if spread == 0.0:
            message = (
                "all enrichment scores are equal, so they have no range to divide by; use an unscaled normalisation"
            )
            raise ScoreError(message)
        scores = scores / spread
    return pd.DataFrame(scores, index=ready.samples, columns=list(gene_sets))


def locate_sets(
    expression: Expression, gene_sets: Mapping[str, Sequence[str]]
) -> tuple[list[np.ndarray[Any, Any]], list[Coverage]]:
    """Return each set's columns among the expression's genes, and its coverage."""
    present = frozenset(expression.genes)
    members, coverages = [], []
    for name, genes in gene_sets.items():
        found, coverage = match_genes(list(dict.fromkeys(genes)), present, name)
        members.append(np.sort(expression.genes.get_indexer(pd.Index(list(found.values()), dtype=object))))
        coverages.append(coverage)
    return members, coverages


def running_sums(
    block: np.ndarray[Any, Any],
    members: Sequence[np.ndarray[Any, Any]],
    *,
    alpha: float = 0.25,
    whole_ranks: bool = False,
) -> np.ndarray[Any, Any]:
    """Return the running-sum statistic of every row of a block, for every set.

    Parameters
    ----------
    block : ndarray of shape (n_samples, n_genes)
        Contiguous rows; tied genes count in column order.
    members : sequence of ndarray of int
        Columns of each set's genes.

    Returns
    -------
    ndarray of shape (n_samples, n_sets)

    Raises
    ------
    ScoreError
        If a set holds no gene or every gene.
    """
    n_genes = block.shape[1]
    if any(len(columns) in (0, n_genes) for columns in members):
        message = f"a gene set must hold some but not all of the {n_genes} genes of the matrix"
        raise ScoreError(message)
    columns = np.unique(np.concatenate(members)) if members else np.empty(0, dtype=int)
    places = [np.searchsorted(columns, own) for own in members]
    result = np.empty((block.shape[0], len(members)))
    ordered = np.sort(block, axis=1)
    for row in range(block.shape[0]):
        ranks, positions = _ranks(block[row], ordered[row], columns)
        weights = (np.floor(ranks) if whole_ranks else ranks) ** alpha
        later = n_genes - positions + 1.0
        for number, own in enumerate(places):
            inside = float((weights[own] * later[own]).sum() / weights[own].sum())
            outside = (0.5 * n_genes * (n_genes + 1.0) - float(later[own].sum())) / (n_genes - len(own))
            result[row, number] = inside - outside
    return result


def _ranks(
    values: np.ndarray[Any, Any], ordered: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return ascending average ranks, and positions in decreasing order, of the genes in `columns`."""
    picked = values[columns]
    below = np.searchsorted(ordered, picked, side="left")
    upto = np.searchsorted(ordered, picked, side="right")
    positions = len(values) - upto + 1.0
    tied = np.flatnonzero(upto - below > 1)
    if tied.size:
        groups, inverse = np.unique(picked[tied], return_inverse=True)
        if len(groups) <= 4:
            for number, value in enumerate(groups):
                own = tied[inverse == number]
                positions[own] += np.searchsorted(np.flatnonzero(values == value), columns[own])
        else:
            place = np.empty(len(values))
            place[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
            positions[tied] = place[columns[tied]]
    return 0.5 * (below + upto + 1), positions
