"""What stands beside the honest values: the study's table, ablations, controls and the published order.

====================  ==========================================================================
table                 columns
====================  ==========================================================================
study_table           target, one column a classifier (its best selector's AUC), best_cell, best_auc
ablation              target, part, name, n_cells, auc, difference
controls              target, control, model, n, auc, auc_low, auc_high
published             target, selector, classifier, auc, auc_pooled, auc_honest, optimism, best
optimism              selector, classifier, n_targets, auc, auc_honest, optimism
====================  ==========================================================================
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.phenotype.measures import mean_known
from imrad.phenotype.prepared import Plan
from imrad.phenotype.targets import Target

__all__ = ["ablation_table", "control_table", "optimism_table", "published_table", "study_table"]


def study_table(plan: Plan, grid: pd.DataFrame) -> pd.DataFrame:
    """Return the founding study's table: targets by classifiers, the best cell named after the fact."""
    rows = []
    for name, part in grid.groupby("target", sort=False):
        best = part.iloc[int(np.argmax(part["auc"].fillna(-1.0)))]
        row: dict[str, Any] = {"target": name}
        row |= {kind: part.loc[part["classifier"] == kind, "auc"].max() for kind in plan.classifiers}
        row["best_cell"] = f"{best['selector']} + {best['classifier']}"
        row["best_auc"] = best["auc"]
        rows.append(row)
    return pd.DataFrame(rows, columns=["target", *plan.classifiers, "best_cell", "best_auc"])


def ablation_table(grid: pd.DataFrame, bare: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the mean outer AUC of each selector's and each classifier's cells, and of no selector.

    ``difference`` is to the mean of the whole grid, without a selector to that classifier's mean.
    """
    rows = []
    for name, part in grid.groupby("target", sort=False):
        whole = part["auc"].mean()
        for column in ("selector", "classifier"):
            for kind, cells in part.groupby(column, sort=False):
                rows.append((name, column, kind, len(cells), cells["auc"].mean(), cells["auc"].mean() - whole))
    by_classifier = grid.groupby(["target", "classifier"], sort=False)["auc"].mean().to_dict()
    for one in bare:
        for kind, auc in zip(one["classifiers"], mean_known(one["auc"]), strict=True):
            rows.append((one["target"], "no_selector", kind, 1, auc, auc - by_classifier[one["target"], kind]))
    return pd.DataFrame(rows, columns=["target", "part", "name", "n_cells", "auc", "difference"])


def control_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows beside the grid."""
    columns = ["target", "control", "model", "n", "auc", "auc_low", "auc_high"]
    return pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=columns)


def published_table(
    plan: Plan, targets: list[Target], published: list[dict[str, Any]], grid: pd.DataFrame
) -> pd.DataFrame:
    """Return the leaky values beside the honest ones of the same cells."""
    columns = ["target", "selector", "classifier", "auc", "auc_pooled", "auc_honest", "optimism", "best"]
    if not published:
        return pd.DataFrame(columns=columns)
    honest = grid.set_index(["target", "selector", "classifier"])["auc"].to_dict()
    rows = []
    for target, one in zip(targets, published, strict=True):
        best = int(np.argmax(np.nan_to_num(one["auc"], nan=-1.0)))
        for number, (selector, classifier) in enumerate(plan.cells):
            beside = float(honest[target.name, selector, classifier])
            auc = float(one["auc"][number])
            rows.append(
                (
                    target.name,
                    selector,
                    classifier,
                    auc,
                    float(one["auc_pooled"][number]),
                    beside,
                    auc - beside,
                    number == best,
                )
            )
    return pd.DataFrame(rows, columns=columns)


def optimism_table(published: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the leaky and the honest AUC of every cell, averaged over targets.

    The last row is what a study reports, each target's best leaky cell, beside the nested AUC.
    """
    columns = ["selector", "classifier", "n_targets", "auc", "auc_honest", "optimism"]
    if published.empty:
        return pd.DataFrame(columns=columns)
    rows = []
    for (selector, classifier), part in published.groupby(["selector", "classifier"], sort=False):
        rows.append((selector, classifier, len(part), part["auc"].mean(), part["auc_honest"].mean()))
    best = published[published["best"]].set_index("target")["auc"]
    nested = summary.set_index("target")["auc"].astype(float).reindex(best.index)
    rows.append(("best", "best", len(best), best.mean(), nested.mean()))
    table = pd.DataFrame(rows, columns=columns[:-1])
    return table.assign(optimism=table["auc"] - table["auc_honest"])
