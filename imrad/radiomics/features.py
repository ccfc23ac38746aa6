"""The features by name: which exist, in which order, with which unit and IBSI code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BY_NAME_ONLY", "CLASSES", "WITHOUT_VALUE", "Feature", "feature_table"]


class Feature(NamedTuple):
    """Unit and code of one feature.

    Attributes
    ----------
    unit : str
        ``"I"`` stands for the unit of the image's intensities (HU for CT), ``""`` for none.
    ibsi : str
        Four-character code of the IBSI reference manual (doi:10.1148/radiol.2020191145), or ``""``.
    power : int
        How the natural scale of the value follows the intensity range: intensity features of
        order k grow as range^k, grey-level features do not follow it (0).
    """

    unit: str
    ibsi: str
    power: int = 0


# Order within a class is pyradiomics' (alphabetical by the name of its method).
_FIRST_ORDER = {
    "10Percentile": Feature("I", "QG58", 1),
    "90Percentile": Feature("I", "8DWT", 1),
    "Energy": Feature("I^2", "N8CA", 2),
    "Entropy": Feature("bit", "TLU2"),
    "InterquartileRange": Feature("I", "SALO", 1),
    "Kurtosis": Feature("", "IPH6"),
    "Maximum": Feature("I", "84IY", 1),
    "MeanAbsoluteDeviation": Feature("I", "4FUA", 1),
    "Mean": Feature("I", "Q4LE", 1),
    "Median": Feature("I", "Y12H", 1),
    "Minimum": Feature("I", "1GSF", 1),
    "Range": Feature("I", "2OJQ", 1),
    "RobustMeanAbsoluteDeviation": Feature("I", "1128", 1),
    "RootMeanSquared": Feature("I", "5ZWQ", 1),
    "Skewness": Feature("", "KE2A"),
    "TotalEnergy": Feature("I^2 mm^3", "", 2),
    "Uniformity": Feature("", "BJ5W"),
    "Variance": Feature("I^2", "ECT3", 2),
}

_GLCM = {
    "Autocorrelation": Feature("", "QWB0"),
    "ClusterProminence": Feature("", "AE86"),
    "ClusterShade": Feature("", "7NFM"),
    "ClusterTendency": Feature("", "DG8W"),
    "Contrast": Feature("", "ACUI"),
    "Correlation": Feature("", "NI2N"),
    "DifferenceAverage": Feature("", "TF7R"),
    "DifferenceEntropy": Feature("bit", "NTRS"),
    "DifferenceVariance": Feature("", "D3YU"),
    "Id": Feature("", "IB1Z"),
    "Idm": Feature("", "WF0Z"),
    "Idmn": Feature("", "1QCO"),
    "Idn": Feature("", "NDRX"),
    "Imc1": Feature("", "R8DG"),
    "Imc2": Feature("", "JN9H"),
    "InverseVariance": Feature("", "E8JP"),
    "JointAverage": Feature("", "60VM"),
    "JointEnergy": Feature("", "8ZQL"),
    "JointEntropy": Feature("bit", "TU9B"),
    "MCC": Feature("", ""),
    "MaximumProbability": Feature("", "GYBY"),
    "SumAverage": Feature("", "ZGXS"),
    "SumEntropy": Feature("bit", "P6QZ"),
    "SumSquares": Feature("", "UR99"),
}

_GLDM = {
    "DependenceEntropy": Feature("bit", "FCBV"),
    "DependenceNonUniformity": Feature("", "Z87G"),
    "DependenceNonUniformityNormalized": Feature("", "OKJI"),
    "DependenceVariance": Feature("", "DNX2"),
    "GrayLevelNonUniformity": Feature("", "FP8K"),
    "GrayLevelVariance": Feature("", "1PFV"),
    "HighGrayLevelEmphasis": Feature("", "OAE7"),
    "LargeDependenceEmphasis": Feature("", "IMOQ"),
    "LargeDependenceHighGrayLevelEmphasis": Feature("", "9QMG"),
    "LargeDependenceLowGrayLevelEmphasis": Feature("", "NBZI"),
    "LowGrayLevelEmphasis": Feature("", "TL9H"),
    "SmallDependenceEmphasis": Feature("", "SODN"),
    "SmallDependenceHighGrayLevelEmphasis": Feature("", "JA6D"),
    "SmallDependenceLowGrayLevelEmphasis": Feature("", "EQ3F"),
}

_GLRLM = {
    "GrayLevelNonUniformity": Feature("", "R5YN"),
    "GrayLevelNonUniformityNormalized": Feature("", "OVBL"),
    "GrayLevelVariance": Feature("", "8CE5"),
    "HighGrayLevelRunEmphasis": Feature("", "G3QZ"),
    "LongRunEmphasis": Feature("", "W4KF"),
    "LongRunHighGrayLevelEmphasis": Feature("", "3KUM"),
    "LongRunLowGrayLevelEmphasis": Feature("", "IVPO"),
    "LowGrayLevelRunEmphasis": Feature("", "V3SW"),
    "RunEntropy": Feature("bit", "HJ9O"),
    "RunLengthNonUniformity": Feature("", "W92Y"),
    "RunLengthNonUniformityNormalized": Feature("", "IC23"),
    "RunPercentage": Feature("", "9ZK5"),
    "RunVariance": Feature("", "SXLW"),
    "ShortRunEmphasis": Feature("", "22OV"),
    "ShortRunHighGrayLevelEmphasis": Feature("", "GD3A"),
    "ShortRunLowGrayLevelEmphasis": Feature("", "HTZT"),
}

_GLSZM = {
    "GrayLevelNonUniformity": Feature("", "JNSA"),
    "GrayLevelNonUniformityNormalized": Feature("", "Y1RO"),
    "GrayLevelVariance": Feature("", "BYLV"),
    "HighGrayLevelZoneEmphasis": Feature("", "5GN9"),
    "LargeAreaEmphasis": Feature("", "48P8"),
    "LargeAreaHighGrayLevelEmphasis": Feature("", "J17V"),
    "LargeAreaLowGrayLevelEmphasis": Feature("", "YH51"),
    "LowGrayLevelZoneEmphasis": Feature("", "XMSY"),
    "SizeZoneNonUniformity": Feature("", "4JP3"),
    "SizeZoneNonUniformityNormalized": Feature("", "VB3A"),
    "SmallAreaEmphasis": Feature("", "P001"),
    "SmallAreaHighGrayLevelEmphasis": Feature("", "HW1V"),
    "SmallAreaLowGrayLevelEmphasis": Feature("", "5RAI"),
    "ZoneEntropy": Feature("bit", "GU8N"),
    "ZonePercentage": Feature("", "P30P"),
    "ZoneVariance": Feature("", "3NSA"),
}

_NGTDM = {
    "Busyness": Feature("", "NQ30"),
    "Coarseness": Feature("", "QCDE"),
    "Complexity": Feature("", "HDEZ"),
    "Contrast": Feature("", "65HE"),
    "Strength": Feature("", "1X9X"),
}

_SHAPE = {
    "Elongation": Feature("", "Q3CK"),
    "Flatness": Feature("", "N17B"),
    "LeastAxisLength": Feature("mm", "7J51"),
    "MajorAxisLength": Feature("mm", "TDIC"),
    "Maximum2DDiameterColumn": Feature("mm", ""),
    "Maximum2DDiameterRow": Feature("mm", ""),
    "Maximum2DDiameterSlice": Feature("mm", ""),
    "Maximum3DDiameter": Feature("mm", "L0JK"),
    "MeshVolume": Feature("mm^3", "RNU0"),
    "MinorAxisLength": Feature("mm", "P9VJ"),
    "Sphericity": Feature("", "QCFX"),
    "SurfaceArea": Feature("mm^2", "C0JK"),
    "SurfaceVolumeRatio": Feature("1/mm", "2PR5"),
    "VoxelVolume": Feature("mm^3", "YEKZ"),
}

_SHAPE_2D = {
    "Elongation": Feature("", ""),
    "MajorAxisLength": Feature("mm", ""),
    "MaximumDiameter": Feature("mm", ""),
    "MeshSurface": Feature("mm^2", ""),
    "MinorAxisLength": Feature("mm", ""),
    "Perimeter": Feature("mm", ""),
    "PerimeterSurfaceRatio": Feature("1/mm", ""),
    "PixelSurface": Feature("mm^2", ""),
    "Sphericity": Feature("", ""),
}

CLASSES: dict[str, dict[str, Feature]] = {
    "firstorder": _FIRST_ORDER,
    "glcm": _GLCM,
    "gldm": _GLDM,
    "glrlm": _GLRLM,
    "glszm": _GLSZM,
    "ngtdm": _NGTDM,
    "shape": _SHAPE,
    "shape2D": _SHAPE_2D,
}
"""Classes in pyradiomics' order, each with the features it computes when none is named."""

BY_NAME_ONLY: dict[str, dict[str, Feature]] = {
    "firstorder": {"StandardDeviation": Feature("I", "", 1)},
    "shape": {
        "Compactness1": Feature("", "SKGS"),
        "Compactness2": Feature("", "BQWJ"),
        "SphericalDisproportion": Feature("", "KRCK"),
    },
    "shape2D": {"SphericalDisproportion": Feature("", "")},
}
"""Features that follow from others: computed only where a settings file names them."""

WITHOUT_VALUE: dict[str, dict[str, str]] = {
    "glcm": {
        "Dissimilarity": "DifferenceAverage",
        "Homogeneity1": "Id",
        "Homogeneity2": "Idm",
        "SumVariance": "ClusterTendency",
    },
    "gldm": {
        "GrayLevelNonUniformityNormalized": "firstorder Uniformity",
        "DependencePercentage": "nothing, for it is always 1",
    },
}
"""Names that pyradiomics knows and gives no value for, and the feature that equals them."""


IBSI_FAMILIES = ("morph", "loc", "stat", "ih", "ivh", "cm", "rlm", "szm", "dzm", "ngt", "ngl")


def feature_table(names: Iterable[str]) -> pd.DataFrame:
    """Describe features by their full names, for the ``var`` of a cohort.

    Parameters
    ----------
    names : iterable of str
        ``<image filter>_<class>_<feature>`` as :func:`imrad.radiomics.extract` returns them. A
        prefix before the image filter (a region's name and a colon) is allowed. Tags of the IBSI mode
        (``cm_contrast_3D_avg``) keep their family as class; the tag itself is IBSI's.

    Returns
    -------
    DataFrame
        Indexed by the names, columns ``feature_class``, ``image_filter``, ``unit`` and
        ``ibsi_code``. The unit of intensities is written ``I`` on the original image; filters other
        than wavelet (which keeps intensities) change it and have ``a.u.`` there.

    Raises
    ------
    KeyError
        If a name is not a feature of this engine.
    """
    import pandas as pd

    names = list(names)
    rows = []
    for name in names:
        image_filter, feature_class, feature = [*name.rsplit(":", 1)[-1].rsplit("_", 2), "", ""][:3]
        known = {**CLASSES.get(feature_class, {}), **BY_NAME_ONLY.get(feature_class, {})}
        family = name.rsplit(":", 1)[-1].split("_")[0]
        if feature not in known and family in IBSI_FAMILIES:
            rows.append((family, "original", "", ""))
            continue
        if feature not in known:
            message = f"{name!r} is not a feature of this engine; names look like original_glcm_Contrast"
            raise KeyError(message)
        entry = known[feature]
        keeps_unit = image_filter.startswith(("original", "wavelet"))
        unit = entry.unit if keeps_unit or not entry.unit.startswith("I") else "a.u."
        rows.append((feature_class, image_filter, unit, entry.ibsi if image_filter == "original" else ""))
    return pd.DataFrame(
        rows,
        index=pd.Index(names, name="feature"),
        columns=["feature_class", "image_filter", "unit", "ibsi_code"],
    )
