"""The table of cases: which image, which region, whose, of which kind and when; read, checked, spelled out."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from imrad.exceptions import ConfigError, DuplicateError, InputError
from imrad.radiomics.image_settings import ImageSettings, parse_intensity
from imrad.radiomics.roi import plain_name, used_names

__all__ = ["ABOUT", "check_cases", "expand_cases", "image_paths", "read_case_table", "read_cases"]

_NEEDED = ("patient", "image", "mask")
_OPTIONAL = ("case", "label", "roi", "reader", "series", "sequence", "timepoint", "date", "intensity", "times_s")
# What tells the rows of one patient apart, in the order of the case's name.
_APART = ("timepoint", "sequence")
ABOUT = ("reader", "timepoint", "date", "sequence", "region")
"""Columns beside patient and case that results keep, where the table of cases has them."""

_UID = re.compile(r"\d+(\.\d+){3,}")


def read_cases(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a table of cases.

    Parameters
    ----------
    path : path-like
        CSV, TSV or Excel, UTF-8 or GB 18030. Columns ``patient``, ``image``, ``mask``; optional
        ``case`` (default: patient, time point and series), ``label`` (value, or a segment's label or
        coded meaning), ``roi`` (an expression), ``reader``, ``series`` (what kind of image it is, such
        as ``pet`` or ``t2``; or a SeriesInstanceUID, then ``sequence`` is the kind), ``timepoint``,
        ``date`` of the scan, ``intensity`` (``suv``, ``zscore:body``, ...), ``times_s`` of the volumes
        of a dynamic image, separated by semicolons, as its paths are. Relative paths start at the
        file's folder.

    Raises
    ------
    InputError
        If the table or one of its files is missing, or a column is.
    DuplicateError
        If a case stands twice.
    """
    path = Path(path)
    return check_cases(read_case_table(path), folder=path.parent, name=str(path))


def read_case_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Excel table of cases as text, unchecked; raises as :func:`read_cases`."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        message = f"{path} {what}; give a table with the columns {', '.join(_NEEDED)}"
        raise InputError(message)
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
            table = pd.read_excel(path, dtype=str)
        else:
            table = _read_text(path)
    except (ValueError, OSError, ImportError, csv.Error) as error:
        message = f"{path} is no readable CSV or Excel table ({str(error).splitlines()[0]}); save it as CSV"
        raise InputError(message) from error
    return table


def _read_text(path: Path) -> pd.DataFrame:
    content = path.read_bytes()
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        # Excel's "Unicode text".
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            # Excel in Chinese Windows saves CSV so.
            text = content.decode("gb18030")
    head = text.splitlines()[0] if text.strip() else ""
    separator = max("\t,;", key=head.count) if any(mark in head for mark in "\t,;") else ","
    rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    width = len(next(rows, []))
    for row in rows:
        if width >= len(_NEEDED) and any(cell.strip() for cell in row[width:]):
            message = f"row {rows.line_num} has {len(row)} values under {width} columns"
            raise ValueError(message)
    # Separators at the end of a row: nothing stands behind them.
    with warnings.catch_warnings(action="ignore", category=pd.errors.ParserWarning):
        return pd.read_csv(io.StringIO(text, newline=None), dtype=str, sep=separator, index_col=False)


def check_cases(table: pd.DataFrame, *, folder: Path | None = None, name: str = "the table of cases") -> pd.DataFrame:
    """Check a table of cases and fill in what it leaves out; see :func:`read_cases`."""
    cases = table.rename(columns={column: str(column).strip().lower() for column in table.columns})
    missing = [column for column in _NEEDED if column not in cases.columns]
    if missing:
        message = f"{name} lacks the column {missing[0]}; it has {', '.join(map(str, table.columns)) or 'none'}"
        raise InputError(message)
    cases = cases[[c for c in (*_NEEDED, *_OPTIONAL) if c in cases.columns]].copy()
    for column in cases.columns:
        # As objects: pandas' own string type would turn None into NaN.
        plain = [None if pd.isna(value) or not str(value).strip() else str(value).strip() for value in cases[column]]
        cases[column] = pd.Series(plain, index=cases.index, dtype=object)
    if cases.empty:
        message = f"{name} holds no row; give one row per case"
        raise InputError(message)
    for column in _NEEDED:
        empty = [number + 2 for number, value in enumerate(cases[column]) if value is None]
        if empty:
            message = f"{name} has no {column} in row {empty[0]}; fill it in or leave the row out"
            raise InputError(message)
    cases = _kinds(cases, name)
    parts = [column for column in _APART if column in cases.columns]
    usual = ["_".join(str(row[c]) for c in ("patient", *parts)) for row in cases.to_dict("records")]
    given = cases["case"] if "case" in cases.columns else [None] * len(cases)
    cases["case"] = [case or other for case, other in zip(given, usual, strict=True)]
    identity = [column for column in ("patient", "case", "reader", *parts) if column in cases.columns]
    twice = cases[cases.duplicated(identity, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        message = (
            f"{name} has {len(twice)} rows that share their {', '.join(identity)}, the first of patient "
            f"{first['patient']}; tell them apart in a column case (or series, timepoint, reader)"
        )
        raise DuplicateError(message)
    if folder is not None:
        for column in ("image", "mask"):
            cases[column] = [_below(folder, value) for value in cases[column]]
        absent = [v for column in ("image", "mask") for v in cases[column] if not Path(image_paths(v)[0]).exists()]
        if len(absent) == 2 * len(cases):
            message = f"none of the files that {name} names exists, the first being {absent[0]}; check the paths"
            raise InputError(message)
    return cases.reset_index(drop=True)


def _kinds(cases: pd.DataFrame, name: str) -> pd.DataFrame:
    """Tell a SeriesInstanceUID from the name of a kind of image, both of which ``series`` may hold."""
    if "series" in cases.columns:
        named = [value is not None and _UID.fullmatch(value) is None for value in cases["series"]]
        if any(named):
            if "sequence" in cases.columns:
                message = (
                    f"{name} has names in both series ({cases['series'][named].iloc[0]}) and sequence; keep the names "
                    f"in one of them, and SeriesInstanceUIDs in series"
                )
                raise InputError(message)
            both = list(zip(cases["series"], named, strict=True))
            cases["sequence"] = pd.Series([v if name else None for v, name in both], cases.index, dtype=object)
            cases["series"] = pd.Series([None if name else v for v, name in both], cases.index, dtype=object)
    for column in _APART:
        if column not in cases.columns:
            continue
        values = list(cases[column])
        if not any(values):
            cases = cases.drop(columns=column)
            continue
        if not all(values):
            message = f"{name} has no {column} in row {values.index(None) + 2}; name it in every row, or in none"
            raise InputError(message)
        odd = next((value for value in values if ":" in value), None)
        if odd is not None:
            message = f"{name} has a colon in the {column} '{odd}', which parts the names of features; leave it out"
            raise InputError(message)
    return cases


def image_paths(text: str) -> list[str]:
    """Return the paths in one field: one, or, where no file is called so, those between semicolons."""
    if ";" not in text or Path(text).exists():
        return [text]
    return [part.strip() for part in text.split(";") if part.strip()]


def _below(folder: Path, text: str) -> str:
    """Return a path from the table's folder; backslashes of Windows part folders where no file is called so."""
    found = []
    for part in image_paths(text) if not (folder / text).exists() else [text]:
        path = folder / part
        if "\\" in part and not path.exists():
            path = folder / part.replace("\\", "/")
        found.append(str(path))
    return ";".join(found)


def expand_cases(
    cases: pd.DataFrame, images: Mapping[str, ImageSettings], feature_sets: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Spell out every measurement of every case: its scale, each of its maps, each region that is declared.

    Parameters
    ----------
    cases : DataFrame
        As :func:`check_cases` returns it.
    images : mapping of str to ImageSettings
        By the name in the column ``sequence``.
    feature_sets : mapping of str to str
        Name to region expression; ``case`` is the region that the case names, and sets named before
        may be used.

    Returns
    -------
    list of dict
        The columns of `cases`, and ``kind`` (the key in `images`), ``measure`` (plain
        :class:`ImageSettings` and the one ``map`` of the row, or None) and, where sets are declared,
        ``region``.

    Raises
    ------
    ConfigError
        If a kind is declared that no case is of, or an intensity is not known.
    """
    there = set(cases["sequence"]) if "sequence" in cases.columns else set()
    unknown = [kind for kind in images if kind not in there]
    if unknown:
        has = ", ".join(sorted(there)) or "no column series"
        message = f"images declares '{unknown[0]}', and no case is of that series; the table of cases has {has}"
        raise ConfigError(message)
    rows = []
    for row in cases.to_dict("records"):
        for measured in _measures({str(name): value for name, value in row.items()}, images):
            rows += _regions(measured, feature_sets)
    return rows


def _measures(row: dict[str, Any], images: Mapping[str, ImageSettings]) -> list[dict[str, Any]]:
    row["kind"] = str(row.get("sequence") or "")
    how = images.get(row["kind"], ImageSettings())
    written = row.pop("intensity", None)
    if written is not None:
        how = how.model_copy(update=parse_intensity(written).model_dump(include={"intensity", "within"}))
    times = row.pop("times_s", None)
    if times is not None:
        how = how.model_copy(update={"times_s": _times(times, row)})
    plain = how.model_dump(mode="json", exclude={"maps", "settings"})
    if not how.maps:
        return [{**row, "measure": None if how == ImageSettings(settings=how.settings) else {**plain, "map": None}}]
    found = []
    for name in how.maps:
        kind = f"{row['sequence']}_{name}"
        case = f"{row['case']}_{name}"
        found.append({**row, "sequence": kind, "case": case, "measure": {**plain, "map": name}})
    return found


def _times(text: str, row: Mapping[str, Any]) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in re.split(r"[;|\s]+", text.strip()) if part)
    except ValueError as error:
        message = f"times_s of {row['case']} is '{text}'; write seconds separated by semicolons, such as 0;60;120"
        raise ConfigError(message) from error


def _regions(row: dict[str, Any], feature_sets: Mapping[str, str]) -> list[dict[str, Any]]:
    if not feature_sets:
        return [row]
    label, roi = row.get("label"), row.get("roi")
    if label is not None and roi is not None:
        # Refused when the region is read, in the words that such a case gets everywhere.
        return [{**row, "region": name} for name in feature_sets]
    own = ""
    if roi is not None:
        before, semicolon, last = roi.strip().rstrip(";").rpartition(";")
        own = f"{before}{semicolon} case = {last}; "
    elif label is not None:
        own = f"case = {int(float(label))}; " if re.fullmatch(r"\d+(\.0+)?", label) else f'case = "{label}"; '
    found = []
    for name, expression in feature_sets.items():
        found.append({**row, "label": None, "roi": f"{own}{expression}", "region": name})
        # A set called as the segment that it takes needs no definition.
        own += f"{name} = {expression}; " if name != "case" and plain_name(name) not in used_names(expression) else ""
    return found
