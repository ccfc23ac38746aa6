"""Generated CT slices and maps of relevance for a stand-in whose features are ready-made vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from imrad.datasets.dicom import Phantom
from imrad.datasets.images import draw_phantom
from imrad.datasets.standins import STUDIES, Size, draw_study
from imrad.seeds import generator

__all__ = ["StandinMap", "standin_maps"]

STUDY = "nsclc-deep-pcr"
SHAPE = (9, 64, 64)


@dataclass(frozen=True)
class StandinMap:
    """What comes beside one patient's vector.

    Attributes
    ----------
    patient, case : str
        Whose; the case is the contrast phase's.
    image : ndarray of int16, (slices, rows, columns)
        A generated CT, in HU.
    relevance : ndarray of float32
        In [0, 1], on the same grid: most of it lies on the generated lesion.
    region : ndarray of bool
        The lesion.
    """

    patient: str
    case: str
    image: np.ndarray[Any, np.dtype[np.int16]]
    relevance: np.ndarray[Any, np.dtype[np.float32]]
    region: np.ndarray[Any, np.dtype[np.bool_]]


def standin_maps(study: str, *, cohort: str = "training", size: Size = "full", seed: int = 0) -> Iterator[StandinMap]:
    """Draw slices and maps for the patients of a stand-in of ready-made vectors; for other stand-ins, none.

    No network is behind a map: it is a smoothed lesion with a patchy inside. It shows how imported maps are drawn,
    nothing about vectors or outcome.

    Raises
    ------
    ConfigError
        If there is no such study, cohort or size of it.
    """
    if study in STUDIES and study != STUDY:
        return
    drawn = draw_study(study, size=size, seed=seed).rows(cohort)
    contrast = drawn["radiomics"].query("phase == 'contrast'")
    for patient, case in zip(contrast["patient"].astype(str), contrast["case"].astype(str), strict=True):
        rng = generator(seed, "standin", "map", patient)
        phantom = draw_phantom(float(rng.normal(0.8, 0.8)), float(rng.normal()), shape=SHAPE, seed=seed, name=patient)
        patchy = gaussian_filter(rng.standard_normal(SHAPE), (1.0, 2.5, 2.5))
        near = gaussian_filter(phantom.mask.astype(float), (0.6, 1.6, 1.6)) ** 2
        heat = near * np.clip(0.7 + 0.3 * patchy / patchy.std(), 0.1, None)
        yield StandinMap(patient, case, _lung(phantom, rng), (heat / heat.max()).astype(np.float32), phantom.mask)


def _lung(phantom: Phantom, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Put a phantom's lesion into air-filled lung with vessels, within a wall of soft tissue."""
    _, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    lung = ((x / 0.82) ** 2 + (y / 0.74) ** 2 < 1) & ~phantom.mask
    grain = gaussian_filter(rng.standard_normal(SHAPE), (1.5, 1.2, 1.2))
    vessels = np.clip(grain / grain.std() - 1.3, 0, 1.2)
    air = -820 + 420 * vessels + 25 * rng.standard_normal(SHAPE)
    return np.where(lung, np.round(air), phantom.hounsfield).astype(np.int16)
