"""How a penalty was chosen and what the coefficients did on the way: the two figures of a lasso."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, STYLES, Display, short_term
from imrad.report.page import Section

__all__ = ["add_path"]

TERMS = 20


def add_path(
    part: Section,
    choices: pd.DataFrame,
    coefficients: pd.DataFrame,
    model: str,
    endpoint: str,
    *,
    name: str = "",
    what: str = "partial-likelihood ",
) -> None:
    """Add the cross-validated deviance by penalty, and the coefficient paths, of one final model.

    Parameters
    ----------
    part : Section
    choices : DataFrame
        model, lambda, mean, se, n_selected, chosen.
    coefficients : DataFrame
        model, lambda, feature, coef.
    model, endpoint : str
    name : str
        What the endpoint is called in titles; its name in capitals by default.
    what : str
        Of what the deviance is.
    """
    name = name or endpoint.upper()
    curve = choices[choices["model"] == model].reset_index(drop=True)
    lines = coefficients[coefficients["model"] == model]
    strongest = lines.groupby("feature")["coef"].apply(lambda values: values.abs().max()).sort_values(ascending=False)
    chosen = curve.loc[curve["chosen"].astype(bool), "lambda"]
    # What the chosen penalty keeps comes first: a coefficient per year of age is small, and counts.
    near = (lines["lambda"] - chosen.iloc[0]).abs() if len(chosen) else lines["lambda"] * 0.0
    kept = lines.loc[(near == near.min()) & (lines["coef"] != 0), "feature"]
    order = list(dict.fromkeys([name for name in strongest.index if name in set(kept)] + list(strongest.index)))
    lines = lines[lines["feature"].isin(order[:TERMS])].reset_index(drop=True)

    def draw_curve(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        x = np.log10(table["lambda"])
        axes.errorbar(x, table["mean"], yerr=table["se"], fmt="o", ms=2.5, lw=0.7, color=COLOURS[0], ecolor="#b7c9d6")
        for value in chosen:
            axes.axvline(np.log10(value), color=COLOURS[1], lw=1, ls="--")
        axes.set(xlabel="log10 lambda (strong penalty to the right)", ylabel=f"{what}deviance")
        at = np.linspace(0, len(table) - 1, min(7, len(table))).astype(int)
        above = axes.secondary_xaxis("top")
        above.set_xticks(x.iloc[at], [str(int(n)) for n in table["n_selected"].iloc[at]])
        above.set_xlabel("terms in the model", fontsize=8)

    def draw_lines(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        wide = table.pivot_table(index="lambda", columns="feature", values="coef").sort_index()
        scale = wide.abs().max()
        x = np.log10(wide.index)
        # Named are the terms that the chosen penalty keeps; the others stay grey.
        at = int(np.argmin(np.abs(wide.index - chosen.iloc[0]))) if len(chosen) else 0
        named = wide.iloc[at].abs()[lambda values: values > 0].sort_values(ascending=False).index[:8]
        for term in wide.columns:
            if term not in named:
                axes.plot(x, wide[term] / (scale[term] or 1), lw=0.7, color="#9aa3ad", alpha=0.7)
        for place, term in enumerate(named):
            line = wide[term] / (scale[term] or 1)
            axes.plot(x, line, lw=1.5, color=COLOURS[place], ls=STYLES[place], label=short_term(str(term)), zorder=3)
        if len(named):
            figure.legend(loc="outside upper left", ncols=2, fontsize=7)
        for value in chosen:
            axes.axvline(np.log10(value), color=COLOURS[1], lw=1, ls="--")
        axes.axhline(0, color="#525a64", lw=0.6)
        axes.set(xlabel="log10 lambda", ylabel="coefficient / its largest")

    text = f"{model}, all patients; dashed: the penalty that was taken. Outer folds choose their own."
    alt = f"Cross-validated deviance over {len(curve)} penalties"
    part.add(Display(f"cv_{endpoint}", f"Choice of the penalty, {name}.", text, curve, draw_curve, alt, height=3.0))
    text = (
        f"{model}: {min(TERMS, len(strongest))} terms, each divided by its largest value; in colour at most eight "
        "that the chosen penalty keeps, in grey those that grow largest."
    )
    part.add(
        Display(
            f"path_{endpoint}",
            f"Coefficient paths, {name}.",
            text,
            lines,
            draw_lines,
            f"Paths of {lines['feature'].nunique()} terms",
            height=3.1,
        )
    )
