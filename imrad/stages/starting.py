"""Init: look at a hospital's folder, tell what is there, and write the config and cases.csv to edit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from imrad import content
from imrad.cohort.sheets import plain_header
from imrad.exceptions import ConfigError, ImradError, InputError
from imrad.stages.folder import Found, Identities, name_volumes, pair, scan, who_has_what
from imrad.stages.sheet_choice import LABORATORY, ClinicalSheet, find_endpoints, find_sheet

if TYPE_CHECKING:
    from imrad.execution import Progress

__all__ = ["start"]

TIDY = "clinical_tidy.csv"
WRITTEN = ("study.yaml", "cases.csv", "review.csv", "who_has_what.csv", TIDY)
BINARY = {"response", "pcr"}


def start(folder: str | Path, output: str | Path | None = None, *, progress: Progress | None = None) -> list[str]:
    """Look at a folder and write study.yaml, cases.csv, review.csv and who_has_what.csv into it.

    Where the stages could not read the sheet as it is (several sheets, titles above the header, names of
    people), a tidy copy is written beside them, clinical_tidy.csv.

    Parameters
    ----------
    folder : path-like
        Images (DICOM folders or NIfTI, NRRD, MHA), masks, and a CSV or Excel sheet in UTF-8 or GBK.
    output : path-like, optional
        Where to write instead, for folders that must not be written to.
    progress : callable, optional
        Told how many of the folder's files were looked at.

    Returns
    -------
    list of str
        What to tell the user.

    Raises
    ------
    InputError
        If there is no such folder, neither images nor a sheet in it, or it cannot be written to.
    ConfigError
        If it was started before: what the user has edited is not written over.
    """
    root, out = Path(folder), Path(output if output is not None else folder)
    if not root.is_dir():
        message = f"{folder} is not a folder; name the one that holds your images and your sheet"
        raise InputError(message)
    there = [name for name in WRITTEN if (out / name).exists()]
    if there:
        message = f"{out / there[0]} is there already; move it away to start again"
        raise ConfigError(message)
    volumes = scan(root, progress)
    unnamed = name_volumes(root, volumes, Identities([]))
    sheet, unread = find_sheet(root, [item.patient for item in unnamed], WRITTEN)
    known = Identities(sheet.patients, sheet.names) if sheet is not None else Identities([])
    found = name_volumes(root, volumes, known) if known.patients else unnamed
    if not found and sheet is None:
        why = f" ({unread[0]})" if unread else ""
        message = f"{folder} holds neither images (DICOM, NIfTI, NRRD, MHA) nor a CSV or Excel sheet with patients{why}"
        raise InputError(message)
    cases, doubts = pair(found, partial(_overlap, root))
    doubts = unread + doubts + [f"{' and '.join(same)} differ by leading zeros or signs" for same in known.ambiguous]
    who = who_has_what(found, cases, known.patients)
    endpoints: dict[str, str] = {}
    if sheet is not None:
        endpoints, more = find_endpoints(sheet.table)
        doubts = sheet.doubts + more + doubts
    if output is not None:
        for column in ("image", "mask"):
            cases[column] = [str((root / value).resolve()) for value in cases[column]]
    config = _config(root, out, sheet, endpoints, cases)
    try:
        _write(out, config, sheet, who, cases)
    except OSError as error:
        message = f"{out} cannot be written to ({error.strerror}); name another folder with --output"
        raise InputError(message) from error
    lines = _told(sheet, endpoints, who, doubts)
    return [*lines, f"next: edit {out / 'study.yaml'} and cases.csv, then  imrad run {out / 'study.yaml'}"]


def _overlap(root: Path, image: Found, masks: list[Found]) -> bool | None:
    """Tell whether masks of an image have voxels in common; None where one cannot be read as a single region."""
    from imrad.radiomics.images import open_image
    from imrad.radiomics.regions import read_region

    try:
        opened = open_image(root / image.path, series=image.series or None)
        regions = [read_region(root / item.path, opened).mask for item in masks]
    except ImradError:
        return None
    return bool(np.any(np.sum(regions, axis=0) > 1))


def _write(
    out: Path, config: Mapping[str, Any], sheet: ClinicalSheet | None, who: pd.DataFrame, cases: pd.DataFrame
) -> None:
    tables = {"who_has_what.csv": who}
    if len(cases):
        whose = [name for name in ("patient", "case", "reader") if name in cases]
        review = cases[whose].drop_duplicates().assign(verdict="", reason="")
        tables |= {"cases.csv": cases, "review.csv": review}
    if sheet is not None and not sheet.as_it_is:
        tables[TIDY] = sheet.table
    for name, table in tables.items():
        with content.write_atomically(out / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8-sig")
    head = (
        "# Proposed by 'imrad init': read it, correct it, then  imrad run study.yaml\n"
        "# review.csv: verdict accept, reject or redraw for each mask, with a reason; empty is accept.\n"
    )
    with content.write_atomically(out / "study.yaml") as temporary:
        text = head + yaml.safe_dump(dict(config), allow_unicode=True, sort_keys=False)
        temporary.write_text(text, encoding="utf-8")


def _told(sheet: ClinicalSheet | None, endpoints: Mapping[str, str], who: pd.DataFrame, doubts: list[str]) -> list[str]:
    n_image, n_mask, n_row = (int(who[name].sum()) for name in ("image", "mask", "clinical"))
    whole = int(who[["image", "mask", "clinical"]].all(axis=1).sum())
    lines = [
        f"{len(who)} patients: {n_image} with an image, {n_mask} with a mask, {n_row} in the sheet, {whole} with all"
    ]
    if sheet is None:
        lines.append("no sheet with a column of patients was found")
    else:
        lines.append(f"sheet {sheet.where}")
        lines += [f"  {name} is the column '{column}'" for name, column in sheet.columns.items()]
        lines += [f"  endpoint {name} = {text}" for name, text in endpoints.items()]
        if not endpoints:
            lines.append("  no endpoint was recognised: name it under assemble.endpoints")
    shown = [f"  to check: {doubt}" for doubt in doubts[:20]]
    rest = (
        [f"  and {len(doubts) - 20} more of this kind; who_has_what.csv lists every patient"]
        if len(doubts) > 20
        else []
    )
    return [*lines, *shown, *rest]


def _config(
    root: Path, out: Path, sheet: ClinicalSheet | None, endpoints: Mapping[str, str], cases: pd.DataFrame
) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", root.resolve().name).strip("-._") or "study"
    config: dict[str, Any] = {"name": name, "title": root.resolve().name, "seed": 20230901}
    if len(cases):
        config["extract"] = {"cases": "cases.csv", "settings": "ct", "review": "review.csv"}
    assemble: dict[str, Any] = {}
    if sheet is not None:
        path = root / sheet.as_it_is if sheet.as_it_is else out / TIDY
        assemble["clinical"] = sheet.as_it_is or TIDY if out == root or not sheet.as_it_is else str(path.resolve())
        assemble["columns"] = {key: column for key, column in sheet.columns.items() if key != column}
    else:
        assemble["columns"] = {}
    assemble["endpoints"] = dict(endpoints)
    if cases[[name for name in ("patient", "reader") if name in cases]].duplicated().any():
        assemble["aggregation"] = "mean"
    survival = sorted(set(endpoints) - BINARY)
    if survival and sheet is not None:
        # Patients whose follow-up is not known are left out and counted; beside a response, who could not be evaluated
        # (NE) still counts for survival, so each endpoint then leaves out its own.
        assemble["on_missing"] = {"endpoint": "keep" if BINARY & set(endpoints) else "drop"}
    config["assemble"] = assemble
    if endpoints:
        config["fuse"] = {"endpoints": sorted(endpoints), **_missing(sheet, endpoints)}
        if len(cases) and survival:
            # Without immune targets the question is what the images' features add to the clinical columns.
            own = {"Clinical+Rad": {"blocks": ["Clinical", "Rad"]}}
            config["fuse"]["models"] = own | config["fuse"].get("models", {})
        if "reader" in cases and cases["reader"].nunique() > 1:
            # What two readers do not agree on is left out, in each training fold anew.
            config["fuse"]["prepare"] = [{"icc": {"readers": "reader_2", "threshold": 0.75}}]
    config["report"] = {}
    return config


def _missing(sheet: ClinicalSheet | None, endpoints: Mapping[str, str]) -> dict[str, Any]:
    """Return the block of laboratory values, and the policy of every predictor with missing values by name."""
    if sheet is None:
        return {}
    of_endpoints = {part for text in endpoints.values() for part in re.split(r"[,|:]", text)}
    values = [
        str(name)
        for name in sheet.table.columns
        if LABORATORY.match(plain_header(name)) and name not in of_endpoints and name not in sheet.columns.values()
    ]
    found: dict[str, Any] = {}
    if values:
        found["extra_blocks"] = {"Laboratory": values}
        if set(endpoints) - BINARY:
            both = {"Laboratory": ["Laboratory"], "Clinical+Laboratory": ["Clinical", "Laboratory"]}
            found["models"] = {name: {"blocks": blocks} for name, blocks in both.items()}
    predictors = {key: column for key, column in sheet.columns.items() if key != "patient"}
    predictors |= {name: name for name in values}
    holes = {key: "median" for key, column in predictors.items() if _has_holes(sheet.table[column])}
    return found | ({"missing": holes} if holes else {})


def _has_holes(column: pd.Series[Any]) -> bool:
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    return bool((text == "").any())
