"""Cards of the feature classes, image filters, agreement measures and harmonisation of this room."""

from __future__ import annotations

from imrad.cards import Card
from imrad.radiomics.image_settings import MAPS

__all__ = ["CARDS"]

_PYRADIOMICS = "doi:10.1158/0008-5472.CAN-17-0339"
_IBSI = "doi:10.1148/radiol.2020191145"

CARDS: tuple[Card, ...] = (
    Card(
        "suv",
        "intensity",
        "PET by body weight: activity over what is left of the injected dose at the scan, by the QIBA pseudo-code.",
        ">= 0",
        "g/ml",
        "https://qibawiki.rsna.org/index.php/Standardized_Uptake_Value_(SUV)",
    ),
    Card(
        "zscore",
        "intensity",
        "Mean 0 and standard deviation 1 of the image, the body (Otsu's threshold) or the region.",
        "real",
        "sd",
        "doi:10.1109/TSMC.1979.4310076",
    ),
    Card(
        "percentile",
        "intensity",
        "Two percentiles of the image, the body or the region become 0 and 1.",
        "real",
        "",
        "",
    ),
    *(Card(name, "map over time", f"{text[0].upper()}{text[1:]}.", "real", "", "") for name, text in MAPS.items()),
    Card("firstorder", "feature class", "18 statistics of the intensities in the region.", "real", "", _PYRADIOMICS),
    Card("shape", "feature class", "14 measures of size and form, by a triangle mesh.", ">= 0", "mm", _PYRADIOMICS),
    Card(
        "shape2D",
        "feature class",
        "9 measures of a region one voxel thick, by its outline.",
        ">= 0",
        "mm",
        _PYRADIOMICS,
    ),
    Card(
        "glcm",
        "feature class",
        "24 features of how often grey levels are neighbours, mean over 13 directions.",
        "real",
        "",
        "doi:10.1109/TSMC.1973.4309314",
    ),
    Card(
        "glrlm",
        "feature class",
        "16 features of runs of equal grey level, mean over 13 directions.",
        ">= 0",
        "",
        "doi:10.1016/S0146-664X(75)80008-6",
    ),
    Card("glszm", "feature class", "16 features of connected zones of equal grey level.", ">= 0", "", _IBSI),
    Card(
        "gldm",
        "feature class",
        "14 features of how many neighbours share a voxel's grey level.",
        ">= 0",
        "",
        "doi:10.1016/0734-189X(83)90032-4",
    ),
    Card(
        "ngtdm",
        "feature class",
        "5 features of the difference between voxels and their neighbourhood.",
        ">= 0",
        "",
        "doi:10.1109/21.44046",
    ),
    Card("Original", "image filter", "The image itself.", "", "I", _PYRADIOMICS),
    Card(
        "Wavelet",
        "image filter",
        "Undecimated wavelet transform (coif1): 8 bands of low and high frequency per axis.",
        "",
        "I",
        "doi:10.1109/34.192463",
    ),
    Card(
        "LoG",
        "image filter",
        "Laplacian of Gaussian of a given width in mm, normalised across scales (recursive filter of ITK).",
        "",
        "a.u.",
        _PYRADIOMICS,
    ),
    Card("Square", "image filter", "Squared intensities, scaled to the image's largest.", ">= 0", "a.u.", _PYRADIOMICS),
    Card("SquareRoot", "image filter", "Signed square root, scaled to the image's largest.", "", "a.u.", _PYRADIOMICS),
    Card("Logarithm", "image filter", "Signed logarithm, scaled to the image's largest.", "", "a.u.", _PYRADIOMICS),
    Card("Exponential", "image filter", "Exponential, scaled to the image's largest.", "> 0", "a.u.", _PYRADIOMICS),
    Card("Gradient", "image filter", "Magnitude of the intensity gradient.", ">= 0", "a.u.", _PYRADIOMICS),
    Card(
        "LBP2D",
        "image filter",
        "Local binary patterns within slices.",
        ">= 0",
        "a.u.",
        "doi:10.1109/TPAMI.2002.1017623",
    ),
    Card(
        "LBP3D",
        "image filter",
        "Local binary patterns on a sphere, by spherical harmonics.",
        "",
        "a.u.",
        "doi:10.1007/978-3-642-37410-4_3",
    ),
    Card("ibsi", "feature definitions", "Features and processing of the IBSI reference manual.", "", "", _IBSI),
)
