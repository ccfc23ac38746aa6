"""Curves: discrimination over time, calibration, Kaplan-Meier with numbers at risk, decision curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, MARKERS, STYLES, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.kaplan_meier import MONTH, draw_groups, ticks_up_to
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

YEAR = 365.25
PANELS = ("Clinical", "ImRad", "Rad", "Clinical+ImRad")


def section(tables: RunTables) -> Section:
    """Return the curves of every endpoint."""
    part = Section("curves", Text(*TITLES["curves"]))
    for endpoint in tables.endpoints:
        part.head("{endpoint}", endpoint=endpoint.upper())
        _kaplan_meier(part, tables, endpoint)
        _horizons(part, tables, endpoint)
        _calibration(part, tables, endpoint)
        _decision(part, tables, endpoint)
    if not part.blocks:
        part.missing("No curves: add the section fuse to the config.", "没有曲线：请在配置中加入 fuse。")
    return part


def _chosen(tables: RunTables, table: pd.DataFrame) -> list[str]:
    present = [name for name in PANELS if name in set(table["model"])]
    return present or [tables.fullest(table)]


def _kaplan_meier(part: Section, tables: RunTables, endpoint: str) -> None:
    curves, groups = tables.survival(endpoint, "curves"), tables.survival(endpoint, "groups")
    if curves is None:
        part.missing("Kaplan-Meier: no groups could be formed.", "Kaplan-Meier：无法分组。")
        return
    model = tables.fullest(curves)
    rows = curves[curves["model"] == model].reset_index(drop=True)
    if groups is not None:
        found = groups[(groups["model"] == model) & groups["log_rank_p"].notna()]
        if len(found):
            part.say(
                "Groups of {model}, cut at the median risk of each training part: log-rank p {p} "
                "(each patient's group is out "
                "of fold; the test treats the groups as given).",
                "{model} 的分组（以各训练部分的中位风险为界）：log-rank p {p}。",
                model=model,
                p=tables.number(f"survival/{endpoint}/groups.csv", found.index[0], "log_rank_p", "p="),
            )

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1.1])
        last = float(table["time"].max()) / MONTH
        draw_groups(axes, below, table, ticks_up_to(last))
        axes.set(ylabel=f"{endpoint.upper()} probability", ylim=(0, 1.03), xlim=(0, last * 1.02))
        axes.legend(loc="upper right")

    text = "Test patients of the first repeat. Ticks are censored patients, bands pointwise 95 % intervals."
    part.add(
        Display(
            f"km_{endpoint}",
            f"{endpoint.upper()} by {model}.",
            text,
            rows,
            draw,
            f"Kaplan-Meier curves of {rows['group'].nunique()} risk groups by {model}",
            height=3.8,
        )
    )


def _years(days: float) -> str:
    years = round(days / YEAR, 1)
    return "1 year" if years == 1 else f"{years:g} years"


def _horizons(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "horizons")
    if table is None:
        return
    columns = {
        "model": Column("Model"),
        "horizon_days": Column("Days", ".0f"),
        "status": Column("Status"),
        "auc": Column("AUC(t)", ".3f"),
        "auc_low": Column("95 % low", ".3f"),
        "auc_high": Column("95 % high", ".3f"),
        "brier": Column("Brier", ".3f"),
        "reason": Column("Reason"),
    }
    part.add(
        Shown(f"horizons_{endpoint}", "Time-dependent AUC and Brier score.", table, columns, collapsed=len(table) > 12)
    )
    feasible = table[table["auc"].notna()].reset_index(drop=True)
    for found in table[table["status"] != "feasible"].drop_duplicates("horizon_days").itertuples():
        part.say(
            "At {days} days nothing is estimated: {reason}.",
            "{days} 天处不作估计：{reason}。",
            kind="missing",
            days=tables.number(f"survival/{endpoint}/horizons.csv", found.Index, "horizon_days", ".0f"),
            reason=str(found.reason),
        )
    if feasible.empty:
        return

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        names = list(dict.fromkeys(rows["model"]))
        for place, name in enumerate(names):
            own = rows[rows["model"] == name]
            x = own["horizon_days"] / YEAR + 0.05 * (place - (len(names) - 1) / 2)
            gap = [own["auc"] - own["auc_low"], own["auc_high"] - own["auc"]]
            axes.errorbar(
                x,
                own["auc"],
                yerr=np.maximum(gap, 0),
                # The ninth model has the first one's colour, and another mark.
                fmt=MARKERS[(place + 3 * (place // 8)) % 8],
                ms=4.5,
                lw=1,
                color=COLOURS[place % 8],
                label=name,
            )
        axes.axhline(0.5, color="#525a64", lw=0.7, ls=":")
        axes.set(
            xlabel="years",
            ylabel="time-dependent AUC",
            ylim=(0, 1.02),
            xticks=sorted(set((rows["horizon_days"] / YEAR).round(1))),
        )
        figure.legend(loc="outside upper left", ncols=3, fontsize=7.5)

    keep = ["model", "horizon_days", "auc", "auc_low", "auc_high"]
    part.add(
        Display(
            f"auc_time_{endpoint}",
            f"Discrimination over time, {endpoint.upper()}.",
            "Mean of the outer folds with its corrected 95 % interval.",
            feasible[keep],
            draw,
            f"Largest AUC {feasible['auc'].max():.2f}",
            height=3.2,
        )
    )


def _calibration(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "calibration")
    if table is None:
        part.missing("Calibration: no horizon is within reach of the follow-up.", "校准：没有随访可及的时间点。")
        return
    outer = table[table["source"] == "outer folds"]
    outer = outer[outer["model"].isin(_chosen(tables, outer))].reset_index(drop=True)
    horizons = sorted(set(outer["horizon_days"]))

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        panels = figure.subplots(1, len(horizons), squeeze=False, sharey=True)[0]
        for axes, horizon in zip(panels, horizons, strict=True):
            axes.plot([0, 1], [0, 1], color="#525a64", lw=0.8, ls=":")
            for place, name in enumerate(dict.fromkeys(rows["model"])):
                own = rows[(rows["model"] == name) & (rows["horizon_days"] == horizon)].sort_values("predicted")
                colour = COLOURS[place % 8]
                axes.vlines(own["predicted"], own["low"], own["high"], color=colour, lw=0.8, alpha=0.6)
                axes.plot(
                    own["predicted"],
                    own["observed"],
                    marker=MARKERS[place % 8],
                    ms=4,
                    lw=1,
                    ls=STYLES[place % 8],
                    color=colour,
                    label=name,
                )
            axes.set(xlabel="predicted", xlim=(0, 1), ylim=(0, 1.02), title=_years(horizon))
        panels[0].set(ylabel="observed survival")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2, fontsize=7)

    text = (
        "Quarters of the pooled test predictions of the first repeat against Kaplan-Meier; the dotted line is perfect."
    )
    part.add(
        Display(
            f"calibration_{endpoint}",
            f"Calibration, {endpoint.upper()}.",
            text,
            outer,
            draw,
            f"Calibration at {len(horizons)} horizons",
            width=max(3.4, 2.3 * len(horizons)),
            height=3.1,
        )
    )


def _decision(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "net_benefit")
    if table is None:
        part.missing(
            "Decision curves: no horizon is within reach of the follow-up.", "决策曲线：没有随访可及的时间点。"
        )
        return
    rows = table[table["model"].isin(_chosen(tables, table))].reset_index(drop=True)
    horizons = sorted(set(rows["horizon_days"]))

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        panels = figure.subplots(1, len(horizons), squeeze=False, sharey=True)[0]
        for axes, horizon in zip(panels, horizons, strict=True):
            at = frame[frame["horizon_days"] == horizon]
            first = at[at["model"] == at["model"].iloc[0]]
            axes.plot(first["threshold"], first["net_benefit_all"], color=COLOURS[7], lw=1, label="treat all")
            axes.axhline(0, color=COLOURS[6], lw=0.8, label="treat none")
            for place, name in enumerate(dict.fromkeys(at["model"])):
                own = at[at["model"] == name]
                axes.plot(
                    own["threshold"],
                    own["net_benefit"],
                    color=COLOURS[place % 8],
                    ls=STYLES[place % 8],
                    lw=1.4,
                    label=name,
                )
            top = float(np.nanmax(at[["net_benefit", "net_benefit_all"]].to_numpy()))
            axes.set(
                xlabel="threshold probability",
                xlim=(0, 0.8),
                ylim=(-0.35 * max(top, 0.05), 1.1 * max(top, 0.05)),
                title=_years(horizon),
            )
        panels[0].set(ylabel="net benefit")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=3, fontsize=7)

    text = "Net benefit of acting where the predicted event probability of the outer folds passes the threshold."
    keep = ["model", "horizon_days", "threshold", "net_benefit", "net_benefit_all", "net_benefit_none"]
    part.add(
        Display(
            f"decision_{endpoint}",
            f"Decision curves, {endpoint.upper()}.",
            text,
            rows[keep],
            draw,
            f"Decision curves at {len(horizons)} horizons",
            width=max(3.4, 2.6 * len(horizons)),
            height=3.1,
        )
    )
