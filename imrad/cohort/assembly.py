"""From a radiomics, a clinical and an immune table to one cohort, with every loss named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from imrad.cards import Card
from imrad.cohort import keys
from imrad.cohort.attrition import Attrition
from imrad.cohort.barcodes import AliquotRule, choose_aliquots, is_tcga, patient_id, refuse_unknown_patients
from imrad.cohort.clinical import index_clinical, refuse_unreadable, to_numbers, type_clinical
from imrad.cohort.delta import DeltaSettings, add_delta
from imrad.cohort.endpoints import (
    Endpoint,
    as_endpoints,
    endpoint_known,
    endpoint_table,
    read_endpoint,
    refuse_one_outcome,
)
from imrad.cohort.features import drop_mistyped, feature_table, one_row_per_patient, read_cases
from imrad.cohort.mutations import mutation_status
from imrad.cohort.readers import described, reader_slot, split_readers
from imrad.cohort.responses import recorded_responses
from imrad.cohort.schema import validate
from imrad.exceptions import CohortError, ConfigError, DuplicateError, NoOverlapError, SchemaError

__all__ = ["OnMissing", "assemble", "patient_features"]

OnMissing = Literal["drop", "keep", "refuse"]
_DEFAULT_ON_MISSING: dict[str, OnMissing | None] = {"clinical": "drop", "immune": "drop", "endpoint": None}
_KEPT_IN_OBS = ("series", "scanner", "site")
_QUALITY = "cibersort_"


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
    delta: DeltaSettings | None = None,
    reader: str | None = None,
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
        What :func:`imrad.cohort.parse_endpoint` reads, such as ``"os=os_days,os_event"``; none is allowed.
    aggregation : str, optional
        What to do with several cases of a patient, a key of :data:`imrad.cohort.AGGREGATIONS`; None refuses them.
    on_missing : str or mapping, optional
        ``drop``, ``keep`` or ``refuse`` patients without a row in the ``clinical`` or ``immune`` table
        or without an ``endpoint``; by default drop, drop and refuse (keep, where it is binary: a patient
        may be not evaluable).
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
    delta : DeltaSettings, optional
        Add the change of every feature between two time points.
    reader : str, optional
        Where the radiomics table has a column ``reader``: whose features become X; the others' go to
        ``obsm["reader_2"]`` and so on. By default the first by name who read at least half as many
        patients as any other.

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
    registry = index_clinical(clinical, mapping=mapping)
    features, about = read_cases(radiomics)
    features, about = drop_mistyped(features, about, registry.index, lost)
    readers = split_readers(features, about, reader)
    if len(readers) > 1:
        others = set(features.index) - set(readers[0][1].index)
        lost.lose(f"readers: {described(readers)}", list(dict.fromkeys(features.index)), others, "read by others only")
    features, about = _patients(readers[0][1], readers[0][2], aggregation, delta, lost)
    others_features = [_patients(part, of_case, aggregation, delta, Attrition())[0] for _, part, of_case in readers[1:]]
    patients = _common(features.index, registry.index, "clinical", policy["clinical"], lost)
    # Only this study's rows are typed: a registry may hold other cancers with other grades.
    people = type_clinical(registry[registry.index.isin(patients)])
    targets = obs_immune = None
    if immune is not None:
        targets, obs_immune = _immune(immune, sample_types, aliquot_rule, lost)
        patients = _common(patients, targets.index, "immune", policy["immune"], lost)
    read = [pd.DataFrame(index=people.index), *(read_endpoint(people, item) for item in parsed)]
    outcome = pd.concat(read, axis=1).reindex(patients)
    patients = _with_endpoints(outcome, parsed, policy["endpoint"], lost)
    for item in parsed:
        refuse_one_outcome(outcome.loc[patients], item)
    used = {column for item in parsed for column in item.columns} | set(outcome.columns)
    rest = people.drop(columns=[name for name in people.columns if name in used]).reindex(patients)
    obs = _obs(rest, outcome.reindex(patients), about.reindex(patients), obs_immune)
    adata = anndata.AnnData(
        X=features.loc[patients].to_numpy(dtype=np.float64),
        obs=obs,
        var=feature_table(features.columns, var),
    )
    for number, other in enumerate(others_features, start=2):
        adata.obsm[reader_slot(number)] = other.reindex(index=patients, columns=features.columns)
    binary = [item for item in parsed if item.kind == "binary"]
    if binary:
        # The column itself is the outcome, and would be found among the clinical ones.
        as_written = {item.name: recorded_responses(people[item.response]) for item in binary}
        adata.obsm[keys.RECORDED] = pd.DataFrame(as_written).reindex(patients)
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


def _patients(
    features: pd.DataFrame, about: pd.DataFrame, aggregation: str | None, delta: DeltaSettings | None, lost: Attrition
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bring one reader's cases to one row a patient, with changes between time points where asked for."""
    if delta is not None:
        if aggregation not in (None, "region"):
            message = f"aggregation {aggregation} would mix changes with what changed; take region, or none, with delta"
            raise ConfigError(message)
        aggregation = "region"
        features, about = add_delta(features, about, delta, lost)
    return one_row_per_patient(features, about, aggregation, lost)


def patient_features(
    radiomics: pd.DataFrame, *, aggregation: str | None = None, delta: DeltaSettings | None = None
) -> pd.DataFrame:
    """Return one row of features a patient, made of a table of cases as :func:`assemble` makes it.

    Raises
    ------
    CohortError, ConfigError
        As there.
    """
    features, about = read_cases(radiomics)
    _, first, of_case = split_readers(features, about, None)[0]
    return _patients(first, of_case, aggregation, delta, Attrition())[0]


def _policy(on_missing: OnMissing | Mapping[str, OnMissing] | None) -> dict[str, OnMissing | None]:
    given = dict.fromkeys(_DEFAULT_ON_MISSING, on_missing) if isinstance(on_missing, str) else dict(on_missing or {})
    wrong = [f"{name}: {value}" for name, value in given.items() if value not in ("drop", "keep", "refuse")]
    wrong += [str(name) for name in given if name not in _DEFAULT_ON_MISSING]
    if wrong:
        message = (
            f"on_missing cannot be {', '.join(wrong)}; name drop, keep or refuse for {', '.join(_DEFAULT_ON_MISSING)}"
        )
        raise ConfigError(message)
    return {**_DEFAULT_ON_MISSING, **given}


def _common(left: pd.Index, right: pd.Index, name: str, policy: OnMissing | None, lost: Attrition) -> pd.Index:
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
    refuse_unreadable(immune, "immune")
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
    for name in table.columns:
        if str(name).startswith("mut:"):
            table[name] = mutation_status(table[name])
    columns = {name: to_numbers(table[name]) for name in table.columns}
    half = [name for name, (numbers, wrong) in columns.items() if wrong.any() and wrong.sum() < numbers.notna().sum()]
    if half:
        wrong = columns[half[0]][1]
        message = (
            f"the immune column {half[0]} holds {str(table.loc[wrong, half[0]].iloc[0])!r} for "
            f"{keys.some(table.index[wrong])} among numbers; correct it or leave it empty"
        )
        raise SchemaError(message)
    aside = [name for name, (_, wrong) in columns.items() if name.startswith(_QUALITY) or wrong.any()]
    table = pd.DataFrame(
        {name: table[name] if wrong.any() else numbers for name, (numbers, wrong) in columns.items()}, index=table.index
    )
    targets = table.drop(columns=aside)
    if not targets.shape[1]:
        message = (
            f"the immune table holds no targets; its columns are {keys.some(table.columns, 8)}; add columns of numbers"
        )
        raise SchemaError(message)
    return targets, table[aside]


def _with_endpoints(
    outcome: pd.DataFrame, parsed: list[Endpoint], policy: OnMissing | None, lost: Attrition
) -> pd.Index:
    patients = outcome.index
    for item in parsed:
        known = endpoint_known(outcome.loc[patients], item.name)
        absent = list(patients[~known])
        what = "response is" if item.kind == "binary" else "time and event are"
        if absent and (policy == "refuse" or (policy is None and item.kind == "survival")):
            message = (
                f"endpoint {item.name}: {what} missing for {len(absent)} of {len(patients)} patients "
                f"({keys.some(absent)}); complete them, or name on_missing drop or keep for endpoints"
            )
            raise CohortError(message)
        if absent and policy == "drop":
            lost.lose(f"endpoint {item.name}", list(patients), absent, f"{what} missing")
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
