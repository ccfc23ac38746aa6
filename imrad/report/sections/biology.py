"""From image to biology: the out-of-fold score against what was measured, for the targets that survive."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display, two_lines
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

MOST = 8


def section(tables: RunTables) -> Section:
    """Return scatter plots of the claimed targets, and the score by outcome."""
    part = Section("biology", Text(*TITLES["biology"]))
    summary, predictions = tables.get("phenotype/summary.csv"), tables.get("phenotype/predictions.csv")
    if summary is None or predictions is None:
        part.missing("No phenotypes: add the section phenotype to the config.", "没有表型：请在配置中加入 phenotype。")
        return part
    claimed = list(summary.loc[summary["status"] == "claimed"].sort_values("auc", ascending=False)["target"])[:MOST]
    if not claimed:
        part.say(
            "Nothing is drawn here, since no phenotype survives correction: a scatter plot of a "
            "chance finding misleads.",
            "没有表型通过校正，因此此处不作图：偶然发现的散点图会误导读者。",
        )
    else:
        first = predictions["repeat"] == predictions["repeat"].min()
        part.add(_scatter(predictions[first & predictions["target"].isin(claimed)], claimed))
    _by_outcome(part, tables)
    return part


def _scatter(predictions: pd.DataFrame, targets: list[str]) -> Display:
    across = min(len(targets), 3)
    down = math.ceil(len(targets) / across)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, across, squeeze=False)
        for place in range(down * across):
            axes = grid[place // across][place % across]
            if place >= len(targets):
                axes.set_axis_off()
                continue
            rows = table[table["target"] == targets[place]].dropna(subset=["value", "probability"])
            axes.scatter(rows["probability"], rows["value"], s=10, color=COLOURS[0], alpha=0.6, lw=0)
            if len(rows):
                axes.axhline(float(np.median(rows["value"])), color=COLOURS[1], lw=0.8, ls="--")
            axes.set_title(two_lines(targets[place], 25), fontsize=8)
            axes.set(xlabel="out-of-fold score", ylabel="measured", xlim=(0, 1))

    keep = ["target", "fold", "probability", "value"]
    text = "Each patient's score is from a fit that had not seen the patient. Dashed: the median of what was measured."
    return Display(
        "score_measured",
        "Score against measurement.",
        text,
        predictions[keep].reset_index(drop=True),
        draw,
        f"Scatter plots of {', '.join(targets)}",
        width=2.2 + 1.9 * (across - 1) + 1.0,
        height=2.5 * down,
    )


def _by_outcome(part: Section, tables: RunTables) -> None:
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "score_ks")
        if table is None:
            continue
        columns = {"target": Column("Target"), "n_event": Column("With event", "d"), "n_none": Column("Without", "d")}
        columns |= {"ks": Column("KS statistic", ".3f"), "p": Column("p, not corrected", "p")}
        text = (
            "Largest distance of the scores' distributions; follow-up is ignored here, the survival models respect it."
        )
        part.add(
            Shown(
                f"score_ks_{endpoint}",
                f"Scores with and without {endpoint.upper()} event.",
                table,
                columns,
                text,
                collapsed=len(table) > 8,
            )
        )
        bars = tables.survival(endpoint, "score_histogram")
        if bars is not None:
            shown = list(table.sort_values("ks", ascending=False)["target"])[:4]
            own = bars[bars["target"].isin(shown)].merge(table[["target", "ks", "p"]], on="target", how="left")
            part.add(_outcome_bars(endpoint, own, shown))


def _outcome_bars(endpoint: str, bars: pd.DataFrame, targets: list[str]) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(1, len(targets), squeeze=False, sharey=True)[0]
        for axes, name in zip(grid, targets, strict=True):
            for group, colour, style in (("no event", COLOURS[0], "-"), ("event", COLOURS[1], "--")):
                rows = table[(table["target"] == name) & (table["group"] == group)]
                share = rows["count"] / max(rows["count"].sum(), 1)
                axes.stairs(share, [*rows["low"], 1.0], color=colour, ls=style, lw=1.4, label=group)
            statistic = table.loc[table["target"] == name, "ks"].iloc[0]
            axes.set_title(f"{two_lines(name, 22)}\nKS {statistic:.2f}", fontsize=7.5)
            axes.set(xlabel="score", xlim=(0, 1), xticks=[0, 0.5, 1])
        grid[0].set(ylabel="share of patients")
        grid[-1].legend(fontsize=6.5)

    text = "The targets with the largest distance; chosen for being largest, so not evidence of anything by themselves."
    return Display(
        f"score_outcome_{endpoint}",
        f"Score by {endpoint.upper()}.",
        text,
        bars,
        draw,
        f"Score distributions of {', '.join(targets)}",
        width=max(3.2, 1.7 * len(targets)),
        height=2.5,
    )
