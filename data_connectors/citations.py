"""What to cite and which licences bind, from what a folder really holds."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from data_connectors.manifest import Record

__all__ = ["bibliography", "licence_table"]

_KNOWN: Final = Path(__file__).with_name("citations.bib")
_SERVICES: Final = (
    ("IDC", "10.1148/rg.230180"),
    ("GDC", "10.1056/nejmp1607591"),
    ("cBioPortal", "10.1158/2159-8290.cd-12-0095"),
    ("TCIA", "10.1007/s10278-013-9622-7"),
)
_NON_COMMERCIAL = re.compile(r"\bNC\b")


def bibliography(records: Iterable[Record]) -> str:
    """Return BibTeX for every source of the files that a folder holds."""
    dois: dict[str, str] = {}
    for record in records:
        if record.kind == "table":
            continue
        if record.source.startswith("doi:"):
            doi = record.source[4:].lower()
            dois.setdefault(doi, record.version)
            if "tcia" in doi:
                dois.setdefault(_SERVICES[-1][1], "")
        for service, doi in _SERVICES:
            if record.source.startswith(service) or record.version.startswith(service):
                dois.setdefault(doi, "")
    known = _known_entries()
    return "\n".join(_entry(doi, dois[doi], known) for doi in sorted(dois))


def _known_entries() -> dict[str, str]:
    entries = re.split(r"\n(?=@)", _KNOWN.read_text(encoding="utf-8"))
    found = ((re.search(r"doi = \{([^}]+)\}", entry), entry.strip()) for entry in entries)
    return {doi.group(1).lower(): entry for doi, entry in found if doi}


def _entry(doi: str, version: str, known: Mapping[str, str]) -> str:
    entry = known.get(doi)
    if entry is None:
        key = re.sub(r"[^a-z0-9]+", "_", doi)
        title = f"Data set doi:{doi} (authors and title: see the DOI)"
        entry = f"@misc{{{key},\n  title = {{{{{title}}}}},\n  doi = {{{doi}}},\n}}"
    note = f"  note = {{as of {version}}},\n" if version else ""
    return f"{entry[:-1]}  url = {{https://doi.org/{doi}}},\n{note}}}\n"


def licence_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return what each licence covers: columns `licence`, `kind`, `source`, `files`, `bytes`, `note`."""
    rows = [
        {"licence": one.licence or "not stated", "kind": one.kind, "source": one.source, "bytes": one.size}
        for one in records
        if one.kind not in ("table", "query")
    ]
    table = pd.DataFrame(rows, columns=["licence", "kind", "source", "bytes"])
    grouped = table.groupby(["licence", "kind", "source"], sort=True)["bytes"].agg(["size", "sum"]).reset_index()
    grouped.columns = pd.Index(["licence", "kind", "source", "files", "bytes"])
    grouped["note"] = [_note(str(licence)) for licence in grouped["licence"]]
    return grouped


def _note(licence: str) -> str:
    if _NON_COMMERCIAL.search(licence):
        return "non-commercial use only"
    if licence.startswith("CC BY"):
        return "free with attribution"
    return "open; follow the publication and data use policy of the source"


def as_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV bytes that are the same wherever it is written."""
    text = io.StringIO()
    table.to_csv(text, index=False, lineterminator="\n", float_format="%.10g")
    return text.getvalue().encode()
