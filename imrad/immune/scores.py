"""All immune scores of a cohort in one call, and the agreement of two methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.exceptions import InputError, ScoreError
from imrad.execution import Progress, Store
from imrad.immune.barcodes import choose_samples, patient_of
from imrad.immune.deconvolution import Deconvolution, cibersort
from imrad.immune.enrichment import locate_sets, ssgsea
from imrad.immune.estimate import estimate_scores
from imrad.immune.expression import Expression, prepare_expression, require_levels
from imrad.immune.markers import marker_scores
from imrad.immune.msi import msi_table
from imrad.immune.mutation import Files, mutated_genes, tmb_from_maf
from imrad.immune.signatures import Coverage, Signature, coverage_table, match_genes, read_gmt, read_signature
from imrad.immune.targets import CELL_GROUPS, Target, parse_target
from imrad.names import CHECKPOINT_GENES

__all__ = ["METHODS", "P_CUT", "ImmuneScores", "agreement", "apply_p_rule", "score"]

P_CUT = 0.05
METHODS = ("estimate", "cibersort", "markers")
_PLAIN = {"stromal": "estimate", "immune": "estimate", "estimate": "estimate", "purity": "estimate"}
_KIND = {"cell": "cibersort", "marker": "markers"}


@dataclass(frozen=True)
class ImmuneScores:
    """Scores of a cohort.

    Attributes
    ----------
    scores : DataFrame
        Samples (or patients) x targets, columns spelt in the target language; missing is NaN.
    fit : DataFrame
        Per row: p_value, correlation, rmse of the deconvolution; empty without one.
    coverage : DataFrame
        Per signature: n_genes, n_found, coverage, renamed, missing.
    second : dict of DataFrame
        Second methods by name, same rows, for :func:`agreement`.
    messages : tuple of str
        What was detected, assumed and left out, for the report.
    cards : tuple of str
        Names of the method cards that apply.
    attrition : DataFrame
        step, n_in, n_out, reason.
    """

    scores: pd.DataFrame
    fit: pd.DataFrame
    coverage: pd.DataFrame
    second: dict[str, pd.DataFrame]
    messages: tuple[str, ...]
    cards: tuple[str, ...]
    attrition: pd.DataFrame

    def replaced(self, **changes: Any) -> ImmuneScores:
        """Return a copy with some attributes replaced."""
        return replace(self, **changes)

    def per_patient(self) -> ImmuneScores:
        """Return one row a patient: tumours only, primary first, then best fit, then first barcode."""
        names = [str(name) for name in self.scores.index]
        quality = self.fit["correlation"].fillna(-np.inf) if "correlation" in self.fit else None
        chosen, steps = choose_samples(names, quality=quality)
        rows = chosen["row"].to_numpy(dtype=int)
        index = pd.Index(chosen["patient"], name="patient")
        tables = {name: table.iloc[rows].set_axis(index) for name, table in self.second.items()}
        fit = self.fit.iloc[rows].set_axis(index)
        return replace(
            self,
            scores=self.scores.iloc[rows].set_axis(index),
            fit=fit.assign(sample=[names[row] for row in rows]),
            second=tables,
            attrition=pd.concat([self.attrition, steps], ignore_index=True),
        )


@dataclass
class _Parts:
    """What the methods leave behind while a cohort is scored."""

    tables: list[pd.DataFrame]
    coverages: list[Coverage]
    messages: list[str]
    cards: list[str]
    second: dict[str, pd.DataFrame]
    fit: pd.DataFrame


def score(
    expression: Expression | pd.DataFrame | str | Path,
    methods: Sequence[str] | None = None,
    *,
    targets: Sequence[str] | None = None,
    signature: Signature | pd.DataFrame | str | Path | None = None,
    genes: Sequence[str] = CHECKPOINT_GENES,
    gene_sets: Sequence[str] = (),
    mutations: Sequence[str] = (),
    maf: Files | None = None,
    maf_patients: Mapping[str, str] | None = None,
    msi: str | Path | pd.DataFrame | None = None,
    unit: str = "auto",
    gene_map: str | Path | pd.DataFrame | Mapping[str, str] | None = None,
    duplicates: str = "highest_mean",
    allow_counts: bool = False,
    min_coverage: float = 0.8,
    platform: str = "rnaseq",
    ssgsea_normalisation: str = "estimate",
    solver: str = "exact",
    quantile_norm: bool = False,
    absolute: str | None = None,
    n_permutations: int = 0,
    p_rule: str = "keep",
    exome_mb: float = 38.0,
    variant_classes: Sequence[str] | None = None,
    msi_threshold: float | None = None,
    seed: int = 0,
    workers: int = 1,
    store: Store | None = None,
    progress: Progress | None = None,
) -> ImmuneScores:
    """Compute the immune scores of a cohort.

    Parameters
    ----------
    expression : Expression, DataFrame or path
        See :func:`imrad.immune.prepare_expression`; `unit`, `gene_map` and `duplicates` go there.
    methods : sequence of {"estimate", "cibersort", "markers"}
        Default all three, or those that `targets` need.
    targets : sequence of str, optional
        Exactly these columns are returned, those without their input (a MAF for TMB, a table for
        MSI) as missing with a message; default everything that was computed.
    signature : path, DataFrame or Signature, optional
        For cibersort; default the open TIL10. With another signature TIL10 becomes a second method.
    genes, gene_sets : sequence of str
        Genes, and gene sets written ``FILE.gmt#NAME``, that become targets.
    maf, msi : paths
        MAF files (``maf_patients`` names patients, see :func:`imrad.immune.read_maf`) and an MSI
        table, joined by patient.
    allow_counts : bool
        Score raw counts although gene length distorts every comparison between genes.
    min_coverage : float
        Least share of a signature's genes.
    p_rule : {"keep", "exclude"}
        See :func:`apply_p_rule`.
    platform, ssgsea_normalisation, solver, quantile_norm, absolute, n_permutations, seed
        See :func:`~imrad.immune.estimate_scores`, :func:`~imrad.immune.ssgsea` and
        :func:`~imrad.immune.cibersort`.
    exome_mb, variant_classes, msi_threshold
        See :func:`~imrad.immune.tmb_from_maf` and :func:`~imrad.immune.msi_table`.
    workers, store, progress
        See :func:`imrad.execution.map_tasks`.

    Every key of :class:`~imrad.immune.ImmuneSettings` is a parameter here by the same name.

    Returns
    -------
    ImmuneScores

    Raises
    ------
    ScoreError
        If the matrix does not carry a method asked for; the message says why.
    ConfigError
        If a target is not of the target language.
    """
    parsed = None if targets is None else [parse_target(text) for text in targets]
    chosen, genes, gene_sets, mutated = _plan(methods, parsed, genes, gene_sets, mutations)
    hint = [] if signature is None else list(read_signature(signature).matrix.index)
    ready = prepare_expression(expression, unit=unit, gene_map=gene_map, duplicates=duplicates, genes=[*hint, *genes])
    if gene_sets:
        require_levels(ready, "ssGSEA", allow_counts=allow_counts)
    parts = _Parts([], [], list(ready.messages), [], {}, pd.DataFrame(index=ready.samples))
    if "estimate" in chosen:
        table = estimate_scores(
            ready, platform=platform, min_coverage=min_coverage, allow_counts=allow_counts, progress=progress
        )
        _add(parts, table, "stromal", "immune", "estimate", "purity")
    if "cibersort" in chosen:
        options: dict[str, Any] = {
            "solver": solver,
            "quantile_norm": quantile_norm,
            "absolute": absolute,
            "min_coverage": min_coverage,
            "allow_counts": allow_counts,
            "seed": seed,
            "workers": workers,
            "store": store,
            "progress": progress,
        }
        _deconvolve(parts, ready, signature, n_permutations, options)
    if "markers" in chosen:
        table = marker_scores(ready, min_coverage=min_coverage)
        _add(parts, table, "markers")
        parts.second["markers"] = table.rename(columns=lambda name: str(name).replace("marker:", "cell:"))
    _genes(parts, ready, genes)
    _gene_sets(parts, ready, gene_sets, ssgsea_normalisation, min_coverage)
    patients = [patient_of(str(name)) for name in ready.samples]
    if maf is not None:
        tmb = tmb_from_maf(maf, exome_mb=exome_mb, classes=variant_classes, patients=maf_patients)
        _join(parts, tmb[["TMB"]], patients, ready.samples, f"TMB: variants per {exome_mb:g} Mb", "TMB")
        if mutated:
            table = mutated_genes(maf, mutated, classes=variant_classes, patients=maf_patients)
            _join(parts, table, patients, ready.samples, "mutations from MAF", "mut")
    if msi is not None:
        scores = msi_table(msi, threshold=msi_threshold)
        _join(parts, scores[["MSI"]], patients, ready.samples, f"MSI by {scores.attrs['method']}", "MSI")
    tables = [table.set_axis(ready.samples) for table in parts.tables]
    everything = pd.concat(tables, axis=1) if tables else pd.DataFrame(index=ready.samples)
    if parsed is not None:
        everything = _asked(everything, parsed, parts.messages)
    result = ImmuneScores(
        scores=everything,
        fit=parts.fit,
        coverage=coverage_table(parts.coverages),
        second=parts.second,
        messages=tuple(dict.fromkeys(parts.messages)),
        cards=tuple(dict.fromkeys(parts.cards)),
        attrition=pd.DataFrame(
            [("expression matrix", len(everything), len(everything), "samples scored")],
            columns=["step", "n_in", "n_out", "reason"],
        ),
    )
    return apply_p_rule(result, p_rule)


def _plan(
    methods: Sequence[str] | None,
    parsed: Sequence[Target] | None,
    genes: Sequence[str],
    gene_sets: Sequence[str],
    mutations: Sequence[str],
) -> tuple[list[str], list[str], list[str], list[str]]:
    unknown = [name for name in methods or () if name not in METHODS]
    if unknown:
        message = f"unknown method {unknown[0]!r}; write one of {', '.join(METHODS)}"
        raise ScoreError(message)
    if parsed is None:
        return list(METHODS if methods is None else methods), list(genes), list(gene_sets), list(mutations)
    needed = [
        _PLAIN.get(target.name, "") if target.kind == "plain" else _KIND.get(target.kind, "") for target in parsed
    ]
    chosen = [name for name in METHODS if name in needed or name in (methods or ())]
    by_kind = {kind: [target for target in parsed if target.kind == kind] for kind in ("gene", "sig", "mut")}
    return (
        chosen,
        [target.name for target in by_kind["gene"]],
        [f"{target.file}#{target.name}" for target in by_kind["sig"]],
        [target.name for target in by_kind["mut"]],
    )


def _add(parts: _Parts, table: pd.DataFrame, *cards: str) -> None:
    parts.tables.append(table)
    parts.coverages += list(table.attrs.pop("coverage", ()))
    parts.messages += list(table.attrs.pop("messages", ()))
    parts.cards += cards


def _deconvolve(
    parts: _Parts,
    ready: Expression,
    signature: Signature | pd.DataFrame | str | Path | None,
    n_permutations: int,
    options: dict[str, Any],
) -> None:
    main = cibersort(ready, signature, n_permutations=n_permutations, **options)
    parts.tables.append(_cells(main))
    parts.fit = main.fit
    parts.coverages.append(main.coverage)
    parts.messages += main.messages
    parts.cards += ["cibersort", f"cibersort solver {options['solver']}"]
    if n_permutations:
        parts.cards.append("cibersort p-value")
        parts.messages.append(f"deconvolution p from {n_permutations} random mixtures")
    if options["absolute"]:
        parts.cards.append(f"cibersort absolute {options['absolute']}")
    if main.signature == "TIL10":
        parts.cards.append("TIL10")
        return
    try:
        other = cibersort(ready, None, **{**options, "absolute": None})
    except ScoreError as error:
        parts.messages.append(f"no second deconvolution: {error}")
        return
    parts.second["TIL10"] = _cells(other)
    parts.coverages.append(other.coverage)
    parts.cards.append("TIL10")


def _cells(result: Deconvolution) -> pd.DataFrame:
    return result.fractions.rename(columns=lambda name: f"cell:{name}")


def _genes(parts: _Parts, ready: Expression, genes: Sequence[str]) -> None:
    found, coverage = match_genes(list(dict.fromkeys(genes)), frozenset(ready.genes), "genes")
    if coverage.missing:
        parts.messages.append(f"genes not in the matrix: {', '.join(coverage.missing)}")
    if found:
        values = ready.log2(genes=list(found.values()))
        if ready.scale.unit == "counts":
            depth = np.concatenate([ready.linear(block).sum(axis=1) for block in ready.blocks()])
            values = np.log2(ready.linear(genes=list(found.values())) / depth[:, None] * 1e6 + 1.0)
            parts.messages.append("genes from counts as log2(counts per million + 1)")
        parts.tables.append(pd.DataFrame(values, index=ready.samples, columns=[f"gene:{gene}" for gene in found]))
        parts.cards.append("gene")


def _gene_sets(
    parts: _Parts, ready: Expression, gene_sets: Sequence[str], normalisation: str, min_coverage: float
) -> None:
    chosen: dict[str, list[str]] = {}
    for text in gene_sets:
        target = parse_target(text if text.startswith("sig:") else f"sig:{text}")
        sets = read_gmt(target.file)
        if target.name not in sets:
            message = f"{target.file} holds no gene set {target.name!r}; it holds {', '.join(list(sets)[:10])}"
            raise InputError(message)
        chosen[str(target)] = sets[target.name]
    if chosen:
        parts.tables.append(ssgsea(ready, chosen, normalisation=normalisation, min_coverage=min_coverage))
        parts.coverages += locate_sets(ready, chosen)[1]
        parts.cards.append("ssgsea")


def _join(
    parts: _Parts, table: pd.DataFrame, patients: Sequence[str], samples: pd.Index[str], what: str, card: str
) -> None:
    joined = table.reindex(pd.Index(patients))
    joined.index = samples
    known = int(joined.iloc[:, 0].notna().sum()) if joined.shape[1] else 0
    parts.messages.append(f"{what}; known for {known} of {len(samples)} samples, missing for the others")
    parts.tables.append(joined)
    parts.cards.append(card)


def _asked(table: pd.DataFrame, parsed: Sequence[Target], messages: list[str]) -> pd.DataFrame:
    wanted = [str(target) for target in parsed]
    absent = [name for name in wanted if name not in table.columns]
    cells = [name for name in absent if name.startswith(("cell:", "marker:", "gene:"))]
    if cells:
        prefixes = tuple({name.split(":")[0] + ":" for name in cells})
        held = [str(name) for name in table.columns if str(name).startswith(prefixes)]
        message = (
            f"{', '.join(cells[:5])} cannot be scored from this matrix and signature, which give "
            f"{', '.join(held[:40]) or 'none of the kind'}"
        )
        raise ScoreError(message)
    if absent:
        messages.append(f"{', '.join(absent)} missing for all: they need MAF files or an MSI table")
    return table.reindex(columns=wanted)


def apply_p_rule(scores: ImmuneScores, rule: str) -> ImmuneScores:
    """Keep or exclude the rows whose deconvolution has p >= 0.05, and say how many they are.

    Excluded rows keep their place; their cell fractions become missing.
    """
    if rule not in ("keep", "exclude"):
        message = f"unknown p_rule {rule!r}; write keep or exclude"
        raise ScoreError(message)
    if "p_value" not in scores.fit or scores.fit["p_value"].isna().all():
        return scores
    p = scores.fit["p_value"]
    poor = (p >= P_CUT).to_numpy()
    said = f"{int(poor.sum())} of {len(poor)} rows have a deconvolution p of {P_CUT} or more: rule {rule}"
    table = scores.scores
    if rule == "exclude":
        cells = [name for name in table.columns if str(name).startswith("cell:")]
        table = table.copy()
        table.loc[poor, cells] = np.nan
    step = pd.DataFrame(
        [("deconvolution p < 0.05", len(poor), int((~poor).sum()) if rule == "exclude" else len(poor), said)],
        columns=["step", "n_in", "n_out", "reason"],
    )
    attrition = pd.concat([scores.attrition, step], ignore_index=True)
    return scores.replaced(scores=table, messages=(*scores.messages, said), attrition=attrition)


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Compare two methods on the same samples: the ceiling of what an image could predict.

    Fine cell types of one table are summed where the other holds their group only.

    Parameters
    ----------
    first, second : DataFrame
        Rows joined by index; columns such as ``cell:T_cells_CD8``.

    Returns
    -------
    DataFrame
        One row a cell type: target, n, spearman, spearman_low, spearman_high (Fisher interval),
        pearson, zeros_first, zeros_second (shares of exact zeros).
    """
    from scipy.stats import norm, rankdata

    common = first.index.intersection(second.index)
    if common.empty:
        message = "the two score tables share no sample; check their identifiers"
        raise ScoreError(message)
    a, b = _grouped(first.loc[common], second.columns), _grouped(second.loc[common], first.columns)
    rows = []
    for name in [column for column in a.columns if column in set(b.columns)]:
        pair = np.column_stack([a[name].to_numpy(dtype=float), b[name].to_numpy(dtype=float)])
        pair = pair[np.isfinite(pair).all(axis=1)]
        n = len(pair)
        constant = n < 3 or bool((pair == pair[:1]).all(axis=0).any())
        spearman = np.nan if constant else float(np.corrcoef(rankdata(pair[:, 0]), rankdata(pair[:, 1]))[0, 1])
        pearson = np.nan if constant else float(np.corrcoef(pair.T)[0, 1])
        low = high = np.nan
        if n > 3 and abs(spearman) < 1:
            half = norm.ppf(0.975) * np.sqrt((1 + spearman**2 / 2) / (n - 3))
            low, high = np.tanh(np.arctanh(spearman) - half), np.tanh(np.arctanh(spearman) + half)
        zeros = (pair == 0).mean(axis=0) if n else (np.nan, np.nan)
        rows.append((name, n, spearman, low, high, pearson, float(zeros[0]), float(zeros[1])))
    columns = ["target", "n", "spearman", "spearman_low", "spearman_high", "pearson", "zeros_first", "zeros_second"]
    return pd.DataFrame(rows, columns=columns)


def _grouped(table: pd.DataFrame, other: pd.Index[str]) -> pd.DataFrame:
    result = table.copy()
    for group, members in CELL_GROUPS.items():
        name = f"cell:{group}"
        own = [f"cell:{cell}" for cell in members if f"cell:{cell}" in table.columns]
        if name in other and name not in table.columns and own:
            result[name] = table[own].sum(axis=1, min_count=1)
    if "cell:Macrophages" in other and "cell:Macrophages" not in result.columns:
        own = [str(column) for column in table.columns if str(column).startswith("cell:Macrophages_")]
        if own:
            result["cell:Macrophages"] = table[own].sum(axis=1)
    return result
