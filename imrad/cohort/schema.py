"""What makes an AnnData a cohort, and the sentences for what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.cohort import keys
from imrad.cohort.barcodes import is_tcga
from imrad.cohort.endpoints import check_endpoint
from imrad.exceptions import InSampleError, SchemaError

__all__ = ["validate"]


def validate(adata: Any) -> None:
    """Check an AnnData against the cohort convention.

    ``obs_names`` are unique patients; ``X`` holds raw features as finite float64 or NaN; ``var``
    has its five columns; every endpoint has ``_days`` and ``_event``; ``obsm["immune"]`` is a table
    of targets; ``uns["imrad"]`` has the schema version and the attrition table; ``obsm["phenotype"]``
    and ``obsm["risk"]`` come with the fold that made each value.

    Raises
    ------
    SchemaError
        If something is missing or is not what it should be.
    InSampleError
        If a phenotype or a risk is not out of fold.
    """
    _check_patients(adata)
    _check_features(adata)
    # anndata from 0.13 lists X itself under None.
    layers = [name for name in adata.layers if name is not None]
    if layers:
        _refuse(f"the layers {keys.some(layers)}", "X alone, raw as extracted: scale and impute in the fold")
    if keys.IMMUNE in adata.obsm:
        _check_immune(adata.obsm[keys.IMMUNE], adata.obs_names)
    _check_namespace(adata)
    _check_endpoints(adata)
    for slot in (keys.PHENOTYPE, keys.RISK):
        if slot in adata.obsm:
            _check_out_of_fold(adata, slot)


def _refuse(found: str, needed: str) -> None:
    message = f"the cohort has {found}; it needs {needed}"
    raise SchemaError(message)


def _check_patients(adata: Any) -> None:
    names = pd.Index(adata.obs_names)
    if not len(names):
        _refuse("no patients", "at least one row")
    if names.has_duplicates:
        _refuse(f"several rows for {keys.some(names[names.duplicated()].unique())}", "one row per patient")
    if any(not isinstance(name, str) or not name.strip() for name in names):
        _refuse("patients without a name", "obs_names that are not empty")
    deep = [name for name in names if is_tcga(name) and (len(name) != 12 or "." in name or name != name.upper())]
    if deep:
        _refuse(f"the obs_names {keys.some(deep)}", "12-character patient barcodes such as TCGA-CU-A0YR")
    _check_keys("obs", adata.obs.columns)


def _check_keys(where: str, columns: pd.Index) -> None:
    slashed = [str(name) for name in columns if "/" in str(name)]
    if slashed:
        _refuse(f"a slash in {where} names ({keys.some(slashed)})", "names without one, since HDF5 would open a group")
    twice = columns[columns.duplicated()]
    if len(twice):
        _refuse(f"several {where} columns named {keys.some(twice)}", "unique names")


def _check_features(adata: Any) -> None:
    x = adata.X
    if not isinstance(x, np.ndarray) or x.dtype != np.float64 or x.ndim != 2:
        kind = getattr(x, "dtype", type(x).__name__)
        _refuse(f"an X of {kind}", "a dense float64 matrix, patients x features, missing values as NaN")
    infinite = adata.var_names[np.isinf(x).any(axis=0)]
    if len(infinite):
        _refuse(f"infinite values in {keys.some(infinite)}", "finite numbers or NaN")
    names = pd.Index(adata.var_names)
    if names.has_duplicates:
        _refuse(f"several features named {keys.some(names[names.duplicated()].unique())}", "unique var_names")
    missing = [name for name in keys.VAR_COLUMNS if name not in adata.var.columns]
    if missing:
        _refuse(f"no var column {keys.some(missing)}", f"the columns {', '.join(keys.VAR_COLUMNS)}")


def _check_endpoints(adata: Any) -> None:
    columns = [str(name) for name in adata.obs.columns]
    table = adata.uns[keys.NAMESPACE].get("endpoints")
    if not isinstance(table, pd.DataFrame) or "name" not in table.columns:
        _refuse("no table of endpoints", 'uns["imrad"]["endpoints"] with a row per endpoint')
    kinds = table["kind"] if "kind" in table else ["survival"] * len(table)
    for name, kind in zip(table["name"], kinds, strict=True):
        if kind == "binary":
            _check_binary(adata, name)
            continue
        pair = (keys.days_column(name), keys.event_column(name))
        missing = [column for column in pair if column not in columns]
        if missing:
            _refuse(f"no obs column {keys.some(missing)}", f"both columns of the endpoint {name}")
        if not {adata.obs[column].dtype.kind for column in pair} <= set("biuf"):
            _refuse(f"text in {pair[0]} or {pair[1]}", "numbers: days, and 1 or 0")
        check_endpoint(adata.obs, name)


def _check_binary(adata: Any, name: str) -> None:
    if name not in adata.obs:
        _refuse(f"no obs column {name}", "one column for the binary endpoint")
    column = adata.obs[name]
    if column.dtype.kind not in "biuf" or not column.dropna().isin([0.0, 1.0]).all():
        _refuse(f"values other than 1 and 0 in {name}", "1.0, 0.0 or NaN for a binary endpoint")


def _check_immune(table: Any, patients: pd.Index) -> None:
    if not isinstance(table, pd.DataFrame):
        _refuse(f'obsm["immune"] as {type(table).__name__}', "a DataFrame with one column per target")
    if list(table.index) != list(patients):
        _refuse('other patients in obsm["immune"] than in obs', "the same patients in the same order")
    _check_keys('obsm["immune"]', table.columns)
    text = [str(name) for name in table.columns if table[name].dtype.kind not in "biuf"]
    if text:
        _refuse(f"immune targets that are not numbers ({keys.some(text)})", "one number per patient and target, or NaN")


def _check_namespace(adata: Any) -> None:
    namespace = adata.uns.get(keys.NAMESPACE)
    if not hasattr(namespace, "get"):
        _refuse('no uns["imrad"]', "the mapping that imrad.cohort.assemble writes")
    version = namespace.get("schema_version")
    if version is None or int(version) != keys.SCHEMA_VERSION:
        _refuse(f"schema version {version}", f"version {keys.SCHEMA_VERSION}: assemble it again with this imrad")
    attrition = namespace.get("attrition")
    if not isinstance(attrition, pd.DataFrame) or not set(keys.ATTRITION_COLUMNS) <= set(attrition.columns):
        _refuse("no attrition table", f'uns["imrad"]["attrition"] with {", ".join(keys.ATTRITION_COLUMNS)}')
    if len(attrition) and int(attrition["n_out"].iloc[-1]) != adata.n_obs:
        _refuse(
            f"{adata.n_obs} patients where the attrition table ends with {int(attrition['n_out'].iloc[-1])}",
            "an attrition table that accounts for every patient",
        )


def _check_out_of_fold(adata: Any, slot: str) -> None:
    folds = adata.uns[keys.NAMESPACE].get(keys.OUT_OF_FOLD, {})
    table = folds.get(slot) if hasattr(folds, "get") else None
    values = adata.obsm[slot]
    columns = list(values.columns) if isinstance(values, pd.DataFrame) else None
    if columns is None or not isinstance(table, pd.DataFrame) or list(table.columns) != columns:
        message = (
            f'obsm["{slot}"] does not say which fold made each value; attach scores with '
            "imrad.cohort.attach_out_of_fold, which takes the folds beside them"
        )
        raise InSampleError(message)
    names = table.to_numpy(dtype=object)
    known = values.notna().to_numpy()
    wrong = known & np.array([[not str(name).startswith("r") for name in row] for row in names]).reshape(known.shape)
    if wrong.any():
        patients = adata.obs_names[wrong.any(axis=1)]
        message = (
            f'obsm["{slot}"] holds in-sample values for {keys.some(patients)}; only out-of-fold values belong there'
        )
        raise InSampleError(message)
