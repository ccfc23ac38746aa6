"""Where a network looked: slices of some cases with their relevance over them, and how much of it lies inside."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import Display
from imrad.report.page import Section, Text
from imrad.report.pictures import inside, lay, relevance, with_origin
from imrad.report.tables import RunTables

__all__ = ["MOST", "add_attention"]

MOST = 12
"""So many cases are drawn, evenly over the patients."""
ACROSS = 3


def add_attention(part: Section, tables: RunTables) -> None:
    """Add a sheet of slices with relevance over them, where the run has maps; else nothing."""
    kept = relevance(tables)
    if not kept:
        return
    keys = sorted(kept)
    shares = pd.DataFrame([inside(kept[key]) for key in keys], columns=["share_inside", "area_inside"])
    named = pd.DataFrame(keys, columns=["patient", "case"]).join(shares)
    rows = named.iloc[np.unique(np.linspace(0, len(keys) - 1, MOST).round().astype(int))].reset_index(drop=True)
    drawn = [kept[keys_of] for keys_of in zip(rows["patient"], rows["case"], strict=True)]
    across = min(ACROSS, len(drawn))
    down = math.ceil(len(drawn) / across)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, 2 * across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, three in enumerate(drawn):
            row, column = divmod(place, across)
            left, right = grid[row, 2 * column], grid[row, 2 * column + 1]
            lay(left, three, heated=False)
            lay(right, three, heated=True)
            left.set_title(str(table["patient"].iloc[place]), fontsize=7, loc="left")
            share = float(table["share_inside"].iloc[place])
            if math.isfinite(share):
                right.set_title(f"{100 * share:.0f} % inside", fontsize=7, loc="left")

    parts = {"shown": len(rows), "total": len(keys)}
    counts: dict[str, float] = {**parts}
    outlined = shares.dropna()
    if len(outlined):
        counts |= {"share": float(outlined["share_inside"].median()), "area": float(outlined["area_inside"].median())}
    tables.register("attention_counts", pd.DataFrame([counts]))
    words = {name: tables.number("attention_counts", 0, name, "d" if name in parts else "share") for name in counts}
    english = (
        "{shown} of {total} cases, each plain and with the encoder's relevance over it (bright: more); orange is the "
        "outline. Relevance is scaled within each case: it shows where, not how much."
    )
    chinese = (
        "{total} 个病例中的 {shown} 例，各为原图与叠加编码器关注度的图（越亮越高）；橙色为轮廓。关注度在每例内缩放。"
    )
    if len(outlined):
        english += (
            " Inside the outline lies {share} of the relevance that a picture shows, on {area} of its area (medians)."
        )
        chinese += "轮廓之内为图中关注度的 {share}，占其面积的 {area}（中位数）。"
    part.add(
        Display(
            "attention",
            "Where the network looked.",
            with_origin(tables, Text(english, chinese, words)),
            rows,
            draw,
            f"Slices of {len(rows)} of {len(keys)} cases, plain and with relevance over them",
            width=6.4,
            height=0.3 + 1.25 * down,
        )
    )
