"""Binary endpoints, patient by patient and column by column: tables of clinical papers, subgroups, contributions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Column, Section, Shown
from imrad.report.tables import RunTables

__all__ = ["add_patients", "add_tables"]

TERMS = 12


def add_tables(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the readers' agreement, the columns left, and the univariable and multivariable tables."""
    agreement = tables.get("cohort/agreement.csv")
    if agreement is not None:
        columns = {"variable": Column("Variable"), "measure": Column("Measure"), "n": Column("n", "d")}
        columns |= {"value": Column("Value", ".3f"), "low": Column("95 % low", ".3f")}
        columns["high"] = Column("95 % high", ".3f")
        columns["share_equal"] = Column("Equal", "share")
        # A large-sample interval may end beyond what a coefficient of agreement can be.
        agreement = agreement.assign(high=agreement["high"].clip(upper=1.0))
        part.add(Shown(f"agreement_{endpoint}", "Agreement of two readers.", agreement, columns))
    funnel = tables.response(endpoint, "funnel")
    if funnel is not None:
        rows = funnel[(funnel["fold"] == "all") & funnel["block"].ne("Clinical")].reset_index(drop=True)
        columns = {"model": Column("Model"), "block": Column("Block"), "step": Column("Step")}
        columns |= {"n_in": Column("In", "d"), "n_out": Column("Left", "d")}
        if len(rows):
            text = "The final models; every fold chose anew."
            part.add(Shown(f"response_funnel_{endpoint}", "Columns left at each step.", rows, columns, text))
    univariable = tables.response(endpoint, "univariable")
    if univariable is not None:
        columns = {
            "feature": Column("Column"),
            "summary_0": Column("Without the outcome"),
            "summary_1": Column("With it"),
            "n": Column("n", "d"),
            "test": Column("Test"),
            "p": Column("p", "p"),
            "or": Column("Odds ratio", ".3f"),
            "or_low": Column("95 % low", ".3f"),
            "or_high": Column("95 % high", ".3f"),
            "auc": Column("AUC", ".3f"),
        }
        rows = univariable[univariable["block"] == "Clinical"].reset_index(drop=True)
        columns = {name: column for name, column in columns.items() if name in rows}
        if len(rows):
            text = "All patients. Odds ratios per standard deviation of a number; median (quartiles), or count (share)."
            part.add(Shown(f"univariable_{endpoint}", "Each clinical column alone.", rows, columns, text))
    multivariable = tables.response(endpoint, "multivariable")
    if multivariable is not None:
        columns = {"model": Column("Model"), "feature": Column("Column"), "cut": Column("Cut at", ".4g")}
        columns |= {"or": Column("Odds ratio", ".3f"), "or_low": Column("95 % low", ".3f")}
        columns["or_high"] = Column("95 % high", ".3f")
        columns |= {"p": Column("p", "p"), "inclusion": Column("In folds", "share"), "note": Column("Note")}
        text = (
            "Logistic regressions on all patients. Odds ratios per unit of a number, per year or millimetre; a column "
            "that is cut is 1 above its cut-point."
        )
        rows = _of_clinical(multivariable, univariable)
        part.add(Shown(f"multivariable_{endpoint}", "Clinical columns together.", rows, columns, text))


def add_patients(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add contributions and subgroups."""
    explanations = tables.response(endpoint, "explanations")
    if explanations is not None:
        for kind, rows in explanations.groupby("kind", sort=False):
            model = _fullest(tables, endpoint, rows)
            part.add(_contributions(endpoint, model, str(kind), rows[rows["model"] == model]))
    _subgroups(part, tables, endpoint)


def _of_clinical(table: pd.DataFrame, univariable: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of clinical columns; all rows where none is known."""
    if univariable is None:
        return table
    known = set(univariable.loc[univariable["block"] == "Clinical", "feature"].astype(str))
    inside = [str(name) in known or str(name).partition("=")[0] in known for name in table["feature"]]
    return table[inside].reset_index(drop=True) if any(inside) else table


def _fullest(tables: RunTables, endpoint: str, rows: pd.DataFrame) -> str:
    present = [str(name) for name in dict.fromkeys(rows["model"])]
    verdict = tables.get(f"response/{endpoint}/verdict.json")
    asked = "" if verdict is None else str(verdict.iloc[0].get("model", ""))
    return asked if asked in present else present[-1]


def _contributions(endpoint: str, model: str, kind: str, rows: pd.DataFrame) -> Display:
    size = rows.groupby("feature")["contribution"].apply(lambda values: values.abs().mean())
    names = [str(name) for name in size.sort_values(ascending=False).index[:TERMS]]

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        image = None
        for place, name in enumerate(reversed(names)):
            own = table[table["feature"] == name]
            x, rank = own["contribution"].to_numpy(dtype=float), own["value"].rank(pct=True).to_numpy()
            jitter = np.empty(len(x))
            jitter[np.argsort(x, kind="stable")] = 0.22 * np.sin(np.arange(len(x)) * 2.4)
            image = axes.scatter(x, place + jitter, c=rank, cmap="cividis", s=9, lw=0, vmin=0, vmax=1)
        axes.axvline(0, color="#525a64", lw=0.7)
        axes.set_yticks(range(len(names)), [name[-34:] for name in reversed(names)], fontsize=7.5)
        axes.set(xlabel="contribution to the " + ("share of votes" if kind == "forest" else "log odds"))
        if image is not None:
            bar = figure.colorbar(image, ax=axes, shrink=0.7, ticks=[0, 1])
            bar.ax.set_yticklabels(["low", "high"])
            bar.set_label("value")

    kept = rows[rows["feature"].isin(names)][["feature", "value", "contribution"]].reset_index(drop=True)
    exact = "Coefficient times distance from the mean, which is the Shapley value of a linear model."
    text = "Shapley values of the forest's votes (TreeSHAP)." if kind == "forest" else exact
    return Display(
        f"contributions_{kind}_{endpoint}",
        f"Contributions in {model}{' (forest)' if kind == 'forest' else ''}.",
        text + " The final model on the patients it was fitted to.",
        kept,
        draw,
        f"Largest mean contribution by {names[0]}" if names else "No contributions",
        height=0.9 + 0.26 * max(len(names), 1),
    )


def _subgroups(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.response(endpoint, "subgroups")
    if table is None:
        return
    model = _fullest(tables, endpoint, table)
    rows = table[(table["model"] == model) & table["auc"].notna()].reset_index(drop=True)
    columns = {
        "model": Column("Model"),
        "subgroup": Column("Subgroup"),
        "level": Column("Level"),
        "n": Column("n", "d"),
    }
    columns |= {"n_positive": Column("With outcome", "d"), "auc": Column("AUC", ".3f")}
    columns |= {
        "auc_low": Column("95 % low", ".3f"),
        "auc_high": Column("95 % high", ".3f"),
        "accuracy": Column("Accuracy", ".3f"),
    }
    # Where every patient with the outcome ranks above all without it, DeLong's interval has no width: it is none.
    exact = table["auc_low"] >= table["auc_high"]
    table = table.assign(**{name: table[name].mask(exact) for name in ("auc_low", "auc_high")})
    rows = rows.assign(
        **{name: rows[name].mask(rows["auc_low"] >= rows["auc_high"]) for name in ("auc_low", "auc_high")}
    )
    text = "AUC of the first repeat's test predictions, with DeLong's interval; an AUC of 0 or 1 has none."
    part.add(Shown(f"response_subgroups_{endpoint}", "By subgroup.", table, columns, text, collapsed=True))
    if not len(rows):
        return

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(frame))[::-1]
        axes.hlines(y, frame["auc_low"].clip(0, 1), frame["auc_high"].clip(0, 1), color=COLOURS[0], lw=1.4)
        axes.scatter(
            frame["auc"], y, s=10 + frame["n"].astype(float).clip(upper=80), color=COLOURS[0], zorder=3, clip_on=False
        )
        axes.axvline(0.5, color="#525a64", lw=0.7, ls=":")
        labels = [f"{r.subgroup} {r.level} ({int(r.n_positive)}/{int(r.n)})" for r in frame.itertuples()]  # type: ignore[arg-type]
        axes.set_yticks(y, [label[:44] for label in labels], fontsize=7.5)
        axes.set(xlabel="AUC (with outcome / patients)", xlim=(0, 1))

    part.add(
        Display(
            f"response_subgroup_forest_{endpoint}",
            f"{model} by subgroup.",
            "Points grow with patients; few patients say little, and a point without a line has no interval.",
            rows,
            draw,
            f"AUC of {len(rows)} subgroups from {rows['auc'].min():.2f} to {rows['auc'].max():.2f}",
            height=0.8 + 0.22 * len(rows),
        )
    )
