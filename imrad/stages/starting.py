"""Init: look at a hospital's folder, tell what is there, and write the config and cases.csv to edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from imrad import content
from imrad.exceptions import ConfigError, ImradError, InputError

__all__ = ["start"]

WRITTEN = ("study.yaml", "cases.csv", "who_has_what.csv")
TABLES = (".csv", ".tsv", ".xlsx", ".xlsm")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
MASK = re.compile(
    r"masks?|segmentations?|(?<![a-z])(labels?|lesion|tumou?r|roi|seg)(?![a-z])|勾画|病灶|掩[膜模]", re.IGNORECASE
)
IMAGE = re.compile(
    r"(?<![a-z])(images?|ct|mri?|pet|scan|dicom|nifti|venous|arterial)(?![a-z])|影像|图像|平扫|增强", re.IGNORECASE
)

STARTS = ("diagnosis_date", "date_of_diagnosis", "treatment_start", "surgery_date", "诊断日期", "确诊日期", "手术日期")
DEATHS = ("death_date", "date_of_death", "死亡日期", "死亡时间")
PROGRESSIONS = ("progression_date", "recurrence_date", "date_of_progression", "进展日期", "复发日期")
LASTS = ("last_contact_date", "last_follow_up", "last_followup_date", "末次随访日期", "随访日期", "末次随访")
RESPONSES = ("best_response", "response", "recist", "疗效", "疗效评价")
PATHOLOGIES = ("pcr", "pathology", "病理缓解")
TIMES = {"os": ("生存时间", "总生存期", "生存期"), "pfs": ("无进展生存期", "无进展生存时间")}
EVENTS = {"os": ("生存状态", "结局", "是否死亡"), "pfs": ("是否进展", "进展状态")}


@dataclass(frozen=True)
class Found:
    """An image or a mask: its path, whose it is, and the name that image and mask share."""

    path: str
    patient: str
    stem: str
    mask: bool


def start(folder: str | Path) -> list[str]:
    """Look at a folder and write study.yaml, cases.csv and who_has_what.csv into it.

    Parameters
    ----------
    folder : path-like
        Images (DICOM folders or NIfTI, NRRD, MHA), masks, and a CSV or Excel sheet in UTF-8 or GBK.

    Returns
    -------
    list of str
        What to tell the user.

    Raises
    ------
    InputError
        If there is no such folder, or neither images nor a sheet in it.
    ConfigError
        If it was started before: what the user has edited is not written over.
    """
    root = Path(folder)
    if not root.is_dir():
        message = f"{folder} is not a folder; name the one that holds your images and your sheet"
        raise InputError(message)
    there = [name for name in WRITTEN if (root / name).exists()]
    if there:
        message = f"{root / there[0]} is there already; move it away to start again"
        raise ConfigError(message)
    sheet, table, renamed = _sheet(root)
    known = {_plain(name): name for name in table["patient"]} if table is not None else {}
    found = _volumes(root, known)
    if not found and table is None:
        message = f"{folder} holds neither images (DICOM, NIfTI, NRRD, MHA) nor a CSV or Excel sheet with patients"
        raise InputError(message)
    cases, doubts = _pairs(found)
    who = _who(found, cases, list(known.values()))
    endpoints = _endpoints(table) if table is not None else {}
    config = _config(root, sheet, renamed, endpoints, cases)
    with content.write_atomically(root / "who_has_what.csv") as temporary:
        who.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8-sig")
    if len(cases):
        with content.write_atomically(root / "cases.csv") as temporary:
            cases.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8-sig")
    head = "# Proposed by 'imrad init': read it, correct it, then  imrad run study.yaml\n"
    with content.write_atomically(root / "study.yaml") as temporary:
        temporary.write_text(head + yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return [*_told(sheet, renamed, endpoints, who, doubts), f"next: edit {root / 'study.yaml'} and cases.csv, then run"]


def _told(
    sheet: str, renamed: Mapping[str, str], endpoints: Mapping[str, str], who: pd.DataFrame, doubts: list[str]
) -> list[str]:
    n_image, n_mask, n_row = (int(who[name].sum()) for name in ("image", "mask", "clinical"))
    whole = int(who[["image", "mask", "clinical"]].all(axis=1).sum())
    lines = [
        f"{len(who)} patients: {n_image} with an image, {n_mask} with a mask, {n_row} in the sheet, {whole} with all"
    ]
    lines += [f"sheet {sheet}" if sheet else "no sheet with a column of patients was found"]
    lines += [f"  {name} is the column '{column}'" for name, column in renamed.items()]
    lines += [f"  endpoint {name} = {text}" for name, text in endpoints.items()]
    if sheet and not endpoints:
        lines.append("  no endpoint was recognised: name it under assemble.endpoints")
    return [*lines, *(f"  to check: {doubt}" for doubt in doubts)]


def _plain(name: Any) -> str:
    """Return an identifier without case, punctuation and leading zeros, by which spellings are reconciled."""
    text = re.sub(r"[\W_]+", "", str(name).strip().lower())
    return text.lstrip("0") or text


def _sheet(root: Path) -> tuple[str, pd.DataFrame | None, dict[str, str]]:
    """Return the sheet with the most patients, its table with a column patient, and which columns were recognised."""
    from imrad.cohort import read_table
    from imrad.cohort.clinical import ALIASES

    best: tuple[str, pd.DataFrame | None, dict[str, str]] = ("", None, {})
    for path in sorted(path for path in [*root.glob("*"), *root.glob("*/*")] if path.suffix.lower() in TABLES):
        try:
            table = read_table(path)
        except ImradError:
            continue
        by_name = _by_name(table)
        renamed = {
            name: by_name[alias]
            for name, aliases in ALIASES.items()
            for alias in [next((alias for alias in aliases if alias in by_name), "")]
            if alias
        }
        if "patient" not in renamed:
            continue
        named = table.rename(columns={renamed["patient"]: "patient"})
        named["patient"] = [str(name).strip() for name in named["patient"]]
        named = named[named["patient"] != ""]
        if best[1] is None or named["patient"].nunique() > best[1]["patient"].nunique():
            best = (path.relative_to(root).as_posix(), named, renamed)
    return best


def _by_name(table: pd.DataFrame) -> dict[str, str]:
    return {str(column).strip().lower().replace(" ", "_"): str(column) for column in table.columns}


def _volumes(root: Path, known: Mapping[str, str]) -> list[Found]:
    from imrad.radiomics.dicom import is_dicom

    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name.lower().endswith(VOLUMES):
            found.append(_one(root, path, known, mask=None, tag=""))
        elif path.is_dir():
            inside = [item for item in sorted(path.iterdir()) if item.is_file() and not item.name.startswith(".")]
            first = next((item for item in inside if item.suffix.lower() not in (*TABLES, *VOLUMES)), None)
            if first is None or not is_dicom(first):
                continue
            kinds: dict[str, tuple[Path, str]] = {}
            for item in (first, *(item for item in inside[:3] if is_dicom(item))):
                modality, tag = _tags(item)
                is_mask = modality in ("SEG", "RTSTRUCT")
                kinds.setdefault("mask" if is_mask else "image", (item if is_mask else path, tag))
            found += [_one(root, where, known, mask=kind == "mask", tag=tag) for kind, (where, tag) in kinds.items()]
    return found


def _tags(path: Path) -> tuple[str, str]:
    from imrad.radiomics.dicom import read_dataset

    try:
        head = read_dataset(path, pixels=False, tags=["Modality", "PatientID"])
    except ImradError:
        return "", ""
    return str(head.get("Modality", "")), str(head.get("PatientID", ""))


def _one(root: Path, path: Path, known: Mapping[str, str], *, mask: bool | None, tag: str) -> Found:
    parts = list(path.relative_to(root).parts)
    parts[-1] = re.sub(r"(\.nii)?\.(gz|nii|nrrd|mha|mhd|dcm)$", "", parts[-1], flags=re.IGNORECASE)
    bare = [re.sub(r"^[\W_]+|[\W_]+$", "", IMAGE.sub("", MASK.sub("", part))) for part in parts]
    named = next(
        (known[_plain(text)] for text in (tag, *parts[::-1], *bare[::-1]) if text and _plain(text) in known), ""
    )
    # Whose it is: the sheet's spelling; else the DICOM tag; else the nearest name that is more than 'mask' or 'ct'.
    patient = named or tag or next((text for text in bare[::-1] if text), parts[-1])
    is_mask = mask if mask is not None else any(MASK.search(part) for part in (parts[-1], *parts[-2:-1]))
    return Found(path.relative_to(root).as_posix(), patient, _plain(bare[-1]), bool(is_mask))


def _pairs(found: Iterable[Found]) -> tuple[pd.DataFrame, list[str]]:
    """Return a row for every image that has a mask, and what a person should look at."""
    rows: list[tuple[str, str, str, str]] = []
    doubts = []
    everything = list(found)
    for patient in sorted({item.patient for item in everything}):
        images = [item for item in everything if item.patient == patient and not item.mask]
        masks = [item for item in everything if item.patient == patient and item.mask]
        for image in images:
            same = [item for item in masks if item.stem == image.stem] or masks
            if not same:
                doubts.append(f"{patient}: no mask for {image.path}")
                continue
            if len(same) > 1:
                doubts.append(f"{patient}: {len(same)} masks for {image.path}; {same[0].path} was taken")
            case = patient if len(images) == 1 else f"{patient}_{len([1 for row in rows if row[0] == patient]) + 1}"
            rows.append((patient, case, image.path, same[0].path))
        if masks and not images:
            doubts.append(f"{patient}: a mask and no image")
    return pd.DataFrame(rows, columns=["patient", "case", "image", "mask"]), doubts


def _who(found: list[Found], cases: pd.DataFrame, listed: list[str]) -> pd.DataFrame:
    patients = list(dict.fromkeys([*listed, *(item.patient for item in found)]))
    image, mask = ({item.patient for item in found if item.mask is kind} for kind in (False, True))
    counts = cases["patient"].value_counts()
    return pd.DataFrame(
        {
            "patient": patients,
            "image": [name in image for name in patients],
            "mask": [name in mask for name in patients],
            "clinical": [name in set(listed) for name in patients],
            "n_cases": [int(counts.get(name, 0)) for name in patients],
        }
    )


def _endpoints(table: pd.DataFrame) -> dict[str, str]:
    """Return the endpoints that the sheet's columns tell, in the words of the config."""
    from imrad.cohort import ENDPOINTS

    by_name = {re.sub(r"[\s.()\[\]()]+", "_", name).strip("_"): column for name, column in _by_name(table).items()}
    by_name = {name: column for name, column in by_name.items() if not re.search(r"[,|:]", column)}

    def first(names: Iterable[str]) -> str:
        return next((by_name[name] for name in names if name in by_name), "")

    out = {}
    for name in ENDPOINTS:
        units = ("days", "months", "weeks", "years", "time")
        time = first([*(f"{name}_{unit}" for unit in units), name, *_with_units(TIMES.get(name, ()))])
        event = first([f"{name}_event", f"{name}_status", *EVENTS.get(name, ())])
        if time and event:
            unit = "months" if re.search(r"month|月", time.lower()) else "years" if "年" in time else ""
            out[name] = f"{time}{f':{unit}' if unit else ''},{event}"
    begin, death, progress, last = (first(names) for names in (STARTS, DEATHS, PROGRESSIONS, LASTS))
    if begin and last and death and "os" not in out:
        out["os"] = f"{begin},{death},{last}"
    if begin and last and progress and "pfs" not in out:
        out["pfs"] = f"{begin},{'|'.join(name for name in (progress, death) if name)},{last}"
    for name, aliases in (("response", RESPONSES), ("pcr", PATHOLOGIES)):
        if column := first(aliases):
            out[name] = column
    return out


def _with_units(names: Iterable[str]) -> list[str]:
    return [f"{name}{ending}" for name in names for ending in ("", "_月", "_天", "_年")]


def _config(
    root: Path, sheet: str, renamed: Mapping[str, str], endpoints: Mapping[str, str], cases: pd.DataFrame
) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip("-._") or "study"
    config: dict[str, Any] = {"name": name, "title": root.resolve().name, "seed": 20230901}
    if len(cases):
        config["extract"] = {"cases": "cases.csv", "settings": "ct"}
    config["assemble"] = {
        **({"clinical": sheet} if sheet else {}),
        "columns": {key: column for key, column in renamed.items() if key != column},
        "endpoints": dict(endpoints),
    }
    if set(endpoints) - {"response", "pcr"}:
        config["fuse"] = {"endpoints": sorted(set(endpoints) - {"response", "pcr"})}
    config["report"] = {}
    return config
