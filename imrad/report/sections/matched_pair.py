"""Two patients alike in the clinical columns and unlike in outcome: their values, and where the network looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.pictures import inside, lay, relevance, with_origin
from imrad.report.tables import RunTables

__all__ = ["add_pair"]

PLACES = ("first", "second")
OWN = ("patient", "outcome", "model", "probability", "positive", "distance", "n_columns")


def add_pair(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the two patients' values and, where there are maps, their relevance pictures."""
    pair = tables.response(endpoint, "matched_pair")
    if pair is None or len(pair) < len(PLACES):
        return
    rows = pair.iloc[: len(PLACES)].set_axis(list(PLACES), axis=0)
    shown = [("outcome", ["with" if value == 1 else "without" for value in rows["outcome"]])]
    shown.append(("predicted probability", [f"{float(value):.3f}" for value in rows["probability"]]))
    shown.append(("called positive", ["yes" if value else "no" for value in rows["positive"]]))
    others = [name for name in pair.columns if name not in OWN]
    shown += [(str(name), [_cell(value) for value in rows[name]]) for name in others]
    if "distance" in pair:
        shown.append(("distance of the two", [_cell(rows["distance"].iloc[0]), "–"]))
    table = pd.DataFrame([(name, *values) for name, values in shown], columns=["variable", *PLACES])
    text = (
        "Two patients, alike in the clinical columns and unlike in outcome; probabilities are those of the outer fold. "
        "Distance is Gower's over the clinical columns."
    )
    columns = {"variable": Column("Variable"), "first": Column("First"), "second": Column("Second")}
    part.add(Shown(f"matched_pair_{endpoint}", "Two matched patients.", table, columns, text))
    names = pd.DataFrame({"patient": [str(name) for name in rows["patient"]]})
    part.add(Shown(f"matched_names_{endpoint}", "Who they are.", names, {"patient": Column("Patient")}, collapsed=True))
    _pictures(part, tables, endpoint, rows)


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | int | np.number):
        return "–" if value != value else f"{float(value):.4g}"
    return str(value)


def _pictures(part: Section, tables: RunTables, endpoint: str, rows: pd.DataFrame) -> None:
    kept = relevance(tables)
    if not kept:
        return
    found = [[three for (patient, _), three in kept.items() if patient == str(name)] for name in rows["patient"]]
    if not all(found):
        part.missing(
            "Slices of the two with relevance over them: the run has maps of other patients, but not of both of these; "
            "add theirs to the table of maps.",
            "两例患者的层面与热图：本次运行有其他患者的热图，但缺少这两例；请在热图表中补充。",
        )
        return
    down = max(len(some) for some in found)
    shares = [inside(some[0])[0] for some in found]
    sides = rows[["patient", "outcome", "probability"]].assign(pictures=[len(some) for some in found])
    sides = sides.assign(share_inside=shares).reset_index(drop=True)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, 2 * len(PLACES), squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, some in enumerate(found):
            for row, three in enumerate(some):
                lay(grid[row, 2 * place], three, heated=False)
                lay(grid[row, 2 * place + 1], three, heated=True)
            one = table.iloc[place]
            outcome = "with outcome" if one["outcome"] == 1 else "without outcome"
            grid[0, 2 * place].set_title(f"{one['patient']}\n{outcome}", fontsize=8, loc="left")
            grid[0, 2 * place + 1].set_title(f"predicted {one['probability']:.3f}", fontsize=8, loc="left")

    text = Text(
        "For each patient the slice with most of the region, plain and with the encoder's relevance over it (bright: "
        "more); orange is the outline. Relevance is scaled within each picture: it shows where, not how much. "
        "Predicted is the outer fold's probability of the outcome.",
        "每例患者为区域最大的层面：原图及叠加编码器关注度的图（越亮越高）；橙色为轮廓。关注度在每幅图内缩放：只表示位置，"
        "不表示大小。predicted 为外层折预测的结局概率。",
    )
    part.add(
        Display(
            f"matched_relevance_{endpoint}",
            "Where the network looked, the two matched patients.",
            with_origin(tables, text),
            sides,
            draw,
            f"Slices of the two matched patients, plain and with relevance: {down} a patient",
            width=6.0,
            height=0.5 + 1.5 * down,
        )
    )
