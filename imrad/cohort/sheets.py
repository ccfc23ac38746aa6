"""Sheets as people make them: several in a file, titles above the header, merged cells, notes below, numbers as ids."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort.clinical import ALIASES
from imrad.cohort.keys import PATIENT
from imrad.cohort.tables import decoded
from imrad.exceptions import InputError

__all__ = ["IDENTIFYING", "PATIENT_NAMES", "Sheet", "plain_header", "read_sheets"]

PATIENT_NAMES = (
    *ALIASES[PATIENT],
    *("病历号", "登记号", "检查号", "患者编号", "病人编号", "门诊号", "序列号", "病例号", "id号", "受试者编号"),
    *("patient_no", "patient_number", "mrn", "record_id", "pid", "subject", "hospital_id", "study_id", "case"),
)
"""Headers that name patients, the more certain first."""

IDENTIFYING = (
    *(
        "姓名",
        "患者姓名",
        "病人姓名",
        "电话",
        "联系电话",
        "手机",
        "手机号",
        "身份证",
        "身份证号",
        "住址",
        "地址",
        "家庭住址",
    ),
    *("name", "patient_name", "full_name", "surname", "first_name", "last_name", "phone", "telephone", "address"),
)
"""Headers of what says who a patient is; no model needs it."""

_TITLES = 15
"""Rows in which a header is looked for."""

_FOOT = re.compile(r"^(合计|总计|注|备注|说明|平均|total|note|sum|mean)", re.IGNORECASE)


@dataclass(frozen=True)
class Sheet:
    """One sheet of a file.

    Attributes
    ----------
    path : Path
    name : str
        Of the sheet; empty for text files.
    table : DataFrame
        Its rows under its own headers.
    notes : list of str
        What was done to read it; empty where it is a plain table.
    """

    path: Path
    name: str
    table: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def plain_header(name: Any) -> str:
    """Return a header in lower case, without a unit in brackets, spaces as underscores, full-width letters as plain."""
    text = unicodedata.normalize("NFKC", str(name)).strip().lower()
    text = re.sub(r"[(\[【][^)\]】]*[)\]】]", "", text).strip(" :*_")
    return re.sub(r"[\s.\-]+", "_", text)


def read_sheets(path: str | Path) -> list[Sheet]:
    """Read every sheet of a CSV, TSV or Excel file that holds a table.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            cells = pd.read_excel(path, sheet_name=None, header=None, dtype=object)
        else:
            cells = {"": _text_cells(path)}
    except Exception as error:
        # openpyxl answers damaged and protected files with errors of every kind.
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} cannot be read as a table ({first}); save it again as .xlsx or CSV, without a password"
        raise InputError(message) from error
    found = [_read(path, str(name), table) for name, table in cells.items()]
    return [sheet for sheet in found if sheet is not None]


def _text_cells(path: Path) -> pd.DataFrame:
    text = decoded(path.read_bytes())
    head = text[:4000]
    rows = list(csv.reader(io.StringIO(text), delimiter=max("\t;,", key=head.count)))
    width = max((len(row) for row in rows), default=0)
    return pd.DataFrame(
        [[cell.strip() or None for cell in row] + [None] * (width - len(row)) for row in rows], dtype=object
    )


def _read(path: Path, name: str, cells: pd.DataFrame) -> Sheet | None:
    cells = cells.dropna(axis=0, how="all").dropna(axis=1, how="all").reset_index(drop=True)
    if len(cells) < 2 or cells.shape[1] < 2:
        return None
    at = _header(cells)
    headers = list(cells.iloc[at])
    notes = [f"the header is in row {at + 1}"] if at else []
    start = at + 1
    patient = _patient_at(headers)
    below = list(cells.iloc[start]) if start < len(cells) else []
    if _second_level(headers, below, patient):
        headers = _joined(headers, below)
        notes.append("its header has two rows")
        start += 1
    names = _unique(["" if pd.isna(item) else str(item).strip() for item in headers])
    table = cells.iloc[start:].set_axis(names, axis=1).reset_index(drop=True)
    table = table[[column for column in names if not (column.startswith("unnamed") and table[column].isna().all())]]
    if patient is not None:
        table, dropped = _without_notes(table, names[patient])
        if dropped:
            notes.append(f"{dropped} rows without a patient were left out")
    if table.empty:
        return None
    return Sheet(path, name, table.reset_index(drop=True), notes)


def _header(cells: pd.DataFrame) -> int:
    best, most = 0, -1
    for row in range(min(_TITLES, len(cells) - 1)):
        texts = [str(item) for item in cells.iloc[row] if pd.notna(item) and not _number(item)]
        score = len(texts) + (1000 if _patient_at(cells.iloc[row]) is not None and len(texts) > 1 else 0)
        if score > most:
            best, most = row, score
    return best


def _number(value: Any) -> bool:
    try:
        float(str(value))
    except ValueError:
        return hasattr(value, "year")
    return True


def _patient_at(headers: Iterable[Any]) -> int | None:
    plain = ["" if pd.isna(item) else plain_header(item) for item in headers]
    return next((plain.index(name) for name in PATIENT_NAMES if name in plain), None)


def _second_level(headers: list[Any], below: list[Any], patient: int | None) -> bool:
    """Tell whether the row below belongs to the header: group titles stand above it, merged over their columns."""
    if not below or not any(pd.isna(item) for item in headers):
        return False
    under = [item for top, item in zip(headers, below, strict=True) if pd.isna(top)]
    empty_id = patient is None or pd.isna(below[patient])
    return (
        empty_id
        and any(pd.notna(item) for item in under)
        and not any(_number(item) for item in under if pd.notna(item))
    )


def _joined(headers: list[Any], below: list[Any]) -> list[Any]:
    out, group = [], ""
    lower = [str(item).strip() for item in below if pd.notna(item)]
    for top, under in zip(headers, below, strict=True):
        if pd.notna(top):
            group = str(top).strip()
        if pd.isna(under):
            out.append(top)
            continue
        own = str(under).strip()
        out.append(own if lower.count(own) == 1 else f"{group} {own}")
    return out


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for number, name in enumerate(names):
        text = name or f"unnamed {number + 1}"
        seen[text] = seen.get(text, 0) + 1
        out.append(text if seen[text] == 1 else f"{text} ({seen[text]})")
    return out


def _without_notes(table: pd.DataFrame, patient: str) -> tuple[pd.DataFrame, int]:
    ids = [_identifier(value) for value in table[patient]]
    keep = np.array([bool(text) and not _FOOT.match(text) for text in ids])
    table = table.assign(**{patient: pd.Series(ids, index=table.index, dtype=object)})
    return table[keep], int((~keep).sum())


def _identifier(value: Any) -> str:
    """Return an identifier as text: Excel's 12.0 is 12."""
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return unicodedata.normalize("NFKC", str(value)).strip().lstrip("'")
