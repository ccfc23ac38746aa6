"""The names that synthetic cohorts borrow from real ones: features, targets, marker genes."""

from __future__ import annotations

import re

from imrad.exceptions import ConfigError
from imrad.names import FOUNDING_TARGETS

__all__ = [
    "MARKER_GENES",
    "ZERO_RATES",
    "cell_target",
    "deep_names",
    "feature_names",
    "target_names",
]

_SHAPE = """Elongation Flatness LeastAxisLength MajorAxisLength Maximum2DDiameterColumn Maximum2DDiameterRow
Maximum2DDiameterSlice Maximum3DDiameter MeshVolume MinorAxisLength Sphericity SurfaceArea SurfaceVolumeRatio
VoxelVolume"""
_TEXTURES = {
    "firstorder": """10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum
MeanAbsoluteDeviation Mean Median Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared Skewness TotalEnergy
Uniformity Variance""",
    "glcm": """Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation
DifferenceAverage DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance JointAverage
JointEnergy JointEntropy MCC MaximumProbability SumAverage SumEntropy SumSquares""",
    "gldm": """DependenceEntropy DependenceNonUniformity DependenceNonUniformityNormalized DependenceVariance
GrayLevelNonUniformity GrayLevelVariance HighGrayLevelEmphasis LargeDependenceEmphasis
LargeDependenceHighGrayLevelEmphasis LargeDependenceLowGrayLevelEmphasis LowGrayLevelEmphasis
SmallDependenceEmphasis SmallDependenceHighGrayLevelEmphasis SmallDependenceLowGrayLevelEmphasis""",
    "glrlm": """GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelRunEmphasis
LongRunEmphasis LongRunHighGrayLevelEmphasis LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis RunEntropy
RunLengthNonUniformity RunLengthNonUniformityNormalized RunPercentage RunVariance ShortRunEmphasis
ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis""",
    "glszm": """GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelZoneEmphasis
LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis
SizeZoneNonUniformity SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis
SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance""",
    "ngtdm": "Busyness Coarseness Complexity Contrast Strength",
}
_FILTERS = (
    *(f"wavelet-{a}{b}{c}" for a in "LH" for b in "LH" for c in "LH"),
    "log-sigma-1-0-mm-3D",
    "log-sigma-3-0-mm-3D",
    "square",
    "squareroot",
    "logarithm",
    "exponential",
    "gradient",
)

ZERO_RATES = {
    "cell:B_cells_naive": 0.22,
    "cell:B_cells_memory": 0.69,
    "cell:Plasma_cells": 0.07,
    "cell:T_cells_CD8": 0.01,
    "cell:T_cells_CD4_naive": 0.98,
    "cell:T_cells_CD4_memory_resting": 0.07,
    "cell:T_cells_CD4_memory_activated": 0.92,
    "cell:T_cells_follicular_helper": 0.13,
    "cell:T_cells_regulatory_Tregs": 0.19,
    "cell:T_cells_gamma_delta": 0.84,
    "cell:NK_cells_resting": 0.63,
    "cell:NK_cells_activated": 0.11,
    "cell:Monocytes": 0.02,
    "cell:Macrophages_M0": 0.7,
    "cell:Macrophages_M1": 0.01,
    "cell:Dendritic_cells_resting": 0.69,
    "cell:Dendritic_cells_activated": 0.72,
    "cell:Mast_cells_resting": 0.24,
    "cell:Mast_cells_activated": 0.71,
    "cell:Eosinophils": 0.94,
    "cell:Neutrophils": 0.42,
}
"""Share of zeros per cell type among the 545 primary tumours of TCGA-KIRC in the published LM22 fractions."""

MARKER_GENES = {
    "T_cells_CD8": ("CD8A", "CD8B", "GZMK", "GZMA", "CCL5"),
    "NK_cells_activated": ("NCAM1", "KLRD1", "KLRF1", "GNLY"),
    "B_cells_naive": ("CD19", "MS4A1", "CD79A", "BLK"),
    "T_cells_regulatory_Tregs": ("FOXP3", "IL2RA", "CTLA4", "IKZF2"),
    "Macrophages_M2": ("CD163", "MRC1", "MSR1", "VSIG4"),
    "Mast_cells_activated": ("TPSAB1", "CPA3", "KIT", "MS4A2"),
    "Neutrophils": ("CSF3R", "FCGR3B", "CXCR2", "S100A12"),
}
"""A few textbook markers per cell type, enough to plant a signal that a real signature would read."""


def cell_target(name: str) -> str:
    """Return the target of a cell type however its table spells it.

    ``T.cells.regulatory..Tregs.`` and ``T cells regulatory (Tregs)`` are both
    ``cell:T_cells_regulatory_Tregs``.
    """
    return "cell:" + re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")


def feature_names(n_features: int, *, prefix: str = "") -> list[str]:
    """Return pyradiomics-like names: 14 shape, then 93 per filter (851 with wavelets, 1037 with two LoG).

    With fewer than 107 the volume stays among them.

    Raises
    ------
    ConfigError
        If more are asked for than the filters give.
    """
    names = [f"original_shape_{name}" for name in _SHAPE.split()]
    for image in ("original", *_FILTERS):
        names += [f"{image}_{kind}_{name}" for kind, items in _TEXTURES.items() for name in items.split()]
    if not 1 <= n_features <= len(names):
        message = f"{n_features} features were asked for; give a number from 1 to {len(names)}"
        raise ConfigError(message)
    volume = "original_shape_MeshVolume"
    chosen = names[:n_features] if n_features > names.index(volume) else [volume, *names][:n_features]
    return [prefix + name for name in chosen]


def deep_names(n_features: int) -> list[str]:
    """Return the names of a deep encoder's outputs."""
    return [f"deep_{number:04d}" for number in range(n_features)]


def target_names(n_targets: int) -> list[str]:
    """Return the founding study's thirty targets first, then made-up signatures."""
    made_up = [f"sig:synthetic.gmt#S{number:04d}" for number in range(n_targets - len(FOUNDING_TARGETS))]
    return [*FOUNDING_TARGETS, *made_up][:n_targets]
