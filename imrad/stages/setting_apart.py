"""Patients who are in no fit: a hold-out of the cohort itself, and other centres."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.exceptions import CohortError, ConfigError, NoOverlapError
from imrad.seeds import generator

if TYPE_CHECKING:
    from anndata import AnnData

    from imrad.run import Run
    from imrad.stages.assembly import AssembleSettings

__all__ = ["HOLDOUT", "check_external", "external_cohort", "set_apart", "standin_options"]

HOLDOUT = "holdout"
"""Name of the cohort's own patients that are set aside."""

SOURCES = ("standin", "synthetic", "cohort", "radiomics")


def check_external(settings: AssembleSettings) -> None:
    """Check the external cohorts of a config before anything runs.

    Raises
    ------
    ConfigError
        If a name cannot be a file's, or a centre has no source or several.
    """
    for name, where in settings.external.items():
        plain = name.replace("_", "").replace("-", "").replace(".", "").isalnum() and not name.startswith(".")
        if not plain or name in (HOLDOUT, "all external"):
            message = (
                f"assemble.external: {name!r} cannot name a centre; use letters, digits, - and _, but not {HOLDOUT}"
            )
            raise ConfigError(message)
        named = [source for source in SOURCES if getattr(where, source) is not None]
        if len(named) != 1:
            message = (
                f"assemble.external.{name} names {' and '.join(named) or 'no source'}; name one of "
                f"{', '.join(SOURCES)} (with clinical)"
            )
            raise ConfigError(message)
        if where.radiomics is not None and where.clinical is None:
            message = f"assemble.external.{name} has a radiomics table and no clinical one; name clinical too"
            raise ConfigError(message)


def set_apart(data: AnnData, share: float, seed: int) -> tuple[AnnData, AnnData | None]:
    """Return the cohort without its hold-out, and the hold-out: a share of every class of the first endpoint.

    Raises
    ------
    CohortError
        If the share is so small that nobody would be held out.
    """
    if share == 0:
        return data, None
    rng = generator(seed, "holdout")
    labels = pd.factorize(np.array([str(item) for item in _classes(data)]), sort=True)[0]
    held = np.zeros(data.n_obs, dtype=bool)
    # Dealing one class after another keeps both the classes' shares and the whole share.
    order = rng.permutation(data.n_obs)
    order = order[np.argsort(labels[order], kind="stable")]
    edges = np.floor((np.arange(data.n_obs) + 1) * share + 1e-9)
    held[order[np.diff(edges, prepend=0.0) > 0]] = True
    if not held.any():
        message = f"a hold-out of {share:g} of {data.n_obs} patients holds nobody; choose a larger share"
        raise CohortError(message)
    kept, apart = data[~held].copy(), data[held].copy()
    for part, reason in (
        (kept, "others were set aside before anything is fitted; the final models are judged on them"),
        (apart, "set aside before anything is fitted"),
    ):
        row = {"step": "internal hold-out", "n_in": data.n_obs, "n_out": part.n_obs, "reason": reason}
        losses = pd.concat([data.uns["imrad"]["attrition"], pd.DataFrame([row | {"unit": "patients"}])])
        part.uns["imrad"] = {**part.uns["imrad"], "attrition": losses.reset_index(drop=True)}
    return kept, apart


def _classes(data: AnnData) -> list[Any]:
    endpoints = data.uns["imrad"].get("endpoints")
    if endpoints is None or not len(endpoints):
        return [0] * data.n_obs
    first = str(endpoints["name"].iloc[0])
    return list(data.obs[f"{first}_event" if f"{first}_event" in data.obs else first].astype(float).fillna(-1.0))


def standin_options(run: Run, settings: AssembleSettings) -> dict[str, Any]:
    """Return what a stand-in takes from the config beside its own mapping."""
    return {"seed": run.config.seed, "delta": settings.delta, "aggregation": settings.aggregation}


def external_cohort(
    run: Run, settings: AssembleSettings, name: str, training: AnnData, join: Callable[..., AnnData]
) -> AnnData:
    """Assemble another centre as the training cohort was.

    Raises
    ------
    CohortError
        If a patient is in the training cohort too.
    NoOverlapError
        If the centre has none of the training cohort's features.
    """
    from imrad import cohort, datasets

    where = settings.external[name]
    if where.standin is not None:
        data = datasets.standin(**{**standin_options(run, settings), "cohort": name, **where.standin})
    elif where.synthetic is not None:
        data = datasets.make_cohort(**{"seed": run.config.seed, **where.synthetic})
    elif where.cohort is not None:
        data = cohort.read_cohort(run.path(where.cohort))
    else:
        endpoints = [f"{endpoint}={text}" if text else endpoint for endpoint, text in settings.endpoints.items()]
        paths = [
            None if given is None else run.path(given) for given in (where.radiomics, where.immune, where.clinical)
        ]
        columns = {**settings.columns, **where.columns}
        rows = {"aggregation": settings.aggregation, "delta": settings.delta, "reader": settings.reader}
        data = join(*paths, endpoints, rows, columns, None, dict(settings.on_missing) or None)
    cohort.derive_columns(data, settings.derive)
    both = sorted(set(map(str, data.obs_names)) & set(map(str, training.obs_names)))
    if both:
        message = (
            f"external cohort {name}: {len(both)} of its {data.n_obs} patients are in the training cohort, among them "
            f"{both[0]}; an external patient must be in no fit"
        )
        raise CohortError(message)
    if not set(data.var_names) & set(training.var_names):
        message = (
            f"external cohort {name} has none of the training cohort's {training.n_vars} features; extract them by the "
            "same settings"
        )
        raise NoOverlapError(message)
    cohort.validate(data)
    return data
