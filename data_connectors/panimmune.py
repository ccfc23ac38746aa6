"""The published PanCanAtlas tables: which ones, their pinned digests, and one tidy row per patient.

They are served by UUID without metadata, so name, MD5 and size are pinned here; where no MD5 is
published, the one of the first download is recorded and a later change is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from data_connectors.cohorts import Cohort

__all__ = ["CDR", "TABLES", "PublishedTable", "tables_for"]


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
