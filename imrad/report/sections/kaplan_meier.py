"""Kaplan-Meier of groups over the numbers at risk, as every section draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.report.displays import COLOURS, STYLES

__all__ = ["MONTH", "draw_groups", "ticks_up_to"]

MONTH = 30.4375


def draw_groups(axes: Any, below: Any, table: pd.DataFrame, ticks: list[float], *, names: bool = True) -> None:
    """Draw each group's curve with its 95 % band, ticks where patients are censored, and the numbers at risk below.

    Parameters
    ----------
    axes, below : Axes
        Of the curves and of the numbers at risk.
    table : DataFrame
        One row a time of a group: group, time (days), survival, low, high, n_risk, n_censored.
    ticks : list of float
        Months at which the numbers at risk are written.
    names : bool
        Whether the groups' names stand left of their numbers.
    """
    for place, (group, part) in enumerate(table.groupby("group", sort=False)):
        months = np.array([0.0, *(part["time"] / MONTH)])
        colour = COLOURS[place % 8]
        survival = [1.0, *part["survival"]]
        axes.step(months, survival, where="post", color=colour, ls=STYLES[place % 8], label=f"{group} risk")
        low, high = [1.0, *part["low"]], [1.0, *part["high"]]
        axes.fill_between(months, low, high, step="post", color=colour, alpha=0.14, lw=0)
        lost = part[part["n_censored"] > 0]
        axes.plot(lost["time"] / MONTH, lost["survival"], "|", color=colour, ms=5, mew=0.9)
        for tick in ticks:
            later = part[part["time"] / MONTH >= tick]
            n = int(later["n_risk"].iloc[0]) if len(later) else 0
            below.text(tick, -place, str(n), ha="center", va="center", fontsize=7.5, color=colour)
        if names:
            # As many points left of the axis as the first number is wide there.
            where = {
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
                "ha": "right",
                "va": "center",
            }
            below.annotate(str(group), (0, -place), xytext=(-12, 0), fontsize=7.5, color=colour, **where)
    axes.set_xticks(ticks)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel("months")
    below.set_ylim(-table["group"].nunique() + 0.4, 0.9)
    below.set_title("at risk", fontsize=7.5)
    below.set_yticks([])
    below.tick_params(length=0, labelbottom=False)
    below.spines[:].set_visible(False)


def ticks_up_to(last: float, most: int = 8) -> list[float]:
    """Return round months from 0 to `last`, at most about `most` of them."""
    step = next((step for step in (3, 6, 12, 24, 36, 48, 60) if last / step <= most), 120)
    return [float(tick) for tick in np.arange(0, last + 1e-9, step)]
