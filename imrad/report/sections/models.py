"""The survival models side by side: apparent, corrected and outer-fold values, and their differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, MARKERS, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the models of every endpoint."""
    part = Section("models", Text(*TITLES["models"]))
    for endpoint in tables.endpoints:
        models = tables.survival(endpoint, "models")
        if models is None:
            continue
        part.head("{endpoint}", endpoint=endpoint.upper())
        external = tables.external(endpoint)
        if external is not None and {"model", "c"} <= set(external.columns):
            there = external.drop_duplicates("model").set_index("model")["c"]
            models = models.assign(c_external=models["model"].map(there))
        columns = {
            "model": Column("Model"),
            "n": Column("n", ".0f"),
            "n_events": Column("Events", ".0f"),
            "c_apparent": Column("Apparent C", ".3f"),
            "c_bootstrap": Column("Bootstrap-corrected", ".3f"),
            "c_outer": Column("Outer-fold C", ".3f"),
            "c_outer_low": Column("95 % low", ".3f"),
            "c_outer_high": Column("95 % high", ".3f"),
            "c_external": Column("External C", ".3f"),
            "uno_outer": Column("Uno's C", ".3f"),
            "ibs_outer": Column("IBS", ".3f"),
            "ibs_without_predictors": Column("IBS, no predictor", ".3f"),
            "n_selected": Column("Terms", ".0f"),
        }
        kept = {name: column for name, column in columns.items() if name in models}
        text = (
            "Only the outer-fold value carries the verdict: a model always looks better on its own "
            "patients. IBS is the "
            "integrated Brier score, smaller is better; models with ImRad are too dear to bootstrap."
        )
        part.add(Shown(f"models_{endpoint}", "Models.", models, kept, text))
        fitted = models[models["c_outer"].notna()]
        if len(fitted):
            part.add(_forest(endpoint, fitted.reset_index(drop=True)))
        _refused(part, models)
        _pairs(part, tables, endpoint)
    if not part.blocks:
        part.missing("No fusion has run: add the section fuse to the config.", "尚未运行融合：请在配置中加入 fuse。")
    return part


def _forest(endpoint: str, models: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(table))[::-1]
        axes.hlines(y, table["c_outer_low"], table["c_outer_high"], color=COLOURS[0], lw=1.6)
        marks = (("c_outer", "outer folds", 0, COLOURS[0]), ("c_bootstrap", "bootstrap-corrected", 2, COLOURS[2]))
        for name, label, marker, colour in (*marks, ("c_apparent", "apparent", 4, COLOURS[1])):
            filled = colour if name == "c_outer" else "none"
            axes.scatter(
                table[name],
                y,
                s=30,
                marker=MARKERS[marker],
                facecolors=filled,
                edgecolors=colour,
                label=label,
                zorder=3,
            )
        axes.axvline(0.5, color="#525a64", lw=0.7, ls=":")
        axes.set_yticks(y, list(table["model"]))
        axes.set(xlabel="concordance", xlim=(0, 1), ylim=(-0.6, len(table) - 0.4))
        figure.legend(loc="outside upper left", ncols=3, fontsize=7.5)

    keep = ["model", "c_apparent", "c_bootstrap", "c_outer", "c_outer_low", "c_outer_high"]
    top: Any = models["c_outer"].idxmax()
    best = models.loc[top]
    text = "Dotted: chance. The distance from apparent to outer folds is the optimism."
    return Display(
        f"models_forest_{endpoint}",
        f"C for {endpoint.upper()}.",
        text,
        models[keep],
        draw,
        f"Largest outer-fold C {best['c_outer']:.3f} by {best['model']}",
        height=0.9 + 0.28 * len(models),
    )


def _refused(part: Section, models: pd.DataFrame) -> None:
    if "reason" not in models:
        return
    for found in models[models["c_outer"].isna()].to_dict("records"):
        part.say(
            "{model} was not fitted: {reason}.",
            "{model} 未拟合：{reason}。",
            model=str(found["model"]),
            reason=str(found["reason"]),
        )


def _pairs(part: Section, tables: RunTables, endpoint: str) -> None:
    pairs = tables.survival(endpoint, "pairs")
    if pairs is None:
        part.say("One model only: there is no pair to compare.", "只有一个模型，无可比较。")
        return
    concordance = pairs[pairs["measure"] == "c"].reset_index(drop=True)
    columns = {
        "model": Column("Model"),
        "reference": Column("Against"),
        "measure": Column("Measure"),
        "difference": Column("Difference", "+.3f"),
        "low": Column("95 % low", "+.3f"),
        "high": Column("95 % high", "+.3f"),
        "p": Column("p", "p"),
    }
    text = (
        "C, Uno's C and integrated Brier score, same folds, corrected resampled t; p are not corrected "
        "for their number."
    )
    part.add(Shown(f"pairs_{endpoint}", "Pairwise differences.", pairs, columns, text, collapsed=True))

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        names = list(dict.fromkeys([*table["reference"], *table["model"]]))
        values = np.full((len(names), len(names)), np.nan)
        found: Any = list(table.itertuples())
        for row in found:
            i, j = names.index(row.model), names.index(row.reference)
            values[i, j], values[j, i] = row.difference, -row.difference
        axes.imshow(values, cmap="PuOr_r", vmin=-0.3, vmax=0.3, aspect="auto")
        marks = {(r.model, r.reference): r.p for r in found} | {(r.reference, r.model): r.p for r in found}
        for i, one in enumerate(names):
            for j, two in enumerate(names):
                if i != j and np.isfinite(values[i, j]):
                    star = "*" if marks.get((one, two), 1) < 0.05 else ""
                    dark = abs(values[i, j]) > 0.22
                    axes.text(
                        j,
                        i,
                        f"{values[i, j]:+.2f}{star}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="white" if dark else "black",
                    )
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7.5)
        axes.set_yticks(range(len(names)), names, fontsize=7.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)

    text = (
        "Row minus column, outer-fold C; a star where the interval excludes 0 (not corrected for the number of pairs)."
    )
    largest = float(concordance["difference"].abs().max())
    size = 1.3 + 0.36 * len(set(concordance["model"]) | set(concordance["reference"]))
    part.add(
        Display(
            f"pairs_map_{endpoint}",
            f"Differences for {endpoint.upper()}.",
            text,
            concordance,
            draw,
            f"Largest difference {largest:.3f}",
            width=5.0,
            height=size,
        )
    )
