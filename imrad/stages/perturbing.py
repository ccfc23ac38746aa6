"""Features of perturbed images, the user's own table or what extract wrote, as blocks for the fusion's models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imrad import content
from imrad.config import parse_settings
from imrad.exceptions import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.run import Run

__all__ = ["perturbed_blocks", "perturbed_digest"]

EXTRACTED = "extract/repeats.csv"
NOT_OF_IMAGES = ("Clinical", "Immune")


def perturbed_digest(run: Run, given: str | None) -> dict[str, str]:
    """Return the digest of the table that is read, for a stage's inputs; nothing where there is none.

    Raises
    ------
    InputError
        If the named file is not there.
    """
    path = _path(run, given)
    if path is None:
        return {}
    if not path.is_file():
        message = (
            f"fuse.perturbed: {path} is not there; name a table with the columns patient, perturbation and features"
        )
        raise InputError(message)
    return {"perturbed": content.digest_file(path)}


def perturbed_blocks(
    run: Run, data: AnnData, given: str | None, build: Callable[[AnnData], Mapping[str, pd.DataFrame]]
) -> dict[str, dict[str, pd.DataFrame]]:
    """Return for each perturbation the blocks that come from images, of the patients that it reached.

    Parameters
    ----------
    run : Run
    data : AnnData
        The cohort.
    given : str, optional
        The config's table (patient or case, perturbation, features); else what extract wrote, if anything.
    build : callable
        Returns a cohort's blocks.

    Raises
    ------
    InputError
        If the table has no perturbation, no patient of the cohort, or lacks features of the cohort.
    """
    from imrad import cohort

    path = _path(run, given)
    if path is None:
        return {}
    table = cohort.read_table(path)
    if "perturbation" not in table.columns:
        message = f"{path.name} has no column 'perturbation'; it needs patient (or case), perturbation and the features"
        raise InputError(message)
    missing = table["perturbation"].isna() | table["perturbation"].astype(str).str.strip().isin(["", "nan"])
    if missing.any():
        message = f"{path.name}: {int(missing.sum())} rows name no perturbation; number them"
        raise InputError(message)
    named = table["perturbation"].astype(str)
    levels = sorted(named.unique(), key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0, text))
    found = {}
    for level in levels:
        rows = table.loc[(named == level).to_numpy()].drop(columns="perturbation").reset_index(drop=True)
        features = _of_patients(run, rows, data, f"{path.name}, perturbation {level}")
        if features.empty:
            continue
        other = data.copy()
        other.X = features.reindex(data.obs_names.astype(str)).to_numpy(dtype=float)
        blocks = {name: block for name, block in build(other).items() if name not in NOT_OF_IMAGES}
        found[f"perturbation {level}"] = {name: block.loc[features.index] for name, block in blocks.items()}
    if not found:
        message = f"{path.name} names no patient of the cohort, such as {data.obs_names[0]}; give their features"
        raise InputError(message)
    return found


def _path(run: Run, given: str | None) -> Path | None:
    if given is not None:
        return run.path(given)
    return run.folder / EXTRACTED if run.has(EXTRACTED) else None


def _of_patients(run: Run, rows: pd.DataFrame, data: AnnData, what: str) -> pd.DataFrame:
    """Return a row of features a patient of the cohort, brought together as the cohort's own were."""
    from imrad import cohort
    from imrad.stages.assembly import AssembleSettings

    settings = parse_settings(AssembleSettings, run.config.section("assemble"), "assemble")
    known = rows[cohort.feature_columns(rows)].apply(pd.to_numeric, errors="coerce")
    # A perturbation that leaves nothing of a region has no features.
    rows = rows[known.notna().any(axis=1).to_numpy()].reset_index(drop=True)
    if rows.empty:
        return pd.DataFrame()
    features = cohort.patient_features(rows, aggregation=settings.aggregation, delta=settings.delta)
    names = [str(name) for name in data.var_names]
    absent = [name for name in names if name not in features.columns]
    if absent:
        message = f"{what}: {len(absent)} of the cohort's {len(names)} features are not there, as {absent[0]}"
        raise InputError(message)
    inside = features.index.astype(str).isin(data.obs_names.astype(str))
    return features.loc[inside, names].replace([np.inf, -np.inf], np.nan)
