"""Which sheet of a folder is the clinical one, what its columns are, and the endpoints that they tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from imrad.cohort.sheets import IDENTIFYING, PATIENT_NAMES, Sheet, plain_header, read_sheets
from imrad.exceptions import ImradError

__all__ = ["ClinicalSheet", "find_endpoints", "find_sheet"]

TABLES = (".csv", ".tsv", ".xlsx", ".xlsm")

STARTS = (
    *(
        "diagnosis_date",
        "date_of_diagnosis",
        "treatment_start",
        "start_of_treatment",
        "surgery_date",
        "date_of_surgery",
    ),
    *("诊断日期", "确诊日期", "手术日期", "治疗开始日期", "开始治疗日期", "首次治疗日期"),
)
DEATHS = ("death_date", "date_of_death", "死亡日期")
PROGRESSIONS = ("progression_date", "recurrence_date", "date_of_progression", "进展日期", "复发日期")
LASTS = (
    *("last_contact_date", "last_follow_up", "last_followup_date", "last_followup", "date_of_last_contact"),
    *("末次随访日期", "随访日期", "末次随访", "末次随访时间", "最后随访日期"),
)
RESPONSES = ("best_response", "response", "recist", "疗效", "疗效评价", "最佳疗效")
PATHOLOGIES = ("pcr", "pathology", "病理缓解", "病理完全缓解")
TIMES = {
    "os": ("生存时间", "总生存期", "总生存时间", "生存期", "overall_survival", "survival_time", "os时间"),
    "pfs": ("无进展生存期", "无进展生存时间", "progression_free_survival", "pfs时间"),
    "dfs": ("无病生存期", "无病生存时间", "disease_free_survival", "dfs时间"),
}
EVENTS = {
    "os": (
        "生存状态",
        "结局",
        "是否死亡",
        "死亡",
        "status",
        "vital_status",
        "os状态",
        "survival_status",
        "death",
        "dead",
    ),
    "pfs": ("是否进展", "进展状态", "pfs状态", "progression", "progressed"),
    "dfs": ("是否复发", "复发状态", "dfs状态", "recurrence", "recurred"),
}
LABORATORY = re.compile(
    r"^(wbc|rbc|hb|hgb|plt|neut|lymph|mono|nlr|plr|lmr|sii|alb|ldh|crp|cea|ca_?125|ca_?19_?9|cyfra|nse|alt|ast|psa|afp|creatinine"
    r"|hemoglobin|haemoglobin|albumin|platelet|neutrophil|lymphocyte|monocyte|白细胞|红细胞|血红蛋白|血小板|中性粒|淋巴细胞|单核"
    r"|白蛋白|乳酸脱氢酶|c反应蛋白|癌胚抗原|肌酐|谷丙|谷草)"
)
ENDINGS = ("days", "months", "weeks", "years", "time", "天", "月", "年")
_UNITS = {"days": r"day|天|日数", "weeks": r"week|周", "months": r"month|月", "years": r"year|年"}


@dataclass(frozen=True)
class ClinicalSheet:
    """The clinical table of a folder.

    Attributes
    ----------
    where : str
        File and sheet, for the user.
    table : DataFrame
        Its rows, under its own headers; what identifies a person is left out.
    columns : dict
        Name in the cohort to its header.
    patients : list of str
    names : dict
        Patient's name to identifier, where the sheet has both.
    as_it_is : str
        The file, where the stages can read it as it is; else empty, and a tidy copy is needed.
    doubts : list of str
        What was done to it.
    """

    where: str
    table: pd.DataFrame
    columns: dict[str, str]
    patients: list[str]
    names: dict[str, str] = field(default_factory=dict)
    as_it_is: str = ""
    doubts: list[str] = field(default_factory=list)


def find_sheet(root: Path, images: Iterable[str], written: Iterable[str]) -> tuple[ClinicalSheet | None, list[str]]:
    """Return the sheet with the most patients in a folder and its subfolders, and what could not be read.

    Parameters
    ----------
    root : Path
        The folder.
    images : iterable of str
        Names of images' files and folders: a column that holds them names the patients, whatever its header.
    written : iterable of str
        Files that imrad wrote.
    """
    from imrad.stages.folder import plain_name

    spelled = {plain_name(name) for name in images}
    skipped, doubts, best = set(written), [], None
    old = sorted(path for path in [*root.glob("*.xls"), *root.glob("*/*.xls")])
    doubts += [f"{path.relative_to(root).as_posix()} is an old Excel file; save it as .xlsx" for path in old]
    for path in sorted(path for path in [*root.glob("*"), *root.glob("*/*")] if path.suffix.lower() in TABLES):
        if not path.is_file() or path.name.startswith(("~$", ".")) or path.name in skipped:
            continue
        try:
            sheets = read_sheets(path)
        except ImradError as error:
            doubts.append(str(error))
            continue
        for number, sheet in enumerate(sheets):
            column = _patient_column(sheet, spelled)
            if column is None:
                continue
            found = _clinical(root, sheet, column, first=number == 0)
            if best is None or (len(found.patients), len(found.columns)) > (len(best.patients), len(best.columns)):
                best = found
    return best, doubts


def _patient_column(sheet: Sheet, spelled: set[str]) -> str | None:
    from imrad.stages.folder import plain_name

    plain = {plain_header(name): str(name) for name in reversed(sheet.table.columns)}
    named = next((plain[name] for name in PATIENT_NAMES if name in plain), None)
    if named is not None:
        return named
    shared = {str(name): len({plain_name(value) for value in sheet.table[name]} & spelled) for name in sheet.table}
    most = max(shared, key=lambda name: shared[name], default="")
    return most if most and shared[most] >= max(2, 0.3 * len(sheet.table)) else None


def _clinical(root: Path, sheet: Sheet, patient: str, *, first: bool) -> ClinicalSheet:
    from imrad.cohort.clinical import ALIASES

    table = sheet.table.copy()
    doubts = list(sheet.notes)
    relative = sheet.path.relative_to(root).as_posix()
    plain = {plain_header(name): str(name) for name in reversed(table.columns)}
    columns = {"patient": patient}
    for name, aliases in ALIASES.items():
        alias = next((alias for alias in aliases if plain_header(alias) in plain), None)
        if alias is not None and name not in columns:
            columns[name] = plain[plain_header(alias)]
    ids = table[patient].astype(str).str.strip()
    kept = ids != ""
    table, ids = table[kept], ids[kept]
    twice = ids[ids.duplicated()].unique()
    if len(twice):
        doubts.append(f"{len(twice)} patients stand in several rows, the first {twice[0]}; keep one row each")
    personal = [plain[name] for name in map(plain_header, IDENTIFYING) if name in plain and plain[name] != patient]
    names: dict[str, str] = {}
    for column in personal[:1]:
        text = table[column].astype(str).str.strip()
        names = dict(zip(text[~text.duplicated(keep=False)], ids[~text.duplicated(keep=False)], strict=True))
    if personal:
        doubts.append(f"left out, since no model needs them: {', '.join(personal)}")
        table = table.drop(columns=personal)
    # An endpoint is written with these signs between its columns.
    signs = {name: re.sub(r"[,|:，：]+", " ", str(name)).strip() for name in table.columns}
    changed = any(before != after for before, after in signs.items())
    table = table.rename(columns=signs)
    columns = {name: signs[column] for name, column in columns.items()}
    table[columns["patient"]] = ids
    whole = first and not sheet.notes and not personal and not changed and sheet.path.suffix.lower() != ".xls"
    where = f"{relative}, sheet {sheet.name}" if sheet.name else relative
    patients = list(dict.fromkeys(ids))
    return ClinicalSheet(where, table, columns, patients, names, relative if whole else "", doubts)


def find_endpoints(table: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Return the endpoints that a sheet's columns tell, in the words of the config, and what to check of them."""
    from imrad.cohort import ENDPOINTS

    by_name = {plain_header(name): str(name) for name in reversed(table.columns)}

    def first(names: Iterable[str]) -> str:
        return next((by_name[name] for name in names if name in by_name), "")

    out, doubts = {}, []
    for name in ENDPOINTS:
        endings = ("days", "months", "weeks", "years", "time", "天", "月", "年")
        spelled = [
            f"{base}{join}{ending}" for base in (name, *TIMES.get(name, ())) for ending in endings for join in ("_", "")
        ]
        time = first([*spelled[: 2 * len(endings)], name, *TIMES.get(name, ()), *spelled])
        event = first([f"{name}_event", f"{name}_status", f"{name}.event", *EVENTS.get(name, ())])
        if time and event and time != event:
            unit, doubt = _unit(time, table[time])
            out[name] = f"{time}{f':{unit}' if unit != 'days' or doubt else ''},{event}"
            doubts += [doubt] if doubt else []
    begin, death, progress, last = (first(names) for names in (STARTS, DEATHS, PROGRESSIONS, LASTS))
    if begin and last and death and "os" not in out:
        out["os"] = f"{begin},{death},{last}"
    if begin and last and progress and "pfs" not in out:
        out["pfs"] = f"{begin},{'|'.join(name for name in (progress, death) if name)},{last}"
    for name, aliases in (("response", RESPONSES), ("pcr", PATHOLOGIES)):
        if column := first(aliases):
            out[name] = column
    return out, doubts


def _unit(name: str, values: pd.Series[Any]) -> tuple[str, str]:
    """Return a time's unit by its header, else by its values, and in that case what to check."""
    lower = name.lower()
    for unit, pattern in _UNITS.items():
        if re.search(pattern, lower):
            return unit, ""
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    largest = float(numbers.max()) if len(numbers) else 0.0
    unit = "days" if largest > 400 or not len(numbers) else "months" if largest > 15 else "years"
    return unit, f"{name} names no unit; its largest value {largest:g} was taken as {unit}"
