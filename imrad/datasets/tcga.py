"""TCGA-BLCA, embedded: real patients with CT features, immune scores and curated survival."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import Any

import pandas as pd

from imrad.cohort import Attrition, assemble, choose_aliquots, feature_table, parse_barcode, read_table
from imrad.cohort.clinical import to_numbers
from imrad.datasets.names import cell_target

__all__ = ["load_tcga_blca", "tcga_blca_tables"]

ENDPOINTS = ("os", "pfi", "dss", "dfi")

_SOURCES = {
    "radiomics": "Wu et al., CT pyradiomics of TCGA-BLCA (github.com/wukaiyeah/Multimodal_analysis_in_bladder_cancer)",
    "immune": "CIBERSORT relative fractions, Thorsson et al. 2018, doi:10.1016/j.immuni.2018.03.023",
    "TMB": "non-silent mutations per Mb, Thorsson et al. 2018 (MC3)",
    "MSI": "MANTIS score, Bonneville et al. 2017, doi:10.1200/PO.17.00073",
    "purity": "ESTIMATE purity, Aran et al. 2015, doi:10.1038/ncomms9971",
    "clinical": "TCGA-CDR, Liu et al. 2018, doi:10.1016/j.cell.2018.02.052",
}


def load_tcga_blca() -> Any:
    """Return the embedded cohort: 75 TCGA-BLCA patients, 200 CT features, 29 immune targets.

    The features are pyradiomics' of the original image over two regions (``bladder_`` wall and
    ``cancer_``); the targets are TMB, MSI, purity, the 22 LM22 cell types and four genes; the
    endpoints are os, pfi, dss and dfi of the TCGA-CDR. Dss and dfi are not known for every patient.

    Returns
    -------
    AnnData
        As :func:`imrad.cohort.assemble` makes it, the attrition table included.

    References
    ----------
    Liu J et al. An integrated TCGA pan-cancer clinical data resource. Cell 2018.
    doi:10.1016/j.cell.2018.02.052
    Thorsson V et al. The immune landscape of cancer. Immunity 2018. doi:10.1016/j.immuni.2018.03.023
    """
    return assemble(**tcga_blca_tables(), endpoints=ENDPOINTS, on_missing={"endpoint": "keep"})


def tcga_blca_tables() -> dict[str, Any]:
    """Return the parts of the embedded cohort, as :func:`imrad.cohort.assemble` takes them.

    Returns
    -------
    dict
        ``radiomics`` (77 cases: patient, case, 200 features), ``immune`` (one row per patient with a
        CIBERSORT row of the primary tumour: immune_sample, targets, CIBERSORT's p, correlation and
        RMSE), ``clinical`` (76 patients: age_years, sex, stage, grade, subtypes, the endpoints),
        ``var``, ``attrition`` (rows lost before the join) and ``provenance``.
    """
    lost = Attrition()
    radiomics = _radiomics()
    return {
        "radiomics": radiomics,
        "immune": _immune(lost),
        "clinical": _clinical(),
        "var": _var([name for name in radiomics.columns if name not in ("patient", "case")]),
        "attrition": lost.table(),
        "provenance": {"dataset": "TCGA-BLCA, embedded", "sources": _SOURCES},
    }


def _read(name: str) -> pd.DataFrame:
    with as_file(files("imrad.datasets") / "tcga_blca" / name) as path:
        return read_table(path)


def _number(column: pd.Series[Any]) -> pd.Series[float]:
    return to_numbers(column)[0]


def _radiomics() -> pd.DataFrame:
    table = _read("ct_pyradiomics.csv.gz")
    cases = table.pop("case_label")
    table = table.apply(_number)
    table.insert(0, "patient", [parse_barcode(case).patient for case in cases])
    table.insert(1, "case", cases)
    return table


def _var(names: list[str]) -> pd.DataFrame:
    var = feature_table(names)
    var["region"] = [name.split("_", 1)[0] for name in names]
    return var


def _primary(table: pd.DataFrame, label: str, source: str, lost: Attrition) -> pd.DataFrame:
    choice = choose_aliquots(list(table[label]))
    reasons = [f"{row.label}: {row.reason}" for row in choice[~choice["chosen"]].itertuples()]
    if reasons:
        lost.add(source, len(choice), int(choice["chosen"].sum()), "; ".join(reasons), "samples")
    chosen = table[choice["chosen"].to_numpy()]
    return chosen.set_axis(pd.Index(choice.loc[choice["chosen"], "patient"], name="patient"), axis=0)


def _immune(lost: Attrition) -> pd.DataFrame:
    fractions = _primary(_read("cibersort_relative.csv.gz"), "SampleID", "CIBERSORT aliquots", lost)
    quality = {"P.value": "cibersort_p", "Correlation": "cibersort_correlation", "RMSE": "cibersort_rmse"}
    cells = [name for name in fractions.columns if name not in ("SampleID", "CancerType", *quality)]
    patients = fractions.index
    inflamed = _primary(_read("tcell_inflamed_genes.csv"), "SampleID", "T-cell-inflamed genes", lost)
    slides = _read("expression_zscores.csv")
    zscores = slides.drop_duplicates("case_id").set_index("case_id")
    lost.add("expression slides", len(slides), len(zscores), "one row per slide; the same values repeat", "slides")
    load = _primary(_read("mutation_load.csv"), "Tumor_Sample_ID", "mutation load", lost)
    mantis = _read("msi_mantis.csv").set_index("case_id")
    purity = _primary(_read("purity.csv"), "sample", "purity samples", lost)
    columns: dict[str, pd.Series[Any]] = {
        "immune_sample": fractions["SampleID"].str.replace(".", "-", regex=False),
        "TMB": _number(load["Non-silent_per_Mb"]),
        "MSI": _number(mantis["MANTIS_Score"]),
        "purity": _number(purity["ESTIMATE"]),
    }
    columns |= {cell_target(name): _number(fractions[name]) for name in cells}
    columns |= {f"gene:{name}": _number(inflamed[name]) for name in ("LAG3", "TIGIT")}
    columns |= {f"gene:{name}": _number(zscores[f"{name}_rnaseq"]) for name in ("PDCD1", "CD244")}
    columns |= {name: _number(fractions[column]) for column, name in quality.items()}
    return pd.DataFrame({name: column.reindex(patients) for name, column in columns.items()}, index=patients)


def _clinical() -> pd.DataFrame:
    table = _read("clinical_cdr.csv").set_index("bcr_patient_barcode").rename_axis("patient")
    mrna = _read("mrna_subtype.csv").set_index("bcr_patient_barcode")["mRNA_cluster"]
    immune = _read("immune_subtype.csv").set_index("sampleID")["Subtype_Immune_Model_Based"]
    immune.index = pd.Index([parse_barcode(name).patient for name in immune.index])
    columns: dict[str, pd.Series[Any]] = {
        "age_years": _number(table["age_at_initial_pathologic_diagnosis"]),
        "sex": table["gender"],
        "stage": table["ajcc_pathologic_tumor_stage"],
        "grade": table["histological_grade"],
        "race": table["race"].str.lower(),
        "histology": table["histological_type"],
        "diagnosis_year": _number(table["initial_pathologic_dx_year"]),
        "mrna_subtype": mrna.reindex(table.index),
        "immune_subtype": immune.reindex(table.index),
    }
    for name in ENDPOINTS:
        event, days = _number(table[name.upper()]), _number(table[f"{name.upper()}.time"])
        # The TCGA-CDR gives a follow-up time to patients whose cause of death is not known.
        columns[f"{name}_days"] = days.where(event.notna())
        columns[f"{name}_event"] = event.where(days.notna())
    return pd.DataFrame(columns, index=table.index)
