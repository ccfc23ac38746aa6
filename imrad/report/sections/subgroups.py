"""Does it hold for everyone: C within sex, age, stage and site."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the subgroups of every endpoint."""
    part = Section("subgroups", Text(*TITLES["subgroups"]))
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "subgroups")
        if table is None:
            continue
        columns = {
            "model": Column("Model"),
            "subgroup": Column("Subgroup"),
            "level": Column("Level"),
            "n": Column("n", "d"),
            "n_events": Column("Events", "d"),
            "c": Column("C", ".3f"),
            "low": Column("95 % low", ".3f"),
            "high": Column("95 % high", ".3f"),
        }
        part.add(
            Shown(
                f"subgroups_{endpoint}",
                f"{endpoint.upper()} by subgroup.",
                table,
                columns,
                "C of the first repeat's test risks.",
                collapsed=True,
            )
        )
        model = tables.fullest(table)
        rows = table[(table["model"] == model) & table["c"].notna()].reset_index(drop=True)
        if len(rows):
            part.add(_forest(endpoint, model, rows))
    if not part.blocks:
        part.missing(
            "No subgroups: they need a fusion, and clinical columns such as sex, age, stage or site.",
            "没有亚组：需要融合分析以及性别、年龄、分期或中心等临床列。",
        )
    return part


def _forest(endpoint: str, model: str, rows: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(table))[::-1]
        axes.hlines(y, table["low"].clip(0, 1), table["high"].clip(0, 1), color=COLOURS[0], lw=1.4)
        axes.scatter(
            table["c"], y, s=10 + 2 * table["n_events"].astype(float).clip(upper=40), color=COLOURS[0], zorder=3
        )
        axes.axvline(0.5, color="#525a64", lw=0.7, ls=":")
        rows_: Any = table.itertuples()
        labels = [f"{r.subgroup} {r.level} ({int(r.n_events)}/{int(r.n)})" for r in rows_]
        axes.set_yticks(y, [label[:44] for label in labels], fontsize=7.5)
        axes.set(xlabel="C (events / patients)", xlim=(0, 1))

    return Display(
        f"subgroup_forest_{endpoint}",
        f"{model}, {endpoint.upper()}.",
        "Points grow with events; few events say little.",
        rows,
        draw,
        f"C of {len(rows)} subgroups from {rows['c'].min():.2f} to {rows['c'].max():.2f}",
        height=0.8 + 0.22 * len(rows),
    )
