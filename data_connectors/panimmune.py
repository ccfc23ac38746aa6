"""The published PanCanAtlas tables: which ones, their pinned digests, and one tidy row per patient.

They are served by UUID without metadata, so name, MD5 and size are pinned here; where no MD5 is
published, the one of the first download is recorded and a later change is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data_connectors.cohorts import Cohort
from data_connectors.endpoints import PUBLIC
from data_connectors.errors import ChangedServiceError
from data_connectors.samples import tidy_barcode

if TYPE_CHECKING:
    from data_connectors._download import Item

__all__ = ["CDR", "CELLS", "TABLES", "PublishedTable", "immune_table", "items_for", "tables_for", "unusable_aliquots"]


@dataclass(frozen=True)
class PublishedTable:
    """One published table: short name, file name, UUID, MD5 and bytes where published."""

    name: str
    file: str
    uuid: str
    md5: str | None
    size: int | None
    citation: str


TABLES = (
    PublishedTable(
        "cibersort",
        "TCGA.Kallisto.fullIDs.cibersort.relative.tsv",
        "b3df502e-3594-46ef-9f94-d041a20a0b9a",
        "2484144d9669a6831b1220a045528ce1",
        3818975,
        "10.1016/j.immuni.2018.03.023",
    ),
    PublishedTable(
        "leukocyte",
        "TCGA_all_leuk_estimate.masked.20170107.tsv",
        "6f75c9d7-5134-4ed1-b8f3-72856c98a4e8",
        "499fc7f0b0f1512dee486cc996e452f2",
        560473,
        "10.1016/j.immuni.2018.03.023",
    ),
    PublishedTable(
        "absolute",
        "TCGA_mastercalls.abs_tables_JSedit.fixed.txt",
        "4f277128-f793-4354-a13d-30cc7fe9f6b5",
        "8ea2ca92c8ae58350538999dfa1174da",
        901812,
        "10.1016/j.ccell.2018.03.007",
    ),
    PublishedTable(
        "mutation_load",
        "mutation-load_updated.txt",
        "ff3f962c-3573-44ae-a8f4-e5ac0aea64b6",
        None,
        None,
        "10.1016/j.immuni.2018.03.023",
    ),
    PublishedTable(
        "sample_quality",
        "merged_sample_quality_annotations.tsv",
        "1a7d7be8-675d-4e60-a105-19d4121bdebf",
        "05ddd2270fb1fb24fbdc2fe9bf7384e5",
        8463670,
        "10.1016/j.cell.2018.03.042",
    ),
)
"""Tables behind the immune columns, and the one that says which aliquots not to use."""

CDR = PublishedTable(
    "cdr",
    "TCGA-CDR-SupplementalTableS1.xlsx",
    "1b5f413e-a8d1-4d10-92eb-7c4ae739ed81",
    "a4591b2dcee39591f59e5e25a6ce75fa",
    2945129,
    "10.1016/j.cell.2018.02.052",
)
"""The curated endpoints."""


def tables_for(cohort: Cohort) -> tuple[PublishedTable, ...]:
    """Return the published tables that know this cohort."""
    return TABLES if cohort.code else ()


CELLS = {
    "B.cells.naive": "B_cells_naive",
    "B.cells.memory": "B_cells_memory",
    "Plasma.cells": "Plasma_cells",
    "T.cells.CD8": "T_cells_CD8",
    "T.cells.CD4.naive": "T_cells_CD4_naive",
    "T.cells.CD4.memory.resting": "T_cells_CD4_memory_resting",
    "T.cells.CD4.memory.activated": "T_cells_CD4_memory_activated",
    "T.cells.follicular.helper": "T_cells_follicular_helper",
    "T.cells.regulatory..Tregs.": "T_cells_regulatory_Tregs",
    "T.cells.gamma.delta": "T_cells_gamma_delta",
    "NK.cells.resting": "NK_cells_resting",
    "NK.cells.activated": "NK_cells_activated",
    "Monocytes": "Monocytes",
    "Macrophages.M0": "Macrophages_M0",
    "Macrophages.M1": "Macrophages_M1",
    "Macrophages.M2": "Macrophages_M2",
    "Dendritic.cells.resting": "Dendritic_cells_resting",
    "Dendritic.cells.activated": "Dendritic_cells_activated",
    "Mast.cells.resting": "Mast_cells_resting",
    "Mast.cells.activated": "Mast_cells_activated",
    "Eosinophils": "Eosinophils",
    "Neutrophils": "Neutrophils",
}
"""Columns of the CIBERSORT table, and the cell types' plain names."""


def items_for(cohort: Cohort, pins: Mapping[str, str]) -> dict[str, Item]:
    """Return the tables to bring, by short name; `pins` replaces the digest of another edition."""
    from data_connectors._download import Item

    found = {}
    for table in (*tables_for(cohort), *((CDR,) if cohort.code else ())):
        md5 = pins.get(table.uuid, table.md5)
        found[table.name] = Item(
            "clinical" if table is CDR else "immune",
            f"immune/published/{table.file}" if table is not CDR else f"raw/{table.file}",
            (f"{PUBLIC['gdc']}/data/{table.uuid}",),
            table.size if md5 == table.md5 else None,
            md5,
            licence="TCGA open access",
            source=f"doi:{table.citation}",
            version="PanCanAtlas 2018",
        )
    return found


def _read(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    table: pd.DataFrame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding_errors="replace")
    table.columns = [str(column).strip() for column in table.columns]
    lacking = [name for name in needed if name not in table.columns]
    if lacking:
        message = f"{path} lacks the column {lacking[0]}; it is another edition: fetch into a new folder"
        raise ChangedServiceError(message)
    return table


def unusable_aliquots(path: Path) -> frozenset[str]:
    """Return the aliquots that the quality annotations mark ``Do_not_use``."""
    table = _read(path, ["aliquot_barcode", "Do_not_use"])
    marked = table["Do_not_use"].str.strip().str.lower().eq("true")
    return frozenset(tidy_barcode(name) for name in table.loc[marked, "aliquot_barcode"])


def cibersort(path: Path) -> pd.DataFrame:
    """Return cell fractions by patient: primary tumours, repeated aliquots averaged.

    Columns are ``cell:NAME``, `cibersort_p`, `cibersort_correlation` and `cibersort_rows` (rows averaged).
    """
    table = _read(path, ["SampleID", "P.value", "Correlation", *CELLS])
    names = [tidy_barcode(name) for name in table["SampleID"]]
    primary = [name[13:15] in ("01", "03") for name in names]
    columns = {**{raw: f"cell:{name}" for raw, name in CELLS.items()}}
    columns |= {"P.value": "cibersort_p", "Correlation": "cibersort_correlation"}
    values = table[list(columns)].apply(pd.to_numeric, errors="coerce").rename(columns=columns)
    values.insert(0, "patient", [name[:12] for name in names])
    grouped = values[primary].groupby("patient", sort=True)
    result: pd.DataFrame = grouped.mean()
    result["cibersort_rows"] = grouped.size()
    return result


def leukocytes(path: Path) -> pd.Series:
    """Return the methylation leukocyte fraction of primary tumours by patient, clipped to 0 and 1."""
    table = pd.read_csv(path, sep="\t", header=None, names=["type", "barcode", "value"], dtype=str)
    names = [tidy_barcode(str(name)) for name in table["barcode"]]
    values = pd.Series(pd.to_numeric(table["value"], errors="coerce").to_numpy(), index=[name[:12] for name in names])
    values = values[[name[13:15] in ("01", "03") for name in names]].dropna()
    if values.empty:
        message = f"{path} holds no leukocyte fractions of primary tumours; it is another edition"
        raise ChangedServiceError(message)
    return values.groupby(level=0).mean().clip(0.0, 1.0)


def absolute(path: Path) -> pd.DataFrame:
    """Return ABSOLUTE purity and ploidy of called primary tumours by patient."""
    table = _read(path, ["array", "call status", "purity", "ploidy"])
    names = [tidy_barcode(name) for name in table["array"]]
    called = table["call status"].str.strip().eq("called")
    keep = [name[13:15] in ("01", "03") and known for name, known in zip(names, called, strict=True)]
    values = table[["purity", "ploidy"]].apply(pd.to_numeric, errors="coerce")
    values.index = pd.Index([name[:12] for name in names])
    means: pd.DataFrame = values[keep].groupby(level=0).mean()
    return means


def mutation_load(path: Path) -> pd.Series:
    """Return the published non-silent mutations per Mb of primary tumours by patient."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    plain = {re.sub(r"[^a-z]", "", str(column).lower()): column for column in table.columns}
    if not {"tumorsampleid", "nonsilentpermb"} <= set(plain):
        message = f"{path} lacks Tumor_Sample_ID or Non-silent per Mb; it is another edition"
        raise ChangedServiceError(message)
    names = [tidy_barcode(name) for name in table[plain["tumorsampleid"]]]
    values = pd.Series(
        pd.to_numeric(table[plain["nonsilentpermb"]], errors="coerce").to_numpy(), index=[name[:12] for name in names]
    )
    return values[[name[13:15] in ("01", "03") for name in names]].groupby(level=0).mean()


def immune_table(
    patients: Sequence[str], folder: Path, msi: Mapping[str, Mapping[str, float]], items: Mapping[str, Item]
) -> pd.DataFrame:
    """Return one row per patient: fractions, leukocyte fraction, purity, published TMB and MSI.

    Columns: ``cell:NAME``, `cibersort_p`, `cibersort_correlation`, `cibersort_rows`,
    `leukocyte_fraction`, `purity_absolute`, `ploidy`, `tmb_published_per_mb`, `MSI` (MANTIS),
    `msi_sensor`; missing where a source does not know the patient.
    """
    order = pd.Index(patients, name="patient")
    table = cibersort(folder / items["cibersort"].path).reindex(order)
    table["leukocyte_fraction"] = leukocytes(folder / items["leukocyte"].path).reindex(order)
    tumour = absolute(folder / items["absolute"].path).reindex(order)
    table["purity_absolute"], table["ploidy"] = tumour["purity"], tumour["ploidy"]
    table["tmb_published_per_mb"] = mutation_load(folder / items["mutation_load"].path).reindex(order)
    table["MSI"] = [msi.get(name, {}).get("msi_mantis") for name in order]
    table["msi_sensor"] = [msi.get(name, {}).get("msi_sensor") for name in order]
    table[["MSI", "msi_sensor"]] = table[["MSI", "msi_sensor"]].astype("float64")
    table["cibersort_rows"] = table["cibersort_rows"].astype("Int64")
    return table.reset_index()
