"""Synthetic cohorts with planted truth: the signal is where it was put, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm

from imrad.cohort import assemble
from imrad.datasets.names import ZERO_RATES, feature_names, target_names
from imrad.datasets.outcomes import draw_clinical, draw_response, draw_survival, hide_at_random
from imrad.exceptions import ConfigError
from imrad.seeds import generator

__all__ = ["ENDPOINTS", "Population", "draw_second_reader", "draw_tables", "make_cohort"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

ENDPOINTS = ("os", "pfi")


@dataclass(frozen=True)
class Population:
    """Whom a cohort is drawn from; see :func:`make_cohort` for the meaning of each part.

    Two draws from the same population share loadings, scales and truth, so that one can be the other's
    external validation.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    image_effect: Mapping[str, float]
    survival_effect: Mapping[str, float]
    clinical_effect: float = 0.5
    volume_effect: float = 0.0
    response_effect: float = 0.0
    seed: int = 0
    correlation: float = 0.7
    block_size: int = 14
    zero_rates: Mapping[str, float] | None = None


@dataclass(frozen=True)
class _Structure:
    block: np.ndarray[Any, np.dtype[np.intp]]
    signal_blocks: dict[str, tuple[int, int, float]]
    scale: FloatArray
    centre: FloatArray
    skewed: np.ndarray[Any, np.dtype[np.bool_]]


def make_cohort(
    n_patients: int = 113,
    *,
    n_features: int = 200,
    n_targets: int = 6,
    image_effect: float | Mapping[str, float] = 0.0,
    survival_effect: float | Mapping[str, float] = 0.0,
    clinical_effect: float = 0.5,
    volume_effect: float = 0.0,
    event_rate: float = 0.4,
    zero_inflation: bool = False,
    missing_targets: float = 0.0,
    missing_features: float = 0.0,
    missing_clinical: float = 0.0,
    n_sites: int = 1,
    site_effect: float = 0.0,
    response: bool = False,
    response_effect: float = 0.0,
    readers: Literal[1, 2] = 1,
    seed: int = 0,
    draw: int = 0,
    shift: float = 0.0,
    features: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    images: bool | str | Path = False,
) -> Any:
    """Draw a synthetic cohort whose truth is known.

    Features come in blocks of correlated columns, each following one latent factor; the first block is
    the tumour's size and holds the volume. A target is ``effect`` times a mixture of two other
    factors plus standard normal noise, so that its correlation with the image is effect / sqrt(1 +
    effect^2); with effect 0 it is pure noise. Survival is Weibull with a log hazard that is linear in
    the targets, stage and age; censoring is set so that `event_rate` of the patients have an OS event.

    Parameters
    ----------
    n_patients, n_features, n_targets : int
        Size. The first thirty targets have the founding study's names, the features pyradiomics'.
    image_effect : float or mapping of target to float
        Strength of the image in every target, or in the named ones; 2 is strong, 0 is none.
    survival_effect : float or mapping of target to float
        Log hazard ratio per standard deviation of a target's latent value; a number is for the first
        target.
    clinical_effect : float
        Log hazard ratio per stage; a fifth of it per ten years of age.
    volume_effect : float
        Log hazard ratio per standard deviation of log volume.
    event_rate : float
        Share of patients with an OS event, from above 0 to 1.
    zero_inflation : bool
        Make cell types zero in as many patients as TCGA's are.
    missing_targets, missing_features, missing_clinical : float
        Share of values removed at random.
    n_sites : int
        Hospitals; column ``site``.
    site_effect : float
        Standard deviation, in units of each feature's own, of a site's shift; its scale moves too.
    response : bool
        Add ``response`` (1, 0 or missing) and ``best_response`` (RECIST 1.1, NE where missing).
    response_effect : float
        Log odds of response per standard deviation of the first target's image signal.
    readers : {1, 2}
        With 2, ``obsm["reader_2"]`` holds the features of a second reader and the truth their ICC.
    seed, draw : int
        Seed of the population, and number of the sample drawn from it.
    shift : float
        Shift of every feature in its standard deviations: another scanner, another hospital.
    features, targets : sequence of str, optional
        Own names instead of generated ones.
    images : bool or path
        A folder (True: ``synthetic`` here) to also write CT, masks, expression and mutations to; see
        :func:`imrad.datasets.write_images`.

    Returns
    -------
    AnnData
        A valid cohort; ``uns["truth"]`` holds ``targets`` (target, image_effect, survival_effect,
        block_1, block_2), ``features`` (feature, block, icc), ``signal`` (patients x targets: what an
        ideal reader of the image would know) and ``risk`` (the true log hazard).

    Raises
    ------
    ConfigError
        If a size, rate or target name cannot be used.
    """
    wanted = tuple(targets) if targets is not None else tuple(target_names(n_targets))
    population = Population(
        features=tuple(features) if features is not None else tuple(feature_names(n_features)),
        targets=wanted,
        image_effect=_effects(image_effect, wanted, wanted),
        survival_effect=_effects(survival_effect, wanted, wanted[:1]),
        clinical_effect=clinical_effect,
        volume_effect=volume_effect,
        response_effect=response_effect,
        seed=seed,
        zero_rates=ZERO_RATES if zero_inflation else None,
    )
    tables = draw_tables(
        population,
        n_patients,
        event_rate=event_rate,
        missing=(missing_targets, missing_features, missing_clinical),
        n_sites=n_sites,
        site_effect=site_effect,
        response=response,
        draw=draw,
        shift=shift,
    )
    truth = tables.pop("truth")
    adata = assemble(**tables, endpoints=ENDPOINTS)
    if readers == 2:
        second, icc = draw_second_reader(tables["radiomics"].set_index("patient"), seed, draw)
        adata.obsm["reader_2"] = second.loc[adata.obs_names]
        truth["features"]["icc"] = icc
    adata.uns["truth"] = truth
    if images:
        from imrad.datasets.images import write_images

        write_images(adata, "synthetic" if images is True else Path(images), seed=seed)
    return adata


def _effects(given: float | Mapping[str, float], targets: Sequence[str], default: Sequence[str]) -> dict[str, float]:
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in targets]
        if unknown:
            message = f"an effect on {', '.join(unknown)} was asked for; the cohort's targets are {', '.join(targets)}"
            raise ConfigError(message)
        return {name: float(given.get(name, 0.0)) for name in targets}
    return {name: float(given) if name in default else 0.0 for name in targets}


def draw_tables(
    population: Population,
    n_patients: int,
    *,
    event_rate: float = 0.4,
    missing: tuple[float, float, float] = (0.0, 0.0, 0.0),
    n_sites: int = 1,
    site_effect: float = 0.0,
    response: bool = False,
    draw: int = 0,
    shift: float = 0.0,
    prefix: str = "SYN",
) -> dict[str, Any]:
    """Draw the tables of a synthetic study, as :func:`imrad.cohort.assemble` takes them.

    Returns
    -------
    dict
        ``radiomics``, ``immune`` (absent without targets), ``clinical``, ``provenance`` and ``truth``.

    Raises
    ------
    ConfigError
        If a size or rate cannot be used.
    """
    if n_patients < 2 or not 0 < event_rate <= 1 or not all(0 <= rate < 1 for rate in missing) or n_sites < 1:
        message = (
            f"a cohort of {n_patients} patients at event rate {event_rate}, missing rates {missing} and {n_sites} "
            "sites cannot be drawn; give 2 patients or more, rates from 0 to 1 (of events above 0) and a site"
        )
        raise ConfigError(message)
    structure = _structure(population)
    seed = population.seed
    patients = pd.Index([f"{prefix}-{draw}{number:04d}" for number in range(1, n_patients + 1)], name="patient")
    n_blocks = int(structure.block.max()) + 1
    factors = generator(seed, "factors", draw).standard_normal((n_patients, n_blocks))
    noise = generator(seed, "feature noise", draw).standard_normal((n_patients, len(population.features)))
    latent = np.sqrt(population.correlation) * factors[:, structure.block] + np.sqrt(1 - population.correlation) * noise
    sites = generator(seed, "sites", draw).integers(n_sites, size=n_patients)
    latent = _shifted_by_site(latent, sites, site_effect, seed) + shift
    signal, targets = _draw_targets(population, structure, factors, draw, patients)
    clinical, log_hazard = draw_clinical(
        targets,
        factors[:, 0],
        survival_effect=population.survival_effect,
        clinical_effect=population.clinical_effect,
        volume_effect=population.volume_effect,
        seed=seed,
        draw=draw,
    )
    clinical = clinical.join(draw_survival(log_hazard, event_rate, seed, draw, patients))
    if response:
        clinical = clinical.join(draw_response(signal, population.response_effect, seed, draw))
    if n_sites > 1:
        clinical["site"] = [f"site_{number + 1}" for number in sites]
    values = _measured(latent, structure)
    values[generator(seed, "missing features", draw).random(values.shape) < missing[1]] = np.nan
    radiomics = pd.DataFrame(values, columns=list(population.features))
    radiomics.insert(0, "patient", patients)
    tables: dict[str, Any] = {
        "radiomics": radiomics,
        "clinical": hide_at_random(clinical, missing[2], seed, draw),
        "provenance": {"dataset": "synthetic", "seed": seed, "draw": draw},
        "truth": _truth(population, structure, signal, log_hazard),
    }
    if population.targets:
        scores = np.column_stack([_as_target(name, targets[name], population) for name in population.targets])
        scores[generator(seed, "missing targets", draw).random(scores.shape) < missing[0]] = np.nan
        tables["immune"] = pd.DataFrame(scores, columns=list(population.targets), index=patients)
    return tables


def _structure(population: Population) -> _Structure:
    n_features = len(population.features)
    rng = generator(population.seed, "structure")
    block = np.arange(n_features) // population.block_size
    volume = [number for number, name in enumerate(population.features) if name.endswith("shape_MeshVolume")]
    block[volume] = 0
    last = int(block.max())
    signal_blocks = {}
    for name in population.targets:
        # A target has its own stream, so that adding targets leaves the others as they were.
        draw = generator(population.seed, "signal", name)
        first, second = (1 + draw.permutation(last)[:2]) if last >= 2 else (last, last)
        signal_blocks[name] = (int(first), int(second), float(draw.choice([-1.0, 1.0])))
    scale = 10.0 ** rng.uniform(-2, 3, n_features)
    centre = scale * rng.uniform(-1, 6, n_features)
    skewed = rng.random(n_features) < 0.3
    skewed[volume] = True
    scale[volume] = 25_000.0
    return _Structure(block, signal_blocks, scale, centre, skewed)


def _measured(latent: FloatArray, structure: _Structure) -> FloatArray:
    straight = structure.centre + structure.scale * latent
    return np.where(structure.skewed, structure.scale * np.exp(latent), straight)


def _shifted_by_site(latent: FloatArray, sites: np.ndarray[Any, Any], effect: float, seed: int) -> FloatArray:
    if not effect:
        return latent
    rng = generator(seed, "site effect")
    n_sites = int(sites.max()) + 1
    shift = effect * rng.standard_normal((n_sites, latent.shape[1]))
    spread = np.exp(0.2 * effect * rng.standard_normal((n_sites, latent.shape[1])))
    moved: FloatArray = latent * spread[sites] + shift[sites]
    return moved


def _draw_targets(
    population: Population, structure: _Structure, factors: FloatArray, draw: int, patients: pd.Index
) -> tuple[pd.DataFrame, pd.DataFrame]:
    signal, latent = {}, {}
    for name in population.targets:
        first, second, sign = structure.signal_blocks[name]
        mixture = factors[:, first] if first == second else (factors[:, first] + sign * factors[:, second]) / np.sqrt(2)
        effect = population.image_effect[name]
        own = generator(population.seed, "target noise", name, draw).standard_normal(len(factors))
        signal[name] = mixture if effect else np.zeros(len(factors))
        latent[name] = (effect * mixture + own) / np.sqrt(1 + effect**2)
    return pd.DataFrame(signal, index=patients), pd.DataFrame(latent, index=patients)


def _as_target(name: str, latent: pd.Series[Any], population: Population) -> FloatArray:
    z = latent.to_numpy(dtype=float)
    kind = name.partition(":")[0]
    if name == "TMB":
        return np.asarray(np.exp(0.8 + 0.7 * z))
    if name == "MSI":
        return np.asarray(0.32 + 0.03 * z)
    if name == "purity":
        return np.asarray(norm.cdf(0.3 + 0.5 * z))
    if name in ("stromal", "immune", "estimate"):
        return np.asarray(400.0 + 900.0 * z)
    if kind == "mut":
        return np.asarray((z > norm.ppf(0.7)).astype(float))
    if kind == "cell":
        rate = (population.zero_rates or {}).get(name, 0.0)
        above = z - norm.ppf(rate) if rate else z
        fraction = 0.04 * np.exp(0.6 * np.minimum(above, 4.0))
        return np.asarray(np.where(above > 0, fraction, 0.0) if rate else fraction)
    return np.asarray(z)


def draw_second_reader(first: pd.DataFrame, seed: int, draw: int) -> tuple[pd.DataFrame, FloatArray]:
    """Draw another reader's features and the intraclass correlation of each feature."""
    icc = np.round(generator(seed, "second reader icc").beta(5, 1.5, first.shape[1]), 3)
    # Errors of variance s^2 (1 - icc) / icc on both readers give that ICC; on one alone, twice as much.
    sd = first.std().to_numpy() * np.sqrt(2 * (1 - icc) / np.maximum(icc, 0.05))
    error = generator(seed, "second reader", draw).standard_normal(first.shape) * sd
    return first + error, icc


def _truth(
    population: Population, structure: _Structure, signal: pd.DataFrame, log_hazard: FloatArray
) -> dict[str, pd.DataFrame]:
    targets = pd.DataFrame(
        {
            "target": list(population.targets),
            "image_effect": [population.image_effect[name] for name in population.targets],
            "survival_effect": [population.survival_effect.get(name, 0.0) for name in population.targets],
            "block_1": [structure.signal_blocks[name][0] for name in population.targets],
            "block_2": [structure.signal_blocks[name][1] for name in population.targets],
        }
    )
    features = pd.DataFrame({"feature": list(population.features), "block": structure.block, "icc": np.nan})
    risk = pd.DataFrame({"patient": list(signal.index), "log_hazard": log_hazard})
    return {"targets": targets, "features": features, "signal": signal.rename_axis("patient"), "risk": risk}
