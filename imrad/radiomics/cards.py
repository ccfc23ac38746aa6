"""Method cards of the radiomics room."""

from __future__ import annotations

from imrad.cards import Card

__all__ = ["CARDS"]

_PYRADIOMICS = "doi:10.1158/0008-5472.CAN-17-0339"
_IBSI = "doi:10.1148/radiol.2020191145"
_ZWANENBURG = "doi:10.1038/s41598-018-36938-4"
_WELCH = "doi:10.1016/j.radonc.2018.10.027"

CARDS: tuple[Card, ...] = (
    Card(
        "imrad",
        "extraction engine",
        "pyradiomics' 107 features and filters with its names and values, computed where the region needs them; "
        "mode ibsi follows the Image Biomarker Standardisation Initiative instead.",
        "",
        "",
        f"{_PYRADIOMICS}; {_IBSI}",
    ),
    Card(
        "pyradiomics",
        "extraction engine",
        "pyradiomics 3.0.1 itself, under the same settings, for comparison.",
        "",
        "",
        _PYRADIOMICS,
    ),
    Card(
        "icc_readers",
        "robustness",
        "ICC(2,1), absolute agreement of readers drawn from many, with Shrout and Fleiss' limits; the lower limit must "
        "reach the threshold by default, the estimate where asked.",
        "(-1, 1]",
        "",
        "doi:10.1037/0033-2909.86.2.420",
    ),
    Card(
        "icc_perturbations",
        "robustness",
        "ICC(1,1) over perturbations of one segmentation, measured in the training rows of each fold.",
        "(-1, 1]",
        "",
        f"doi:10.1037/0033-2909.86.2.420; {_ZWANENBURG}",
    ),
    Card(
        "perturbation",
        "robustness",
        "Noise of the image's own level, contour along supervoxels, volume by up to 15 %, rotation up to 13 degrees, "
        "translation by quarters of a voxel, chained and drawn by the seed.",
        "",
        "",
        _ZWANENBURG,
    ),
    Card(
        "volume_filter",
        "robustness",
        "Drops features whose absolute Spearman correlation with the region's volume exceeds a threshold, in the fold.",
        "[0, 1]",
        "",
        _WELCH,
    ),
    Card(
        "shuffled_voxels",
        "control",
        "The region's intensities in random order: what features still predict then is volume, shape and histogram.",
        "",
        "",
        _WELCH,
    ),
    Card(
        "combat",
        "harmonisation",
        "Empirical Bayes location and scale of each site, learnt on training rows, as sva::ComBat; an unseen site is "
        "refused unless a policy is named (unadjusted, nearest, grand_mean).",
        "",
        "",
        "doi:10.1093/biostatistics/kxj037; doi:10.2967/jnumed.117.199935",
    ),
)
