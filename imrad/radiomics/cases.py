"""From a table of cases to a table of features: one task per case, failures beside, never instead.

A case is one image and one region. Its result depends on the bytes of its files, the settings and
this code, and on nothing else: not on where, when or beside what it was computed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imrad import content
from imrad.exceptions import DuplicateError, ImradError, InputError, MissingExtraError, RegionError
from imrad.execution import Progress, Store, map_tasks
from imrad.radiomics.extraction import Engine, ReadingSettings, extract_case, open_case
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["Extraction", "check_cases", "compare_case", "extract_cases", "extract_one", "read_cases"]

_NEEDED = ("patient", "image", "mask")
_OPTIONAL = ("case", "label", "roi", "reader", "series")


@dataclass(frozen=True)
class Extraction:
    """What came of a table of cases.

    Attributes
    ----------
    features : DataFrame
        Columns ``patient``, ``case`` (and ``reader`` where given), then the features; the cases'
        order.
    failures : DataFrame
        ``patient``, ``case``, ``error`` (its type) and ``reason`` (one sentence).
    geometry : DataFrame
        ``patient``, ``case``, how each region was brought to its image, and what that cost.
    quality : DataFrame
        ``patient``, ``case``, and what :func:`imrad.radiomics.quality.inspect_case` found.
    repeats : DataFrame
        ``patient``, ``case``, ``perturbation``, then features: one row for each perturbation.
    thumbnails : dict
        (patient, case) to grey picture and outline, two arrays of uint8.
    """

    features: pd.DataFrame
    failures: pd.DataFrame
    geometry: pd.DataFrame
    quality: pd.DataFrame
    repeats: pd.DataFrame
    thumbnails: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[np.uint8]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of all tables."""
        return content.digest([self.features, self.failures, self.geometry, self.quality, self.repeats])


def read_cases(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a table of cases.

    Parameters
    ----------
    path : path-like
        CSV, TSV or Excel. Columns ``patient``, ``image``, ``mask``; optional ``case`` (default: the
        patient), ``label`` (value, or a segment's label or coded meaning), ``roi`` (an expression),
        ``reader`` and ``series`` (SeriesInstanceUID). Relative paths start at the file's folder.

    Raises
    ------
    InputError
        If the table or one of its files is missing, or a column is.
    DuplicateError
        If a case stands twice.
    """
    path = Path(path)
    if not path.is_file():
        message = f"{path} does not exist; give a table with the columns {', '.join(_NEEDED)}"
        raise InputError(message)
    try:
        if path.suffix.lower() in (".xlsx", ".xls"):
            table = pd.read_excel(path, dtype=str)
        else:
            table = pd.read_csv(
                path, dtype=str, sep="\t" if path.suffix.lower() == ".tsv" else ",", encoding="utf-8-sig"
            )
    except (ValueError, OSError, ImportError, UnicodeDecodeError) as error:
        message = f"{path} is no readable CSV or Excel table ({str(error).splitlines()[0]}); save it as CSV"
        raise InputError(message) from error
    return check_cases(table, folder=path.parent, name=str(path))


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
    if "case" not in cases.columns:
        cases["case"] = cases["patient"]
    cases["case"] = [case or patient for case, patient in zip(cases["case"], cases["patient"], strict=True)]
    identity = [column for column in ("patient", "case", "reader") if column in cases.columns]
    twice = cases[cases.duplicated(identity, keep=False)]
    if len(twice):
        first = twice.iloc[0]
        message = (
            f"{name} has {len(twice)} rows that share their {', '.join(identity)}, the first of patient "
            f"{first['patient']}; tell them apart in a column case (or reader)"
        )
        raise DuplicateError(message)
    if folder is not None:
        for column in ("image", "mask"):
            cases[column] = [str(folder / value) for value in cases[column]]
        absent = [value for column in ("image", "mask") for value in cases[column] if not Path(value).exists()]
        if len(absent) == 2 * len(cases):
            message = f"none of the files that {name} names exists, the first being {absent[0]}; check the paths"
            raise InputError(message)
    return cases.reset_index(drop=True)


def extract_cases(
    cases: pd.DataFrame | str | os.PathLike[str],
    settings: RadiomicsSettings | None = None,
    *,
    engine: Engine = "imrad",
    reading: ReadingSettings | None = None,
    workers: int = 1,
    cluster: str | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Extract the features of every case.

    Parameters
    ----------
    cases : DataFrame or path-like
        As :func:`read_cases` returns or reads it.
    settings : RadiomicsSettings, optional
        What to extract; pyradiomics' defaults if left out.
    engine : {"imrad", "pyradiomics"}
        The second needs the extra ``pyradiomics``.
    reading : ReadingSettings, optional
        How images and regions are read.
    workers : int
        Processes on this machine.
    cluster : str, optional
        Address of a Dask scheduler instead; its workers must see the same files.
    store : Store or path-like, optional
        Folder that keeps finished cases by content, so that a killed run resumes.
    progress : callable, optional
        See :data:`imrad.execution.Progress`.

    Returns
    -------
    Extraction
        A case that cannot be used is a row of ``failures``; the others go on.
    """
    settings = settings or RadiomicsSettings()
    reading = reading or ReadingSettings()
    if engine == "pyradiomics":
        _need_pyradiomics()
    table = check_cases(cases) if isinstance(cases, pd.DataFrame) else read_cases(cases)
    if store is not None and not isinstance(store, Store):
        store = Store(Path(store))
    items = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    keys = _keys(items, settings, reading, engine, workers, cluster, progress) if store is not None else {}
    for number, item in enumerate(items):
        item["key"] = keys.get(number, str(number))
    results = map_tasks(
        partial(_run_case, settings=settings, reading=reading, engine=engine),
        items,
        key=_key,
        workers=workers,
        cluster=cluster,
        store=store,
        progress=progress,
        label="extracting features",
    )
    if store is not None:
        for item, result in zip(items, results, strict=True):
            if result.get("transient"):
                store.path(item["key"]).unlink(missing_ok=True)
    return _collect(items, results)


def extract_one(
    image: str | os.PathLike[str],
    mask: str | os.PathLike[str],
    settings: RadiomicsSettings | None = None,
    *,
    label: int | str | None = None,
    roi: str | None = None,
    engine: Engine = "imrad",
    reading: ReadingSettings | None = None,
) -> dict[str, float]:
    """Extract the features of one image and one region, in this process.

    Parameters are those of :func:`extract_cases` and the columns of its table.

    Raises
    ------
    ImradError
        Where :func:`extract_cases` would write a failure row.
    """
    if engine == "pyradiomics":
        _need_pyradiomics()
    item = {"case": "", "image": str(image), "mask": str(mask), "roi": roi}
    item["label"] = None if label is None else str(label)
    result = extract_case(item, settings or RadiomicsSettings(), reading or ReadingSettings(thumbnails=0), engine)
    if len(result["values"]) != 1:
        message = f"the region has {len(result['values'])} parts; name an aggregation, or give a table of cases"
        raise RegionError(message)
    return dict(zip(result["names"], result["values"][0].tolist(), strict=True))


def _need_pyradiomics() -> None:
    try:
        metadata.version("pyradiomics")
    except metadata.PackageNotFoundError as error:
        message = "engine 'pyradiomics' needs the extra 'pyradiomics' (Python 3.11): pip install 'imrad[pyradiomics]'"
        raise MissingExtraError(message) from error


def _key(item: Mapping[str, Any]) -> str:
    return str(item["key"])


def _keys(
    items: list[dict[str, Any]],
    settings: RadiomicsSettings,
    reading: ReadingSettings,
    engine: str,
    workers: int,
    cluster: str | None,
    progress: Progress | None,
) -> dict[int, str]:
    """Name each case by the content of what makes its result."""
    paths = sorted({item[column] for item in items for column in ("image", "mask")})
    digests = dict(
        zip(
            paths,
            map_tasks(
                _digest_path, paths, key=str, workers=workers, cluster=cluster, progress=progress, label="reading files"
            ),
            strict=True,
        )
    )
    code = content.digest({path.name: path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))})
    common = [settings.model_dump(), reading.model_dump(), engine, _version("imrad"), code]
    common += [_version(name) for name in ("numpy", "scipy", "SimpleITK", "PyWavelets", "numba", "pydicom")]
    common_digest = content.digest(common)
    return {
        number: content.digest(
            [
                common_digest,
                {name: value for name, value in item.items() if name not in ("image", "mask")},
                digests[item["image"]],
                digests[item["mask"]],
            ]
        )
        for number, item in enumerate(items)
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _digest_path(path: str) -> str:
    """Return the digest of a file's bytes, or of a folder's files by content (names do not count)."""
    place = Path(path)
    try:
        if place.is_dir():
            files = [Path(folder) / name for folder, _, names in os.walk(place) for name in names]
            return content.digest(sorted(content.digest_file(file) for file in files))
        return content.digest_file(place)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _run_case(
    item: Mapping[str, Any], *, settings: RadiomicsSettings, reading: ReadingSettings, engine: Engine
) -> dict[str, Any]:
    """Extract one case; what goes wrong is its result."""
    try:
        return extract_case(item, settings, reading, engine)
    except ImradError as error:
        return {"error": type(error).__name__, "reason": " ".join(str(error).split()), "transient": False}
    except Exception as error:  # noqa: BLE001 - one case that nobody foresaw must not end ten thousand others
        said = " ".join(str(error).split()) or "no reason given"
        message = f"unexpected {type(error).__name__} ({said}); check the case's files, and please report it"
        return {"error": type(error).__name__, "reason": message, "transient": True}


def _collect(items: list[dict[str, Any]], results: list[dict[str, Any]]) -> Extraction:
    with_reader = any(item.get("reader") for item in items)
    features, failures, geometry, quality, repeats = [], [], [], [], []
    pictures: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    for item, result in zip(items, results, strict=True):
        who = {"patient": item["patient"], "case": item["case"]}
        if with_reader:
            who["reader"] = item.get("reader")
        if "error" in result:
            failures.append({**who, "error": result["error"], "reason": result["reason"]})
            continue
        geometry.append({**who, **result["geometry"]})
        for case, row, seen in zip(result["cases"], result["values"], result["quality"], strict=True):
            features.append({**who, "case": case, **dict(zip(result["names"], row.tolist(), strict=True))})
            quality.append({**who, "case": case, **seen})
        for number, row in enumerate(result.get("repeats", ())):
            values = dict(zip(result["names"], row.tolist(), strict=True))
            repeats.append({**who, "perturbation": number, **values})
        if "thumbnail" in result:
            grey, outline = result["thumbnail"]
            reader = f"/{item['reader']}" if item.get("reader") else ""
            pictures[item["patient"], f"{item['case']}{reader}"] = (grey, outline)
    head = ["patient", "case", "reader"] if with_reader else ["patient", "case"]
    return Extraction(
        _table(features, head),
        _table(failures, [*head, "error", "reason"]),
        _table(geometry, head),
        _table(quality, head),
        _table(repeats, [*head, "perturbation"]),
        pictures,
    )


def _table(rows: list[dict[str, Any]], head: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=head)


def compare_case(
    image: str | os.PathLike[str],
    mask: str | os.PathLike[str],
    settings: RadiomicsSettings | None = None,
    *,
    label: int | str | None = None,
    roi: str | None = None,
    reading: ReadingSettings | None = None,
) -> str:
    """Extract one case with both engines and say how far they differ, class by class.

    Parameters are those of :func:`extract_one`.

    Returns
    -------
    str
        A table: features, how many agree (to 1e-6, or 1e-9 of their natural scale), the largest
        relative difference and where it is.

    Raises
    ------
    MissingExtraError
        If pyradiomics is not installed.
    """
    _need_pyradiomics()
    from imrad.radiomics.comparison import compare

    settings = settings or RadiomicsSettings()
    item = {"image": str(image), "mask": str(mask), "roi": roi, "label": None if label is None else str(label)}
    opened, region = open_case(item, settings, reading or ReadingSettings())
    found = compare(opened.read(), region.grid.image(region.mask.astype(np.uint8)), settings, label=1)
    lines = [f"{'class':<12}{'features':>9}{'agree':>7}  largest relative difference"]
    lines += [
        f"{row.Index:<12}{row.features:>9}{row.agree:>7}  {row.largest_relative:.1e} ({row.worst_feature})"
        for row in found.itertuples()
    ]
    return "\n".join(lines)
