"""The model itself: its path, its coefficients, how often they come back, and how to use it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display, short_term
from imrad.report.page import Calculator, Column, Section, Shown, Text
from imrad.report.sections.heterogeneity import heterogeneity
from imrad.report.sections.names import TITLES
from imrad.report.sections.penalty_path import add_path
from imrad.report.tables import RunTables

__all__ = ["drawn_nomogram", "ready_nomogram", "section"]

TERMS = 20


def section(tables: RunTables) -> Section:
    """Return path, forest plot, hazards over time, nomogram and calculator of every endpoint."""
    part = Section("model", Text(*TITLES["model"]))
    for endpoint in tables.endpoints:
        part.head("{endpoint}", endpoint=endpoint.upper())
        choices, coefficients = tables.survival(endpoint, "path"), tables.survival(endpoint, "path_coefficients")
        if choices is None or coefficients is None:
            part.missing("Lambda path: no penalised model was fitted.", "Lambda 路径：没有带惩罚的模型。")
        else:
            add_path(part, choices, coefficients, tables.fullest(choices), endpoint)
        _coefficients(part, tables, endpoint)
        heterogeneity(part, tables, endpoint)
        _hazards(part, tables, endpoint)
        _nomogram(part, tables, endpoint)
    if not part.blocks:
        part.missing("No model: add the section fuse to the config.", "没有模型：请在配置中加入 fuse。")
    return part


def _coefficients(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "coefficients")
    if table is None:
        return
    model = tables.fullest(table)
    nonzero = table[(table["coef"] != 0)].reset_index(drop=True)
    columns = {
        "model": Column("Model"),
        "feature": Column("Term"),
        "coef": Column("Coefficient", ".4g"),
        "hr": Column("Hazard ratio", ".3g"),
        "hr_low": Column("95 % low", ".3g"),
        "hr_high": Column("95 % high", ".3g"),
        "p": Column("p", "p"),
        "inclusion": Column("In outer folds", "share"),
        "kind": Column("Kind"),
    }
    text = (
        "A penalised coefficient has no honest interval. Refits after selection are naive: their "
        "intervals are too narrow "
        "and their p too small."
    )
    part.add(Shown(f"coefficients_{endpoint}", "Coefficients other than 0.", nonzero, columns, text, collapsed=True))
    own = nonzero[(nonzero["model"] == model) & ~nonzero["kind"].astype(str).str.startswith("refit")]
    clinical = nonzero[(nonzero["model"] == "Clinical")]
    drawn = pd.concat([clinical, own]) if model != "Clinical" else clinical
    drawn = drawn.sort_values(["model"], kind="stable").groupby("model", sort=False).head(TERMS).reset_index(drop=True)
    if len(drawn):
        part.add(_forest(endpoint, drawn))


def _forest(endpoint: str, rows: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
        y = np.arange(len(table))[::-1]
        size = table["coef_per_sd"].astype(float)
        ratio = size / table["coef"].astype(float)
        for place, name in enumerate(dict.fromkeys(table["model"])):
            own = (table["model"] == name).to_numpy()
            low, high = np.log(table["hr_low"][own]) * ratio[own], np.log(table["hr_high"][own]) * ratio[own]
            known = low.notna()
            left.hlines(y[own][known], np.exp(low[known]), np.exp(high[known]), color=COLOURS[place], lw=1.3)
            left.scatter(
                np.exp(size[own]), y[own], s=22, color=COLOURS[place], marker="os"[place % 2], zorder=3, label=name
            )
        left.axvline(1, color="#525a64", lw=0.7, ls=":")
        left.set_xscale("log")
        reach = float(
            np.nanmax(np.abs(np.concatenate([np.log(table["hr_low"]) * ratio, np.log(table["hr_high"]) * ratio, size])))
        )
        edge = np.exp(min(max(1.1 * reach, 0.25), 3.0))
        left.set_xlim(1 / edge, edge)
        ticks = [tick for tick in (0.1, 0.25, 0.5, 0.7, 1, 1.4, 2, 4, 10) if 1 / edge <= tick <= edge]
        left.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        left.minorticks_off()
        left.set_yticks(y, [short_term(str(name)) for name in table["feature"]], fontsize=7.5)
        left.set(xlabel="hazard ratio per standard deviation")
        right.barh(y, 100 * table["inclusion"].astype(float), color="#b7c9d6", height=0.6)
        right.set(xlabel="in outer folds, %", xlim=(0, 105))
        figure.legend(loc="outside upper left", ncols=2, fontsize=7.5)

    text = (
        "Intervals only where nothing was selected or penalised; inclusion is the share of outer folds "
        "that kept the term."
    )
    return Display(
        f"forest_{endpoint}",
        f"Terms, {endpoint.upper()}.",
        text,
        rows,
        draw,
        f"Forest plot of {len(rows)} terms",
        width=6.2,
        height=1.1 + 0.24 * len(rows),
    )


def _hazards(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "ph")
    if table is None:
        part.missing("Proportional hazards: no model's terms could be tested.", "比例风险：没有可检验的模型项。")
        return
    columns = {
        "model": Column("Model"),
        "term": Column("Term"),
        "chi2": Column("Chi-squared", ".2f"),
        "df": Column("df", ".0f"),
        "p": Column("p", "p"),
    }
    part.add(
        Shown(
            f"ph_{endpoint}",
            "Proportional hazards.",
            table,
            columns,
            "Scaled Schoenfeld residuals; a small p speaks against a constant hazard ratio.",
            collapsed=True,
        )
    )


def _nomogram(part: Section, tables: RunTables, endpoint: str) -> None:
    models = tables.json(f"survival/{endpoint}/nomogram.json")
    if not models:
        part.missing(
            "Nomogram and calculator: the stage fuse writes them where a final model has a term.",
            "列线图与计算器：最终模型有非零项时由 fuse 写出。",
        )
        return
    ready = {str(name): ready_nomogram(plain) for name, plain in models.items()}
    order: list[str] = [name for name in ("Clinical+ImRad", "Clinical", "ImRad") if name in ready]
    order += [name for name in ready if name not in order and len(ready[name]["predictors"]) <= 30]
    if not order:
        part.missing(
            "Nomogram: the final models have more terms than one can draw.", "列线图：最终模型的项过多，无法绘制。"
        )
        return
    name = order[0]
    part.add(drawn_nomogram(endpoint, name, models[name]))
    axes = pd.DataFrame(models[name]["axes"])
    columns = {"predictor": Column("Predictor"), "label": Column("Value"), "points": Column("Points", ".1f")}
    if "label" not in axes:
        axes["label"] = axes["value"].map(lambda value: f"{value:g}")
    part.add(Shown(f"points_{endpoint}", f"Points of {name}.", axes, columns, collapsed=True))
    totals = pd.DataFrame(models[name]["totals"])
    ends = {
        column: Column(column, "share")
        for column in totals.columns
        if column not in ("total_points", "linear_predictor")
    }
    shown = {
        "total_points": Column("Total points", ".0f"),
        "linear_predictor": Column("Linear predictor", ".2f"),
    } | ends
    part.add(Shown(f"totals_{endpoint}", "From points to survival.", totals, shown, collapsed=True))
    part.add(
        Calculator(f"calculator_{endpoint}", f"Calculator, {endpoint.upper()}", {key: ready[key] for key in order})
    )
    part.say(
        "The calculator is the final model of all patients, for research only; ImRad scores are those "
        "of the saved phenotype "
        "models. Its discrimination is the outer-fold value above, and it was never tried elsewhere.",
        "计算器为全体患者拟合的最终模型，仅供研究；其区分度以上文外层折的数值为准，且未经外部验证。",
    )
    part.say("{formula}", kind="code", formula=str(models[name]["formula"]))


def ready_nomogram(plain: dict[str, Any]) -> dict[str, Any]:
    """Return what the page's script needs, with a place where each input starts."""
    keys = ("kind", "intercept", "points_per_unit", "outcomes")
    predictors = []
    for item in plain["predictors"]:
        kept = {key: item[key] for key in ("name", "coef", "low", "high", "zero_at", "ticks") if key in item}
        kept["labels"] = [str(label) for label in item.get("labels", [f"{tick:g}" for tick in item["ticks"]])]
        kept["choices"] = bool(item.get("binary")) or kept["labels"] != [f"{tick:g}" for tick in item["ticks"]]
        kept["start"] = float(f"{(item['low'] + item['high']) / 2:.3g}")
        predictors.append(kept)
    return {key: plain[key] for key in keys} | {"predictors": predictors}


def drawn_nomogram(endpoint: str, name: str, plain: dict[str, Any]) -> Display:
    """Return the nomogram of a final model, survival or binary."""
    rows = [
        {"axis": item["predictor"], "label": item.get("label", f"{item['value']:g}"), "points": item["points"]}
        for item in plain["axes"]
    ]
    table = pd.DataFrame(rows).assign(kind="predictor")
    ends = pd.DataFrame(plain["outcome_axes"])
    if len(ends):
        more = pd.DataFrame(
            {
                "axis": ends["outcome"],
                "label": ends["probability"].map("{:g}".format),
                "points": ends["total_points"],
                "kind": "outcome",
            }
        )
        table = pd.concat([table, more], ignore_index=True)
    totals = pd.DataFrame(plain["totals"])["total_points"]
    table = pd.concat(
        [
            table,
            pd.DataFrame(
                {"axis": "total points", "label": totals.map("{:g}".format), "points": totals, "kind": "total"}
            ),
        ],
        ignore_index=True,
    )

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        predictors = list(dict.fromkeys(frame.loc[frame["kind"] == "predictor", "axis"]))
        outcomes = list(dict.fromkeys(frame.loc[frame["kind"] == "outcome", "axis"]))
        top, below = figure.subplots(2, 1, height_ratios=[len(predictors) + 1.2, len(outcomes) + 1.2])
        scale = pd.DataFrame({"points": np.arange(0, 101, 10.0), "label": [str(n) for n in range(0, 101, 10)]})
        _scale(top, 0, "points", scale)
        for place, axis in enumerate(predictors):
            _scale(top, place + 1, short_term(axis), frame[(frame["axis"] == axis) & (frame["kind"] == "predictor")])
        top.set(ylim=(len(predictors) + 0.6, -0.6), xlim=(min(0.0, float(frame["points"].min())) - 2, 104))
        _scale(below, 0, "total points", frame[frame["kind"] == "total"])
        for place, axis in enumerate(outcomes):
            _scale(below, place + 1, axis, frame[(frame["axis"] == axis) & (frame["kind"] == "outcome")])
        below.set_ylim(len(outcomes) + 0.6, -0.6)
        for axes in (top, below):
            axes.spines[:].set_visible(False)
            axes.set_xticks([])
            axes.tick_params(length=0)
            axes.set_yticks(range(len(predictors) + 1 if axes is top else len(outcomes) + 1))
        top.set_yticklabels(["points", *[short_term(axis) for axis in predictors]], fontsize=7.5)
        below.set_yticklabels(["total points", *outcomes], fontsize=7.5)

    text = "Read each value's points upwards, add them, and read survival below the total."
    n = table.loc[table["kind"] == "predictor", "axis"].nunique()
    return Display(
        f"nomogram_{endpoint}",
        f"Nomogram of {name}.",
        text,
        table,
        draw,
        f"Nomogram of {n} predictors",
        width=6.4,
        height=1.6 + 0.42 * n + 0.42 * (len(set(ends["outcome"])) if len(ends) else 0),
    )


def _scale(axes: Any, place: int, name: str, rows: pd.DataFrame) -> None:
    x = rows["points"].to_numpy(dtype=float)
    if not len(x):
        return
    axes.hlines(place, x.min(), x.max(), color="#525a64", lw=0.8)
    axes.vlines(x, place - 0.12, place, color="#525a64", lw=0.8)
    span = max(float(np.ptp(axes.dataLim.intervalx)) if np.isfinite(axes.dataLim.intervalx).all() else 100.0, 100.0)
    last = -np.inf
    for value, label in sorted(zip(x, rows["label"], strict=True)):
        if value - last >= 0.012 * span * max(len(str(label)), 2):
            # Words at an end of the axis stay within it, else they run into the predictor's name.
            ends = {x.min(): "left", x.max(): "right"} if len(str(label)) > 5 else {}
            axes.text(value, place + 0.1, str(label), ha=ends.get(value, "center"), va="top", fontsize=6.5)
            last = value
