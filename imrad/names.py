"""Names of immune quantities that several rooms share, so that none has to ask another."""

from __future__ import annotations

__all__ = ["CHECKPOINT_GENES", "FOUNDING_TARGETS", "LM22_CELLS"]

LM22_CELLS = (
    "B_cells_naive",
    "B_cells_memory",
    "Plasma_cells",
    "T_cells_CD8",
    "T_cells_CD4_naive",
    "T_cells_CD4_memory_resting",
    "T_cells_CD4_memory_activated",
    "T_cells_follicular_helper",
    "T_cells_regulatory_Tregs",
    "T_cells_gamma_delta",
    "NK_cells_resting",
    "NK_cells_activated",
    "Monocytes",
    "Macrophages_M0",
    "Macrophages_M1",
    "Macrophages_M2",
    "Dendritic_cells_resting",
    "Dendritic_cells_activated",
    "Mast_cells_resting",
    "Mast_cells_activated",
    "Eosinophils",
    "Neutrophils",
)
"""The 22 cell types of LM22 in its column order (names only; the matrix is never shipped)."""

CHECKPOINT_GENES = ("PDCD1", "CD244", "LAG3", "TIGIT")
"""The founding study's genes of T-cell exhaustion."""

FOUNDING_TARGETS = (
    "TMB",
    "MSI",
    "stromal",
    "immune",
    "purity",
    *(f"cell:{name}" for name in LM22_CELLS if name != "T_cells_CD4_naive"),
    *(f"gene:{name}" for name in CHECKPOINT_GENES),
)
"""The thirty targets of the founding study."""
