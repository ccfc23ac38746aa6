"""What each immune score is and where it was published."""

from __future__ import annotations

from imrad.cards import Card

__all__ = ["CARDS"]

_CIBERSORT = "10.1038/nmeth.3337"
_ESTIMATE = "10.1038/ncomms3612"

CARDS: tuple[Card, ...] = (
    Card(
        "cibersort",
        "immune score",
        "Fractions of a signature's cell types by linear nu-support vector regression (C = 1, nu 0.25, 0.5 or 0.75 by "
        "least RMSE) of the z-scored mixture on the z-scored signature, negatives set to zero, summing to one",
        "[0, 1]",
        "fraction of the signature's cells",
        _CIBERSORT,
    ),
    Card(
        "cibersort solver libsvm",
        "immune score",
        "The original program's solver at its own tolerance 1e-3, which leaves about 1e-3 in each fraction",
        reference="10.1145/1961189.1961199",
    ),
    Card(
        "cibersort solver exact",
        "immune score",
        "The optimum of the same problem to 1e-6: interior point on the primal with an active-set finish",
        reference=_CIBERSORT,
    ),
    Card(
        "cibersort p-value",
        "immune score",
        "Rank of the sample's correlation among those of random draws from the mixture values: "
        "1 - (index of the nearest null value) / (number of draws), as published",
        "[0, 1]",
        reference=_CIBERSORT,
    ),
    Card(
        "cibersort absolute sig.score",
        "immune score",
        "Fractions times the sample's median over the signature genes, divided by the median of all values",
        "[0, inf)",
        reference="10.1007/978-1-4939-7493-1_12",
    ),
    Card(
        "cibersort absolute no.sumto1",
        "immune score",
        "Non-negative regression weights without division by their sum",
        "[0, inf)",
        reference="10.1007/978-1-4939-7493-1_12",
    ),
    Card("stromal", "immune score", "ESTIMATE stromal score: ssGSEA over 141 stromal genes", "real", "", _ESTIMATE),
    Card("immune", "immune score", "ESTIMATE immune score: ssGSEA over 141 immune genes", "real", "", _ESTIMATE),
    Card("estimate", "immune score", "ESTIMATE score: stromal plus immune score", "real", "", _ESTIMATE),
    Card(
        "purity",
        "immune score",
        "cos(0.6049872018 + 0.0001467884 x ESTIMATE score), missing where negative; calibrated on Affymetrix arrays, "
        "on other platforms a decreasing function of the ESTIMATE score and not a calibrated fraction",
        "[0, 1]",
        "fraction of tumour cells",
        _ESTIMATE,
    ),
    Card(
        "ssgsea",
        "immune score",
        "Single-sample enrichment: sum of the difference of two running sums over the ranks, weighted by rank^0.25",
        "real",
        "",
        "10.1038/nature08460",
    ),
    Card(
        "markers",
        "immune score",
        "Mean log2 expression of a cell type's marker genes; comparable between samples, not between cell types",
        "real",
        "log2 expression",
        "10.1186/s40425-017-0215-8",
    ),
    Card(
        "TIL10",
        "signature",
        "Ten immune cell types over 170 genes from RNA-seq; here it is deconvolved as in CIBERSORT, not by quanTIseq",
        "",
        "TPM",
        "10.1186/s13073-019-0638-6",
    ),
    Card(
        "TMB",
        "immune score",
        "Distinct non-silent coding variants of the patient's tumour sample divided by the sequenced megabases "
        "(default 38); a patient without a MAF is missing",
        "[0, inf)",
        "variants per Mb",
        "10.1186/s13073-017-0424-2",
    ),
    Card(
        "MSI",
        "immune score",
        "MANTIS step-wise difference (instability above 0.4) or MSIsensor percentage of unstable sites",
        "[0, inf)",
        "",
        "10.18632/oncotarget.13918",
    ),
    Card("gene", "immune score", "log2(value + 1) of one gene on the matrix's linear scale", "real", "log2 expression"),
    Card("mut", "immune score", "1 if the patient's tumour carries a counted variant in the gene, else 0", "{0, 1}"),
)
