"""What a grid found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from imrad.evaluation import CrossFitted, Ledger

__all__ = ["GridResult"]


@dataclass(frozen=True)
class GridResult:
    """What a grid found; the tables' columns are described in the modules ``tables``, ``choices`` and ``beside``.

    Attributes
    ----------
    grid : DataFrame
        One row a target and cell.
    summary : DataFrame
        One row a target: status, honest AUC, p, q.
    predictions : DataFrame
        Out-of-fold probability of every patient by the cell that the inner folds chose.
    feasibility, stability, agreement, study_table, ablation : DataFrame
        Class counts and reasons; selection frequencies; overlap of selectors; the study's targets by
        classifiers; no selector, each selector, each classifier.
    null : DataFrame
        group, targets, permutation, statistic.
    controls : DataFrame
        Volume-only, clinical-only, shuffled features.
    published : DataFrame
        The leaky protocol beside the honest value, cell by cell; empty unless asked for.
    optimism : DataFrame
        The same averaged over targets, and for each target's best cell beside its nested value.
    funnel : DataFrame
        Features given to and kept by each preparation step; empty without such steps.
    inner : DataFrame
        What each outer fold's choice was made on.
    crossfit : CrossFitted
        Scores of the chosen cells for a second model.
    ledger : Ledger
        Every fit.
    bundles : dict
        Target to a plain mapping for :func:`imrad.content.save`.
    """

    grid: pd.DataFrame
    summary: pd.DataFrame
    predictions: pd.DataFrame
    feasibility: pd.DataFrame
    stability: pd.DataFrame
    agreement: pd.DataFrame
    study_table: pd.DataFrame
    ablation: pd.DataFrame
    null: pd.DataFrame
    controls: pd.DataFrame
    published: pd.DataFrame
    optimism: pd.DataFrame
    inner: pd.DataFrame
    funnel: pd.DataFrame
    crossfit: CrossFitted
    ledger: Ledger
    bundles: dict[str, dict[str, Any]]
