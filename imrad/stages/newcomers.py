"""Newcomers: another hospital's images and sheet, measured as the training cohort was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd
from pydantic import BaseModel

from imrad.exceptions import BundleError, CohortError, ConfigError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.execution import Progress

__all__ = ["Newcomers", "measure"]

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Newcomers:
    """The other hospital's patients.

    Attributes
    ----------
    data : AnnData
        The cohort.
    features, failures : DataFrame
        Rows of cases: what was measured, and what could not be.
    lines : list of str
        What to tell the user; no patient is named.
    """

    data: AnnData
    features: pd.DataFrame
    failures: pd.DataFrame
    lines: list[str]


def measure(
    bundle: Mapping[str, Any],
    cases: str | Path,
    clinical: str | Path | None = None,
    immune: str | Path | None = None,
    *,
    endpoints: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    weights: str | Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Newcomers:
    """Extract features by the settings that the bundle holds, and join them with the sheet.

    Parameters
    ----------
    bundle : mapping
        What :func:`imrad.stages.exporting.open_bundle` returned.
    cases : path-like
        Table with the columns patient, image, mask; see :func:`imrad.radiomics.read_cases`.
    clinical : path-like, optional
        Sheet with a row a patient. Without it models of images alone are applied, and nothing is judged.
    immune : path-like, optional
        Immune scores, a row a patient, for models over measured immune targets.
    endpoints : sequence of str
        ``NAME=TIME,EVENT`` where the sheet's columns are not called as in training.
    columns : mapping, optional
        Name in the cohort to column of this sheet; goes before the training cohort's own.
    weights : path-like, optional
        The network's file, where the features are a network's vectors; its digest must be the training's.

    Raises
    ------
    BundleError
        If the training features were not extracted by imrad, so that no setting travelled.
    InputError
        If no case could be measured.
    """
    from imrad import cohort

    settings = bundle.get("extraction") or {}
    if not settings.get("engine"):
        message = (
            "the model's features came as a table, so it holds no extraction settings; extract them as its authors did "
            "and give --cohort"
        )
        raise BundleError(message)
    sheet = cohort.read_table(clinical) if clinical is not None else None
    scores = cohort.read_table(immune) if immune is not None else None
    change = bundle["sheet"].get("delta")
    mapping = _columns(bundle, sheet, columns or {})
    known = None if sheet is None else {*map(str, sheet.columns), *mapping}
    notes: list[str] = []
    asked = _endpoints(bundle, known, endpoints, notes)
    if settings["engine"] == "deep":
        features, failures = _encode(settings, cases, weights, workers, progress)
    else:
        features, failures = _extract(settings, cases, workers, progress)
    if features.empty:
        reason = str(failures["reason"].iloc[0])
        message = f"none of {len(failures)} cases could be measured; the first failed because {reason}"
        raise InputError(message)
    lines = [f"{len(features)} cases measured, {len(failures)} failed", *notes]
    counts = failures["error"].value_counts().items() if len(failures) else ()
    lines += [f"  {count} cases failed with {name}" for name, count in counts]
    if sheet is None:
        sheet = pd.DataFrame({"patient": list(dict.fromkeys(features["patient"].astype(str)))})
        lines.append("no clinical sheet: models with clinical columns are not applied, and nothing can be judged")
    try:
        data = cohort.assemble(
            features,
            sheet,
            scores,
            endpoints=asked,
            aggregation=bundle["sheet"].get("aggregation"),
            delta=cohort.DeltaSettings.model_validate(change) if change else None,
            on_missing={"clinical": "keep", "immune": "keep", "endpoint": "keep"},
            mapping=mapping or None,
            provenance={"radiomics": Path(cases).name, "clinical": Path(clinical).name if clinical else ""},
        )
    except CohortError as error:
        message = f"{clinical or cases} cannot be used for the model: {error}"
        raise InputError(message) from error
    return Newcomers(data, features, failures, lines)


def _extract(
    stored: Mapping[str, Any], cases: str | Path, workers: int, progress: Progress | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    from imrad.radiomics import RadiomicsSettings, ReadingSettings, extract_cases, read_cases
    from imrad.radiomics.image_settings import ImageSettings

    settings = _stored(RadiomicsSettings, stored["settings"])
    # Neither pictures nor repeats are of use here: nothing is fitted.
    reading = _stored(ReadingSettings, {**stored.get("reading", {}), "thumbnails": 0, "perturbations": 0})
    done = extract_cases(
        read_cases(cases),
        settings,
        engine=stored["engine"],
        reading=reading,
        images={name: _stored(ImageSettings, item) for name, item in stored.get("images", {}).items()},
        own_settings={name: _stored(RadiomicsSettings, item) for name, item in stored.get("own_settings", {}).items()},
        workers=workers,
        progress=progress,
    )
    return done.features, done.failures


def _encode(
    stored: Mapping[str, Any], cases: str | Path, weights: str | Path | None, workers: int, progress: Progress | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    from imrad.radiomics.deep import DeepSettings, extract_deep, read_deep_cases

    digest = str(stored["encoder"]["digest"])
    if weights is None:
        message = f"the model's features are a network's vectors; give its file with --weights (SHA-256 {digest})"
        raise ConfigError(message)
    settings = _stored(DeepSettings, {**stored["deep"], "maps": 0})
    done = extract_deep(read_deep_cases(cases), weights, settings, digest=digest, workers=workers, progress=progress)
    return done.features, done.failures


def _stored(model: type[M], values: Any) -> M:
    from imrad.config import parse_settings

    try:
        return parse_settings(model, values, "extraction settings")
    except (ConfigError, TypeError, ValueError) as error:
        message = f"the model's extraction settings are not of this version ({error}); export it again"
        raise BundleError(message) from error


def _endpoints(bundle: Mapping[str, Any], known: set[str] | None, given: Sequence[str], lines: list[str]) -> list[str]:
    """Return the endpoints that a sheet with these columns can tell, as the assembly reads them."""
    from imrad.cohort import parse_endpoint

    if known is None:
        if given:
            message = f"--endpoint {given[0]} names columns of a clinical sheet; give it with --clinical"
            raise ConfigError(message)
        return []
    own = {parse_endpoint(text).name: text for text in given}
    stored = {str(name): str(text) for name, text in bundle["sheet"].get("endpoints", {}).items()}
    found = list(own.values())
    for name in bundle["endpoints"]:
        if name in own:
            continue
        text = stored.get(name, "")
        wanted = [f"{name}={text}" if text else name, f"{name}={name}_days,{name}_event"]
        usable = [text for text in wanted if set(parse_endpoint(text).columns) <= known]
        if usable:
            found.append(usable[0])
        else:
            needed = ", ".join(parse_endpoint(wanted[0]).columns)
            lines.append(f"{name} is not judged: the sheet lacks {needed}; name its columns with --endpoint")
    return found


def _columns(bundle: Mapping[str, Any], sheet: pd.DataFrame | None, given: Mapping[str, str]) -> dict[str, str]:
    known = set() if sheet is None else {str(column) for column in sheet.columns}
    stored = {str(name): str(column) for name, column in bundle["sheet"].get("columns", {}).items()}
    return {**{name: column for name, column in stored.items() if column in known}, **given}
