"""External centres of the config, one by one: response and survival models where nothing was fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, STYLES, Display
from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables, label

__all__ = ["add_centres", "draw_panels"]

COLUMNS_OF_PANELS = 3
SIZES = {1: (4.4, 3.5), 2: (5.8, 2.8), 3: (6.6, 2.35)}
"""Inches: the width of a drawing of so many panels side by side, and the height of a row of them."""

YEAR = 365.25
AGREE = "Groups of predicted survival against Kaplan-Meier; on the dotted line they agree."


def add_centres(part: Section, tables: RunTables) -> None:
    """Add tables and curves of every endpoint that was judged in other centres or in a hold-out."""
    for endpoint in tables.responses:
        _responses(part, tables, endpoint)
    for endpoint in tables.endpoints:
        _survival(part, tables, endpoint)


def _responses(part: Section, tables: RunTables, endpoint: str) -> None:
    from imrad.report.sections.responses import with_shares

    table = tables.response(endpoint, "external")
    if table is None:
        return
    part.head("{endpoint}", endpoint=label(endpoint))
    table, shares = with_shares(table)
    columns = {"cohort": Column("Centre"), "model": Column("Model"), "n": Column("n", ".0f")}
    columns |= {"n_positive": Column("With outcome", ".0f"), "n_out_of_distribution": Column("Unlike training", ".0f")}
    columns |= {"auc": Column("AUC", ".3f")}
    columns |= {"auc_low": Column("95 % low", ".3f"), "auc_high": Column("95 % high", ".3f")}
    columns |= {"o_over_e": Column("Observed / expected", ".2f"), "slope": Column("Calibration slope", ".2f")}
    columns |= {"ks": Column("KS", ".3f"), "ks_p": Column("p", "p"), "reason": Column("Reason")}
    text = (
        "The final models, fitted to all training patients, on patients who were in no fit. DeLong's interval of the "
        "AUC."
    )
    name = label(endpoint)
    part.add(Shown(f"centres_{endpoint}", f"Other patients, {name}.", table, _filled(columns, table), text))
    columns = {"cohort": Column("Centre"), "model": Column("Model"), "threshold": Column("Threshold", ".3f")} | shares
    text = "Thresholds are those of training. In brackets Wilson's 95 % intervals."
    kept = _filled(columns, table)
    part.add(Shown(f"centres_threshold_{endpoint}", f"Other patients at the threshold, {name}.", table, kept, text))
    draw_panels(
        part,
        tables.response(endpoint, "external_roc"),
        ("false_positive_share", "sensitivity", "1 - specificity", "sensitivity"),
        (f"centres_roc_{endpoint}", f"ROC curves for {name}, centre by centre.", "Dotted: chance."),
        diagonal=True,
    )
    draw_panels(
        part,
        tables.response(endpoint, "external_calibration"),
        ("predicted", "observed", "predicted probability", "observed share"),
        (
            f"centres_calibration_{endpoint}",
            f"Calibration for {name}, centre by centre.",
            "Smoothed by lowess; centres with fewer than ten patients of a class are left out.",
        ),
        diagonal=True,
    )
    benefit = tables.response(endpoint, "external_net_benefit")
    draw_panels(
        part,
        benefit,
        ("threshold", "net_benefit", "threshold probability", "net benefit"),
        (f"centres_decision_{endpoint}", f"Decision curves for {name}, centre by centre.", "Grey: all positive."),
        diagonal=False,
    )
    pairs = tables.response(endpoint, "external_pairs")
    if pairs is not None:
        columns = {"cohort": Column("Centre"), "model": Column("Model"), "reference": Column("Against")}
        columns |= {"difference": Column("Difference", "+.3f"), "low": Column("95 % low", "+.3f")}
        columns |= {"high": Column("95 % high", "+.3f"), "p": Column("p", "p")}
        text = "DeLong's paired test, which is allowed here because neither model was fitted to these patients."
        part.add(Shown(f"centres_pairs_{endpoint}", "Differences in AUC.", pairs, columns, text, collapsed=True))


def draw_panels(
    part: Section,
    table: pd.DataFrame | None,
    axes_: tuple[str, str, str, str],
    words: tuple[str, str, str],
    *,
    diagonal: bool,
) -> None:
    """Draw one panel a value of the column ``cohort``, a line a model; nothing where there is no table."""
    if table is None or table.empty:
        return
    cohorts = [str(name) for name in dict.fromkeys(table["cohort"])]
    rows = -(-len(cohorts) // COLUMNS_OF_PANELS)
    draw = _panels(cohorts, rows, axes_, diagonal=diagonal)
    name, title, text = words
    alt = f"{len(cohorts)} cohorts: {', '.join(cohorts)}"
    across = min(len(cohorts), COLUMNS_OF_PANELS)
    width, height = SIZES[across]
    part.add(Display(name, title, text, table, draw, alt, width=width, height=0.6 + height * rows))


def _filled(columns: dict[str, Column], table: pd.DataFrame) -> dict[str, Column]:
    """Return the columns that the table has and that say something in some row."""
    return {
        name: column
        for name, column in columns.items()
        if name in table and table[name].notna().any() and not table[name].astype(str).eq("").all()
    }


def _panels(
    cohorts: list[str], rows: int, axes_: tuple[str, str, str, str], *, diagonal: bool
) -> Callable[[Figure, pd.DataFrame], None]:
    across, up, x_label, y_label = axes_

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        n_columns = min(COLUMNS_OF_PANELS, len(cohorts))
        grid = np.atleast_1d(figure.subplots(rows, n_columns, squeeze=False)).ravel()
        models = [str(name) for name in dict.fromkeys(frame["model"])]
        for place, cohort in enumerate(cohorts):
            axes: Any = grid[place]
            for number, model in enumerate(models):
                own = frame[(frame["cohort"] == cohort) & (frame["model"] == model)]
                label = model if place == 0 else None
                axes.plot(own[across], own[up], color=COLOURS[number % 8], ls=STYLES[number % 8], lw=1.2, label=label)
            if diagonal:
                axes.plot([0, 1], [0, 1], color="#525a64", lw=0.7, ls=":")
                axes.set(xlim=(0, 1), ylim=(0, 1.01))
            else:
                own = frame[(frame["cohort"] == cohort) & (frame["model"] == models[0])]
                axes.plot(own[across], own["net_benefit_all"], color="#525a64", lw=0.8)
                axes.axhline(0, color="#525a64", lw=0.7, ls=":")
                axes.set(xlim=(0, 1), ylim=(-0.1, max(0.1, 1.1 * float(own["net_benefit_all"].max()))))
            axes.set_title(cohort, fontsize=8.5)
            axes.set_xlabel(x_label, fontsize=7.5)
            axes.set_ylabel(y_label if place % n_columns == 0 else "", fontsize=7.5)
        for axes in grid[len(cohorts) :]:
            axes.set_axis_off()
        figure.legend(loc="outside upper left", ncols=4 if n_columns > 1 else 3, fontsize=7.5)

    return draw


def _survival(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "external")
    if table is None:
        return
    columns = {"cohort": Column("Centre"), "model": Column("Model"), "n": Column("n", ".0f")}
    columns |= {"n_events": Column("Events", ".0f"), "n_out_of_distribution": Column("Unlike training", ".0f")}
    columns |= {"c": Column("C", ".3f"), "c_low": Column("95 % low", ".3f"), "c_high": Column("95 % high", ".3f")}
    columns |= {"o_over_e": Column("Observed / expected", ".2f"), "slope": Column("Calibration slope", ".2f")}
    columns |= {
        name: Column(name.replace("_", " ").upper(), ".3f") for name in map(str, table) if name.startswith("auc_")
    }
    columns["reason"] = Column("Reason")
    kept = _filled(columns, table)
    text = "The final models, fitted to all training patients, on patients who were in no fit."
    part.add(Shown(f"centres_{endpoint}", f"Other patients, {endpoint.upper()}.", table, kept, text))
    # Of all the models the two that the verdict is about: a dozen lines in a panel tell nothing.
    compared = {"Clinical", tables.fullest(table)}
    for kind, axes, title, words, diagonal in (
        (
            *("calibration", ("predicted", "observed", "predicted survival", "observed survival")),
            *(f"Calibration for {endpoint.upper()}, centre by centre.", AGREE, True),
        ),
        (
            *("net_benefit", ("threshold", "net_benefit", "threshold probability", "net benefit")),
            *(f"Decision curves for {endpoint.upper()}, centre by centre.", "Grey: all positive.", False),
        ),
    ):
        found = tables.survival(endpoint, f"external_{kind}")
        if found is None:
            continue
        found = found[found["model"].isin(compared)]
        years = (found["horizon_days"].astype(float) / YEAR).round(1).map("{:g} y".format)
        panels = found.assign(cohort=found["cohort"].astype(str) + ", " + years)
        name = {"calibration": "centres_calibration", "net_benefit": "centres_decision"}[kind]
        draw_panels(part, panels, axes, (f"{name}_{endpoint}", title, words), diagonal=diagonal)
