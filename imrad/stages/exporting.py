"""Export: the final models of a run as one file that travels to another hospital, without a patient in it."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad import __version__, content
from imrad.exceptions import BundleError, InputError
from imrad.stages import blocks

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.run import Run

__all__ = ["export", "levels", "open_bundle", "outside_share", "reference"]

FORMAT = "imrad model 1"

LEVELS = (0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995)
"""Quantiles of every feature that travel; the outer two bound what counts as seen in training."""

MANY_OUTSIDE = 0.1
"""Least share of features beyond the training range at which a patient counts as out of distribution."""


def export(run: Run, output: str | Path) -> list[str]:
    """Write a run's final models to one file, and return what to tell the user: above all its digest.

    Parameters
    ----------
    run : Run
        A run whose phenotypes or survival models are there.
    output : path-like
        The file; ``model.imrad`` by custom.

    Raises
    ------
    InputError
        If the run has no model to export.
    """
    from imrad import cohort

    data = cohort.read_cohort(run.folder / "cohort.h5ad")
    phenotypes = {
        str(bundle["target"]): bundle
        for bundle in (content.load(path) for path in sorted((run.folder / "phenotype/models").glob("*.zip")))
    }
    endpoints = {
        path.parent.name: _endpoint(run, path.parent) for path in sorted((run.folder / "survival").glob("*/models.zip"))
    }
    if not phenotypes and not endpoints:
        message = f"{run.folder} has no model to export; run 'imrad phenotype' or 'imrad fuse' first"
        raise InputError(message)
    value = {
        "format": FORMAT,
        "name": run.config.name,
        "title": run.config.title,
        "training": {
            "n_patients": int(data.n_obs),
            "cohort": run.outputs("assemble").get("cohort.h5ad", ""),
            "run": run.digest,
        },
        "versions": {"imrad": __version__, "numpy": np.__version__, "pandas": pd.__version__},
        "extraction": _extraction(run),
        "sheet": _sheet(run),
        "features": reference(blocks.features(data)),
        "levels": levels(data),
        "phenotypes": phenotypes,
        "endpoints": endpoints,
    }
    digest = content.digest(value)
    content.save(output, {"digest": digest, "value": value})
    models = sum(len(part["models"]) for part in endpoints.values())
    return [
        f"{output}: {len(phenotypes)} phenotypes, {models} survival models, {data.n_vars} features; no patient rows",
        f"digest {digest}",
        f"the other hospital:  imrad apply {Path(output).name} --cohort new.h5ad --digest {digest} -o applied",
    ]


def _endpoint(run: Run, folder: Path) -> dict[str, Any]:
    settings = run.record["stages"].get(f"fuse-{folder.name}", {}).get("settings", {})
    nomogram = folder / "nomogram.json"
    return {
        "models": content.load(folder / "models.zip"),
        "horizons_days": [float(horizon) for horizon in settings.get("horizons_days", (365.0, 1095.0, 1825.0))],
        "nomogram": json.loads(nomogram.read_text(encoding="utf-8")) if nomogram.exists() else {},
    }


def _extraction(run: Run) -> dict[str, Any]:
    """Return how the features were measured, where this run measured them; empty where they came as a table."""
    own_table = {"radiomics", "cohort", "dataset", "synthetic", "standin"} & set(run.config.section("assemble"))
    if run.config.extract is None or own_table:
        return {}
    from imrad.stages import extraction

    chosen = extraction.check(run)
    if chosen.engine == "deep":
        encoder = json.loads((run.folder / "extract/encoder.json").read_text(encoding="utf-8"))
        return {"engine": "deep", "deep": json.loads(chosen.deep.model_dump_json()), "encoder": encoder}
    settings = extraction.read_settings(chosen.settings, run.base)
    return {
        "engine": chosen.engine,
        "settings": json.loads(settings.model_dump_json()),
        "reading": json.loads(chosen.reading.model_dump_json()),
        "images": {name: json.loads(item.model_dump_json()) for name, item in chosen.images.items()},
        "own_settings": {
            name: json.loads(item.model_dump_json()) for name, item in extraction.own_settings(chosen, run.base).items()
        },
    }


def _sheet(run: Run) -> dict[str, Any]:
    """Return how the clinical sheet was read: its columns, its endpoints, and how cases became patients."""
    section = run.config.section("assemble")
    return {name: section[name] for name in ("columns", "endpoints", "aggregation", "delta") if section.get(name)}


def levels(data: AnnData) -> dict[str, list[str]]:
    """Return the names behind the ranks of ordered categories."""
    ordered = [name for name, kind in data.obs.dtypes.items() if isinstance(kind, pd.CategoricalDtype) and kind.ordered]
    return {str(name): [str(level) for level in data.obs[name].cat.categories] for name in ordered}


def reference(table: pd.DataFrame) -> dict[str, Any]:
    """Return the distribution of every feature in the training cohort, and when a patient is unlike it."""
    values = table.to_numpy(dtype=float)
    known = np.isfinite(values)
    filled = np.flatnonzero(known.any(axis=0))
    values, known = values[:, filled], known[:, filled]
    quantiles = np.nanquantile(values, LEVELS, axis=0)
    share = outside_share(values, quantiles[0], quantiles[-1])
    return {
        "names": [str(name) for name in table.columns[filled]],
        "levels": list(LEVELS),
        "quantiles": quantiles,
        "mean": np.nanmean(values, axis=0),
        "sd": np.nanstd(values, axis=0),
        "missing": 1 - known.mean(axis=0),
        "limit": max(MANY_OUTSIDE, float(np.nanquantile(share, 0.99))),
    }


def outside_share(values: Any, low: Any, high: Any) -> Any:
    """Return each patient's share of known features below `low` or above `high`; NaN where none is known."""
    known = np.isfinite(values)
    outside = known & ((values < low) | (values > high))
    counts = known.sum(axis=1)
    return np.divide(outside.sum(axis=1), counts, out=np.full(len(values), np.nan), where=counts > 0)


def open_bundle(path: str | Path, digest: str | None = None) -> dict[str, Any]:
    """Read an exported model and check that it is what was exported; nothing in it is executed.

    Parameters
    ----------
    path : path-like
        The file.
    digest : str, optional
        What export printed.

    Raises
    ------
    BundleError
        If the file is altered, holds anything but plain values, or is not the one the digest names.
    """
    if not Path(path).is_file():
        message = f"{path} is not there; 'imrad export RUN -o model.imrad' writes it"
        raise InputError(message)
    try:
        kept = content.load(path)
        value, stated = dict(kept["value"]), str(kept["digest"])
        found = content.digest(value)
    except (
        *(InputError, KeyError, TypeError, ValueError, AttributeError, IndexError),
        *(RecursionError, NotImplementedError, RuntimeError, OSError, zlib.error),
    ) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} is no exported model, or is damaged or unsafe ({first}); ask for the file again"
        raise BundleError(message) from error
    if found != stated or (digest is not None and found != digest.strip().lower()):
        wanted = stated if digest is None else digest
        message = f"{path} was altered after export: its content has the digest {found}, not {wanted}; do not use it"
        raise BundleError(message)
    if value.get("format") != FORMAT:
        message = f"{path} has the format {value.get('format')!r}, this imrad reads {FORMAT!r}; export it again"
        raise BundleError(message)
    return value
