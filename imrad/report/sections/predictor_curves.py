"""Kaplan-Meier curves of patients high and low in the predictors that a final model keeps."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import Display, two_lines
from imrad.report.page import Section, Text
from imrad.report.sections.kaplan_meier import MONTH, draw_groups, ticks_up_to
from imrad.report.tables import RunTables

__all__ = ["add_predictor_curves"]

MOST = 9
ACROSS = 3
FEWEST = 5
"""Patients of a group that is drawn: the curve of one or two says nothing."""
MODELS = ("Clinical+Immune+ImRad", "Clinical+ImRad", "Radscore", "Clinical+Rad", "Rad", "Clinical")
"""Whose predictors are drawn: those of the first that was fitted and keeps any."""


def add_predictor_curves(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add a panel for each predictor, smallest log-rank p first."""
    groups, curves = tables.survival(endpoint, "predictor_groups"), tables.survival(endpoint, "predictor_curves")
    if groups is None or curves is None:
        return
    model = next((name for name in MODELS if (groups["model"] == name).any()), None)
    if model is None:
        return
    own = groups[groups["model"] == model]
    least = own.groupby("predictor")["n"].transform("min")
    own = own[least >= FEWEST].drop_duplicates("predictor").dropna(subset=["log_rank_p"])
    order = [str(name) for name in own.sort_values("log_rank_p", kind="stable")["predictor"].head(MOST)]
    if not order:
        return
    p = own.set_index("predictor")["log_rank_p"]
    rows = curves[(curves["model"] == model) & curves["predictor"].isin(order)].reset_index(drop=True)
    rows = rows.merge(own[["predictor", "cutpoint", "log_rank_p"]], on="predictor")
    across = min(ACROSS, len(order))
    down = math.ceil(len(order) / across)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(2 * down, across, squeeze=False, height_ratios=[4, 1.3] * down)
        last = float(table["time"].max()) / MONTH
        for place in range(down * across):
            row, column = divmod(place, across)
            axes, below = grid[2 * row, column], grid[2 * row + 1, column]
            if place >= len(order):
                axes.set_axis_off()
                below.set_axis_off()
                continue
            name = order[place]
            draw_groups(axes, below, table[table["predictor"] == name], ticks_up_to(last, 5), names=column == 0)
            axes.set(ylim=(0, 1.03), xlim=(0, last * 1.02), xlabel="")
            below.set_xlim(axes.get_xlim())
            below.set_xlabel("months" if place + across >= len(order) else "", fontsize=7.5)
            axes.tick_params(labelsize=7.5)
            value = float(p[name])
            axes.set_title(f"{two_lines(name)}\np {'< 0.001' if value < 0.001 else f'= {value:.3f}'}", fontsize=7.5)
            if column == 0:
                axes.set_ylabel(f"{endpoint.upper()} probability", fontsize=8)
        lines = [line for line in grid[0, 0].get_lines() if str(line.get_label()).endswith(" risk")]
        grid[0, 0].legend(lines, ["low", "high"], loc="lower left", fontsize=7)

    caption = Text(
        "Patients low and high (above the median, or the larger of two values) in the predictors that the final "
        "{model} keeps, with the log-rank p. The same outcomes chose the predictors, so p is too small. Rad- scores "
        "are out of fold. Bands are pointwise 95 % intervals, numbers below are at risk; a "
        "predictor with fewer than five patients on a side is not drawn.",
        "按最终 {model} 保留的各预测因子分为低组与高组（高于中位数，或二值中的较大者），附 log-rank p。预测因子由同一"
        "结局选出，故 p 偏小。Rad- 评分为折外值。阴影为逐点 95 % 区间，下方为在险人数；任一组少于五例者不绘。",
        {"model": model},
    )
    part.add(
        Display(
            f"predictor_curves_{endpoint}",
            f"{endpoint.upper()} by each predictor.",
            caption,
            rows,
            draw,
            f"Kaplan-Meier by {len(order)} predictors; smallest p by {order[0]}",
            width=6.6,
            height=0.2 + 2.6 * down,
        )
    )
