"""ESTIMATE: stromal, immune and ESTIMATE scores, and tumour purity.

References
----------
Yoshihara et al., Nature Communications 2013, doi 10.1038/ncomms3612.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from imrad.exceptions import ScoreError
from imrad.execution import Progress
from imrad.immune.enrichment import running_sums
from imrad.immune.expression import Expression, prepare_expression, require_levels
from imrad.immune.signatures import Coverage, estimate_genes, match_genes

__all__ = ["estimate_scores", "purity_from_score"]

PLATFORMS = ("affymetrix", "agilent", "rnaseq")
# "published" stands in the article and the released program; "example" reproduces the purity file
# that the program ships as its example, made by an earlier fit.
CALIBRATIONS = {"published": (0.6049872018, 0.0001467884), "example": (0.6036365440796, 0.0001506451)}
PURITY_CAVEAT = (
    "ESTIMATE purity was calibrated on Affymetrix arrays; on {platform} data it is a decreasing function of the "
    "ESTIMATE score, fit for ranking and median cuts and not to be read as a percentage"
)


def estimate_scores(
    expression: Expression | pd.DataFrame | str | Path,
    *,
    platform: str = "rnaseq",
    stromal: Sequence[str] | None = None,
    immune: Sequence[str] | None = None,
    common: Sequence[str] | None = None,
    calibration: str = "published",
    min_coverage: float = 0.8,
    allow_counts: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compute the ESTIMATE scores of every sample.

    Parameters
    ----------
    expression : Expression, DataFrame or path
        Whatever monotone scale within a sample; not z-scores of genes.
    platform : {"affymetrix", "agilent", "rnaseq"}
        Purity is computed on every platform and calibrated on the first only; what to say of it
        stands in the result's ``attrs["messages"]``.
    stromal, immune : sequence of str, optional
        Gene sets; default the published 141 each.
    common : sequence of str, optional
        Genes that the ranks are taken over; default the 10,412 common to ESTIMATE's platforms
        where the gene sets are the default, else all genes of the matrix. An empty sequence is
        all genes.
    calibration : {"published", "example"}
        Coefficients of purity; see :func:`purity_from_score`.
    min_coverage : float
        Least share of each set's genes that the matrix must hold.
    allow_counts : bool
        Score raw counts although gene length distorts their order within a sample.

    Returns
    -------
    DataFrame
        Index sample; columns stromal, immune, estimate, purity (missing where the formula is
        negative). ``attrs["coverage"]`` holds the coverages.

    Raises
    ------
    ScoreError
        If the genes are covered too little, the values are z-scores or (unless allowed) raw counts, or
        the platform is unknown.
    """
    if platform not in PLATFORMS:
        message = f"unknown platform {platform!r}; write one of {', '.join(PLATFORMS)}"
        raise ScoreError(message)
    embedded = stromal is None and immune is None
    lists = estimate_genes()
    sets = {"stromal": stromal or lists["stromal"], "immune": immune or lists["immune"]}
    ready = prepare_expression(expression, genes=[*sets["stromal"], *sets["immune"]])
    require_levels(ready, "ESTIMATE", allow_counts=allow_counts)
    if common is None and embedded:
        common = lists["common"]
    genes, messages = _universe(ready, common)
    present = frozenset(genes)
    coverages: list[Coverage] = []
    members = []
    for name, wanted in sets.items():
        found, coverage = match_genes(list(dict.fromkeys(wanted)), present, f"ESTIMATE {name}")
        coverage.require(min_coverage)
        coverages.append(coverage)
        members.append(np.sort(genes.get_indexer(pd.Index(list(found.values()), dtype=object))))
    scores = np.empty((len(ready.samples), 2))
    for block in ready.blocks():
        scores[block] = running_sums(ready.raw(block, list(genes)), members)
        if progress is not None:
            progress("estimate", block.stop, len(ready.samples))
    table = pd.DataFrame(scores, index=ready.samples, columns=["stromal", "immune"])
    table["estimate"] = table["stromal"] + table["immune"]
    table["purity"] = purity_from_score(table["estimate"], calibration)
    if platform != "affymetrix":
        messages.append(PURITY_CAVEAT.format(platform=platform))
    table.attrs.update(coverage=tuple(coverages), messages=tuple(messages))
    return table


def _universe(ready: Expression, common: Sequence[str] | None) -> tuple[pd.Index[str], list[str]]:
    if not common:
        return ready.genes, []
    found, coverage = match_genes(list(common), frozenset(ready.genes), "ESTIMATE common genes")
    if not found:
        coverage.require(0.0)
    said = f"ESTIMATE ranks taken over {coverage.n_found} of {coverage.n_genes} common genes"
    if coverage.renamed:
        said += f"; {len(coverage.renamed)} found under their other HGNC name"
    # The set's own spelling decides the order of ties, as in a matrix with the older names.
    spelt = sorted(found)
    return pd.Index([found[gene] for gene in spelt]), [said]


def purity_from_score(score: pd.Series[float], calibration: str = "published") -> pd.Series[float]:
    """Return cos(a + b score), missing where negative.

    Parameters
    ----------
    score : Series
        ESTIMATE score.
    calibration : {"published", "example"}
        a = 0.6049872018 and b = 0.0001467884 as published, or the earlier fit behind the example
        file of the program.
    """
    if calibration not in CALIBRATIONS:
        message = f"unknown purity calibration {calibration!r}; write published or example"
        raise ScoreError(message)
    intercept, slope = CALIBRATIONS[calibration]
    purity = np.cos(intercept + slope * score.to_numpy(dtype=float))
    return pd.Series(np.where(purity >= 0, purity, np.nan), index=score.index)
