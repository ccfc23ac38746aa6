"""The embedded real cohort and synthetic cohorts with planted truth."""

from imrad.datasets.tcga import load_tcga_blca, tcga_blca_tables

__all__ = ["load_tcga_blca", "tcga_blca_tables"]
