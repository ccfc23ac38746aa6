"""From a table of images to a table of vectors: one task a case, failures beside, phases averaged at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imrad import content
from imrad.exceptions import ImageError, ImradError, InputError, RegionError
from imrad.execution import Progress, Store, map_tasks
from imrad.radiomics.deep.encoders import Encoder, load_encoder
from imrad.radiomics.deep.maps import Bytes, picture
from imrad.radiomics.deep.windows import View, Window, cut, place_windows, region_box
from imrad.radiomics.images import MAX_VOXELS, open_image
from imrad.radiomics.regions import read_region

__all__ = ["DeepExtraction", "DeepSettings", "average_phases", "extract_deep", "read_deep_cases"]

CENTRE = ("centre_x_mm", "centre_y_mm", "centre_z_mm")
ABOUT = ("case", "phase", "label", "roi", "series", "mask")
BATCH = 4
"""Windows that go through the network together: always the same number, so that results do not depend on it."""


class DeepSettings(BaseModel):
    """What the network sees of a case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spacing_mm: tuple[float, float, float] = Field(
        default=(1.0, 1.0, 1.0), description="Voxels of the windows along x, y, z, by B-spline interpolation."
    )
    view: View = Field(
        default="windows",
        description="windows: as many as cover the region's box, their vectors averaged; centre: one on its middle; "
        "box: the box stretched to one window, as FM-LCT's own script does.",
    )
    margin_mm: float = Field(default=0.0, ge=0, description="Added to the region's box on every side.")
    region_only: bool = Field(default=False, description="Give voxels outside the region the darkest grey value.")
    normalise: Literal["window", "none"] = Field(
        default="window", description="window: z-score of each window by its own mean and standard deviation."
    )
    window: tuple[int, int, int] | None = Field(
        default=None, description="Voxels of the network's input, z, y, x; else what the weights tell."
    )
    heads: int | None = Field(default=None, ge=1, description="Attention heads; else one for each 64 of the width.")
    pool: Literal["token", "mean"] | None = Field(
        default=None, description="Class token, or mean of the patches; else the token where there is one."
    )
    phases: Literal["averaged", "rows"] = Field(
        default="averaged", description="Several rows of a patient become their mean, or stay rows."
    )
    maps: int = Field(default=96, ge=0, le=512, description="Side of the relevance pictures in pixels; 0: none.")


@dataclass(frozen=True)
class DeepExtraction:
    """What came of a table of cases.

    Attributes
    ----------
    features : DataFrame
        ``patient``, ``case``, ``phase`` where given, then ``deep_000`` and so on.
    failures : DataFrame
        ``patient``, ``case``, ``error``, ``reason``.
    about : dict
        The encoder: ``digest`` of its weights, ``kind``, ``description``, ``window``.
    maps : dict
        (patient, case) to grey picture, heat and outline; see :func:`imrad.radiomics.deep.maps.picture`.
    """

    features: pd.DataFrame
    failures: pd.DataFrame
    about: dict[str, Any]
    maps: dict[tuple[str, str], tuple[Bytes, Bytes, Bytes]] = field(default_factory=dict)


def read_deep_cases(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read and check a table of cases.

    Parameters
    ----------
    path : path-like
        CSV, TSV or Excel. Columns ``patient`` and ``image``; where to look: ``mask``, or
        ``centre_x_mm``, ``centre_y_mm``, ``centre_z_mm`` (in the patient, left, posterior, superior
        positive, as DICOM has them), or neither for the whole volume. Optional ``case``, ``phase``,
        ``label``, ``roi``, ``series``. Relative paths start at the file's folder.

    Raises
    ------
    InputError
        If the table, a column or every file is missing, or a row names neither or half a centre.
    """
    from imrad.radiomics.case_table import read_case_table

    path = Path(path)
    raw = read_case_table(path)
    table: pd.DataFrame = raw.rename(columns={column: str(column).strip().lower() for column in raw.columns})
    if "phase" not in table.columns and "sequence" in table.columns:
        table = table.rename(columns={"sequence": "phase"})
    for name in ("patient", "image"):
        if name not in table.columns:
            message = f"{path} lacks the column {name}; it has {', '.join(map(str, raw.columns)) or 'none'}"
            raise InputError(message)
    table = table[[name for name in ("patient", "image", *ABOUT, *CENTRE) if name in table.columns]].copy()
    for column in table.columns:
        plain = [None if pd.isna(value) or not str(value).strip() else str(value).strip() for value in table[column]]
        table[column] = pd.Series(plain, index=table.index, dtype=object)
    if table.empty or table[["patient", "image"]].isna().to_numpy().any():
        message = f"{path} needs a patient and an image in every row"
        raise InputError(message)
    if "case" not in table.columns:
        phases = list(table["phase"]) if "phase" in table.columns else [None] * len(table)
        table["case"] = [
            f"{patient}_{phase}" if phase else patient for patient, phase in zip(table["patient"], phases, strict=True)
        ]
    table["case"] = table["case"].where(table["case"].notna(), table["patient"])
    twice = table["case"][table.duplicated(["patient", "case"])]
    if len(twice):
        message = f"{path} has several rows for the case {twice.iloc[0]}; tell them apart in a column phase or case"
        raise InputError(message)
    for column in ("image", "mask"):
        if column in table.columns:
            table[column] = [None if value is None else str(path.parent / value) for value in table[column]]
    if not any(Path(value).exists() for value in table["image"]):
        message = (
            f"none of the images that {path} names exists, the first being {table['image'].iloc[0]}; check the paths"
        )
        raise InputError(message)
    return table.reset_index(drop=True)


def extract_deep(
    cases: pd.DataFrame,
    weights: str | os.PathLike[str],
    settings: DeepSettings | None = None,
    *,
    digest: str | None = None,
    workers: int = 1,
    store: Store | None = None,
    progress: Progress | None = None,
) -> DeepExtraction:
    """Return the vector of every case, from a user's own network.

    Parameters
    ----------
    cases : DataFrame
        As :func:`read_deep_cases` returns it.
    weights : path-like
        See :func:`imrad.radiomics.deep.encoders.load_encoder`.
    settings : DeepSettings, optional
        What the network sees.
    digest : str, optional
        SHA-256 that the weights must have.
    workers, store, progress
        As for :func:`imrad.execution.map_tasks`. Every worker holds the network.

    Raises
    ------
    MissingExtraError, BundleError, ConfigError, InputError
        If the network cannot be loaded; a case that cannot be used is a row of ``failures``.
    """
    settings = settings or DeepSettings()
    encoder = _encoder(str(Path(weights).resolve()), settings.window, settings.heads, settings.pool, digest)
    about = {"digest": encoder.digest, "kind": encoder.kind, "window": list(encoder.window)}
    about["description"] = encoder.description
    items: list[dict[str, Any]] = [
        {str(name): None if value is None or pd.isna(value) else value for name, value in row.items()}
        for row in cases.to_dict("records")
    ]
    common = content.digest([encoder.digest, settings.model_dump(exclude={"phases"}), _code()])
    for number, item in enumerate(items):
        item["key"] = _key_of(item, common) if store is not None else str(number)
    task = partial(_run_case, weights=str(Path(weights).resolve()), settings=settings)
    results = map_tasks(
        task,
        items,
        key=lambda item: str(item["key"]),
        workers=workers,
        store=store,
        progress=progress,
        label="encoding images",
    )
    features, failures = [], []
    pictures: dict[tuple[str, str], tuple[Bytes, Bytes, Bytes]] = {}
    for item, result in zip(items, results, strict=True):
        who = {"patient": item["patient"], "case": item["case"]}
        if "error" in result:
            failures.append({**who, "error": result["error"], "reason": result["reason"]})
            continue
        if "phase" in cases.columns:
            who["phase"] = item.get("phase") or ""
        values = np.asarray(result["vector"])
        digits = max(3, len(str(len(values) - 1)))
        features.append({**who, **{f"deep_{n:0{digits}d}": float(value) for n, value in enumerate(values)}})
        if "map" in result:
            grey, heat, outline = result["map"]
            pictures[item["patient"], item["case"]] = (grey, heat, outline)
    head = ["patient", "case"]
    table = pd.DataFrame(features) if features else pd.DataFrame(columns=head)
    lost = pd.DataFrame(failures) if failures else pd.DataFrame(columns=[*head, "error", "reason"])
    if settings.phases == "averaged" and len(table):
        table = average_phases(table)
    return DeepExtraction(table, lost, about, pictures)


def average_phases(features: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient: the mean of its vectors; ``case`` and ``phase`` name what was averaged."""
    names = [name for name in features.columns if name not in ("patient", "case", "phase")]
    rows = []
    for patient, part in features.groupby("patient", sort=False):
        about = {name: "+".join(part[name].astype(str)) for name in ("case", "phase") if name in part.columns}
        rows.append({"patient": patient, **about, **dict(zip(names, part[names].mean(axis=0), strict=True))})
    return pd.DataFrame(rows)


@lru_cache(maxsize=1)
def _encoder(
    weights: str, window: tuple[int, int, int] | None, heads: int | None, pool: str | None, digest: str | None = None
) -> Encoder:
    return load_encoder(weights, window=window, heads=heads, pool=pool, digest=digest)


def _code() -> str:
    return content.digest({path.name: path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))})


def _key_of(item: Mapping[str, Any], common: str) -> str:
    from imrad.radiomics.cases import digest_path

    files = {name: digest_path(str(item[name])) for name in ("image", "mask") if item.get(name)}
    return content.digest([common, files, {name: value for name, value in item.items() if name not in files}])


def _run_case(item: Mapping[str, Any], *, weights: str, settings: DeepSettings) -> dict[str, Any]:
    """Encode one case; what goes wrong is its result."""
    try:
        encoder = _encoder(weights, settings.window, settings.heads, settings.pool)
        return encode_case(item, encoder, settings)
    except ImradError as error:
        return {"error": type(error).__name__, "reason": " ".join(str(error).split())}
    except Exception as error:  # noqa: BLE001 - one case that nobody foresaw must not end the others
        said = " ".join(str(error).split()) or "no reason given"
        message = f"unexpected {type(error).__name__} ({said}); check the case's files, and please report it"
        return {"error": type(error).__name__, "reason": message}


def encode_case(item: Mapping[str, Any], encoder: Encoder, settings: DeepSettings) -> dict[str, Any]:
    """Return one case's vector, and its relevance picture where asked for.

    Parameters
    ----------
    item : mapping
        ``image``, and where given ``mask``, ``label``, ``roi``, ``series`` or the centre's columns.
    encoder : Encoder
        The network.
    settings : DeepSettings
        What it sees.

    Raises
    ------
    ImradError
        If the case cannot be used, in one sentence.
    """
    if not Path(str(item["image"])).exists():
        message = f"{item['image']} does not exist; check the path"
        raise InputError(message)
    image = open_image(str(item["image"]), series=item.get("series"), max_voxels=MAX_VOXELS)
    low, high, region = _where(item, image)
    places = place_windows(low, high, encoder.window, settings.spacing_mm, settings.view, settings.margin_mm)
    sums = _Sums(encoder)
    best: tuple[float, NDArray[np.float32], NDArray[np.bool_] | None] | None = None
    for window, inside in _windows(image, region, places):
        share = 1.0 if inside is None else float(inside.mean())
        # A window of the cover that holds nothing of the region says nothing about it.
        if share == 0 and len(places) > 1:
            continue
        seen = _normalised(window, inside, settings)
        if settings.maps and (best is None or share > best[0]):
            best = (share, seen, inside)
        sums.add(seen, share or 1.0)
    result: dict[str, Any] = {"vector": sums.mean(), "n_windows": len(places)}
    if best is not None:
        _, shown, inside = best
        result["map"] = list(picture(shown, encoder.relevance(shown), inside, size=settings.maps))
    return result


def _windows(
    image: Any, region: NDArray[np.bool_] | None, places: list[Window]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_] | None]]:
    if region is None:
        yield from ((window, None) for window in cut(image, places))
        return
    drawn = cut(_RegionImage(region, image.grid), places, interpolator=sitk.sitkLinear, beyond=0.0)
    for window, part in zip(cut(image, places), drawn, strict=True):
        yield window, part > 0.5


class _Sums:
    """The weighted mean of windows' vectors, a few at a time."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._waiting: list[tuple[NDArray[np.float32], float]] = []
        self._total: Any = 0.0
        self._weight = 0.0

    def add(self, window: NDArray[np.float32], weight: float) -> None:
        self._waiting.append((window, weight))
        if len(self._waiting) == BATCH:
            self._encode()

    def mean(self) -> NDArray[np.float64]:
        if self._waiting:
            self._encode()
        if self._weight == 0:
            message = "no window holds a voxel of the region at this spacing; choose a finer spacing or view: centre"
            raise RegionError(message)
        return np.asarray(self._total / self._weight)

    def _encode(self) -> None:
        found = self._encoder.vectors(np.stack([window for window, _ in self._waiting]))
        weights = np.array([weight for _, weight in self._waiting])
        self._total = self._total + weights @ found
        self._weight += float(weights.sum())
        self._waiting = []


def _normalised(
    window: NDArray[np.float32], inside: NDArray[np.bool_] | None, settings: DeepSettings
) -> NDArray[np.float32]:
    if settings.region_only and inside is not None:
        window = np.where(inside, window, window.min())
    if settings.normalise == "none":
        return window
    wide = window.astype(float)
    sd = float(wide.std())
    if sd == 0:
        message = "a window holds one grey value only; check the image and the region"
        raise ImageError(message)
    return np.asarray((wide - wide.mean()) / sd, dtype=np.float32)


class _RegionImage:
    """A region as an image that can be cut like one."""

    def __init__(self, mask: NDArray[np.bool_], grid: Any) -> None:
        self.grid, self._mask = grid, mask
        self.positions_mm = {"slices": (0.0,)}

    def read(self, first: int, last: int) -> Any:
        part = self._mask[first:last].astype(np.uint8)
        return self.grid.cropped(((first, last), (0, self.grid.shape[1]), (0, self.grid.shape[2]))).image(part)


def _where(item: Mapping[str, Any], image: Any) -> tuple[Any, Any, NDArray[np.bool_] | None]:
    """Return the box to look at, and the region where there is one; one point is returned as both corners."""
    centre = [item.get(name) for name in CENTRE]
    if item.get("mask"):
        if not Path(str(item["mask"])).exists():
            message = f"{item['mask']} does not exist; check the path"
            raise InputError(message)
        region = read_region(Path(str(item["mask"])), image, label=item.get("label"), roi=item.get("roi"))
        low, high = region_box(region.mask, region.grid)
        return low, high, region.mask
    if all(value is not None for value in centre):
        try:
            point = np.array([float(str(value)) for value in centre])
        except ValueError as error:
            message = f"the centre ({', '.join(map(str, centre))}) is no position in mm; give three numbers"
            raise InputError(message) from error
        return point, point, None
    if any(value is not None for value in centre):
        message = f"the case names {sum(v is not None for v in centre)} of three centre columns; give all, or a mask"
        raise InputError(message)
    x, y, z = image.grid.size
    ends = image.grid.to_physical(np.array([[i, j, k] for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)]))
    return ends.min(axis=0), ends.max(axis=0), None
