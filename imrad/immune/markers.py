"""Marker-gene scores: a second, simpler view of each cell type.

References
----------
Danaher et al., Journal for ImmunoTherapy of Cancer 2017, doi 10.1186/s40425-017-0215-8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from imrad.immune.expression import Expression, prepare_expression
from imrad.immune.signatures import marker_sets, match_genes

__all__ = ["marker_scores"]


def marker_scores(
    expression: Expression | pd.DataFrame | str | Path,
    markers: Mapping[str, Sequence[str]] | None = None,
    *,
    min_coverage: float = 0.8,
) -> pd.DataFrame:
    """Return the mean log2 expression of each cell type's markers.

    Parameters
    ----------
    expression : Expression, DataFrame or path
    markers : mapping, optional
        Cell type to genes; default the 14 types of Danaher et al. 2017.
    min_coverage : float
        Cell types with a smaller share of their markers in the matrix are left out, and named in
        ``attrs["messages"]``.

    Returns
    -------
    DataFrame
        Index sample, columns ``marker:NAME``; ``attrs["coverage"]`` holds the coverages.
    """
    sets = marker_sets() if markers is None else markers
    ready = prepare_expression(expression, genes=[gene for genes in sets.values() for gene in genes])
    present = frozenset(ready.genes)
    coverages, messages, columns = [], [], {}
    for name, genes in sets.items():
        found, coverage = match_genes(list(genes), present, f"markers of {name}")
        coverages.append(coverage)
        if found and coverage.share >= min_coverage:
            columns[f"marker:{name}"] = ready.log2(genes=list(found.values())).mean(axis=1)
        else:
            absent = ", ".join(coverage.missing)
            messages.append(
                f"marker score of {name} left out: {coverage.n_found} of {coverage.n_genes} ({absent} absent)"
            )
    table = pd.DataFrame(columns, index=ready.samples)
    table.attrs.update(coverage=tuple(coverages), messages=tuple(messages))
    return table
