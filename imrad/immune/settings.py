"""The keys of the immune section of a config."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ImmuneSettings"]


class ImmuneSettings(BaseModel):
    """How immune scores are computed.

    `signature` is a path to a signature matrix such as LM22, which imrad never ships; without one
    the embedded open TIL10 matrix is deconvolved.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[Literal["estimate", "cibersort", "markers"], ...] = Field(
        ("estimate", "cibersort", "markers"), description="scores computed from the expression matrix"
    )
    signature: str | None = Field(None, description="signature matrix file (genes x cell types); empty: TIL10")
    genes: tuple[str, ...] = Field(("LAG3", "CD244", "PDCD1", "TIGIT"), description="genes that become targets")
    gene_sets: tuple[str, ...] = Field((), description="ssGSEA targets, written FILE.gmt#NAME")
    mutations: tuple[str, ...] = Field((), description="genes whose mutation becomes a target")
    unit: Literal["auto", "counts", "tpm", "fpkm", "linear", "log2", "ln", "log10"] = Field(
        "auto", description="scale of the expression values; auto: detected, with the evidence stated"
    )
    allow_counts: bool = Field(False, description="score raw counts although gene length distorts them")
    gene_map: str | None = Field(None, description="table from Ensembl or Entrez ids to symbols")
    duplicates: Literal["highest_mean", "mean", "median", "sum", "first", "refuse"] = Field(
        "highest_mean", description="rule for rows of the same gene"
    )
    min_coverage: float = Field(0.8, ge=0.0, le=1.0, description="least share of a signature's genes in the matrix")
    platform: Literal["affymetrix", "agilent", "rnaseq"] = Field(
        "rnaseq", description="platform; ESTIMATE purity was calibrated on affymetrix only"
    )
    ssgsea_normalisation: Literal["estimate", "gsva", "gsva_scaled", "range"] = Field(
        "estimate", description="scale of ssGSEA scores of gene sets"
    )
    solver: Literal["exact", "libsvm"] = Field("exact", description="nu-SVR solver of CIBERSORT")
    quantile_norm: bool = Field(False, description="quantile normalisation; CIBERSORT advises it for microarrays only")
    absolute: Literal["sig.score", "no.sumto1"] | None = Field(None, description="CIBERSORT absolute mode")
    n_permutations: int = Field(100, ge=0, description="random mixtures behind the CIBERSORT p-value")
    p_rule: Literal["keep", "exclude"] = Field(
        "keep", description="keep or exclude samples whose deconvolution has p >= 0.05; either way counted"
    )
    exome_mb: float = Field(38.0, gt=0, description="megabases that divide the variant count")
    variant_classes: tuple[str, ...] | None = Field(None, description="counted variant classes; empty: non-silent")
    msi_threshold: float | None = Field(None, description="cut of the MSI score; empty: the median inside each fold")
