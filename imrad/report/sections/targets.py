"""The immune targets: how they are distributed, how far two methods agree, what was too thin to try."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display, two_lines
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return distributions, zeros, agreement, gene coverage and feasibility."""
    part = Section("targets", Text(*TITLES["targets"]))
    table = tables.get("cohort/targets.csv")
    if table is None:
        part.missing(
            "No immune targets: give assemble an immune table, or add the section score.",
            "没有免疫靶标：请提供免疫表或加入 score。",
        )
    else:
        columns = {
            "target": Column("Target"),
            "n": Column("n", "d"),
            "missing": Column("Missing", "d"),
            "median": Column("Median", ".4g"),
            "q25": Column("q25", ".4g"),
            "q75": Column("q75", ".4g"),
            "share_zero": Column("Zero", "share"),
            "distinct": Column("Distinct values", ".0f"),
        }
        part.add(Shown("targets", "Targets.", table, columns))
    bars = tables.get("cohort/target_histogram.csv")
    if bars is not None:
        part.add(_histograms(bars))
    _feasibility(part, tables)
    _agreement(part, tables)
    messages = tables.json("score/messages.json")
    if messages:
        part.head("What scoring noted", "评分阶段的提示")
        for text in messages:
            part.say("{note}", note=str(text))
    return part


def _histograms(bars: pd.DataFrame) -> Display:
    names = list(dict.fromkeys(bars["target"]))
    across = 4
    down = math.ceil(len(names) / across)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, across, squeeze=False)
        for place, name in enumerate(names):
            axes = grid[place // across][place % across]
            rows = table[table["target"] == name]
            axes.bar(rows["low"], rows["count"], width=rows["high"] - rows["low"], align="edge", color=COLOURS[0])
            axes.set_title(two_lines(name, 21), fontsize=6.5)
            axes.tick_params(labelsize=6, length=2)
            axes.locator_params(axis="x", nbins=3)
            axes.locator_params(axis="y", nbins=3)
        for place in range(len(names), down * across):
            grid[place // across][place % across].set_axis_off()

    text = "Patients by value, twelve bins from the smallest to the largest value."
    return Display(
        "target_histograms",
        "Distributions.",
        text,
        bars,
        draw,
        f"Histograms of {len(names)} targets",
        width=6.4,
        height=0.4 + 1.15 * down,
    )


def _feasibility(part: Section, tables: RunTables) -> None:
    table = tables.get("phenotype/feasibility.csv")
    if table is None:
        part.missing("Feasibility: the stage phenotype writes it.", "可行性：由 phenotype 阶段写出。")
        return
    columns = {
        "target": Column("Target"),
        "feasible": Column("Feasible"),
        "n": Column("n", "d"),
        "n_positive": Column("High", "d"),
        "n_negative": Column("Low", "d"),
        "zeros": Column("Zero", "share"),
        "min_train_class": Column("Smallest training class", "d"),
        "auc_half_width": Column("AUC half width", ".2f"),
        "n_needed": Column("n needed", ".0f"),
        "reason": Column("Reason"),
    }
    kept = {name: column for name, column in columns.items() if name in table}
    text = "Before any fit: class sizes, and how many patients an AUC half width of a tenth would ask for."
    part.add(Shown("feasibility", "Feasibility.", table, kept, text, collapsed=len(table) > 15))


def _agreement(part: Section, tables: RunTables) -> None:
    agreement, coverage = tables.get("score/agreement.csv"), tables.get("score/coverage.csv")
    if agreement is None:
        part.missing(
            "Agreement of two methods: needs targets that were both computed here and published, or by two methods.",
            "两种方法的一致性：需要同一靶标的两种来源。",
        )
    else:
        columns = {"target": Column("Target"), "second": Column("Against"), "n": Column("n", "d")}
        columns |= {"spearman": Column("Spearman", ".2f"), "spearman_low": Column("95 % low", ".2f")}
        columns |= {"spearman_high": Column("95 % high", ".2f"), "pearson": Column("Pearson", ".2f")}
        columns |= {"zeros_first": Column("Zero, first", "share"), "zeros_second": Column("Zero, second", "share")}
        kept = {name: column for name, column in columns.items() if name in agreement}
        part.add(Shown("target_agreement", "Agreement of two methods.", agreement, kept))
    if coverage is None:
        part.missing(
            "Gene coverage: the stage score writes it where it reads an expression matrix.",
            "基因覆盖：由 score 阶段写出。",
        )
    else:
        columns = {"signature": Column("Signature"), "n_genes": Column("Genes", "d"), "n_found": Column("Found", "d")}
        columns |= {"coverage": Column("Coverage", "share"), "missing": Column("Missing")}
        kept = {name: column for name, column in columns.items() if name in coverage}
        part.add(Shown("coverage", "Gene coverage.", coverage, kept))
