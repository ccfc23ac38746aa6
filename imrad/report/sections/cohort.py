"""Who is in, who was lost on the way, and for how long they were followed."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, STYLES, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

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
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(0, 10), ylim=(-len(table) - 0.1, 0.4))
        steps: Any = table.itertuples()
        for row, step in enumerate(steps):
            y, lost = -row - 0.35, int(step.n_in - step.n_out)
            unit = getattr(step, "unit", "patients")
            box = {"boxstyle": "round,pad=0.35", "fc": "#eaf3f9", "ec": COLOURS[0], "lw": 0.8}
            axes.text(
                2.6,
                y,
                f"{_short(step.step, 26)}: {int(step.n_out)} {unit}",
                ha="center",
                va="center",
                bbox=box,
                fontsize=8,
            )
            if row + 1 < len(table):
                axes.annotate(
                    "", (2.6, y - 0.72), (2.6, y - 0.28), arrowprops={"arrowstyle": "-|>", "color": "#525a64"}
                )
            if lost:
                axes.annotate("", (6.2, y), (5.2, y), arrowprops={"arrowstyle": "-|>", "color": COLOURS[1]})
                axes.text(
                    6.35, y, f"{lost} lost of {int(step.n_in)}", ha="left", va="center", fontsize=8, color="#8f3a00"
                )

    first, last = attrition.iloc[0], attrition.iloc[-1]
    return Display(
        "attrition_flow",
        "Flow of cases and patients.",
        "Each step keeps what its box says; arrows to the right are losses, whose reasons stand in the table.",
        attrition,
        draw,
        alt=f"From {first['n_in']} at {first['step']} to {last['n_out']} after {last['step']}",
        height=0.35 + 0.5 * len(attrition),
    )


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
        "follow_up_low": Column("low", ".0f"),
        "follow_up_high": Column("high", ".0f"),
        "latest_days": Column("Longest, days", ".0f"),
        "median_days": Column("Median survival, days", ".0f"),
        "median_low": Column("low ", ".0f"),
        "median_high": Column("high ", ".0f"),
    }
    text = "Follow-up is the reverse Kaplan-Meier median, in which events are censored; a dash means not reached."
    part.add(Shown("follow_up", "Follow-up.", table, columns, text))
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


def _short(text: object, length: int) -> str:
    words = str(text)
    return words if len(words) <= length else words[: length - 1] + "…"
