"""CIBERSORT: cell fractions by nu-support vector regression on a signature matrix.

References
----------
Newman et al., Nature Methods 2015, doi 10.1038/nmeth.3337;
Chen et al., Methods in Molecular Biology 2018, doi 10.1007/978-1-4939-7493-1_12 (absolute mode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.content import digest
from imrad.exceptions import ScoreError
from imrad.execution import Progress, Store, map_tasks
from imrad.immune.expression import Expression, prepare_expression, require_levels
from imrad.immune.quantile import spread_to_target
from imrad.immune.signatures import Coverage, Signature, match_genes, read_signature
from imrad.seeds import generator

__all__ = ["NUS", "Deconvolution", "cibersort"]

NUS = (0.25, 0.5, 0.75)
SOLVERS = ("exact", "libsvm")
ABSOLUTE = ("sig.score", "no.sumto1")
_CHUNK = 128


@dataclass(frozen=True)
class Deconvolution:
    """What :func:`cibersort` returns.

    Attributes
    ----------
    fractions : DataFrame
        Samples x cell types; sums to 1 unless in absolute mode.
    fit : DataFrame
        Index sample; p_value (missing without permutations), correlation, rmse, nu, and in absolute
        mode absolute_score.
    null : ndarray
        Sorted correlations of the random mixtures.
    signature : str
        Name of the signature.
    coverage : Coverage
        Of the signature's genes.
    messages : tuple of str
    """

    fractions: pd.DataFrame
    fit: pd.DataFrame
    null: np.ndarray[Any, Any] = field(repr=False)
    signature: str
    coverage: Coverage
    messages: tuple[str, ...]


def cibersort(
    mixture: Expression | pd.DataFrame | str | Path,
    signature: Signature | pd.DataFrame | str | Path | None = None,
    *,
    solver: str = "exact",
    quantile_norm: bool = False,
    n_permutations: int = 0,
    absolute: str | None = None,
    min_coverage: float = 0.8,
    allow_counts: bool = False,
    seed: int = 0,
    null: Sequence[float] | np.ndarray[Any, Any] | None = None,
    workers: int = 1,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Deconvolution:
    """Estimate the fractions of a signature's cell types in every sample.

    Parameters
    ----------
    mixture : Expression, DataFrame or path
        Bulk expression; log scales are taken back to linear.
    signature : path, DataFrame, Signature or None
        Genes x cell types on the linear scale, such as the user's LM22; default the open TIL10.
    solver : {"exact", "libsvm"}
        ``exact`` finds the optimum of the regression; ``libsvm`` stops where the original program
        does (tolerance 1e-3), which leaves about 1e-3 in each fraction.
    quantile_norm : bool
        Over all genes of the mixture before the signature's are picked; the original program's
        default, advised against for RNA-seq by its authors.
    n_permutations : int
        Random mixtures behind the p-values. The null depends on the signature and the values drawn
        from and on no single sample, so it is computed once.
    absolute : {None, "sig.score", "no.sumto1"}
        Absolute mode of the original program.
    min_coverage : float
        Least share of the signature's genes that the mixture must hold.
    allow_counts : bool
        Score raw counts although gene length distorts every comparison between genes.
    seed : int
        Of the permutations.
    null : array-like, optional
        Null correlations from elsewhere, used in place of permutations.
    workers, store, progress
        See :func:`imrad.execution.map_tasks`.

    Raises
    ------
    ScoreError
        If too few signature genes are found, the values are z-scores or (unless allowed) raw counts, or
        a sample is constant.
    """
    _check_options(solver, absolute, n_permutations)
    sign = read_signature(signature)
    ready = prepare_expression(mixture, genes=list(sign.matrix.index))
    require_levels(ready, "CIBERSORT", allow_counts=allow_counts)
    found, coverage = match_genes(list(sign.matrix.index), frozenset(ready.genes), sign.name)
    coverage = replace(coverage, digest=digest(sign.matrix)[:16])
    coverage.require(min_coverage)
    genes = sorted(found)
    reference = sign.matrix.loc[genes].to_numpy(dtype=float)
    design = (reference - reference.mean()) / reference.std(ddof=1)
    values = _signature_values(ready, [found[gene] for gene in genes], quantile_norm)
    scaled = _scaled(values, ready.samples)
    messages = _messages(sign, coverage, ready, quantile_norm)
    regress = partial(_regress, design=design, solver=solver)
    raw = _mapped(regress, scaled, digest(design), solver, workers, store, progress, "cibersort")
    weights, fit = _chosen(raw, design, scaled)
    if null is not None:
        drawn = np.sort(np.asarray(null, dtype=float))
    else:
        random = _random_mixtures(values, n_permutations, seed)
        raw_null = _mapped(regress, random, digest(design), solver, workers, store, progress, "cibersort null")
        drawn = _chosen(raw_null, design, random)[1][:, 0]
        # A draw without any positive weight has no correlation; the original program stops there.
        drawn = np.sort(drawn[~np.isnan(drawn)])
    totals = weights.sum(axis=1, keepdims=True)
    fractions = weights if absolute == "no.sumto1" else weights / np.where(totals > 0, totals, np.nan)
    if (totals <= 0).any():
        messages.append(f"{int((totals <= 0).sum())} samples have no positive weight and therefore no fractions")
    table = pd.DataFrame(fit, index=ready.samples, columns=["correlation", "rmse", "nu"])
    table.insert(0, "p_value", _p_values(fit[:, 0], drawn))
    if absolute == "sig.score":
        middle = max(_median(ready, quantile_norm), 1.0)
        fractions = fractions * (np.median(values, axis=1) / middle)[:, None]
    if absolute:
        table["absolute_score"] = fractions.sum(axis=1)
    return Deconvolution(
        pd.DataFrame(fractions, index=ready.samples, columns=sign.matrix.columns),
        table,
        drawn,
        sign.name,
        coverage,
        tuple(messages),
    )


def _check_options(solver: str, absolute: str | None, n_permutations: int) -> None:
    if solver not in SOLVERS:
        message = f"unknown solver {solver!r}; write exact or libsvm"
        raise ScoreError(message)
    if absolute is not None and absolute not in ABSOLUTE:
        message = f"unknown absolute mode {absolute!r}; write sig.score or no.sumto1, or leave it out"
        raise ScoreError(message)
    if n_permutations < 0:
        message = f"n_permutations is {n_permutations}; it must be zero or more"
        raise ScoreError(message)


def _messages(sign: Signature, coverage: Coverage, ready: Expression, quantile_norm: bool) -> list[str]:
    said = [f"CIBERSORT on {sign.name}: {coverage.n_found} of {coverage.n_genes} genes found"]
    if sign.note:
        said.append(sign.note)
    if quantile_norm and ready.scale.unit in ("TPM", "FPKM", "counts"):
        said.append("quantile normalisation is on for RNA-seq data, which CIBERSORT's authors advise against")
    return said


def _signature_values(ready: Expression, genes: list[str], quantile_norm: bool) -> np.ndarray[Any, Any]:
    """Return linear values of the signature's genes, samples x genes."""
    values = np.empty((len(ready.samples), len(genes)))
    if not quantile_norm:
        for block in ready.blocks():
            values[block] = ready.linear(block, genes)
        return values
    target = _target(ready)
    columns = ready.genes.get_indexer(pd.Index(genes))
    for block in ready.blocks():
        everything = ready.linear(block)
        for offset, row in enumerate(everything):
            ordered = np.sort(row)
            first = np.searchsorted(ordered, row[columns], side="left")
            last = np.searchsorted(ordered, row[columns], side="right")
            values[block.start + offset] = spread_to_target(0.5 * (first + last + 1), len(row), target)
    return values


def _target(ready: Expression) -> np.ndarray[Any, Any]:
    total = np.zeros(len(ready.genes))
    for block in ready.blocks():
        total += np.sort(ready.linear(block), axis=1).sum(axis=0)
    return total / len(ready.samples)


def _scaled(values: np.ndarray[Any, Any], samples: pd.Index[str]) -> np.ndarray[Any, Any]:
    spread = values.std(axis=1, ddof=1, keepdims=True)
    flat = spread[:, 0] <= 0
    if flat.any():
        message = f"sample {samples[int(np.argmax(flat))]} has the same value in all signature genes; remove the sample"
        raise ScoreError(message)
    scaled: np.ndarray[Any, Any] = (values - values.mean(axis=1, keepdims=True)) / spread
    return scaled


def _regress(rows: np.ndarray[Any, Any], *, design: np.ndarray[Any, Any], solver: str) -> np.ndarray[Any, Any]:
    """Return raw weights of shape (n_mixtures, 3, n_cells)."""
    if solver == "exact":
        from imrad.immune.nusvr import solve_many

        return solve_many(design, rows, NUS)[0]
    from sklearn.svm import NuSVR

    weights = np.empty((len(rows), len(NUS), design.shape[1]))
    for row, mixture in enumerate(rows):
        for number, nu in enumerate(NUS):
            weights[row, number] = NuSVR(kernel="linear", nu=nu, C=1.0, tol=1e-3).fit(design, mixture).coef_[0]
    return weights


def _keyed(item: tuple[str, np.ndarray[Any, Any]]) -> str:
    return item[0]


def _second(item: tuple[str, np.ndarray[Any, Any]], *, regress: partial[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return regress(item[1])


def _mapped(
    regress: partial[np.ndarray[Any, Any]],
    rows: np.ndarray[Any, Any],
    design_key: str,
    solver: str,
    workers: int,
    store: Store | None,
    progress: Progress | None,
    label: str,
) -> np.ndarray[Any, Any]:
    size = _CHUNK if solver == "exact" else 8
    items = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        content = digest(part) if store is not None else ""
        items.append((f"cibersort/{solver}/{design_key}/{start}/{content}", part))
    if not items:
        return np.empty((0, len(NUS), regress.keywords["design"].shape[1]))
    results = map_tasks(
        partial(_second, regress=regress),
        items,
        key=_keyed,
        workers=workers,
        store=store,
        progress=progress,
        label=label,
    )
    return np.concatenate(results)


def _chosen(
    raw: np.ndarray[Any, Any], design: np.ndarray[Any, Any], scaled: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Choose nu by RMSE; return non-negative weights, and correlation, rmse and nu."""
    positive = np.maximum(raw, 0.0)
    totals = positive.sum(axis=2, keepdims=True)
    shares = np.divide(positive, totals, out=np.zeros_like(positive), where=totals > 0)
    best = np.zeros(len(raw), dtype=int)
    fit = np.full((len(raw), 3), np.nan)
    fit[:, 1] = np.inf
    for number, nu in enumerate(NUS):
        fitted = shares[:, number] @ design.T
        rmse = np.sqrt(((fitted - scaled) ** 2).mean(axis=1))
        centred = fitted - fitted.mean(axis=1, keepdims=True)
        norm = np.sqrt((centred**2).sum(axis=1) * ((scaled - scaled.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
        cross = (centred * scaled).sum(axis=1)
        correlation = np.divide(cross, norm, out=np.full_like(cross, np.nan), where=norm > 0)
        better = rmse < fit[:, 1]
        best[better] = number
        fit[better] = np.column_stack([correlation, rmse, np.full_like(rmse, nu)])[better]
    return positive[np.arange(len(raw)), best], fit


def _random_mixtures(values: np.ndarray[Any, Any], n_permutations: int, seed: int) -> np.ndarray[Any, Any]:
    pool = values.ravel()
    drawn = np.empty((n_permutations, values.shape[1]))
    for number in range(n_permutations):
        rng = generator(seed, "cibersort", number)
        drawn[number] = pool[rng.choice(pool.size, size=values.shape[1], replace=False, shuffle=True)]
    if n_permutations == 0:
        return drawn
    spread = drawn.std(axis=1, ddof=1, keepdims=True)
    if (spread <= 0).any():
        message = "random draws from the mixture are constant; nearly all its values are the same, so p has no meaning"
        raise ScoreError(message)
    scaled: np.ndarray[Any, Any] = (drawn - drawn.mean(axis=1, keepdims=True)) / spread
    return scaled


def _p_values(correlations: np.ndarray[Any, Any], null: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 1 - (index of the nearest null value) / (their number), the published rule."""
    if null.size == 0:
        return np.full(len(correlations), np.nan)
    right = np.clip(np.searchsorted(null, correlations), 1, max(null.size - 1, 1))
    left = right - 1
    right = np.minimum(right, null.size - 1)
    nearer_left = np.abs(null[left] - correlations) <= np.abs(null[right] - correlations)
    rank = np.where(nearer_left, left, right) + 1
    return np.where(np.isnan(correlations), np.nan, 1.0 - rank / null.size)


def _median(ready: Expression, quantile_norm: bool) -> float:
    """Return the median of all linear values, by halving an interval over the blocks."""
    if quantile_norm:
        return float(np.median(_target(ready)))
    n_values = len(ready.samples) * len(ready.genes)
    if n_values <= 20_000_000:
        return float(np.median(ready.linear()))
    low, high, below = -np.inf, np.inf, 0
    guess = np.concatenate([ready.linear(slice(i, i + 1)).ravel() for i in range(0, len(ready.samples), 97)])
    low, high = float(np.quantile(guess, 0.45)), float(np.quantile(guess, 0.55))
    inside = []
    for block in ready.blocks():
        part = ready.linear(block).ravel()
        below += int((part < low).sum())
        inside.append(part[(part >= low) & (part <= high)])
    middle = np.sort(np.concatenate(inside))
    at = [(n_values - 1) // 2 - below, n_values // 2 - below]
    if at[0] < 0 or at[1] >= len(middle):
        return float(np.median(guess))
    return float(0.5 * (middle[at[0]] + middle[at[1]]))
