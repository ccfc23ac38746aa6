"""What a final model is given of another cohort: its blocks coded as in training, and phenotype scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.exceptions import BundleError, FitError
from imrad.stages.blocks import MISSING

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.survival.frozen import FrozenModel
    from imrad.survival.frozen_binary import FrozenBinary

__all__ = ["apply_phenotypes", "block_tables", "filled", "medians", "stand_in"]

MOST_ABSENT = 0.1
"""Most of a model's features that a cohort may lack altogether; they take the training median, and are named."""

MEASURED = ("Volume", "Rad")


def medians(training: Mapping[str, Any]) -> pd.Series[float]:
    """Return each feature's median in the training cohort, from its reference distribution."""
    middle = np.asarray(training["quantiles"])[list(training["levels"]).index(0.5)]
    return pd.Series(middle, index=[str(name) for name in training["names"]])


def stand_in(needed: Sequence[str], features: pd.DataFrame, medians: pd.Series[float] | None) -> pd.DataFrame:
    """Return training medians for the few features that a whole cohort lacks; nothing where they are many.

    Parameters
    ----------
    needed : sequence of str
        Features that a model uses.
    features : DataFrame
        Patients x features of the cohort.
    medians : Series, optional
        Of the training cohort, by feature.
    """
    absent = [name for name in dict.fromkeys(needed) if name not in features.columns]
    few = len(absent) <= MOST_ABSENT * len(set(needed))
    known = medians is not None and all(name in medians.index for name in absent)
    if not absent or not few or medians is None or not known:
        return pd.DataFrame(index=features.index)
    return pd.DataFrame({name: float(medians[name]) for name in absent}, index=features.index)


def apply_phenotypes(
    bundles: Mapping[str, Any],
    features: pd.DataFrame,
    sides: Mapping[str, Any],
    medians: pd.Series[float] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Return probabilities and percentiles, patients x phenotypes, and why some are not there."""
    from imrad.phenotype.bundle import PhenotypeModel

    found, places, unusable = {}, {}, {}
    for target, bundle in bundles.items():
        try:
            model = PhenotypeModel(bundle)
            scores = model.predict(features.join(stand_in(model.features, features, medians)), sides)
        except (BundleError, FitError) as error:
            unusable[target] = str(error)
            continue
        found[f"Rad-{target}"] = scores
        places[f"Rad-{target}"] = model.percentile(scores)
    index = features.index
    return pd.DataFrame(found, index=index), pd.DataFrame(places, index=index), unusable


def block_tables(
    model: FrozenModel | FrozenBinary,
    data: AnnData,
    sources: Mapping[str, Any],
    levels: Mapping[str, list[str]],
) -> dict[str, pd.DataFrame]:
    """Return the model's blocks of the new cohort, coded as in training; absent columns stay absent."""
    out = {}
    for block in model.blocks:
        if block == "ImRad":
            source = sources["ImRad"]
        elif block in MEASURED:
            features = sources["features"]
            source = features.join(stand_in(model.needed[block], features, sources.get("medians")))
        elif block == "Immune":
            source = pd.DataFrame(data.obsm["immune"]) if "immune" in data.obsm else pd.DataFrame(index=data.obs_names)
        else:
            # The user's own blocks may hold clinical columns and features.
            wanted = [name for name, _ in model.columns(block)]
            own = [name for name in wanted if name in data.obs]
            told = {
                name: data.obs[name.removesuffix(MISSING)].isna().astype(float)
                for name in wanted
                if name.endswith(MISSING) and name.removesuffix(MISSING) in data.obs
            }
            rest = [name for name in wanted if name not in data.obs and name in sources["features"]]
            parts = [data.obs[own], sources["features"][rest].set_index(data.obs.index)]
            source = pd.concat([*parts, pd.DataFrame(told, index=data.obs.index)], axis=1)
        columns = {
            name: _column(source[name], kind, levels.get(name))
            for name, kind in model.columns(block)
            if name in source.columns
        }
        out[block] = pd.DataFrame(columns, index=data.obs_names.astype(str))
    return out


def _column(values: pd.Series[Any], kind: str, levels: list[str] | None) -> np.ndarray[Any, Any]:
    if kind == "classes":
        return np.asarray(values.astype(object).where(values.notna(), None))
    if levels is not None:
        # Ranks are the training cohort's: a cohort without stage I must not call stage II the lowest.
        rank = {level: float(number) for number, level in enumerate(levels)}
        return np.array([rank.get(str(item), np.nan) for item in values], dtype=float)
    numbers = pd.to_numeric(values.astype(object), errors="coerce")
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan))


def filled(model: FrozenModel, sources: Mapping[str, Any]) -> list[str]:
    """Return the features of a model for which the training median stands, block by block."""
    return [
        str(name)
        for block in model.blocks
        if block in MEASURED
        for name in stand_in(model.needed[block], sources["features"], sources.get("medians")).columns
    ]
