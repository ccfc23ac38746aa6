"""The radiomics table of a study: cases, their features, and one row for each patient."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort import keys
from imrad.cohort.attrition import Attrition
from imrad.cohort.barcodes import is_tcga, mistyped, patient_id, refuse_unknown_patients
from imrad.cohort.clinical import refuse_unreadable, to_numbers
from imrad.cohort.delta import PREFIXES, delta_unit
from imrad.exceptions import CohortError, ConfigError, DuplicateError, SchemaError

__all__ = ["AGGREGATIONS", "drop_mistyped", "feature_columns", "feature_table", "one_row_per_patient", "read_cases"]

AGGREGATIONS = {
    "mean": "mean of each feature over the patient's cases",
    "volume_weighted": "mean of each feature weighted by the case's volume",
    "largest": "the case with the largest volume (largest:COLUMN names the volume column)",
    "first": "the first case in the table",
    "region": "the features of every time point, phase, sequence and region side by side, prefixed with their names",
    "region_and_mean": "as region, and each feature's mean over them beside, prefixed with mean",
}

_ABOUT_CASE = (
    "case",
    "region",
    "label",
    "series",
    "scanner",
    "site",
    "image",
    "mask",
    "reader",
    "phase",
    "sequence",
    "timepoint",
    "date",
)
# In the order of the prefixes: baseline:T1CE:ring:original_firstorder_Mean.
_SIDE_BY_SIDE = ("timepoint", "phase", "sequence", "region", "label")
_CLASSES = "shape2D|shape|firstorder|glcm|glrlm|glszm|gldm|ngtdm|deep"
_FEATURE = re.compile(
    rf"(?:.*[_:])?(?P<filter>original|wavelet[^_]*|log-sigma-[0-9.-]+-mm(?:-3D)?|square|squareroot|logarithm|exponential"
    rf"|gradient|lbp-[^_]+)_(?P<class>{_CLASSES})_.+|(?:.*[_:])?(?P<bare>{_CLASSES})_.+"
)
_VOLUMES = ("shape_MeshVolume", "shape_VoxelVolume")


def feature_columns(radiomics: pd.DataFrame) -> list[str]:
    """Return the columns of a radiomics table that are features, not about the patient or the case."""
    aside = {keys.PATIENT, *_ABOUT_CASE}
    return [str(name) for name in radiomics.columns if name not in aside and not str(name).startswith("diagnostics_")]


def _described(name: str, known: pd.Index) -> str | None:
    # A region or sequence may have been put before the name that the table describes.
    while name not in known:
        _, colon, name = name.partition(":")
        if not colon:
            return None
    return name


def feature_table(names: Iterable[str], given: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the var table of features: what is given, and what their pyradiomics names say.

    Raises
    ------
    SchemaError
        If `given` lacks a feature.
    """
    index = pd.Index([str(name) for name in names], dtype=object, name="feature")
    matches = [_FEATURE.fullmatch(name) for name in index]
    table = pd.DataFrame(
        {
            "feature_class": [(m["class"] or m["bare"]) if m else "" for m in matches],
            "image_filter": [(m["filter"] or "original") if m else "" for m in matches],
            "unit": "",
            "ibsi_code": "",
            "robustness": np.nan,
        },
        index=index,
        dtype=object,
    )
    if given is not None:
        rows = [_described(name, given.index) for name in index]
        absent = [name for name, row in zip(index, rows, strict=True) if row is None]
        if absent:
            message = (
                f"the var table lacks {len(absent)} of {len(index)} features ({keys.some(absent)}); add their rows"
            )
            raise SchemaError(message)
        for name in given.columns:
            values = given[name].reindex(rows).set_axis(index)
            table[str(name)] = values.where(values.notna(), table[str(name)]) if name in table else values
    table["robustness"] = table["robustness"].astype(float)
    for name in table.columns:
        if table[name].dtype.kind not in "biuf":
            table[name] = table[name].map(lambda value: "" if pd.isna(value) else str(value)).astype(object)
    table["unit"] = [delta_unit(name, unit) for name, unit in zip(index, table["unit"], strict=True)]
    table["unit"] = table["unit"].astype(object)
    return table


def read_cases(radiomics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a radiomics table into features and columns about the case, both indexed by patient.

    Raises
    ------
    SchemaError
        If there is no patient column, no feature, or text among the features.
    """
    refuse_unreadable(radiomics, "radiomics")
    table = radiomics.copy()
    if keys.PATIENT in table.columns:
        labels = list(table.pop(keys.PATIENT))
    elif "case" in table.columns and all(is_tcga(label) for label in table["case"]):
        labels = list(table["case"])
    elif table.index.name is not None or not isinstance(table.index, pd.RangeIndex):
        labels = list(table.index)
    else:
        message = (
            f"the radiomics table has no patient column; it has {keys.some(table.columns, 8)}; add one named patient"
        )
        raise SchemaError(message)
    refuse_unknown_patients(labels)
    table.index = pd.Index([patient_id(label) for label in labels], name=keys.PATIENT, dtype=object)
    about = table[[name for name in _ABOUT_CASE if name in table.columns]].astype(object)
    if "case" not in about:
        about.insert(0, "case", [str(label) for label in labels])
    features = table[feature_columns(table)].copy()
    if not features.shape[1]:
        message = "the radiomics table holds no features; it needs one column of numbers per feature"
        raise SchemaError(message)
    text = []
    for name in features.columns:
        numbers, wrong = to_numbers(features[name])
        features[name] = numbers
        if wrong.any():
            text.append(str(name))
    if text:
        message = (
            f"the radiomics columns {keys.some(text)} hold text; features must be numbers, and columns about the case "
            f"must be called {', '.join(_ABOUT_CASE)}"
        )
        raise SchemaError(message)
    features.columns = pd.Index([str(name) for name in features.columns], dtype=object)
    return features, about


def drop_mistyped(
    features: pd.DataFrame, about: pd.DataFrame, known: pd.Index, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop cases whose patient is unknown and is another patient's barcode but for a letter like a digit."""
    present = set(features.index)
    registry = set(known)
    drop = np.zeros(len(features), dtype=bool)
    reasons = []
    for row, name in enumerate(features.index):
        meant = mistyped(name, registry)
        if meant is None:
            continue
        if meant in present:
            drop[row] = True
            reasons.append(
                f"{about['case'].iloc[row]} is unknown and looks like a mistyped {meant}, who has another case"
            )
        else:
            reasons.append(f"{about['case'].iloc[row]} is unknown and looks like a mistyped {meant}: correct the label")
    lost.add("radiomics cases", len(features), int((~drop).sum()), "; ".join(reasons) or "nobody was lost", "cases")
    return features[~drop], about[~drop]


def one_row_per_patient(
    features: pd.DataFrame, about: pd.DataFrame, aggregation: str | None, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring several cases of a patient to one row by a named aggregation.

    Raises
    ------
    DuplicateError
        If a patient has several cases and no aggregation is named.
    ConfigError, SchemaError, CohortError
        If the aggregation is not known or cannot be done with this table.
    """
    name, _, column = (aggregation or "").partition(":")
    if aggregation is not None and name not in AGGREGATIONS:
        message = f"aggregation {aggregation!r} is not known; choose one of {', '.join(AGGREGATIONS)}"
        raise ConfigError(message)
    n_cases = len(features)
    twice = features.index[features.index.duplicated()].unique()
    if len(twice) and aggregation is None:
        message = (
            f"{len(twice)} patients have several radiomics rows ({keys.some(twice)}); "
            f"name an aggregation ({', '.join(AGGREGATIONS)}) or keep one row per patient"
        )
        raise DuplicateError(message)
    if name == "region":
        features = _side_by_side(features, about)
    elif name == "region_and_mean":
        features = pd.concat([_side_by_side(features, about), _mean(features, column).add_prefix("mean:")], axis=1)
    elif len(twice):
        features = _AGGREGATE[name](features, column)
    joined = about.groupby(level=0, sort=False).agg(_joined).reindex(features.index)
    if len(twice):
        lost.add(
            "cases to patients", n_cases, len(features), f"aggregated by {aggregation}: {AGGREGATIONS[name]}", "cases"
        )
    return features, joined


def _joined(values: pd.Series[Any]) -> str:
    return ";".join(dict.fromkeys(str(value) for value in values if pd.notna(value)))


def _volume(features: pd.DataFrame, column: str) -> pd.Series[float]:
    candidates = [column] if column else [n for n in features.columns if n.endswith(_VOLUMES[0])]
    candidates = candidates or [n for n in features.columns if n.endswith(_VOLUMES[1])]
    if len(candidates) != 1 or candidates[0] not in features.columns:
        message = (
            f"the aggregation needs one volume column and finds {keys.some(candidates) or 'none'}; "
            "name it, such as largest:original_shape_MeshVolume"
        )
        raise ConfigError(message)
    volume = features[candidates[0]]
    if volume.isna().any() or (volume <= 0).any():
        message = (
            f"{candidates[0]} is missing or not positive for {keys.some(features.index[~(volume > 0)])}; complete it"
        )
        raise CohortError(message)
    return volume


def _mean(features: pd.DataFrame, _column: str) -> pd.DataFrame:
    return features.groupby(level=0, sort=False).mean()


def _first(features: pd.DataFrame, _column: str) -> pd.DataFrame:
    return features[~features.index.duplicated()]


def _largest(features: pd.DataFrame, column: str) -> pd.DataFrame:
    order = np.argsort(-_volume(features, column).to_numpy(), kind="stable")
    best = features.iloc[order]
    return best[~best.index.duplicated()].loc[features.index.unique()]


def _volume_weighted(features: pd.DataFrame, column: str) -> pd.DataFrame:
    weight = np.where(features.notna(), _volume(features, column).to_numpy()[:, None], 0.0)
    weights = pd.DataFrame(weight, index=features.index, columns=features.columns)
    summed = (features.fillna(0.0) * weights).groupby(level=0, sort=False).sum()
    return summed / weights.groupby(level=0, sort=False).sum().replace(0.0, np.nan)


_AGGREGATE = {"mean": _mean, "first": _first, "largest": _largest, "volume_weighted": _volume_weighted}


def _side_by_side(features: pd.DataFrame, about: pd.DataFrame) -> pd.DataFrame:
    columns = [name for name in _SIDE_BY_SIDE if name in about.columns]
    if not columns:
        message = f"the aggregation 'region' needs one of the columns {', '.join(_SIDE_BY_SIDE)}; add it"
        raise SchemaError(message)
    # A column that is the same everywhere tells nothing apart, and labels are another name of regions; but a
    # change is never called as a measurement is.
    changes = set(PREFIXES.values())
    differ = [
        name
        for name in columns
        if (about[name].map(str).nunique() > 1 or (name == "timepoint" and set(about[name]) & changes))
        and (name != "label" or columns == [name])
    ]
    differ = differ or columns[:1]
    place = about[differ].map(str).agg(":".join, axis=1)
    pairs = pd.MultiIndex.from_arrays([features.index, place])
    if pairs.has_duplicates:
        twice = [f"{patient} {name}" for patient, name in pairs[pairs.duplicated()].unique()]
        message = f"several rows for {keys.some(twice)}; keep one row per patient and {' and '.join(differ)}"
        raise DuplicateError(message)
    parts = []
    measured = features.notna().any()
    for name in dict.fromkeys(place):
        part = features[(place == name).to_numpy()]
        # Kinds of image may have settings, and so features, of their own.
        part = part.loc[:, part.notna().any() | ~measured]
        parts.append(part.add_prefix(f"{name}:"))
    joined: pd.DataFrame = pd.concat(parts, axis=1).reindex(features.index.unique())
    return joined
