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
from imrad.exceptions import ImradError, MissingExtraError, RegionError
from imrad.execution import Progress, Store, map_tasks
from imrad.radiomics.case_table import ABOUT, check_cases, expand_cases, image_paths, read_cases
from imrad.radiomics.extraction import Engine, ReadingSettings, extract_case, open_case
from imrad.radiomics.image_settings import ImageSettings, parse_intensity
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["Extraction", "check_cases", "compare_case", "digest_path", "extract_cases", "extract_one", "read_cases"]


@dataclass(frozen=True)
class Extraction:
    """What came of a table of cases.

    Attributes
    ----------
    features : DataFrame
        Columns ``patient``, ``case``, those of :data:`imrad.radiomics.case_table.ABOUT` that the cases
        have, then the features; the cases' order.
    failures : DataFrame
        ``patient``, ``case``, ``error`` (its type) and ``reason`` (one sentence).
    geometry : DataFrame
        ``patient``, ``case``, how each region was brought to its image, and what that cost.
    imaging : DataFrame
        ``patient``, ``case``, scanner, protocol and contrast as far as DICOM headers tell, and the
        spacing of voxels in mm.
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
    imaging: pd.DataFrame
    quality: pd.DataFrame
    repeats: pd.DataFrame
    thumbnails: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[np.uint8]]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of all tables."""
        return content.digest([self.features, self.failures, self.geometry, self.imaging, self.quality, self.repeats])


def extract_cases(
    cases: pd.DataFrame | str | os.PathLike[str],
    settings: RadiomicsSettings | None = None,
    *,
    engine: Engine = "imrad",
    reading: ReadingSettings | None = None,
    images: Mapping[str, ImageSettings] | None = None,
    own_settings: Mapping[str, RadiomicsSettings] | None = None,
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
        How images and regions are read, and the regions measured in every case.
    images : mapping of str to ImageSettings, optional
        Scale of intensities and maps of each kind of image, by its name in the column ``series``.
    own_settings : mapping of str to RadiomicsSettings, optional
        Instead of `settings`, for kinds of image that need others.
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
    items = expand_cases(table, images or {}, reading.feature_sets)
    own = dict(own_settings or {})
    keys = _keys(items, settings, own, reading, engine, workers, cluster, progress) if store is not None else {}
    for number, item in enumerate(items):
        item["key"] = keys.get(number, str(number))
    results = map_tasks(
        partial(_run_case, settings=settings, own=own, reading=reading, engine=engine),
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
    intensity: str = "stored",
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
    item: dict[str, Any] = {"case": "", "image": str(image), "mask": str(mask), "roi": roi}
    item["label"] = None if label is None else str(label)
    item["measure"] = parse_intensity(intensity).model_dump(mode="json", exclude={"maps", "settings"})
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
    own: Mapping[str, RadiomicsSettings],
    reading: ReadingSettings,
    engine: str,
    workers: int,
    cluster: str | None,
    progress: Progress | None,
) -> dict[int, str]:
    """Name each case by the content of what makes its result."""
    paths = sorted({path for item in items for path in (*image_paths(item["image"]), item["mask"])})
    digests = dict(
        zip(
            paths,
            map_tasks(
                digest_path, paths, key=str, workers=workers, cluster=cluster, progress=progress, label="reading files"
            ),
            strict=True,
        )
    )
    code = content.digest({path.name: path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))})
    common = [reading.model_dump(exclude={"feature_sets"}), engine, _version("imrad"), code]
    common += [_version(name) for name in ("numpy", "scipy", "SimpleITK", "PyWavelets", "numba", "pydicom")]
    common_digest = content.digest(common)
    return {
        number: content.digest(
            [
                common_digest,
                own.get(str(item.get("kind")), settings).model_dump(),
                {name: value for name, value in item.items() if name not in ("image", "mask")},
                [digests[path] for path in image_paths(item["image"])],
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


def digest_path(path: str) -> str:
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
    item: Mapping[str, Any],
    *,
    settings: RadiomicsSettings,
    own: Mapping[str, RadiomicsSettings],
    reading: ReadingSettings,
    engine: Engine,
) -> dict[str, Any]:
    """Extract one case; what goes wrong is its result."""
    try:
        return extract_case(item, own.get(str(item.get("kind")), settings), reading, engine)
    except ImradError as error:
        return {"error": type(error).__name__, "reason": " ".join(str(error).split()), "transient": False}
    except Exception as error:  # noqa: BLE001 - one case that nobody foresaw must not end ten thousand others
        said = " ".join(str(error).split()) or "no reason given"
        message = f"unexpected {type(error).__name__} ({said}); check the case's files, and please report it"
        return {"error": type(error).__name__, "reason": message, "transient": True}


def _collect(items: list[dict[str, Any]], results: list[dict[str, Any]]) -> Extraction:
    about = [name for name in ABOUT if any(item.get(name) for item in items)]
    failures, geometry, imaging, quality = [], [], [], []
    features, repeats = _Rows(), _Rows()
    pictures: dict[tuple[str, str], tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    for item, result in zip(items, results, strict=True):
        who = {"patient": item["patient"], "case": item["case"]}
        who |= {name: item.get(name) for name in about}
        if "error" in result:
            failures.append({**who, "error": result["error"], "reason": result["reason"]})
            continue
        geometry.append({**who, **result["geometry"]})
        imaging.append({**who, **result["imaging"]})
        cases = [{**who, "case": case} for case in result["cases"]]
        features.add(cases, result["names"], result["values"])
        quality += [{**case, **seen} for case, seen in zip(cases, result["quality"], strict=True)]
        if "repeats" in result:
            numbered = [{**who, "perturbation": number} for number in range(len(result["repeats"]))]
            repeats.add(numbered, result["names"], result["repeats"])
        if "thumbnail" in result:
            grey, outline = result["thumbnail"]
            apart = "".join(f"/{item[name]}" for name in ("region", "reader") if item.get(name))
            pictures[item["patient"], f"{item['case']}{apart}"] = (grey, outline)
    head = ["patient", "case", *about]
    return Extraction(
        features.table(head),
        _table(failures, [*head, "error", "reason"]),
        _table(geometry, head),
        _table(imaging, head),
        _table(quality, head),
        repeats.table([*head, "perturbation"]),
        pictures,
    )


class _Rows:
    """Rows of features, joined as arrays: a thousand columns are slow to join one value at a time."""

    def __init__(self) -> None:
        self._about: list[dict[str, Any]] = []
        self._blocks: list[tuple[tuple[str, ...], NDArray[np.float64]]] = []

    def add(self, about: list[dict[str, Any]], names: list[str], values: NDArray[np.float64]) -> None:
        """Add rows that have the same features."""
        self._about += about
        self._blocks.append((tuple(names), values))

    def table(self, head: list[str]) -> pd.DataFrame:
        """Return all rows; features in the order in which they came, NaN where a row lacks one."""
        if not self._about:
            return pd.DataFrame(columns=head)
        lists = dict.fromkeys(names for names, _ in self._blocks)
        place = {name: n for n, name in enumerate(dict.fromkeys(name for names in lists for name in names))}
        columns = {names: [place[name] for name in names] for names in lists}
        values = np.full((len(self._about), len(place)), np.nan)
        first = 0
        for names, rows in self._blocks:
            values[first : first + len(rows), columns[names]] = rows
            first += len(rows)
        return pd.concat([pd.DataFrame(self._about), pd.DataFrame(values, columns=list(place))], axis=1)


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
