"""pyradiomics itself, beside imrad's engine: for whoever wants to see that the numbers agree."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from imrad.exceptions import ImageError, MissingExtraError
from imrad.radiomics.features import BY_NAME_ONLY, CLASSES
from imrad.radiomics.settings import RadiomicsSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare", "differences", "extract_pyradiomics"]


def extract_pyradiomics(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings | None = None, label: int | None = None
) -> dict[str, float]:
    """Compute the features with pyradiomics, under the same settings.

    Parameters
    ----------
    image, mask : SimpleITK.Image
    settings : RadiomicsSettings, optional
    label : int, optional
        The region's value in the mask, instead of the settings'.

    Returns
    -------
    dict
        As from :func:`imrad.radiomics.extract_image`; pyradiomics' diagnostics are left out.

    Raises
    ------
    MissingExtraError
        If pyradiomics is not installed.
    ImageError
        If pyradiomics refuses the case; its own words are given.
    """
    settings = settings or RadiomicsSettings()
    if settings.mode != "pyradiomics" or settings.logSupport != "pad":
        message = "pyradiomics knows neither mode: ibsi nor logSupport: full; leave them out to compare"
        raise ImageError(message)
    try:
        from radiomics import featureextractor
    except ImportError as error:
        message = "engine 'pyradiomics' needs the extra 'pyradiomics' (Python 3.11): pip install 'imrad[pyradiomics]'"
        raise MissingExtraError(message) from error
    parameters = settings.to_parameters()
    parameters["setting"]["additionalInfo"] = False
    logger = logging.getLogger("radiomics")
    before = logger.level
    # pyradiomics sets ITK's tolerances for the whole process.
    coordinates = sitk.ProcessObject.GetGlobalDefaultCoordinateTolerance()
    directions = sitk.ProcessObject.GetGlobalDefaultDirectionTolerance()
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            extractor = featureextractor.RadiomicsFeatureExtractor(parameters)
            found = extractor.execute(image, mask, label=settings.label if label is None else label)
    except (ValueError, RuntimeError, IndexError, AssertionError) as error:
        message = f"pyradiomics refuses this case: {' '.join(str(error).split())}"
        raise ImageError(message) from error
    finally:
        logger.setLevel(before)
        sitk.ProcessObject.SetGlobalDefaultCoordinateTolerance(coordinates)
        sitk.ProcessObject.SetGlobalDefaultDirectionTolerance(directions)
    return {name: float(value) for name, value in found.items()}


def differences(found: Mapping[str, float], reference: Mapping[str, float]) -> pd.DataFrame:
    """Compare two extractions feature by feature.

    Parameters
    ----------
    found, reference : mapping
        Feature name to value.

    Returns
    -------
    DataFrame
        Indexed by feature: ``feature_class``, ``found``, ``reference``, ``relative`` (difference over
        the reference's size; 0 where both are NaN, infinite where one is), ``scale`` (the feature's
        natural scale: the intensity range to the feature's order, otherwise 1) and ``agrees``
        (difference within 1e-6 of the reference plus 1e-9 of the scale).
    """
    import pandas as pd

    rows = []
    for name in reference:
        image, feature_class, feature = name.rsplit("_", 2)
        a, b = found.get(name, np.nan), reference[name]
        known = CLASSES[feature_class].get(feature) or BY_NAME_ONLY.get(feature_class, {}).get(feature)
        spread = reference.get(f"{image}_firstorder_Range", 1.0)
        scale = spread**known.power if known is not None and known.power and np.isfinite(spread) else 1.0
        if np.isnan(a) and np.isnan(b):
            relative, agrees = 0.0, True
        elif np.isnan(a) or np.isnan(b):
            relative, agrees = np.inf, False
        else:
            gap = abs(a - b)
            relative = gap / abs(b) if b else (0.0 if gap == 0 else np.inf)
            agrees = gap <= 1e-6 * abs(b) + 1e-9 * scale
        rows.append((name, feature_class, a, b, relative, scale, agrees))
    columns = ["feature", "feature_class", "found", "reference", "relative", "scale", "agrees"]
    return pd.DataFrame(rows, columns=columns).set_index("feature")


def compare(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings | None = None, label: int | None = None
) -> pd.DataFrame:
    """Run both engines on one case.

    Returns
    -------
    DataFrame
        Indexed by feature class: ``features``, ``largest_relative`` (over features that do not agree by
        their absolute scale alone), ``worst_feature`` and ``agree`` (how many agree).

    Raises
    ------
    MissingExtraError
        If pyradiomics is not installed.
    """
    from imrad.radiomics.engine import extract_image

    table = differences(extract_image(image, mask, settings, label), extract_pyradiomics(image, mask, settings, label))
    # A relative difference of a value that is 0 but for rounding says nothing.
    gap = (table["found"] - table["reference"]).abs()
    table["counted"] = table["relative"].where(~(gap <= 1e-9 * table["scale"]), 0.0)
    grouped = table.groupby("feature_class", sort=False)
    out = grouped["counted"].agg(["size", "max"]).set_axis(["features", "largest_relative"], axis=1)
    out["worst_feature"] = grouped["counted"].idxmax()
    out["agree"] = grouped["agrees"].sum()
    return out
