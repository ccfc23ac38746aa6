"""Export: the final models of a run as one file that travels to another hospital, without a patient in it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad import __version__, content
from imrad.exceptions import BundleError, InputError
from imrad.stages import blocks
from imrad.stages.likeness import clinical_reference, joint_reference, reference
from imrad.stages.soundness import check_archive, check_models

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.run import Run

__all__ = ["export", "levels", "open_bundle", "refuse_names", "used_columns"]

FORMAT = "imrad model 2"

MOST_CLASSES = 0.5
"""Most classes of a clinical column, as a share of the patients: a column of names is no predictor."""


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
    from imrad.execution import single_thread

    data = cohort.read_cohort(run.folder / "cohort.h5ad")
    phenotypes = {
        str(bundle["target"]): bundle
        for bundle in (content.load(path) for path in sorted((run.folder / "phenotype/models").glob("*.zip")))
    }
    parts = {
        kind: {
            path.parent.name: _endpoint(run, path.parent) for path in sorted(run.folder.glob(f"{folder}/*/models.zip"))
        }
        for kind, folder in (("endpoints", "survival"), ("responses", "response"))
    }
    if not phenotypes and not any(parts.values()):
        message = f"{run.folder} has no model to export; run 'imrad phenotype' or 'imrad fuse' first"
        raise InputError(message)
    measured, clinical = used_columns(phenotypes, parts)
    refuse_names(data, clinical)
    features = blocks.features(data)
    with single_thread():
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
            "features": reference(features),
            "joint": joint_reference(features, measured),
            "clinical": clinical_reference(data, clinical),
            "levels": levels(data),
            "phenotypes": phenotypes,
            **parts,
        }
    digest = content.digest(value)
    content.save(output, {"digest": digest, "value": value})
    count = {kind: sum(len(part["models"]) for part in found.values()) for kind, found in parts.items()}
    models = f"{count['endpoints']} survival models" + (
        f", {count['responses']} models of a response" if count["responses"] else ""
    )
    told = [f"{output}: {len(phenotypes)} phenotypes, {models}, {data.n_vars} features; no patient rows"]
    told += [f"  {name}: {bundle['note']}" for name, bundle in phenotypes.items() if bundle.get("note")]
    place = "--cases cases.csv --clinical sheet.xlsx" if value["extraction"] else "--cohort new.h5ad"
    return [
        *told,
        f"digest {digest}",
        f"the other hospital:  imrad apply {Path(output).name} {place} --digest {digest} -o applied",
    ]


def used_columns(phenotypes: Mapping[str, Any], parts: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the features and the clinical columns that any model looks at.

    Parameters
    ----------
    phenotypes : mapping of str to mapping
        Bundles by target.
    parts : mapping
        ``endpoints`` and ``responses``: endpoint to a mapping that has the frozen ``models``.
    """
    from imrad.survival.frozen import FrozenModel
    from imrad.survival.frozen_binary import FrozenBinary

    measured = [str(name) for bundle in phenotypes.values() for name in bundle.get("features", ())]
    clinical: list[str] = []
    for kind, make in (("endpoints", FrozenModel), ("responses", FrozenBinary)):
        for part in parts[kind].values():
            for plain in part["models"].values():
                try:
                    model = make(plain)
                except BundleError:
                    continue
                for block, names in model.needed.items():
                    measured += names if block not in ("ImRad", "Immune") else []
                    clinical += names if block not in ("ImRad", "Immune", "Volume", "Rad") else []
    return list(dict.fromkeys(measured)), list(dict.fromkeys(clinical))


def refuse_names(data: AnnData, clinical: Sequence[str]) -> None:
    """Refuse a predictor whose classes are nearly one a patient: its names would travel in the model."""
    for name in clinical:
        if name not in data.obs or pd.api.types.is_numeric_dtype(data.obs[name].dtype):
            continue
        classes = data.obs[name].dropna().astype(str).nunique()
        if classes > max(2, MOST_CLASSES * data.n_obs):
            message = (
                f"the clinical column {name} has {classes} classes among {data.n_obs} patients, so a model with "
                "it would carry what identifies them; leave it out of fuse.clinical and fuse again"
            )
            raise InputError(message)


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
    check_archive(path)
    try:
        kept = content.load(path)
        value, stated = dict(kept["value"]), str(kept["digest"])
        found = content.digest(value)
    except (
        *(InputError, KeyError, TypeError, ValueError, AttributeError, IndexError, MemoryError, OverflowError),
        *(RecursionError, NotImplementedError, RuntimeError, OSError, zlib.error, SyntaxError),
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
    check_models(path, value)
    return value
