"""From a radiomics, a clinical and an immune table to one cohort, with every loss named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from imrad.cards import Card
from imrad.cohort import keys
from imrad.cohort.attrition import Attrition
from imrad.cohort.barcodes import AliquotRule, choose_aliquots, is_tcga, mistyped, patient_id, refuse_unknown_patients
from imrad.cohort.clinical import tidy_clinical
from imrad.cohort.endpoints import (
    Endpoint,
    as_endpoints,
    endpoint_known,
    endpoint_table,
    read_endpoint,
    refuse_all_censored,
)
from imrad.cohort.schema import validate
from imrad.exceptions import CohortError, ConfigError, DuplicateError, NoOverlapError, SchemaError

__all__ = ["AGGREGATIONS", "OnMissing", "assemble", "feature_table"]

OnMissing = Literal["drop", "keep", "refuse"]
AGGREGATIONS = {
    "mean": "mean of each feature over the patient's cases",
    "volume_weighted": "mean of each feature weighted by the case's volume",
    "largest": "the case with the largest volume (largest:COLUMN names the volume column)",
    "first": "the first case in the table",
    "region": "every region's features side by side, prefixed with its name",
}

_DEFAULT_ON_MISSING: dict[str, OnMissing] = {"clinical": "drop", "immune": "drop", "endpoint": "refuse"}
_ABOUT_CASE = ("case", "region", "label", "series", "scanner", "site", "image", "mask", "reader", "timepoint")
_KEPT_IN_OBS = ("series", "scanner", "site")
_QUALITY = "cibersort_"
_CLASSES = "shape2D|shape|firstorder|glcm|glrlm|glszm|gldm|ngtdm|deep"
_FEATURE = re.compile(
    rf"(?:.*_)?(?P<filter>original|wavelet[^_]*|log-sigma-[0-9.-]+-mm(?:-3D)?|square|squareroot|logarithm|exponential"
    rf"|gradient|lbp-[^_]+)_(?P<class>{_CLASSES})_.+|(?:.*_)?(?P<bare>{_CLASSES})_.+"
)
_VOLUMES = ("shape_MeshVolume", "shape_VoxelVolume")


def assemble(
    radiomics: pd.DataFrame,
    clinical: pd.DataFrame,
    immune: pd.DataFrame | None = None,
    *,
    endpoints: str | Endpoint | Iterable[str | Endpoint] | Mapping[str, str],
    aggregation: str | None = None,
    on_missing: OnMissing | Mapping[str, OnMissing] | None = None,
    var: pd.DataFrame | None = None,
    mapping: Mapping[str, str] | None = None,
    sample_types: Sequence[str] = ("01",),
    aliquot_rule: AliquotRule = "first",
    cards: Iterable[Card] = (),
    provenance: Mapping[str, Any] | None = None,
    attrition: pd.DataFrame | None = None,
) -> Any:
    """Join the tables of a study into the AnnData that every later stage reads.

    Patients keep the order of the radiomics table. TCGA identifiers of any depth and spelling are
    joined by their 12-character patient barcode; other identifiers are joined as they are.

    Parameters
    ----------
    radiomics : DataFrame
        One row per case: ``patient`` (column or index), optional columns about the case (case,
        region, label, series, scanner, site, image, mask), and features. ``diagnostics_`` columns of
        pyradiomics are passed over.
    clinical : DataFrame
        One row per patient, raw or tidied; see :func:`imrad.cohort.clinical.tidy_clinical`.
    immune : DataFrame, optional
        One row per patient, or TCGA aliquots of which one per patient is chosen; a column per target.
        Text columns and those beginning with ``cibersort_`` (p, correlation, RMSE) go to obs.
    endpoints : str, Endpoint, or several
        What :func:`imrad.cohort.parse_endpoint` reads, such as ``"os=os_days,os_event"``.
    aggregation : str, optional
        What to do with several cases of a patient, a key of :data:`AGGREGATIONS`; None refuses them.
    on_missing : str or mapping, optional
        ``drop``, ``keep`` or ``refuse`` patients without a row in the ``clinical`` or ``immune`` table
        or without an ``endpoint``; by default drop, drop and refuse.
    var : DataFrame, optional
        Index feature name; columns feature_class, image_filter, unit, ibsi_code, robustness, as far
        as known. What is not given is read from the feature names.
    mapping : mapping, optional
        Name in the cohort to clinical column.
    sample_types, aliquot_rule
        How TCGA aliquots are chosen; see :func:`imrad.cohort.barcodes.choose_aliquots`.
    cards : iterable of Card
        Method cards of the features and scores.
    provenance : mapping, optional
        Where the tables came from: plain values, lists and mappings.
    attrition : DataFrame, optional
        Losses before this step.

    Returns
    -------
    AnnData
        Patients x features, valid by :func:`imrad.cohort.validate`.

    Raises
    ------
    DuplicateError
        If a patient has several cases and no aggregation is named, or several clinical or immune rows.
    NoOverlapError
        If two tables share no patient.
    SchemaError, CohortError, ConfigError, TooFewEventsError
        If a table, an endpoint or an option cannot be used.
    """
    import anndata

    policy = _policy(on_missing)
    parsed = as_endpoints(endpoints)
    lost = Attrition(attrition)
    people = tidy_clinical(clinical, mapping=mapping)
    features, about = _cases(radiomics)
    features, about = _drop_mistyped(features, about, people.index, lost)
    features, about = _one_row_per_patient(features, about, aggregation, lost)
    patients = _common(features.index, people.index, "clinical", policy["clinical"], lost)
    targets = obs_immune = None
    if immune is not None:
        targets, obs_immune = _immune(immune, sample_types, aliquot_rule, lost)
        patients = _common(patients, targets.index, "immune", policy["immune"], lost)
    outcome = pd.concat([read_endpoint(people, item) for item in parsed], axis=1).reindex(patients)
    patients = _with_endpoints(outcome, parsed, policy["endpoint"], lost)
    for item in parsed:
        refuse_all_censored(outcome.loc[patients, keys.event_column(item.name)].dropna().to_numpy(), item.name)
    used = {column for item in parsed for column in item.columns} | set(outcome.columns)
    rest = people.drop(columns=[name for name in people.columns if name in used]).reindex(patients)
    obs = _obs(rest, outcome.reindex(patients), about.reindex(patients), obs_immune)
    adata = anndata.AnnData(
        X=features.loc[patients].to_numpy(dtype=np.float64),
        obs=obs,
        var=feature_table(features.columns, var),
    )
    if targets is not None:
        adata.obsm[keys.IMMUNE] = targets.reindex(patients)
    adata.uns[keys.NAMESPACE] = {
        "schema_version": keys.SCHEMA_VERSION,
        "attrition": lost.table(),
        "endpoints": endpoint_table(parsed),
        "cards": pd.DataFrame([asdict(card) for card in cards], columns=list(keys.CARD_COLUMNS), dtype=object),
        "provenance": _plain(provenance or {}),
    }
    validate(adata)
    return adata


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
        absent = [name for name in index if name not in given.index]
        if absent:
            message = (
                f"the var table lacks {len(absent)} of {len(index)} features ({keys.some(absent)}); add their rows"
            )
            raise SchemaError(message)
        for name in given.columns:
            values = given[name].reindex(index)
            table[str(name)] = values.where(values.notna(), table[str(name)]) if name in table else values
    table["robustness"] = table["robustness"].astype(float)
    for name in table.columns:
        if table[name].dtype.kind not in "biuf":
            table[name] = table[name].map(lambda value: "" if pd.isna(value) else str(value)).astype(object)
    return table


def _policy(on_missing: OnMissing | Mapping[str, OnMissing] | None) -> dict[str, OnMissing]:
    given = dict.fromkeys(_DEFAULT_ON_MISSING, on_missing) if isinstance(on_missing, str) else dict(on_missing or {})
    wrong = [f"{name}: {value}" for name, value in given.items() if value not in ("drop", "keep", "refuse")]
    wrong += [str(name) for name in given if name not in _DEFAULT_ON_MISSING]
    if wrong:
        message = (
            f"on_missing cannot be {', '.join(wrong)}; name drop, keep or refuse for {', '.join(_DEFAULT_ON_MISSING)}"
        )
        raise ConfigError(message)
    return {**_DEFAULT_ON_MISSING, **given}


def _cases(radiomics: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    skipped = [name for name in table.columns if name in _ABOUT_CASE or str(name).startswith("diagnostics_")]
    features = table.drop(columns=skipped)
    if not features.shape[1]:
        message = "the radiomics table holds no features; it needs one column of numbers per feature"
        raise SchemaError(message)
    text = []
    for name in features.columns:
        numbers = pd.to_numeric(features[name], errors="coerce").astype(float)
        if (numbers.isna() & features[name].notna() & (features[name].astype(str).str.strip() != "")).any():
            text.append(str(name))
        features[name] = numbers
    if text:
        message = (
            f"the radiomics columns {keys.some(text)} hold text; features must be numbers, and columns about the case "
            f"must be called {', '.join(_ABOUT_CASE)}"
        )
        raise SchemaError(message)
    features.columns = pd.Index([str(name) for name in features.columns], dtype=object)
    return features, about


def _drop_mistyped(
    features: pd.DataFrame, about: pd.DataFrame, known: pd.Index, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
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


def _one_row_per_patient(
    features: pd.DataFrame, about: pd.DataFrame, aggregation: str | None, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
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
    column = next((name for name in ("region", "label") if name in about.columns), None)
    if column is None:
        message = "the aggregation 'region' needs a column region (or label) in the radiomics table; add it"
        raise SchemaError(message)
    region = about[column].map(str)
    pairs = pd.MultiIndex.from_arrays([features.index, region])
    if pairs.has_duplicates:
        twice = [f"{patient} {name}" for patient, name in pairs[pairs.duplicated()].unique()]
        message = f"several rows for {keys.some(twice)}; keep one row per patient and region"
        raise DuplicateError(message)
    parts = []
    for name in dict.fromkeys(region):
        part = features[(region == name).to_numpy()]
        parts.append(part.add_prefix(f"{name}_"))
    return pd.concat(parts, axis=1).reindex(features.index.unique())


def _common(left: pd.Index, right: pd.Index, name: str, policy: OnMissing, lost: Attrition) -> pd.Index:
    present = left.isin(right)
    if not present.any():
        message = (
            f"the radiomics and {name} tables share no patient: {keys.some(left, 3)} against {keys.some(right, 3)}; "
            "write the identifiers alike"
        )
        raise NoOverlapError(message)
    absent = list(left[~present])
    if absent and policy == "refuse":
        message = f"{len(absent)} patients have no row in the {name} table ({keys.some(absent)}); add them or drop them"
        raise CohortError(message)
    if policy == "keep":
        absent_text = f"kept without a row: {keys.some(absent, 20)}" if absent else "nobody was lost"
        lost.add(f"{name} table", len(left), len(left), absent_text)
        return left
    lost.lose(f"{name} table", list(left), absent, f"no row in the {name} table")
    return left[present]


def _immune(
    immune: pd.DataFrame, sample_types: Sequence[str], rule: AliquotRule, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = immune.copy()
    labels = [str(label) for label in (table.pop(keys.PATIENT) if keys.PATIENT in table.columns else table.index)]
    refuse_unknown_patients(labels)
    table.index = pd.Index([patient_id(label) for label in labels], name=keys.PATIENT, dtype=object)
    if labels and all(is_tcga(label) and len(label) > 12 for label in labels):
        choice = choose_aliquots(labels, sample_types=sample_types, rule=rule)
        reasons = choice.loc[~choice["chosen"], "reason"].value_counts(sort=False)
        text = "; ".join(f"{count} x {reason}" for reason, count in reasons.items()) or "nobody was lost"
        lost.add("immune samples", len(choice), int(choice["chosen"].sum()), text, "samples")
        table["immune_sample"] = labels
        table = table[choice["chosen"].to_numpy()]
    twice = table.index[table.index.duplicated()].unique()
    if len(twice):
        message = f"the immune table has several rows for {keys.some(twice)}; keep one row per patient"
        raise DuplicateError(message)
    table.columns = pd.Index([keys.safe_key(str(name)) for name in table.columns], dtype=object)
    if table.columns.has_duplicates:
        message = (
            f"several immune columns are called {keys.some(table.columns[table.columns.duplicated()])}; rename them"
        )
        raise SchemaError(message)
    aside = [name for name in table.columns if name.startswith(_QUALITY) or table[name].dtype.kind not in "biuf"]
    targets = table.drop(columns=aside).astype(float)
    if not targets.shape[1]:
        message = (
            f"the immune table holds no targets; its columns are {keys.some(table.columns, 8)}; add columns of numbers"
        )
        raise SchemaError(message)
    return targets, table[aside]


def _with_endpoints(outcome: pd.DataFrame, parsed: list[Endpoint], policy: OnMissing, lost: Attrition) -> pd.Index:
    patients = outcome.index
    for item in parsed:
        known = endpoint_known(outcome.loc[patients], item.name)
        absent = list(patients[~known])
        if absent and policy == "refuse":
            message = (
                f"endpoint {item.name}: time and event are missing for {len(absent)} of {len(patients)} patients "
                f"({keys.some(absent)}); complete them, or name on_missing drop or keep for endpoints"
            )
            raise CohortError(message)
        if absent and policy == "drop":
            lost.lose(f"endpoint {item.name}", list(patients), absent, "time and event are missing")
            patients = patients[known.to_numpy()]
    if not len(patients):
        message = (
            f"no patient has a known endpoint {', '.join(item.name for item in parsed)}; complete the clinical table"
        )
        raise CohortError(message)
    return patients


def _obs(
    clinical: pd.DataFrame, outcome: pd.DataFrame, about: pd.DataFrame, immune: pd.DataFrame | None
) -> pd.DataFrame:
    obs = clinical.copy()
    if "site" not in obs and "site" not in about and all(is_tcga(name) for name in obs.index):
        obs["site"] = [name[5:7] for name in obs.index]
    for name in outcome.columns:
        obs[name] = outcome[name]
    obs["radiomics_case"] = about["case"]
    for name in _KEPT_IN_OBS:
        if name in about:
            obs[name if name not in obs else f"radiomics_{name}"] = about[name]
    if immune is not None:
        for name in immune.columns:
            obs[name if name not in obs else f"immune_{name}"] = immune[name].reindex(obs.index)
    for name in obs.columns:
        column = obs[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            obs[name] = column.cat.remove_unused_categories()
        elif column.dtype.kind not in "biuf":
            obs[name] = column.astype(object).where(column.notna(), np.nan).astype("category")
    return obs


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {keys.safe_key(str(name)): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return np.array([str(item) for item in items], dtype=object)
    return value
