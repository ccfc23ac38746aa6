"""The phenotype grid: what each target's cells reached, and what noise reaches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import Display
from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the summary, the heat map of target by cell, and the published protocol's optimism."""
    part = Section("grid", "Phenotype grid")
    summary, grid = tables.get("phenotype/summary.csv"), tables.get("phenotype/grid.csv")
    if summary is None:
        part.say("No phenotype grid: add the section phenotype to the config.", "missing")
        return part
    columns = {
        "target": Column("Target"),
        "status": Column("Status"),
        "n": Column("n", ".0f"),
        "n_positive": Column("High", ".0f"),
        "auc": Column("AUC", ".3f"),
        "auc_low": Column("low", ".3f"),
        "auc_high": Column("high", ".3f"),
        "p_permutation": Column("p", "p"),
        "q_fdr": Column("q", "p"),
        "spearman": Column("Spearman", ".2f"),
        "reason": Column("Reason"),
    }
    caption = "AUC: mean of the outer folds for the cell that the inner folds chose; approximate 95 % interval."
    part.add(Shown("summary", "Targets.", summary, columns, caption))
    if grid is not None:
        part.add(_heat_map(grid))
    optimism = tables.get("phenotype/optimism.csv")
    if optimism is not None:
        shown = {
            "target": Column("Target"),
            "auc_published": Column("Published protocol", ".3f"),
            "auc_honest": Column("Honest", ".3f"),
            "optimism": Column("Optimism", "+.3f"),
        }
        text = "Selection and median cut on all patients before the folds, best cell: for comparison only."
        part.add(Shown("optimism", "The published protocol beside the honest one.", optimism, shown, text))
    return part


def _heat_map(grid: pd.DataFrame) -> Display:
    cells = grid.assign(cell=grid["selector"] + " / " + grid["classifier"])
    wide = cells.pivot(index="target", columns="cell", values="auc")
    wide = wide.loc[list(dict.fromkeys(cells["target"])), list(dict.fromkeys(cells["cell"]))]

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        values = table.set_index("target").to_numpy(dtype=float)
        image = axes.imshow(values, vmin=0.2, vmax=0.8, cmap="PuOr_r", aspect="auto")
        axes.set_xticks(np.arange(values.shape[1]), list(table.columns[1:]), rotation=90, fontsize=6)
        axes.set_yticks(np.arange(values.shape[0]), list(table["target"]), fontsize=6)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label="outer AUC", shrink=0.6)

    return Display(
        "grid_heatmap",
        "Outer AUC of every cell.",
        "Rows are targets, columns are selector / classifier; 0.5 is chance.",
        wide.reset_index(),
        draw,
        alt=f"Heat map of {wide.size} outer AUCs, median {np.nanmedian(wide.to_numpy()):.2f}",
        width=9.0,
        height=1.5 + 0.18 * len(wide),
    )
