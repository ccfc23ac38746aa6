"""Kaplan-Meier curves of the groups that a model separates out of fold."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Section
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the curves of every endpoint's fullest model."""
    part = Section("curves", "Survival curves")
    for endpoint in tables.endpoints:
        curves = tables.get(f"survival/{endpoint}/curves.csv")
        if curves is None:
            continue
        models = list(dict.fromkeys(curves["model"]))
        chosen = "Clinical+ImRad" if "Clinical+ImRad" in models else models[-1]
        part.add(_kaplan_meier(endpoint, chosen, curves[curves["model"] == chosen]))
    if not part.blocks:
        part.say("No survival curves: the stage fuse writes them.", "missing")
    return part


def _kaplan_meier(endpoint: str, model: str, curves: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        for colour, (group, rows) in zip(COLOURS, table.groupby("group", sort=False), strict=False):
            months = rows["time"] / 30.4375
            axes.step(months, rows["survival"], where="post", color=colour, label=str(group))
            if {"low", "high"} <= set(rows.columns):
                axes.fill_between(months, rows["low"], rows["high"], step="post", color=colour, alpha=0.15, lw=0)
        axes.set(xlabel="months", ylabel=f"{endpoint.upper()} probability", ylim=(0, 1.02), xlim=(0, None))
        axes.legend(loc="lower left")

    return Display(
        f"km_{endpoint}",
        f"{endpoint.upper()} by {model}, out of fold.",
        "Groups are cut at the median risk of each training part; bands are 95 % intervals.",
        curves.reset_index(drop=True),
        draw,
        alt=f"Kaplan-Meier curves of {endpoint.upper()} for the groups of {model}",
    )
