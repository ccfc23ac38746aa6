"""Who is in, who was lost on the way, and for how long they were followed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from imrad.report.displays import COLOURS, STYLES, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

UNITS = {
    **{"_ng_per_ml": "ng/ml", "_u_per_ml": "U/ml", "_1e9_per_l": "10⁹/l", "_g_per_l": "g/l", "_percent": "%"},
    **{"_u_per_l": "U/l", "_mg_per_l": "mg/l", "_copies_per_ml": "copies/ml"},
    **{"_years": "years", "_months": "months", "_days": "days", "_mm": "mm", "_cm": "cm", "_ml": "ml"},
}
"""How a unit at the end of a column's name is written; the longer ends first."""

MONTH = 30.4375


def section(tables: RunTables) -> Section:
    """Return attrition, table 1, follow-up and missing values."""
    part = Section("cohort", Text(*TITLES["cohort"]))
    attrition = tables.get("attrition.csv")
    if attrition is None:
        part.missing("No attrition table: the stage assemble writes it.", "没有流失表：assemble 阶段会写出。")
    else:
        part.add(_flow(attrition))
        columns = {"step": Column("Step"), "n_in": Column("Before", "d"), "n_out": Column("After", "d")}
        columns |= {"unit": Column("Unit")} if "unit" in attrition else {}
        part.add(Shown("attrition", "Every loss, with its reason.", attrition, columns | {"reason": Column("Reason")}))
    _table_one(part, tables)
    _follow_up(part, tables)
    _missing(part, tables)
    return part


def _flow(attrition: pd.DataFrame) -> Display:
    lines = [max(1, len(_wrapped(step))) for step in attrition.to_dict("records")]
    heights = [0.6 + 0.17 * max(n - 2, 0) for n in lines]
    total = sum(heights) + 0.1

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, 10), ylim=(-total, 0))
        steps = table.to_dict("records")
        tops = np.cumsum([0.0, *heights])
        for row, step in enumerate(steps):
            y = -(tops[row] + 0.25)
            unit = step.get("unit", "patients")
            linked = row + 1 < len(steps) and steps[row + 1]["n_in"] == step["n_out"]
            alone = not linked and row + 1 < len(steps) and (row == 0 or steps[row - 1]["n_out"] != step["n_in"])
            edge, fill = ("#8c959f", "#f6f8fa") if alone else (COLOURS[0], "#eaf3f9")
            box = FancyBboxPatch((0.15, y - 0.17), 4.6, 0.34, boxstyle="round,pad=0.03", fc=fill, ec=edge, lw=0.8)
            axes.add_patch(box)
            words = f"{_short(step['step'], 28)}: {int(step['n_out'])} {unit}"
            axes.text(2.45, y, words, ha="center", va="center", fontsize=8)
            if linked:
                below = -(tops[row + 1] + 0.05)
                axes.annotate("", (2.45, below), (2.45, y - 0.2), arrowprops={"arrowstyle": "-|>", "color": "#525a64"})
            if step["n_in"] > step["n_out"]:
                axes.annotate("", (5.35, y), (4.8, y), arrowprops={"arrowstyle": "-|>", "color": COLOURS[1]})
                for line, text in enumerate(_wrapped(step)):
                    axes.text(5.4, y - 0.17 * line, text, ha="left", va="center", fontsize=7, color="#8f3a00")

    first, last = attrition.iloc[0], attrition.iloc[-1]
    return Display(
        "attrition_flow",
        "Flow of cases and patients.",
        "Each box is what a step keeps, to the right what it loses and why; grey boxes are tables that were prepared "
        "on their own, before the join.",
        attrition,
        draw,
        alt=f"From {first['n_in']} at {first['step']} to {last['n_out']} after {last['step']}",
        width=6.4,
        height=total,
    )


def _wrapped(step: Mapping[Hashable, Any]) -> list[str]:
    """Return what a step loses, in lines that fit beside its box."""
    lost = int(step["n_in"] - step["n_out"])
    if not lost:
        return []
    reason = str(step.get("reason", "") or "")
    # Several rows of a patient that become one are nobody lost.
    merged = reason.startswith("aggregated by ")
    told = f"{int(step['n_in'])} become {int(step['n_out'])}" if merged else f"{lost} of {int(step['n_in'])} lost"
    return textwrap.wrap(f"{told}: {reason}".rstrip(": "), 52, max_lines=3, placeholder=" …")


def _table_one(part: Section, tables: RunTables) -> None:
    table = tables.get("cohort/table1.csv")
    if table is None:
        part.missing("No table 1: run assemble again, which describes the cohort.", "没有基线表：请重新运行 assemble。")
        return
    groups = list(dict.fromkeys(table["group"]))
    table = table.assign(level=table["level"].fillna(""))
    wide = table.pivot(index=["variable", "level"], columns="group", values="summary")
    order = list(dict.fromkeys(zip(table["variable"], table["level"], strict=True)))
    wide = wide.loc[order, groups].reset_index()
    wide[groups] = wide[groups].replace(r"\((\S+) to (\S+)\)", "(\\1\u2013\\2)", regex=True)
    # A class that is a number was read as one where some patients miss it.
    wide["level"] = wide["level"].astype(str).str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    wide["variable"] = wide["variable"].map(_variable).where(wide["variable"] != wide["variable"].shift(), "")
    shown = {"variable": Column("Variable"), "level": Column("Level")} | {name: Column(name) for name in groups}
    text = "Numbers are median (quartiles), classes are counts (share of the group)."
    part.add(Shown("table1", "Table 1.", wide, shown, text))


def _follow_up(part: Section, tables: RunTables) -> None:
    table, curve = tables.get("cohort/follow_up.csv"), tables.get("cohort/follow_up_curve.csv")
    if table is None:
        part.missing("No follow-up: the cohort has no survival endpoint.", "没有随访数据：队列没有生存终点。")
        return
    columns = {
        "endpoint": Column("Endpoint"),
        "n": Column("n", "d"),
        "events": Column("Events", "d"),
        "follow_up_days": Column("Follow-up, median days", ".0f"),
        "follow_up_low": Column("95 % low", ".0f"),
        "follow_up_high": Column("95 % high", ".0f"),
        "latest_days": Column("Longest, days", ".0f"),
        "median_days": Column("Median survival, days", ".0f"),
        "median_low": Column("95 % low", ".0f"),
        "median_high": Column("95 % high", ".0f"),
    }
    text = "Follow-up is the reverse Kaplan-Meier median, in which events are censored; a dash means not reached."
    shown = table.assign(endpoint=table["endpoint"].astype(str).str.upper())
    part.add(Shown("follow_up", "Follow-up.", shown, columns, text))
    if curve is not None:
        part.add(_event_curves(curve))


def _event_curves(curve: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        for colour, style, (name, rows) in zip(COLOURS, STYLES, table.groupby("endpoint", sort=False), strict=False):
            months = [0.0, *(rows["time"] / MONTH)]
            axes.step(months, [1.0, *rows["survival"]], where="post", color=colour, ls=style, label=str(name).upper())
        axes.set(xlabel="months", ylabel="event-free", ylim=(0, 1.02), xlim=(0, None))
        axes.legend(loc="upper right")

    return Display(
        "cohort_curves",
        "Every endpoint, all patients.",
        "Kaplan-Meier estimates.",
        curve,
        draw,
        alt=f"Kaplan-Meier curves of {curve['endpoint'].nunique()} endpoints in all patients",
    )


def _missing(part: Section, tables: RunTables) -> None:
    table = tables.get("cohort/missingness.csv")
    if table is None:
        return
    table = table[table["missing"] > 0].sort_values(["share", "column"], ascending=[False, True]).reset_index(drop=True)
    if table.empty:
        part.say("No value is missing.", "没有缺失值。")
        return

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        top = rows.head(25).iloc[::-1]
        names = [_short(f"{r.column} ({r.table})", 44) for r in top.itertuples()]
        axes.barh(range(len(top)), 100 * top["share"], color=COLOURS[0], height=0.7)
        axes.set_yticks(range(len(top)), names, fontsize=7.5)
        axes.set(xlabel="missing, % of patients", xlim=(0, max(5, float(100 * top["share"].max()) * 1.08)))

    text = "At most the 25 columns that miss most; predictors are imputed inside each training fold."
    height = 0.8 + 0.17 * min(len(table), 25)
    part.add(
        Display("missingness", "Missing values.", text, table, draw, f"{len(table)} columns miss values", height=height)
    )


def _variable(name: str) -> str:
    """Return a column's name as words, its unit after a comma."""
    whole, reader = re.fullmatch(r"(.*?)(_reader_\d+)?", name, flags=re.DOTALL).groups()  # type: ignore[union-attr]
    end = next((end for end in UNITS if whole.endswith(end)), "")
    words = (whole.removesuffix(end) + (reader or "")).replace("_", " ")
    return f"{words}, {UNITS[end]}" if end else words


def _short(text: object, length: int) -> str:
    words = str(text)
    return words if len(words) <= length else words[: length - 1] + "…"
