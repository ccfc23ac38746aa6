"""Clinical tables as they arrive, and as the cohort holds them: typed, with the unit in the name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort.barcodes import patient_id, refuse_unknown_patients
from imrad.cohort.keys import PATIENT, safe_key, some
from imrad.cohort.tables import read_table
from imrad.exceptions import CohortError, ConfigError, DuplicateError, SchemaError

__all__ = ["ALIASES", "read_clinical", "tidy_clinical", "to_dates", "to_numbers"]

ALIASES: dict[str, tuple[str, ...]] = {
    PATIENT: (
        "patient",
        "patient_id",
        "patientid",
        "bcr_patient_barcode",
        "submitter_id",
        "case_id",
        "case_submitter_id",
        "subject_id",
        "id",
        "病人id",
        "患者id",
        "住院号",
        "病案号",
        "影像号",
        "编号",
    ),
    "age_years": ("age_years", "age", "age_at_initial_pathologic_diagnosis", "age_at_diagnosis_years", "年龄"),
    "sex": ("sex", "gender", "性别"),
    "stage": (
        "stage",
        "ajcc_pathologic_tumor_stage",
        "ajcc_pathologic_stage",
        "pathologic_stage",
        "tumor_stage",
        "tnm_stage",
        "分期",
        "临床分期",
        "病理分期",
    ),
    "grade": ("grade", "histological_grade", "tumor_grade", "neoplasm_histologic_grade", "分级", "病理分级"),
}

_MISSING = {
    "",
    "na",
    "n/a",
    "nan",
    "none",
    "null",
    "--",
    "'--",
    "-",
    "#n/a",
    "[not available]",
    "[not applicable]",
    "[not evaluated]",
    "[unknown]",
    "[discrepancy]",
    "[completed]",
    "not available",
    "not applicable",
    "not reported",
    "unknown",
    "不详",
    "未知",
    "无记录",
}
_MISSING_PREFIXES = ("not collected", "not recorded", "not assessed", "not done", "not evaluated", "[not ")
_SEX = {"male": "male", "m": "male", "男": "male", "female": "female", "f": "female", "女": "female"}
_STAGES = ["0", "I", "II", "III", "IV"]
_ARABIC = {"1": "I", "2": "II", "3": "III", "4": "IV", "Ⅰ": "I", "Ⅱ": "II", "Ⅲ": "III", "Ⅳ": "IV"}
_ARABIC |= {"IS": "0", "0IS": "0", "0A": "0"}
_GRADES = {"low": "Low", "lowgrade": "Low", "high": "High", "highgrade": "High", "lg": "Low", "hg": "High"}
_SERIAL = re.compile(r"\d{5}(\.\d*)?$")
_SERIAL_START = pd.Timestamp("1899-12-30")
SERIALS = (10_000.0, 73_051.0)
"""Days of 1927 to 2099 as sheet programs count them."""
_YEAR_LAST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?:[T ].*)?$")
_YEAR_FIRST = re.compile(r"(\d{4})(?:[-/.年]\s?(\d{1,2})[-/.月]\s?(\d{1,2})日?|(\d{2})(\d{2}))(?:[T ].*)?$")


def read_clinical(path: str | Path, *, mapping: Mapping[str, str] | None = None, sheet: str | int = 0) -> pd.DataFrame:
    """Read a clinical table and type it: :func:`read_table`, then :func:`tidy_clinical`."""
    return tidy_clinical(read_table(path, sheet=sheet), mapping=mapping)


def tidy_clinical(table: pd.DataFrame, *, mapping: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Type a clinical table: one row per patient, known columns under their names in the cohort.

    Parameters
    ----------
    table : DataFrame
        One row per patient; the patient is a column (see :data:`ALIASES`) or the index.
    mapping : mapping, optional
        Name in the cohort to column of the table, such as ``{"age_years": "Alter", "os_days": "FU"}``;
        it goes before the aliases.

    Returns
    -------
    DataFrame
        Index ``patient``. ``age_years`` is a number, ``sex`` is female or male, ``stage`` an ordered
        category 0 < I < II < III < IV (A, B, C dropped), ``grade`` an ordered category (G1 to G4, or
        Low and High). Other columns are numbers where every value is one, else categories of text.

    Raises
    ------
    SchemaError, DuplicateError, CohortError
        If there is no patient column, a patient stands twice, or a typed column holds something else.
    """
    return type_clinical(index_clinical(table, mapping=mapping))


def index_clinical(table: pd.DataFrame, *, mapping: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Put the patient into the index and the known columns under their names; values stay as they are.

    Raises
    ------
    SchemaError, CohortError, ConfigError
        If there is no patient column, an identifier is empty, or a mapped column is not there.
    """
    refuse_unreadable(table, "clinical")
    renamed = table.rename(columns=_renaming(table, mapping or {}))
    if PATIENT in renamed.columns:
        labels = list(renamed.pop(PATIENT))
    elif table.index.name is not None or not isinstance(table.index, pd.RangeIndex):
        labels = list(table.index)
    else:
        message = (
            f"the clinical table names no patients: it has the columns {some(table.columns, 12)}; "
            "call one of them patient, or map it"
        )
        raise SchemaError(message)
    refuse_unknown_patients(labels)
    return renamed.set_axis(pd.Index([patient_id(label) for label in labels], name=PATIENT, dtype=object), axis=0)


def type_clinical(indexed: pd.DataFrame) -> pd.DataFrame:
    """Type the columns of what :func:`index_clinical` returned.

    Raises
    ------
    DuplicateError, CohortError
        If a patient stands twice, or a typed column holds something else.
    """
    twice = indexed.index[indexed.index.duplicated()].unique()
    if len(twice):
        message = f"the clinical table has several rows for {some(twice)}; keep one row per patient"
        raise DuplicateError(message)
    columns = {str(name): _typed(str(name), indexed[name]) for name in indexed.columns}
    return pd.DataFrame(columns, index=indexed.index)


def refuse_unreadable(table: pd.DataFrame, name: str) -> None:
    """Refuse a table without rows or with several columns of one name.

    Raises
    ------
    SchemaError
        If it is such a table.
    """
    twice = table.columns[table.columns.duplicated()].unique()
    if len(twice):
        message = f"the {name} table has several columns named {some(twice)}; rename or delete the extra ones"
        raise SchemaError(message)
    if not len(table):
        message = f"the {name} table holds no rows; one row per patient is needed"
        raise SchemaError(message)


def _renaming(table: pd.DataFrame, mapping: Mapping[str, str]) -> dict[str, str]:
    absent = [column for column in mapping.values() if column not in table.columns]
    if absent:
        message = f"the mapped columns {some(absent)} are not in the table; it has {some(table.columns, 12)}"
        raise ConfigError(message)
    renaming = {column: name for name, column in mapping.items()}
    taken = set(renaming.values())
    by_name = {str(column).strip().lower().replace(" ", "_"): column for column in table.columns}
    for name, aliases in ALIASES.items():
        if name in taken or name in table.columns:
            continue
        found = next((by_name[alias] for alias in aliases if alias in by_name and by_name[alias] not in renaming), None)
        if found is not None:
            renaming[found] = name
    safe = {str(column): safe_key(renaming.get(column, str(column))) for column in table.columns}
    clash = [name for name in set(safe.values()) if list(safe.values()).count(name) > 1]
    if clash:
        message = f"several columns of the clinical table would be called {some(sorted(clash))}; rename them"
        raise SchemaError(message)
    return safe


def _typed(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
        found = [level for level in column.cat.categories if (column == level).any()]
        return pd.Series(pd.Categorical(column, categories=found, ordered=True), index=column.index)
    if column.dtype.kind in "biuf":
        plain = column.astype(float)
        return _age(plain) if name == "age_years" else _from_numbers(column) if name in _FROM_TEXT else plain
    cleaned = _cleaned(column)
    if name == "age_years":
        return _numeric_age(cleaned)
    if name in _FROM_TEXT:
        return _FROM_TEXT[name](cleaned)
    numbers, wrong = to_numbers(cleaned)
    return cleaned.astype("category") if wrong.any() else numbers


def _from_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    texts = [np.nan if pd.isna(value) else f"{value:g}" for value in column]
    return _FROM_TEXT[str(column.name)](pd.Series(texts, index=column.index, name=column.name, dtype=object))


def to_numbers(column: pd.Series[Any]) -> tuple[pd.Series[float], pd.Series[bool]]:
    """Return a column as floats, and where it holds something that is neither a number nor missing."""
    if column.dtype.kind in "biuf":
        return column.astype(float), pd.Series(False, index=column.index)
    cleaned = _cleaned(column)
    numbers = pd.Series([_number(value) for value in cleaned], index=column.index, name=column.name, dtype=float)
    return numbers, numbers.isna() & cleaned.notna()


def _number(value: Any) -> float:
    # pandas' own reader is off by one in the last digit for some texts; a digest would notice.
    try:
        return np.nan if "_" in str(value) else float(value)
    except ValueError:
        return np.nan


def to_dates(column: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[bool]]:
    """Return a column as dates, and where it holds something that is no unambiguous date.

    The year comes first: 2021-03-04, 2021/3/4, 2021.03.04, 20210304 or 2021年3月4日, with or without a
    time of day. 03/04/2021 is read differently on two sides of an ocean: a column of such dates is
    read only if one of its two fields exceeds 12 somewhere and the other never does. A number of five
    digits is the day that a sheet program counts from 1899-12-30.
    """
    if column.dtype.kind == "M":
        return column, pd.Series(False, index=column.index)
    if column.dtype.kind in "iuf":
        column = column.astype(object).map(lambda value: value if pd.isna(value) else f"{value:.0f}")
    cleaned = _cleaned(column)
    texts = ["" if pd.isna(value) else str(value) for value in cleaned]
    year_last = [match for text in texts if (match := _YEAR_LAST.match(text))]
    largest = [max((int(match[field]) for match in year_last), default=0) for field in (1, 2)]
    day, month = (1, 2) if largest[0] > 12 >= largest[1] else (2, 1) if largest[1] > 12 >= largest[0] else (0, 0)

    def read(text: str) -> Any:
        first, last = _YEAR_FIRST.match(text), _YEAR_LAST.match(text)
        if _SERIAL.match(text) and SERIALS[0] <= float(text) < SERIALS[1]:
            return _SERIAL_START + pd.Timedelta(days=int(float(text)))
        try:
            if first:
                return pd.Timestamp(int(first[1]), int(first[2] or first[4]), int(first[3] or first[5]))
            return pd.Timestamp(int(last[3]), int(last[month]), int(last[day])) if last and day else pd.NaT
        except ValueError:
            return pd.NaT

    dates = pd.to_datetime(pd.Series([read(text) for text in texts], index=column.index, name=column.name))
    return dates, dates.isna() & cleaned.notna()


def _cleaned(column: pd.Series[Any]) -> pd.Series[Any]:
    def clean(value: Any) -> Any:
        if pd.isna(value):
            return np.nan
        text = value.strftime("%Y-%m-%d") if hasattr(value, "strftime") else str(value).strip()
        return np.nan if text.lower() in _MISSING or text.lower().startswith(_MISSING_PREFIXES) else text

    return pd.Series([clean(value) for value in column], index=column.index, name=column.name, dtype=object)


def _numeric_age(column: pd.Series[Any]) -> pd.Series[Any]:
    numbers, wrong = to_numbers(column)
    _refuse(column, wrong, "a number of years")
    return _age(numbers)


def _age(years: pd.Series[Any]) -> pd.Series[Any]:
    _refuse(years, (years < 0) | (years > 120), "an age in years between 0 and 120")
    return years


def _sex(column: pd.Series[Any]) -> pd.Series[Any]:
    read = column.map(lambda value: value if pd.isna(value) else _SEX.get(str(value).lower(), ""))
    _refuse(column, read == "", "male or female (M, F)")
    return pd.Series(pd.Categorical(read, categories=["female", "male"]), index=column.index)


def _stage(column: pd.Series[Any]) -> pd.Series[Any]:
    def read(value: Any) -> Any:
        if pd.isna(value):
            return value
        text = re.sub(r"^[CPY]*(STAGE|期)?\s*|期$", "", str(value).strip().upper()).strip()
        if text in ("X", "STAGE X", "I/II NOS"):
            return np.nan
        match = re.fullmatch(r"(IS|0(?:IS|A)?|IV|I{1,3}|[1-4]|[ⅠⅡⅢⅣ])\s*[ABC]?\d?", text)
        return "" if match is None else _ARABIC.get(match[1], match[1])

    return _ordered(column, column.map(read), _STAGES, "a stage 0, I, II, III or IV (with A, B or C)")


def _grade(column: pd.Series[Any]) -> pd.Series[Any]:
    def read(value: Any) -> Any:
        if pd.isna(value):
            return value
        text = re.sub(r"[\s_-]", "", str(value)).lower()
        if text in ("gx", "gb"):
            return np.nan
        match = re.fullmatch(r"(?:g|grade)?([1-4])", text)
        return f"G{match[1]}" if match else _GRADES.get(text, "")

    read_values = column.map(read)
    two_tier = read_values.isin(["Low", "High"]).any()
    categories = ["Low", "High"] if two_tier else ["G1", "G2", "G3", "G4"]
    return _ordered(column, read_values, categories, "grades G1 to G4, or Low and High, not a mixture")


_FROM_TEXT: dict[str, Callable[[pd.Series[Any]], pd.Series[Any]]] = {"sex": _sex, "stage": _stage, "grade": _grade}


def _ordered(column: pd.Series[Any], read: pd.Series[Any], categories: list[str], needed: str) -> pd.Series[Any]:
    _refuse(column, read.notna() & ~read.isin(categories), needed)
    found = [name for name in categories if (read == name).any()]
    return pd.Series(pd.Categorical(read, categories=found, ordered=True), index=column.index)


def _refuse(column: pd.Series[Any], wrong: pd.Series[bool], needed: str) -> None:
    if wrong.any():
        patients = column.index[wrong]
        values = sorted({str(value) for value in column[wrong]})
        message = (
            f"{column.name} holds {some(values)} for {some(patients)}; it must hold {needed}, "
            "or be mapped to another name"
        )
        raise CohortError(message)
