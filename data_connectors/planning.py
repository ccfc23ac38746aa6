"""What a fetch will bring, before one byte moves: what, how many, how large, under which licence.

A plan asks nobody. Images and segmentations come exact from the bundled index; what only the GDC
knows is estimated from published tables and marked so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_connectors import index, panimmune
from data_connectors.cohorts import Cohort, SegmentationSource, availability, find_cohort, load_cohorts
from data_connectors.endpoints import Endpoints
from data_connectors.errors import SelectionError
from data_connectors.series import COLUMNS, Row, check_phase, judge, order

__all__ = ["KINDS", "Plan", "cohort_table", "plan"]

KINDS = ("images", "segmentations", "expression", "mutations", "clinical", "immune")

EXPRESSION_BYTES = 4_200_000
MUTATION_BYTES = 15_000
CLINICAL_BYTES = 30_000
TCGA = "TCGA open access"
BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}")


@dataclass(frozen=True)
class Plan:
    """What a fetch will bring.

    Attributes
    ----------
    cohort : Cohort
        What is fetched.
    only : tuple of str
        Kinds of data.
    patients : tuple of str
        Patients, in the order of preference of the cohort.
    phase : str
        Contrast phase asked for.
    series : DataFrame
        Every image and segmentation series of these patients, what is done with it and why.
    table : DataFrame
        One row per kind: what, files, bytes, whether exact, licence.
    endpoints : Endpoints
        Where the services stand.
    index_version : str
        Release of the image index.
    """

    cohort: Cohort
    only: tuple[str, ...]
    patients: tuple[str, ...]
    phase: str
    series: pd.DataFrame
    table: pd.DataFrame
    endpoints: Endpoints
    index_version: str

    @property
    def bytes(self) -> int:
        """Bytes of everything planned, estimates included."""
        return int(self.table["bytes"].sum())

    def summary(self) -> str:
        """Return the plan as a few lines of text."""
        lines = [
            f"{self.cohort.name}: {self.cohort.title}; {len(self.patients)} patients, image index {self.index_version}"
        ]
        for row in self.table.to_dict("records"):
            about = "" if row["exact"] else "about "
            lines.append(
                f"  {row['kind']:<14} {row['count']:>6} {row['what']:<34} {about + _size(row['bytes']):>14}  "
                f"{row['licence']}"
            )
        lines.append(f"  together {_size(self.bytes)}; {self.note()}")
        return "\n".join(lines)

    def note(self) -> str:
        """Say where the numbers come from."""
        return (
            "images and segmentations as the index announces them, the rest estimated; nothing has been asked or "
            "fetched"
            if not self.table["exact"].all()
            else "as the index announces them; nothing has been asked or fetched"
        )

    def header(self) -> dict[str, Any]:
        """Return what a manifest has to know to repeat this plan: plain values."""
        chosen = self.series[list(COLUMNS)].to_dict("records")
        return {
            "cohort": self.cohort.name,
            "only": list(self.only),
            "patients": list(self.patients),
            "phase": self.phase,
            "index_version": self.index_version,
            "series": [[row[name] for name in COLUMNS] for row in chosen],
            "columns": list(COLUMNS),
        }


def plan(
    cohort: str,
    *,
    only: Sequence[str] | str | None = None,
    patients: int | Sequence[str] | str | os.PathLike[str] | None = None,
    phase: str = "best",
    endpoints: Endpoints | None = None,
) -> Plan:
    """Decide what to fetch, offline.

    Parameters
    ----------
    cohort : str
        Name, such as ``tcga-kirc``; :func:`cohort_table` lists them.
    only : sequence of str or str, optional
        Kinds of data (:data:`KINDS`), also comma-joined; by default all that the cohort has.
    patients : int, sequence of str, or path, optional
        The first so many, these, or those that a text or CSV file lists. By default the patients with
        a tumour segmentation, or all with a CT where the cohort has no segmentations.
    phase : str
        ``arterial``, ``venous``, ``delayed`` or ``best``.
    endpoints : Endpoints, optional
        Where the services stand; by default what the environment says.

    Raises
    ------
    SelectionError
        If a name is unknown, or nobody is left.
    """
    chosen = find_cohort(cohort)
    kinds = _kinds(only, chosen)
    check_phase(phase)
    places = endpoints or Endpoints.from_environment()
    rows = index.series_of([chosen.collection], places)
    by_patient = _by_patient(rows, chosen)
    names = _patients(patients, chosen, by_patient)
    decided: list[Row] = []
    for name in names:
        decided.extend(_decide(by_patient.get(name, _Patient([], {})), chosen, phase))
    series = pd.DataFrame(decided, columns=list(COLUMNS))
    table = _table(series, chosen, kinds, names)
    return Plan(chosen, kinds, names, phase, series, table, places, index.index_version(places))


@dataclass
class _Patient:
    """CT series of one patient, and the segmentations of each source, in the source's order."""

    ct: list[Row]
    segmentations: dict[str, list[Row]]


def _by_patient(rows: pd.DataFrame, cohort: Cohort) -> dict[str, _Patient]:
    found: dict[str, _Patient] = {}
    records: list[Row] = [dict(zip(rows.columns, values, strict=True)) for values in rows.itertuples(index=False)]
    for row in records:
        if row["modality"] == "CT" and not row["analysis"]:
            found.setdefault(row["patient"], _Patient([], {})).ct.append(row)
    for source in cohort.segmentations:
        for row in records:
            if row["modality"] != source.modality or row["analysis"] != (source.analysis or ""):
                continue
            patient = found.get(row["patient"])
            # A segmentation in a study without CT outlines another modality.
            if patient is None or not source.covers(row["description"]):
                continue
            if any(one["study"] == row["study"] for one in patient.ct):
                patient.segmentations.setdefault(source.name, []).append(row)
    return found


def _kinds(only: Sequence[str] | str | None, cohort: Cohort) -> tuple[str, ...]:
    if only is None:
        return cohort.kinds
    asked = [part.strip().lower() for part in (only.split(",") if isinstance(only, str) else only)]
    unknown = [kind for kind in asked if kind not in KINDS]
    if unknown or not asked:
        message = f"there is no kind of data {(unknown or [''])[0]!r}; give some of {', '.join(KINDS)}"
        raise SelectionError(message)
    absent = [kind for kind in asked if kind not in cohort.kinds]
    if absent:
        message = f"{cohort.name} has no {absent[0]}; it has {', '.join(cohort.kinds)}"
        raise SelectionError(message)
    return tuple(kind for kind in KINDS if kind in asked)


def _patients(
    asked: int | Sequence[str] | str | os.PathLike[str] | None, cohort: Cohort, found: Mapping[str, _Patient]
) -> tuple[str, ...]:
    ranked = sorted(found, key=lambda name: (_source_rank(found[name], cohort), name))
    if asked is None:
        limit = len(cohort.segmentations)
        return tuple(name for name in ranked if not limit or _source_rank(found[name], cohort) < limit)
    if isinstance(asked, int):
        if not 0 < asked <= len(ranked):
            message = (
                f"{asked} patients were asked for and {cohort.name} has {len(ranked)} with CT; give a number between"
            )
            raise SelectionError(message)
        return tuple(ranked[:asked])
    names = _read_names(asked) if isinstance(asked, str | os.PathLike) else [str(one) for one in asked]
    names = list(dict.fromkeys(_tidy_name(name, cohort) for name in names))
    if not any(name in found for name in names) and not cohort.project:
        message = (
            f"none of the {len(names)} patients named is in {cohort.name}; its ids look like {', '.join(ranked[:2])}"
        )
        raise SelectionError(message)
    wrong = [name for name in names if cohort.code and not BARCODE.fullmatch(name)]
    if wrong or not names:
        message = (
            f"{(wrong or [''])[0]!r} is not a TCGA patient barcode; ids of {cohort.name} look like "
            f"{', '.join(ranked[:2])}"
        )
        raise SelectionError(message)
    return tuple(names)


def _source_rank(patient: _Patient, cohort: Cohort) -> int:
    for rank, source in enumerate(cohort.segmentations):
        if source.name in patient.segmentations:
            return rank
    return len(cohort.segmentations)


def _read_names(path: str | os.PathLike[str]) -> list[str]:
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"the patients file {str(path)!r} cannot be read ({error}); give a text file with one patient per line"
        )
        raise SelectionError(message) from error
    names = [re.split(r"[,;\t ]", line.strip(), maxsplit=1)[0].strip('"') for line in lines if line.strip()]
    heads = {"patient", "patient_id", "patientid", "case", "id", "submitter_id", "bcr_patient_barcode"}
    return [
        name
        for number, name in enumerate(names)
        if not name.startswith("#") and not (number == 0 and name.lower() in heads)
    ]


def _tidy_name(name: str, cohort: Cohort) -> str:
    name = name.strip()
    if not cohort.code:
        return name
    plain = re.sub(r"[._]", "-", name.upper())
    found = BARCODE.match(plain)
    return found.group(0) if found else plain


def _decide(patient: _Patient, cohort: Cohort, phase: str) -> list[Row]:
    """Decide about every series of one patient."""
    if not patient.ct:
        return []
    decided: list[Row] = []
    served: SegmentationSource | None = None
    for source in cohort.segmentations:
        rows = patient.segmentations.get(source.name, [])
        if not rows:
            continue
        if served is not None:
            decided += [_row(row, source, "drop", f"{served.name} is preferred") for row in rows]
            continue
        wanted, unwanted = _of_phase(rows, source, phase)
        decided += unwanted
        if wanted:
            served = source
            decided += wanted
    decided += _decide_ct(patient.ct, decided, served, cohort, phase)
    return decided


def _of_phase(rows: list[Row], source: SegmentationSource, phase: str) -> tuple[list[Row], list[Row]]:
    wanted, unwanted = [], []
    for row in rows:
        named = re.search(source.names, row["description"]) if source.names else None
        own = named.group("phase") if named else "unknown"
        decided = _row({**row, "phase": own}, source, "fetch", "outlines the tumour")
        decided["_number"] = named.group("ct_series") if named else ""
        if phase in ("best", own) or own == "unknown":
            wanted.append(decided)
        else:
            decided.update(decision="drop", reason=f"the phase is {own} and {phase} was asked for")
            unwanted.append(decided)
    return wanted, unwanted


def _decide_ct(
    ct: list[Row], decided: list[Row], served: SegmentationSource | None, cohort: Cohort, phase: str
) -> list[Row]:
    ct = [judge(row, cohort.region) for row in ct]
    ranked = order(ct, phase)
    if served is None:
        result = [
            _row(row, None, "drop" if row["problem"] else "candidate", row["problem"] or "next if the best one fails")
            for row in ranked
        ]
        if result and result[0]["decision"] == "candidate":
            result[0].update(decision="fetch", reason="best of the usable series; no tumour segmentation")
        return result
    wanted = [row for row in decided if row["decision"] == "fetch"]
    named: dict[str, Row] = {}
    open_studies: set[str] = set()
    for seg in wanted:
        same = [
            row for row in ct if row["study"] == seg["study"] and seg["_number"] and row["number"] == seg["_number"]
        ]
        if len(same) == 1:
            seg["source_series"] = same[0]["series"]
            named[same[0]["series"]] = seg
        else:
            open_studies.add(seg["study"])
    result = []
    for row in order(ct, phase, segmented=True):
        seg_or_none = named.get(row["series"])
        if seg_or_none is not None:
            row["phase"] = seg_or_none["phase"]
            result.append(_row(row, served, "fetch", "the segmentation names it"))
        elif row["study"] in open_studies and not row["problem"]:
            result.append(_row(row, served, "candidate", "the segmentation's header will tell"))
        else:
            result.append(_row(row, None, "drop", row["problem"] or "no segmentation refers to it"))
    return result


def _row(row: Row, source: SegmentationSource | None, decision: str, reason: str) -> Row:
    result = {name: row.get(name, "") for name in COLUMNS}
    result.update(decision=decision, reason=reason, segmentation=source.name if source else "", rank=row.get("rank", 0))
    return result


def _table(series: pd.DataFrame, cohort: Cohort, kinds: tuple[str, ...], names: tuple[str, ...]) -> pd.DataFrame:
    rows: list[Row] = []
    fetched = series[series["decision"].eq("fetch")]
    if "images" in kinds:
        rows += _image_rows(series, fetched)
    if "segmentations" in kinds:
        segs = fetched[fetched["modality"].ne("CT")]
        for (source, licence), part in segs.groupby(["segmentation", "licence"], sort=False):
            rows.append(_line("segmentations", str(source), len(part), int(part["bytes"].sum()), True, str(licence)))
    known = availability(cohort.code) if cohort.code else None
    for kind, what, each, has in (
        ("expression", "STAR count files", EXPRESSION_BYTES, "rna"),
        ("mutations", "masked MAF files", MUTATION_BYTES, "maf"),
    ):
        if kind in kinds and not (kind == "expression" and cohort.expression):
            count = len(known[has].intersection(names)) if known is not None else len(names)
            rows.append(_line(kind, what, count, count * each, False, _open(cohort)))
    if "expression" in kinds and cohort.expression:
        rows.append(_line("expression", "published expression matrix", 1, 10_000_000, False, "GEO, public"))
    if "clinical" in kinds:
        rows.append(
            _line(
                "clinical",
                "clinical records",
                len(names),
                30_000 * len(names) if cohort.project else 50_000,
                False,
                _open(cohort),
            )
        )
    if "immune" in kinds:
        tables = panimmune.tables_for(cohort)
        size = sum(table.size or 400_000 for table in tables)
        rows.append(_line("immune", "published tables, MSI scores", len(tables) + 1, size, False, TCGA))
    columns = ["kind", "what", "count", "bytes", "exact", "licence"]
    return pd.DataFrame(rows, columns=columns)


def _image_rows(series: pd.DataFrame, fetched: pd.DataFrame) -> list[Row]:
    rows = []
    scans = fetched[fetched["modality"].eq("CT")]
    for licence, part in scans.groupby("licence", sort=False):
        rows.append(
            _line(
                "images",
                f"CT scans ({int(part['images'].sum())} images)",
                len(part),
                int(part["bytes"].sum()),
                True,
                str(licence),
            )
        )
    # Where only the header names the scan, the best series of the patient stands for it in the estimate.
    waiting = series[series["modality"].eq("CT") & ~series["patient"].isin(set(scans["patient"]))]
    waiting = waiting[waiting["patient"].isin(set(fetched["patient"]))].sort_values(["patient", "decision", "rank"])
    for licence, part in waiting.groupby("licence", sort=False):
        best = part.groupby("patient", sort=False)["bytes"].first()
        rows.append(_line("images", "CT scans (named in headers)", len(best), int(best.sum()), False, str(licence)))
    return rows


def _line(kind: str, what: str, count: int, size: int, exact: bool, licence: str) -> Row:
    return {"kind": kind, "what": what, "count": count, "bytes": size, "exact": exact, "licence": licence}


def _open(cohort: Cohort) -> str:
    return TCGA if cohort.code else "GDC open access" if cohort.project else "as its collection"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def cohort_table(endpoints: Endpoints | None = None) -> pd.DataFrame:
    """Return every cohort with the number of patients that have each kind of data, offline.

    Returns
    -------
    DataFrame
        Columns `cohort`, `title`, `ct` (patients), `series`, `gigabytes`, `expert` and `ai` (patients
        with a tumour segmentation by people and by programs), `segmented` (by either), `sources`,
        `rna`, `maf`, `survival` (of the patients with CT; missing where only the GDC knows),
        `licence`; ``attrs["index_version"]`` is the release that was counted.
    """
    places = endpoints or Endpoints.from_environment()
    cohorts = load_cohorts()
    rows = index.series_of([cohort.collection for cohort in cohorts.values()], places)
    lines = []
    for cohort in cohorts.values():
        mine = rows[rows["collection"].eq(cohort.collection)]
        lines.append(_cohort_line(cohort, mine))
    table = pd.DataFrame(lines)
    for name in ("rna", "maf", "survival"):
        table[name] = table[name].astype("Int64")
    table.attrs["index_version"] = index.index_version(places)
    return table


def _cohort_line(cohort: Cohort, rows: pd.DataFrame) -> dict[str, Any]:
    found = _by_patient(rows, cohort)
    ct = rows[rows["modality"].eq("CT") & rows["analysis"].eq("")]
    having: dict[str, set[str]] = {source.name: set() for source in cohort.segmentations}
    for name, patient in found.items():
        for source_name in patient.segmentations:
            having[source_name].add(name)
    by = {source.name: source.by for source in cohort.segmentations}
    expert: set[str] = set().union(*(who for name, who in having.items() if by[name] == "expert"))
    ai: set[str] = set().union(*(who for name, who in having.items() if by[name] == "ai"))
    known = availability(cohort.code) if cohort.code else None
    line: dict[str, Any] = {
        "cohort": cohort.name,
        "title": cohort.title,
        "ct": len(found),
        "series": len(ct),
        "gigabytes": round(int(ct["bytes"].sum()) / 1e9, 1),
        "expert": len(expert),
        "ai": len(ai),
        "segmented": len(expert | ai),
        "sources": ", ".join(f"{name} {len(who)}" for name, who in having.items()),
    }
    for kind in ("rna", "maf", "survival"):
        line[kind] = len(known[kind].intersection(found)) if known is not None else pd.NA
    line["licence"] = ", ".join(sorted(set(ct["licence"])))
    return line
