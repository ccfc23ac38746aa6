"""One clinical row per patient: curated endpoints first, the GDC's beside them, disagreements told.

Overall survival, disease-specific survival, disease-free and progression-free interval come from the
TCGA clinical data resource where it knows the patient; the GDC serves the rest, and every patient whose
two sources disagree is listed.

References
----------
Liu et al. 2018, Cell 173:400. doi:10.1016/j.cell.2018.02.052
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from data_connectors.errors import ChangedServiceError

__all__ = ["CLINICAL_COLUMNS", "clinical_table", "disagreements", "gdc_rows", "read_cdr", "read_nsclc"]

ENDPOINTS: Final = ("OS", "DSS", "DFI", "PFI")
CLINICAL_COLUMNS: Final = (
    "patient",
    "age_years",
    "sex",
    "race",
    "stage",
    "grade",
    "histology",
    *(f"{name.lower()}_{part}" for name in ENDPOINTS for part in ("days", "event")),
    "endpoint_source",
)
_MISSING = re.compile(r"^(|nan|none|#n/a|not reported|unknown|not collected|--|\[.*\])$", re.IGNORECASE)
DAYS_PER_YEAR: Final = 365.25


def _text(value: Any) -> str | None:
    plain = "" if value is None else str(value).strip()
    return None if _MISSING.match(plain) else plain


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).strip())
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _event(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number > 0)


def read_cdr(path: Path, code: str) -> dict[str, dict[str, Any]]:
    """Read the curated resource's rows of one tumour type by patient; redacted patients are left out.

    Raises
    ------
    ChangedServiceError
        If the workbook has no such sheet or column.
    """
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        names = [name for name in book.sheetnames if "cdr" in name.lower()]
        if not names:
            message = f"{path} has the sheets {', '.join(book.sheetnames)} and none is TCGA-CDR; it is another edition"
            raise ChangedServiceError(message)
        rows = book[names[0]].iter_rows(values_only=True)
        head = [str(one or "") for one in next(rows)]
        needed = {"bcr_patient_barcode", "type", *ENDPOINTS, *(f"{name}.time" for name in ENDPOINTS)}
        lacking = sorted(needed - set(head))
        if lacking:
            message = f"{path} lacks the column {lacking[0]}; it is another edition of the resource"
            raise ChangedServiceError(message)
        found: dict[str, dict[str, Any]] = {}
        for values in rows:
            row = dict(zip(head, values, strict=False))
            if str(row["type"]).strip() == code and _text(row.get("Redaction")) is None:
                found[str(row["bcr_patient_barcode"]).strip().upper()] = _cdr_row(row)
        return found
    finally:
        book.close()


def _cdr_row(row: Mapping[str, Any]) -> dict[str, Any]:
    stage = _text(row.get("ajcc_pathologic_tumor_stage")) or _text(row.get("clinical_stage"))
    result: dict[str, Any] = {
        "age_years": _number(row.get("age_at_initial_pathologic_diagnosis")),
        "sex": (_text(row.get("gender")) or "").lower() or None,
        "race": (_text(row.get("race")) or "").lower() or None,
        "stage": stage,
        "grade": _text(row.get("histological_grade")),
        "histology": _text(row.get("histological_type")),
    }
    for name in ENDPOINTS:
        days, event = _number(row[f"{name}.time"]), _event(row[name])
        both = days is not None and event is not None
        result[f"{name.lower()}_days"] = days if both else None
        result[f"{name.lower()}_event"] = event if both else None
    return result


def gdc_rows(hits: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the GDC's clinical records by patient, moved fields looked for where they were before too."""
    return {str(hit["submitter_id"]): _gdc_row(hit) for hit in hits if hit.get("submitter_id")}


def _listed(value: Any) -> list[Mapping[str, Any]]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _gdc_row(hit: Mapping[str, Any]) -> dict[str, Any]:
    person: Mapping[str, Any] = (_listed(hit.get("demographic")) or [{}])[0]
    diagnoses = _listed(hit.get("diagnoses"))
    primary = primary_diagnosis(diagnoses)
    follow_ups = _listed(hit.get("follow_ups"))
    age_days = _number(primary.get("age_at_diagnosis"))
    age = _number(person.get("age_at_index"))
    return {
        "age_years": age if age is not None else None if age_days is None else round(age_days / DAYS_PER_YEAR, 1),
        "sex": _first(person, ("sex_at_birth", "gender"), lower=True),
        "race": _first(person, ("race",), lower=True),
        "stage": _first(primary, ("ajcc_pathologic_stage", "figo_stage", "ajcc_clinical_stage", "tumor_stage")),
        "grade": _first(primary, ("tumor_grade",)),
        "histology": _first(primary, ("primary_diagnosis",)),
        **_survival(person, diagnoses, follow_ups),
    }


def _first(record: Mapping[str, Any], names: Sequence[str], *, lower: bool = False) -> str | None:
    for name in names:
        value = _text(record.get(name))
        if value is not None:
            return value.lower() if lower else value
    return None


def primary_diagnosis(diagnoses: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the diagnosis of the tumour itself among prior malignancies and metastases."""
    tests: tuple[Callable[[Mapping[str, Any]], bool], ...] = (
        lambda one: str(one.get("diagnosis_is_primary_disease", "")).lower() == "true",
        lambda one: str(one.get("classification_of_tumor", "")).lower() == "primary",
        lambda one: _number(one.get("days_to_diagnosis")) == 0,
        lambda one: _first(one, ("ajcc_pathologic_stage", "figo_stage", "tumor_stage")) is not None,
    )
    for test in tests:
        for one in diagnoses:
            if test(one):
                return one
    return diagnoses[0] if diagnoses else {}


def _survival(
    person: Mapping[str, Any], diagnoses: Sequence[Mapping[str, Any]], follow_ups: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    vital = str(person.get("vital_status", "")).lower()
    died = _number(person.get("days_to_death"))
    seen = [_number(one.get("days_to_last_follow_up")) for one in diagnoses]
    seen += [_number(one.get("days_to_follow_up")) for one in follow_ups]
    last = max((one for one in seen if one is not None), default=None)
    row: dict[str, Any] = {f"{name.lower()}_{part}": None for name in ENDPOINTS for part in ("days", "event")}
    if vital == "dead" and died is not None:
        row.update(os_days=died, os_event=1)
    elif vital == "alive" and last is not None:
        row.update(os_days=last, os_event=0)
    progressed = [
        day
        for one in follow_ups
        for day in (_number(one.get("days_to_progression")), _number(one.get("days_to_recurrence")))
        if day is not None
    ]
    # Progression is only known to be absent where follow-up was recorded as such.
    if progressed:
        row.update(pfi_days=min([*progressed, *([died] if died is not None else [])]), pfi_event=1)
    elif row["os_days"] is not None and any("progression_or_recurrence" in one for one in follow_ups):
        row.update(pfi_days=row["os_days"], pfi_event=row["os_event"])
    return row


def clinical_table(
    patients: Sequence[str], curated: Mapping[str, Mapping[str, Any]], gdc: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return one row per patient (columns :data:`CLINICAL_COLUMNS`): endpoints curated first."""
    rows = []
    for name in patients:
        first, second = curated.get(name, {}), gdc.get(name, {})
        row: dict[str, Any] = {"patient": name}
        for column in CLINICAL_COLUMNS[1:-1]:
            endpoint = column.endswith(("_days", "_event"))
            value = first.get(column) if endpoint and first else None
            if not endpoint:
                value = second.get(column)
                value = first.get(column) if value is None else value
            elif not first:
                value = second.get(column)
            row[column] = value
        row["endpoint_source"] = "TCGA-CDR" if first else "GDC" if second else ""
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(CLINICAL_COLUMNS))
    for column in table.columns:
        if column.endswith("_event"):
            table[column] = table[column].astype("Int64")
        elif column.endswith("_days") or column == "age_years":
            table[column] = table[column].astype("float64")
    return table


def disagreements(
    patients: Sequence[str], curated: Mapping[str, Mapping[str, Any]], gdc: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return where the two sources differ: columns `patient`, `field`, `cdr`, `gdc`.

    Times that differ by a day are rounding; a later follow-up with the same event is listed as well.
    """
    rows = []
    for name in patients:
        first, second = curated.get(name), gdc.get(name)
        if first is None or second is None:
            continue
        for column in ("os_event", "os_days"):
            one, other = first.get(column), second.get(column)
            differs = (one is None) != (other is None)
            if one is not None and other is not None:
                differs = one != other if column.endswith("event") else abs(one - other) > 1
            if differs:
                rows.append({"patient": name, "field": column, "cdr": one, "gdc": other})
    return pd.DataFrame(rows, columns=["patient", "field", "cdr", "gdc"])


def read_nsclc(data: bytes, patients: Sequence[str]) -> pd.DataFrame:
    """Read the clinical sheet of a lung collection (Lung1, or Radiogenomics) as the clinical table.

    Raises
    ------
    ChangedServiceError
        If it is neither of the two known sheets.
    """
    sheet = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    by_name = {re.sub(r"[^a-z]", "", column.lower()): column for column in sheet.columns}

    def take(*names: str) -> list[str]:
        for name in names:
            if name in by_name:
                return [str(value) for value in sheet[by_name[name]]]
        return [""] * len(sheet)

    if "survivaltime" in by_name and "deadstatusevent" in by_name:
        days = [_number(value) for value in take("survivaltime")]
        events = [_event(value) for value in take("deadstatusevent")]
    elif "survivalstatus" in by_name:
        days, events = _dated_survival(take)
    else:
        message = (
            f"the clinical sheet has the columns {', '.join(sheet.columns[:8])}, ... and no survival; it is another "
            "edition"
        )
        raise ChangedServiceError(message)
    found = {}
    ids = take("patientid", "caseid")
    columns = zip(
        ids,
        take("age", "ageathistologicaldiagnosis"),
        take("gender"),
        take("ethnicity"),
        take("overallstage", "pathologicaltstage"),
        take("histopathologicalgrade"),
        take("histology"),
        days,
        events,
        strict=True,
    )
    for name, age, sex, race, stage, grade, histology, time, event in columns:
        found[name.strip()] = {
            "age_years": _number(age),
            "sex": (_text(sex) or "").lower() or None,
            "race": _text(race),
            "stage": _text(stage),
            "grade": _text(grade),
            "histology": _text(histology),
            "os_days": time if event is not None else None,
            "os_event": event if time is not None else None,
        }
    table = clinical_table(patients, {}, found)
    table["endpoint_source"] = ["collection's sheet" if name in found else "" for name in table["patient"]]
    return table


def _dated_survival(take: Any) -> tuple[list[float | None], list[int | None]]:
    start = pd.to_datetime(pd.Series(take("ctdate")), errors="coerce", format="mixed")
    death = pd.to_datetime(pd.Series(take("dateofdeath")), errors="coerce", format="mixed")
    last = pd.to_datetime(pd.Series(take("dateoflastknownalive")), errors="coerce", format="mixed")
    told = [_number(value) for value in take("timetodeathdays")]
    events = [{"dead": 1, "alive": 0}.get(value.strip().lower()) for value in take("survivalstatus")]
    days: list[float | None] = []
    for number, event in enumerate(events):
        end = death[number] if event else last[number]
        span = (end - start[number]).days if pd.notna(end) and pd.notna(start[number]) else None
        value = told[number] if event and told[number] is not None else span
        days.append(None if value is None or value < 0 else float(value))
    return days, events
