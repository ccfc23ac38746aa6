"""What phenotype and survival both stand on: splits, ledger, cross-fitting, metrics and their uncertainty."""

from imrad.evaluation.crossfit import CrossFitted
from imrad.evaluation.ledger import Ledger, check_ledger
from imrad.evaluation.splits import Fold, SplitTable, draw_splits

__all__ = ["CrossFitted", "Fold", "Ledger", "SplitTable", "check_ledger", "draw_splits"]
