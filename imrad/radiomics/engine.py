"""Arrays in, features out: the order of steps is pyradiomics', the work is only the region's.

Images and masks are arrays in z, y, x order (as ``SimpleITK.GetArrayFromImage`` gives them); spacing
and origin are in mm in x, y, z order (as SimpleITK writes them).

Where pyradiomics 3.0.1 raises or goes wrong, and what is done here:

========================================  ===========================================  ==========================
case                                      pyradiomics 3.0.1                            imrad
========================================  ===========================================  ==========================
one voxel, or fewer extended axes than    ``ValueError``                               ``RegionError``
``minimumROIDimensions``
whole-number images near their type's     bin edges wrap round (8-bit images above     edges and samples in
end                                       205 at bin width 25): wrong levels; samples  double precision
                                          of ``LBP3D`` wrap round
image too small for LoG; image all 0 for  image left out, or NaN intensities and an    the same columns, NaN
square, logarithm and exponential         error
``LBP2D``, ``LBP3D`` without extra        image left out with a log line;              always computed
packages; ``LBP3D`` with SciPy >= 1.15,   ``IndexError``
or with ``lbp3DLevels: 1``
``LBP2D`` by ``var`` of whole numbers     NaN cut to a whole number: what the          0
where samples are alike                   processor makes of it
``LBP3D``: few values, many of them on    rounding (in single precision for such       rounding, of its own
a grey level's edge or a percentile       images) decides
``LBP3D`` where all samples around a      kurtosis NaN with recent SciPy, -3 with      -3
voxel are alike                           older
``shape2D``                               tests the wrong axis (x for z); fails on     tests ``force2Ddimension``
                                          regions of few pixels
``force2D`` and no ``featureClass`` in    ``shape2D`` joins the other classes where    the seven classes; name
the file                                  the region is flat, and raises where not     ``shape2D`` to have it
shape with ``resegmentRange`` without     shape of the mask cut to the box of what     the same (set
``resegmentShape``                        re-segmentation keeps                        ``resegmentShape``)
a mask with a single value, such as all   ``ValueError``: "no labels found"            computed
ones
``binCount`` where intensities are alike  ``ValueError``                               one grey level
but for rounding
NaN or infinite intensities in a region   undefined levels                             ``ImageError``
IMC2 of directions without information    NaN for that direction, by rounding          the same
whole-number images resampled             values cut off at the point, so that a       the same (``mode: ibsi``
                                          constant 57 may become 56                    rounds)
``interpolator: 3``                       B-spline with SimpleITK before 2.4; since    B-spline
                                          then "interpolator not set"
a distance given twice                    counted twice in GLDM                        ``ConfigError``
settings of one image type that act       no effect, and no word of it                 left out, with a warning
before the filters; LoG without sigma
========================================  ===========================================  ==========================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from imrad.exceptions import GeometryError, ImageError, RegionError
from imrad.radiomics.filters import filtered_names
from imrad.radiomics.label_region import find_region
from imrad.radiomics.prepared import PreparedImage
from imrad.radiomics.resample import Geometry
from imrad.radiomics.settings import RadiomicsSettings

__all__ = ["extract", "extract_image", "feature_names"]

Array = npt.NDArray[Any]


def feature_names(settings: RadiomicsSettings | None = None) -> list[str]:
    """Return the names of the features that `settings` ask for, in the order of :func:`extract`."""
    settings = settings or RadiomicsSettings()
    names = [
        f"original_{c}_{f}" for c in settings.featureClass if c.startswith("shape") for f in settings.features_of(c)
    ]
    for image_type in settings.imageType:
        for image_name in filtered_names(image_type, settings.for_image(image_type)):
            for feature_class in settings.featureClass:
                if not feature_class.startswith("shape"):
                    names += [f"{image_name}_{feature_class}_{f}" for f in settings.features_of(feature_class)]
    return names


def extract(
    image: Array,
    mask: Array,
    spacing: tuple[float, float, float],
    settings: RadiomicsSettings | None = None,
    *,
    origin: tuple[float, float, float] | None = None,
    direction: tuple[float, ...] | None = None,
    label: int | None = None,
) -> dict[str, float]:
    """Compute the radiomic features of one region.

    Parameters
    ----------
    image : array, shape (z, y, x)
        Intensities, whole or real numbers.
    mask : array, shape (z, y, x)
        Label image on the same voxels; True counts as label 1.
    spacing : tuple
        Voxel spacing in mm along **x, y, z**, as SimpleITK gives it.
    settings : RadiomicsSettings, optional
        The defaults of pyradiomics where left out.
    origin, direction : tuple, optional
        Position (mm) of the first voxel, and direction cosines, as SimpleITK gives them. They matter
        for nothing but the last bit of a resampling.
    label : int, optional
        The region's value in the mask, instead of the settings'.

    Returns
    -------
    dict
        Feature name (``original_glcm_Contrast``) to value, with the names and in the order of
        pyradiomics; NaN where a feature is not defined.

    Raises
    ------
    ImageError
        If image and mask have different shapes, or intensities cannot be used.
    RegionError
        If the label is missing or the region too small.

    References
    ----------
    van Griethuysen et al. 2017, doi:10.1158/0008-5472.CAN-17-0339.
    """
    prepared = PreparedImage(image, spacing, settings, origin=origin, direction=direction)
    return prepared.extract(mask, label=label)


def extract_image(
    image: sitk.Image, mask: sitk.Image, settings: RadiomicsSettings | None = None, label: int | None = None
) -> dict[str, float]:
    """Compute the radiomic features of one region of a SimpleITK image.

    As :func:`extract`. The two may lie on different grids where pyradiomics allows it: when
    resampling (onto a grid aligned to the mask), or with ``correctMask``.

    Raises
    ------
    GeometryError
        If image and mask lie on different grids and nothing in the settings brings them together, or
        the region reaches outside the image.
    """
    settings = settings or RadiomicsSettings()
    if image.GetDimension() != 3 or mask.GetDimension() != 3:
        message = (
            f"image and mask must have three dimensions, not {image.GetDimension()} and {mask.GetDimension()}; "
            "give a plane as one slice, with force2D"
        )
        raise ImageError(message)
    if image.GetNumberOfComponentsPerPixel() > 1:
        message = f"the image has {image.GetNumberOfComponentsPerPixel()} values per voxel; choose one channel of it"
        raise ImageError(message)
    components = mask.GetNumberOfComponentsPerPixel()
    if components > 1:
        if settings.label_channel >= components:
            message = f"label_channel {settings.label_channel} is beyond the mask's {components} channels"
            raise RegionError(message)
        mask = sitk.VectorIndexSelectionCast(mask, settings.label_channel)
    image_geometry, mask_geometry = Geometry.from_image(image), Geometry.from_image(mask)
    same = image.GetSize() == mask.GetSize() and image_geometry.agrees(mask_geometry, settings.geometryTolerance)
    prepared = PreparedImage(
        sitk.GetArrayViewFromImage(image),
        image_geometry.spacing,
        settings,
        origin=image_geometry.origin,
        direction=image_geometry.direction,
    )
    label = settings.label if label is None else label
    if same and image_geometry == mask_geometry:
        return prepared.extract(sitk.GetArrayViewFromImage(mask), label=label)
    resampling = settings.resampledPixelSpacing is not None and settings.interpolator is not None
    resampling = resampling and settings.mode == "pyradiomics"
    if not resampling and not same:
        if not settings.correctMask:
            message = (
                f"image and mask lie on different grids ({_grid_words(image)} against {_grid_words(mask)}); "
                "resample the mask to the image, or set correctMask: true"
            )
            raise GeometryError(message)
        _check_within(image, mask, label)
        mask = sitk.Resample(mask, image, sitk.Transform(), sitk.sitkNearestNeighbor, 0, mask.GetPixelID())
    if not resampling:
        return prepared.extract(sitk.GetArrayViewFromImage(mask), label=label)
    _check_within(image, mask, label)
    return prepared.extract_other_grid(mask, label)


def _grid_words(image: sitk.Image) -> str:
    spacing = " x ".join(f"{step:g}" for step in image.GetSpacing())
    origin = ", ".join(f"{place:g}" for place in image.GetOrigin())
    return f"{' x '.join(map(str, image.GetSize()))} voxels of {spacing} mm from ({origin})"


def _check_within(image: sitk.Image, mask: sitk.Image, label: int) -> None:
    found = find_region(sitk.GetArrayViewFromImage(mask), label)
    corners = [np.array([found[4], found[2], found[0]]) - 0.5, np.array([found[5], found[3], found[1]]) + 0.5]
    places = np.array(
        [
            image.TransformPhysicalPointToContinuousIndex(mask.TransformContinuousIndexToPhysicalPoint(c.tolist()))
            for c in corners
        ]
    )
    if np.any(places.min(axis=0) < -0.501) or np.any(places.max(axis=0) > np.array(image.GetSize()) - 0.499):
        message = (
            f"the region reaches outside the image (to voxels {np.round(places.min(axis=0), 1).tolist()} to "
            f"{np.round(places.max(axis=0), 1).tolist()} of {image.GetSize()}); check that both belong together"
        )
        raise GeometryError(message)
