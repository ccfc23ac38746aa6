"""The embedded real cohort and synthetic cohorts with planted truth."""

from imrad.datasets.synthetic import make_cohort
from imrad.datasets.tcga import load_tcga_blca, tcga_blca_tables

__all__ = ["load_tcga_blca", "make_cohort", "tcga_blca_tables"]
