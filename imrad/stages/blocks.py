"""Which columns of a cohort each stage reads: features, targets, volume, clinical columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from imrad.cohort.delta import PREFIXES
from imrad.exceptions import ConfigError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "binary_endpoints",
    "clinical_block",
    "features",
    "nearest",
    "own_block",
    "targets",
    "volume_block",
    "with_missing",
]

MISSING = " missing"
"""Ending of the column that tells where another one is missing."""

CLINICAL = ("age_years", "sex", "stage", "grade")
"""Clinical columns that are used where the config names none and the cohort has them."""

MOST_CLASSES = 10
"""A text with more classes than this is looked at for names."""


def features(data: AnnData) -> pd.DataFrame:
    """Return the raw features, patients x features."""
    return pd.DataFrame(data.X, index=data.obs_names.astype(str), columns=data.var_names.astype(str))


def targets(data: AnnData, wanted: Sequence[str] | None) -> pd.DataFrame:
    """Return the immune targets, patients x targets; all of them where none is named.

    A binary endpoint, such as a response, is a target where it is named.

    Raises
    ------
    ConfigError
        If the cohort has no targets, or not the one named; the known ones are listed.
    """
    table = pd.DataFrame(data.obsm.get("immune"), index=data.obs_names)
    table.index = data.obs_names.astype(str)
    for name in set(wanted or ()) & set(binary_endpoints(data)) - set(table.columns):
        table[name] = data.obs[name].to_numpy(dtype=float)
    if table.empty:
        message = "the cohort has no immune targets; give assemble an immune table (imrad score writes one)"
        raise ConfigError(message)
    if not wanted:
        return table.astype(float)
    from imrad.immune import same_target

    found = []
    for name in wanted:
        column = same_target(name, table.columns)
        if column is None:
            message = (
                f"unknown target '{name}'{nearest(name, table.columns)}; the cohort has {', '.join(table.columns)}"
            )
            raise ConfigError(message)
        found.append(column)
    return table[list(dict.fromkeys(found))].astype(float)


def binary_endpoints(data: AnnData) -> list[str]:
    """Return the names of the cohort's binary endpoints, such as a response."""
    endpoints = data.uns["imrad"].get("endpoints")
    if endpoints is None or "kind" not in endpoints:
        return []
    return [str(name) for name in endpoints.loc[endpoints["kind"] == "binary", "name"]]


def nearest(name: str, known: Sequence[str] | pd.Index[Any]) -> str:
    """Return a hint at the known name closest to an unknown one, or nothing."""
    import difflib

    lower = {str(item).lower(): str(item) for item in known}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f" (did you mean {lower[near[0]]}?)" if near else ""


def ordered_levels(data: AnnData) -> dict[str, list[str]]:
    """Return the names behind the ranks of ordered categories."""
    ordered = [name for name, kind in data.obs.dtypes.items() if isinstance(kind, pd.CategoricalDtype) and kind.ordered]
    return {str(name): [str(level) for level in data.obs[name].cat.categories] for name in ordered}


def clinical_block(data: AnnData, wanted: Sequence[str] | None) -> pd.DataFrame:
    """Return clinical predictors: ordered categories as their ranks, other categories as text.

    Raises
    ------
    ConfigError
        If a named column is not in the cohort.
    """
    names = [name for name in CLINICAL if name in data.obs] if wanted is None else list(wanted)
    for name in names:
        if name not in data.obs:
            known = ", ".join(map(str, data.obs.columns))
            message = f"unknown clinical column '{name}'{nearest(name, data.obs.columns)}; the cohort has {known}"
            raise ConfigError(message)
    block = pd.DataFrame(index=data.obs_names.astype(str))
    for name in names:
        column = data.obs[name]
        if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.ordered:
            codes = column.cat.codes.to_numpy().astype(float)
            codes[codes < 0] = float("nan")
            block[name] = codes
        elif pd.api.types.is_numeric_dtype(column.dtype):
            block[name] = column.to_numpy(dtype=float)
        else:
            _refuse_names(name, column)
            block[name] = column.astype(object).where(column.notna(), None).to_numpy()
    return block.loc[:, [name for name in names if block[name].notna().any() and block[name].nunique() > 1]]


def with_missing(tables: Mapping[str, pd.DataFrame], policies: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Apply policies for missing values by column: what is filled in is learnt in the folds, what is missing is not.

    Raises
    ------
    ConfigError
        If a column is in no block, or one with missing values is to be refused.
    """
    out = dict(tables)
    for name, policy in policies.items():
        places = [block for block, table in out.items() if name in table.columns]
        if not places:
            known = [column for block in ("Clinical",) for column in out.get(block, pd.DataFrame()).columns]
            message = f"missing names the column '{name}'{nearest(name, known)}, which no block uses"
            raise ConfigError(message)
        for block in places:
            absent = out[block][name].isna()
            if policy == "refuse" and absent.any():
                message = (
                    f"{name} is missing for {int(absent.sum())} of {len(absent)} patients; complete it, "
                    "or choose another policy"
                )
                raise ConfigError(message)
            if policy == "indicator" and absent.any():
                out[block] = out[block].assign(**{f"{name}{MISSING}": absent.astype(float)})
    return out


def own_block(data: AnnData, wanted: Sequence[str]) -> pd.DataFrame:
    """Return a block of the user's own: clinical columns, and features by name or pattern (``contrast:*``).

    Raises
    ------
    ConfigError
        If a name is neither a clinical column nor a feature, nor a pattern that fits one.
    """
    import fnmatch

    clinical = [name for name in wanted if name in data.obs]
    names = [str(name) for name in data.var_names]
    chosen: list[str] = []
    for pattern in [name for name in wanted if name not in data.obs]:
        found = [pattern] if pattern in data.var_names else fnmatch.filter(names, pattern)
        if not found:
            known = [*map(str, data.obs.columns), *names]
            message = (
                f"'{pattern}' is neither a clinical column nor a feature{nearest(pattern, known)}; the cohort has "
                f"{', '.join(map(str, data.obs.columns))} and {len(names)} features such as {names[0]}"
            )
            raise ConfigError(message)
        chosen += [name for name in found if name not in chosen]
    if not clinical:
        return features(data)[chosen]
    return pd.concat([clinical_block(data, clinical), features(data)[chosen]], axis=1)


def _unlike_a_tumour(name: str) -> tuple[bool, bool]:
    parts = name.lower()
    named = any(word in parts for word in ("tumour", "tumor", "cancer", "lesion"))
    return not named, any(word in parts for word in ("ring", "rim", "peri"))


def _refuse_names(name: str, column: pd.Series[Any]) -> None:
    """A text that hardly two patients share names them: a model would learn each by heart."""
    counts = column.value_counts()
    lone = int((counts == 1).sum())
    if len(counts) > MOST_CLASSES and 2 * lone > len(counts):
        message = (
            f"clinical column '{name}' has {len(counts)} classes in {int(counts.sum())} patients, {lone} of them with "
            "a single patient; group its classes, or leave the column out"
        )
        raise ConfigError(message)


def volume_block(data: AnnData, wanted: str | None) -> pd.DataFrame:
    """Return the volume of the region, one column; empty where the cohort has none.

    Raises
    ------
    ConfigError
        If the named feature is not in the cohort.
    """
    table = features(data)
    if wanted is not None:
        if wanted not in table.columns:
            message = f"unknown volume feature '{wanted}'{nearest(wanted, table.columns)}"
            raise ConfigError(message)
        return table[[wanted]]
    for ending in ("shape_MeshVolume", "shape_VoxelVolume"):
        # Where several regions were measured, the tumour's volume is the one that matters.
        found = [name for name in table.columns if name.endswith(ending)]
        # A change of volume is no volume, and a ring's is not the tumour's.
        found = [name for name in found if not name.startswith(tuple(f"{change}:" for change in PREFIXES.values()))]
        found.sort(key=_unlike_a_tumour)
        if found:
            return table[found[:1]]
    return table.iloc[:, :0]
