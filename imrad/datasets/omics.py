"""Generated expression matrices and mutation calls that carry a cohort's targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from imrad.datasets.names import MARKER_GENES
from imrad.names import CHECKPOINT_GENES
from imrad.seeds import generator

__all__ = ["draw_expression", "draw_mutations"]

_NON_SILENT = ("Missense_Mutation", "Nonsense_Mutation", "Frame_Shift_Del", "Splice_Site")
_DRIVERS = ("TP53", "VHL", "PBRM1", "KRAS", "EGFR", "ERBB2", "ARID1A", "KMT2D", "FGFR3", "PIK3CA")
_EXOME_MB = 38.0


def draw_expression(
    targets: pd.DataFrame,
    *,
    signatures: Mapping[str, Sequence[str]] | None = None,
    background: Sequence[str] | int = 500,
    strength: float = 2.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw an expression matrix in TPM whose genes follow the targets.

    Parameters
    ----------
    targets : DataFrame
        Patients x targets; ``gene:X`` sets gene X, ``cell:X`` the markers of X, ``NAME`` the genes of
        the signature NAME.
    signatures : mapping, optional
        Target name to gene symbols, besides the few textbook markers known here.
    background : sequence of str or int
        Further genes, by symbol or by number, which follow nothing.
    strength : float
        Standard deviations of log2 expression per standard deviation of the target.

    Returns
    -------
    DataFrame
        Index ``gene``, one column per patient, TPM; every sample sums to a million.
    """
    patients = list(targets.index)
    genes_of = {f"cell:{name}": genes for name, genes in MARKER_GENES.items()} | dict(signatures or {})
    genes_of |= {f"gene:{name}": (name,) for name in CHECKPOINT_GENES}
    genes_of |= {str(name): (str(name)[5:],) for name in targets.columns if str(name).startswith("gene:")}
    extra = [f"SYN{number:05d}" for number in range(background)] if isinstance(background, int) else list(background)
    genes = list(dict.fromkeys([*(gene for group in genes_of.values() for gene in group), *extra]))
    level = generator(seed, "expression level").normal(3.0, 1.8, len(genes))
    noise = generator(seed, "expression noise").standard_normal((len(genes), len(patients)))
    log2 = level[:, None] + 0.8 * noise
    row = {gene: number for number, gene in enumerate(genes)}
    for name in targets.columns:
        z = _normal_scores(targets[name].to_numpy(dtype=float))
        for gene in genes_of.get(str(name), ()):
            log2[row[gene]] += strength * z
    tpm = np.maximum(2.0**log2 - 1.0, 0.0)
    return pd.DataFrame(np.round(1e6 * tpm / tpm.sum(axis=0), 4), index=pd.Index(genes, name="gene"), columns=patients)


def _normal_scores(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known = ~np.isnan(values)
    scores = np.zeros(len(values))
    if known.any():
        scores[known] = norm.ppf((rankdata(values[known]) - 0.5) / known.sum())
    return scores


def draw_mutations(targets: pd.DataFrame, *, exome_mb: float = _EXOME_MB, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Draw one MAF table per patient: non-silent counts follow ``TMB``, named genes follow ``mut:X``.

    A patient whose TMB is missing has no table, as a patient without a MAF has none.

    Returns
    -------
    dict
        Patient to MAF table (GDC's columns), positions unique within a patient.
    """
    tables = {}
    planted = [str(name)[4:] for name in targets.columns if str(name).startswith("mut:")]
    genes = [gene for gene in (*_DRIVERS, *(f"SYN{number:05d}" for number in range(400))) if gene not in planted]
    for patient in targets.index:
        rng = generator(seed, "mutations", patient)
        burden = float(targets.loc[patient, "TMB"]) if "TMB" in targets else 2.0
        if np.isnan(burden):
            continue
        carried = [gene for gene in planted if targets.loc[patient, f"mut:{gene}"] == 1]
        n_counted = max(round(burden * exome_mb), len(carried))
        n_silent = int(rng.binomial(n_counted, 0.35))
        hit = [*carried, *rng.choice(genes, n_counted - len(carried) + n_silent)]
        kinds = [*rng.choice(_NON_SILENT, n_counted, p=[0.8, 0.08, 0.06, 0.06]), *["Silent"] * n_silent]
        tables[str(patient)] = _maf(str(patient), [str(gene) for gene in hit], [str(kind) for kind in kinds], rng)
    return tables


def _maf(patient: str, genes: list[str], kinds: list[str], rng: np.random.Generator) -> pd.DataFrame:
    n = len(genes)
    start = np.sort(rng.choice(200_000_000, n, replace=False)) + 1
    reference = rng.choice(list("ACGT"), n)
    alternative = np.array(["CGTA"["ACGT".index(base)] for base in reference], dtype=object)
    deletion = np.array([kind == "Frame_Shift_Del" for kind in kinds], dtype=bool)
    residue = rng.integers(1, 900, n)
    return pd.DataFrame(
        {
            "Hugo_Symbol": genes,
            "Entrez_Gene_Id": 0,
            "Center": "SYNTHETIC",
            "NCBI_Build": "GRCh38",
            "Chromosome": [f"chr{number}" for number in rng.integers(1, 23, n)],
            "Start_Position": start,
            "End_Position": start,
            "Strand": "+",
            "Variant_Classification": kinds,
            "Variant_Type": np.where(deletion, "DEL", "SNP"),
            "Reference_Allele": reference,
            "Tumor_Seq_Allele1": reference,
            "Tumor_Seq_Allele2": np.where(deletion, "-", alternative),
            "Tumor_Sample_Barcode": patient,
            "HGVSp_Short": [
                f"p.A{number}T" if kind != "Silent" else f"p.A{number}="
                for number, kind in zip(residue, kinds, strict=True)
            ],
        }
    )
