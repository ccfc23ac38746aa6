"""Two patients alike in the clinical columns and unlike in outcome: their values, and where the network looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import Display
from imrad.report.page import Column, Section, Shown
from imrad.report.pictures import relevance
from imrad.report.tables import RunTables

__all__ = ["add_pair"]

PLACES = ("first", "second")
OWN = ("patient", "outcome", "model", "probability", "positive", "distance", "n_columns")


def add_pair(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the two patients' values and, where the deep encoder kept them, their relevance pictures."""
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
    _pictures(part, tables, endpoint, [str(name) for name in rows["patient"]])


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | int | np.number):
        return "–" if value != value else f"{float(value):.4g}"
    return str(value)


def _pictures(part: Section, tables: RunTables, endpoint: str, patients: list[str]) -> None:
    kept = relevance(tables)
    found = [[three for (patient, _), three in kept.items() if patient == name] for name in patients]
    down = max(len(some) for some in found)
    if not all(found):
        return

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(down, 2 * len(PLACES), squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for place, (name, some) in enumerate(zip(PLACES, found, strict=True)):
            for row, (grey, heat, rim) in enumerate(some):
                left, right = grid[row, 2 * place], grid[row, 2 * place + 1]
                for axes in (left, right):
                    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="none")
                    axes.contour(rim > 0, levels=[0.5], colors="#E69F00", linewidths=0.6) if rim.any() else None
                level = heat / 255.0
                right.imshow(level, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * level, interpolation="none")
            grid[0, 2 * place].set_title(name, fontsize=8)

    sides = [(name, len(some)) for name, some in zip(PLACES, found, strict=True)]
    text = (
        "For each patient the slice with most of the region, plain and with the encoder's relevance over it (bright: "
        "more); orange is the outline. Relevance is scaled within each picture: it shows where, not how much."
    )
    part.add(
        Display(
            f"matched_relevance_{endpoint}",
            "Where the network looked.",
            text,
            pd.DataFrame(sides, columns=["which", "pictures"]),
            draw,
            f"Slices of the two matched patients, plain and with relevance: {down} a patient",
            width=6.0,
            height=0.35 + 1.5 * down,
        )
    )
