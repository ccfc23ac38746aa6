"""The phenotype grid: what each target's cells reached, and what noise reaches."""

from __future__ import annotations

from itertools import combinations
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
    """Return summary, heat map, null band, controls, stability, the study's table and the published protocol."""
    part = Section("grid", Text(*TITLES["grid"]))
    summary, grid = tables.get("phenotype/summary.csv"), tables.get("phenotype/grid.csv")
    if summary is None:
        part.missing(
            "No phenotype grid: add the section phenotype to the config.", "没有表型网格：请在配置中加入 phenotype。"
        )
        return part
    columns = {
        "target": Column("Target"),
        "status": Column("Status"),
        "n": Column("n", ".0f"),
        "n_positive": Column("High", ".0f"),
        "auc": Column("AUC", ".3f"),
        "auc_low": Column("95 % low", ".3f"),
        "auc_high": Column("95 % high", ".3f"),
        "p_permutation": Column("p", "p"),
        "q_fdr": Column("q", "p"),
        "permutations": Column("Permutations", ".0f"),
        "spearman": Column("Spearman", ".2f"),
    }
    caption = (
        "AUC: mean of the outer folds for the cell that the inner folds chose, with an approximate 95 % interval; p by "
        "permutation of the whole search; q corrects for all targets."
    )
    shown = summary.assign(status=summary["status"].str.replace("_", "\u00a0"))
    part.add(Shown("summary", "Targets.", shown, {name: columns[name] for name in columns if name in shown}, caption))
    for found in summary[summary["status"] == "skipped"].to_dict("records"):
        part.say(
            "{target} was not tried: {reason}.",
            "{target} 未尝试：{reason}。",
            kind="missing",
            target=str(found["target"]),
            reason=str(found["reason"]).rstrip("."),
        )
    if grid is not None:
        part.add(_heat_map(grid, summary))
    _band(part, tables, summary)
    _stability(part, tables)
    _study(part, tables)
    _published(part, tables)
    return part


def _heat_map(grid: pd.DataFrame, summary: pd.DataFrame) -> Display:
    selectors, classifiers = list(dict.fromkeys(grid["selector"])), list(dict.fromkeys(grid["classifier"]))
    targets = list(dict.fromkeys(grid["target"]))
    claimed = set(summary.loc[summary["status"] == "claimed", "target"])

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        panels = figure.subplots(1, len(selectors), sharey=True, squeeze=False)[0]
        image: Any = None
        for axes, selector in zip(panels, selectors, strict=True):
            part = table[table["selector"] == selector]
            wide = part.pivot(index="target", columns="classifier", values="auc").reindex(targets)[classifiers]
            image = axes.imshow(wide.to_numpy(dtype=float), vmin=0.2, vmax=0.8, cmap="PuOr_r", aspect="auto")
            axes.set_xticks(
                np.arange(len(classifiers)), [_words(name) for name in classifiers], rotation=90, fontsize=6.5
            )
            axes.set_yticks(
                np.arange(len(targets)), [f"{'● ' if n in claimed else ''}{_cell(n)}" for n in targets], fontsize=6.5
            )
            axes.tick_params(length=0)
            axes.set_title(_words(selector), fontsize=7.5)
            axes.spines[:].set_visible(False)
        figure.colorbar(
            image, ax=panels, label="outer AUC", shrink=min(1.0, 3 / (0.2 * len(targets) + 1)), extend="both"
        )

    keep = ["target", "selector", "classifier", "auc", "auc_low", "auc_high"]
    text = (
        "Rows are targets, columns classifiers within each selector; white is chance, a dot marks targets that survive "
        "correction. With so many cells the best of them is high by luck alone: the band below says how high."
    )
    middle = float(grid["auc"].median())
    return Display(
        "grid_heatmap",
        "Outer AUC of every cell.",
        text,
        grid[[name for name in keep if name in grid]].reset_index(drop=True),
        draw,
        alt=f"Heat map of {len(grid)} outer AUCs, median {middle:.2f}, largest {grid['auc'].max():.2f}",
        width=max(5.0, 2.2 + 0.17 * len(selectors) * len(classifiers)),
        height=1.7 + 0.165 * len(targets),
    )


def _cell(name: object) -> str:
    text = str(name)
    return text if len(text) <= 36 else text[:35] + "…"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _band(part: Section, tables: RunTables, summary: pd.DataFrame) -> None:
    rows = summary[summary["auc"].notna()]
    if rows.empty or "null_q95" not in rows:
        return
    controls = tables.get("phenotype/controls.csv")
    keep = ["target", "status", "auc", "auc_low", "auc_high", "auc_best_cell", "null_median", "null_q95"]
    frame = rows[keep].reset_index(drop=True)
    if controls is not None:
        wide = controls.pivot_table(index="target", columns="control", values="auc")
        frame = frame.merge(wide.reset_index(), on="target", how="left")

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(table))[::-1]
        axes.barh(
            y,
            table["null_q95"] - table["null_median"],
            left=table["null_median"],
            color="#d9d9d9",
            height=0.7,
            label="noise: median to 95 % of the best cell",
        )
        axes.hlines(y, table["auc_low"], table["auc_high"], color=COLOURS[0], lw=1)
        axes.scatter(table["auc"], y, s=22, color=COLOURS[0], marker=MARKERS[0], zorder=3, label="chosen cell, nested")
        axes.scatter(
            table["auc_best_cell"],
            y,
            s=16,
            color="none",
            edgecolors=COLOURS[6],
            marker=MARKERS[2],
            zorder=3,
            label="best cell (compare with the grey bar)",
        )
        for name, colour, marker in (
            ("volume", COLOURS[1], "|"),
            ("shuffled_features", COLOURS[3], "x"),
            ("clinical", COLOURS[2], "+"),
        ):
            if name in table:
                axes.scatter(
                    table[name],
                    y,
                    s=26,
                    color=colour,
                    marker=marker,
                    zorder=4,
                    lw=1.3,
                    label="shuffled features" if name == "shuffled_features" else f"{name} only",
                )
        axes.axvline(0.5, color="#525a64", lw=0.7, ls=":")
        axes.set_yticks(y, [_cell(name) for name in table["target"]], fontsize=7)
        axes.set(xlabel="outer AUC", xlim=(0, 1), ylim=(-0.8, len(table) - 0.2))
        figure.legend(loc="outside upper left", ncols=2, fontsize=7)

    above = int((frame["auc_best_cell"] > frame["null_q95"]).sum())
    text = (
        "Grey: what the best cell of the permutation test reaches on shuffled labels, from its median "
        "to its upper twentieth. "
        "Volume only, clinical only and shuffled features stand beside."
    )
    part.add(
        Display(
            "null_band",
            "Against noise and simpler explanations.",
            text,
            frame,
            draw,
            f"{above} of {len(frame)} best cells lie above the noise band",
            height=1.4 + 0.19 * len(frame),
            width=6.0,
        )
    )


def _stability(part: Section, tables: RunTables) -> None:
    stability = tables.get("phenotype/stability.csv")
    if stability is None:
        return
    value = stability.groupby(["target", "selector"], sort=False)["stability"].first().unstack(sort=False)
    table = value.reset_index()
    columns = {"target": Column("Target")} | {str(name): Column(_words(str(name)), ".2f") for name in value.columns}
    text = (
        "Mean overlap of the selected sets between outer folds, corrected for chance where it can be; 1 "
        "is the same set."
    )
    part.add(Shown("stability", "Stability of selection.", table, columns, text, collapsed=len(table) > 12))
    agreement = tables.get("phenotype/agreement.csv")
    if agreement is not None and len(agreement):
        columns = {
            "selector_a": Column("Selector"),
            "selector_b": Column("Selector"),
            "n_selected": Column("Selected", ".1f"),
            "shared": Column("Shared", ".1f"),
            "jaccard": Column("Jaccard", ".2f"),
        }
        text = (
            "Mean over targets and outer folds. Where no values are tied, gain ratio ranks as information gain does, "
            "so that the two agree entirely."
        )
        part.add(Shown("agreement", "How far selectors agree.", agreement, columns, text))
    selectors = list(value.columns)
    if len(selectors) > 1:
        part.add(_upset(stability, selectors))


def _upset(stability: pd.DataFrame, selectors: list[Any]) -> Display:
    often = stability[stability["frequency"] >= 0.6]
    pairs = [frozenset(part["selector"]) for _, part in often.groupby(["target", "feature"])]
    sets = [frozenset(some) for size in range(1, len(selectors) + 1) for some in combinations(selectors, size)]
    rows = [{"selectors": " + ".join(sorted(some)), "selections": sum(item == some for item in pairs)} for some in sets]
    frame = pd.DataFrame(rows).sort_values("selections", ascending=False, kind="stable").reset_index(drop=True)
    frame = frame[frame["selections"] > 0].head(15).reset_index(drop=True)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, max(1.0, 0.35 * len(selectors))])
        x = np.arange(len(table))
        top.bar(x, table["selections"], color=COLOURS[0], width=0.6)
        for place, value in zip(x, table["selections"], strict=True):
            top.text(place, value, str(int(value)), ha="center", va="bottom", fontsize=7)
        top.set(ylabel="feature selections")
        for row, name in enumerate(selectors):
            inside = np.array([name in words.split(" + ") for words in table["selectors"]], dtype=bool)
            below.scatter(x, np.full(len(x), row), s=24, color="#e0e0e0", lw=0)
            below.scatter(x[inside], np.full(int(inside.sum()), row), s=24, color=COLOURS[6], lw=0)
        below.set_yticks(range(len(selectors)), [_words(str(name)) for name in selectors], fontsize=7.5)
        below.set_ylim(-0.6, len(selectors) - 0.4)
        below.set_xticks([])
        below.spines[:].set_visible(False)

    text = "UpSet: a feature counts for a target where a selector takes it in at least 60 % of the outer folds."
    alt = (
        f"{int(frame['selections'].iloc[0])} selections are shared by {frame['selectors'].iloc[0]}"
        if len(frame)
        else "none"
    )
    return Display("selector_upset", "Features shared by selectors.", text, frame, draw, alt)


def _study(part: Section, tables: RunTables) -> None:
    table = tables.get("phenotype/study_table.csv")
    if table is None:
        return
    names = [str(name) for name in table.columns if name not in ("target", "best_cell", "best_auc")]
    columns = {"target": Column("Target")} | {name: Column(_words(name), ".2f") for name in names}
    columns |= {"best_cell": Column("Best cell"), "best_auc": Column("AUC", ".2f")}
    text = (
        "As the founding study tabulated it: each classifier with its best selector. Taking the best "
        "of many is optimistic; "
        "the summary above is not."
    )
    part.add(Shown("study_table", "Targets by classifiers.", table, columns, text, collapsed=True))


def _published(part: Section, tables: RunTables) -> None:
    published, optimism = tables.get("phenotype/published.csv"), tables.get("phenotype/optimism.csv")
    if published is None:
        part.missing(
            "Published protocol beside the honest one: set phenotype.protocol to published.",
            "已发表流程的对照：将 phenotype.protocol 设为 published。",
        )
        return
    counted = tables.register(
        "published_mean",
        pd.DataFrame([{name: published[name].mean() for name in ("auc", "auc_honest", "optimism")}]),
    )
    part.say(
        "The published protocol (cut and selection on all patients before the folds) reaches a mean "
        "AUC of {auc} over all "
        "cells where the honest value is {honest}: {optimism} of it is optimism.",
        "已发表流程（在划分前对全体患者切分与选择特征）所有单元的平均 AUC 为 {auc}，而诚实值为 "
        "{honest}；其中 {optimism} 属于乐观偏倚。",
        auc=tables.number("published_mean", 0, "auc", ".3f"),
        honest=tables.number("published_mean", 0, "auc_honest", ".3f"),
        optimism=tables.number("published_mean", 0, "optimism", "+.3f"),
    )
    del counted

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#525a64", lw=0.8, ls=":")
        axes.scatter(table["auc_honest"], table["auc"], s=9, color=COLOURS[1], alpha=0.5, lw=0)
        axes.set(xlabel="honest outer AUC", ylabel="published protocol", xlim=(0.2, 1), ylim=(0.2, 1), aspect="equal")

    keep = ["target", "selector", "classifier", "auc", "auc_honest", "optimism"]
    text = (
        "One point a target and cell; above the line the published protocol looks better than it is. For "
        "comparison only."
    )
    alt = f"{(published['optimism'] > 0).mean():.0%} of cells look better under the published protocol"
    part.add(Display("published", "Published protocol.", text, published[keep], draw, alt, width=3.8, height=3.6))
    if optimism is not None:
        columns = {
            "selector": Column("Selector"),
            "classifier": Column("Classifier"),
            "n_targets": Column("Targets", ".0f"),
        }
        columns |= {
            "auc": Column("Published", ".3f"),
            "auc_honest": Column("Honest", ".3f"),
            "optimism": Column("Optimism", "+.3f"),
        }
        kept = {name: column for name, column in columns.items() if name in optimism}
        part.add(Shown("optimism", "Optimism by cell.", optimism, kept, collapsed=True))
