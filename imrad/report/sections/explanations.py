"""Why a model says what it says: contributions of linear models and of trees, importance of others, two cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display, short_term
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.pictures import outlined, picture_case, pictures
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]

TERMS = 12
TREES = 4
CASES = ("a low-risk case", "a high-risk case")


def section(tables: RunTables) -> Section:
    """Return contributions and two case cards of every endpoint, and the phenotype models' importance."""
    part = Section("explanations", Text(*TITLES["explanations"]))
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "explanations")
        if table is None:
            part.missing("Contributions: the final models have no terms.", "贡献：最终模型没有非零项。")
            continue
        part.head("{endpoint}", endpoint=endpoint.upper())
        model = tables.fullest(table)
        rows = table[table["model"] == model].reset_index(drop=True)
        part.add(_swarm(f"contributions_{endpoint}", endpoint, model, rows))
        _trees(part, endpoint, table[table["model"] != model])
        _cases(part, endpoint, model, rows, _by_patient(tables))
    importance = tables.get("phenotype/importance.csv")
    if importance is not None:
        columns = {
            str(name): Column(str(name).replace("_", " "), ".3g" if importance[name].dtype.kind == "f" else "")
            for name in importance
        }
        text = "How much each feature moves the phenotype models' scores."
        part.add(
            Shown("importance", "Importance in phenotype models.", importance.head(300), columns, text, collapsed=True)
        )
    if not part.blocks:
        part.missing("No explanations: add the section fuse to the config.", "没有解释：请在配置中加入 fuse。")
    return part


def _trees(part: Section, endpoint: str, table: pd.DataFrame) -> None:
    """Draw the Shapley values of the models of trees, which the first figure does not show."""
    if "method" not in table:
        return
    trees = table[table["method"].astype(str).str.startswith("trees")]
    for place, model in enumerate(list(dict.fromkeys(trees["model"]))[:TREES]):
        rows = trees[trees["model"] == model].reset_index(drop=True)
        part.add(_swarm(f"shapley_{endpoint}_{place + 1}", endpoint, str(model), rows))


def _linear(rows: pd.DataFrame) -> bool:
    """Tell whether contributions are coefficients times distances, not Shapley values of trees."""
    return "method" not in rows or not rows["method"].astype(str).str.startswith("trees").any()


def _scale(rows: pd.DataFrame) -> str:
    return "contribution to the log hazard" if _linear(rows) else "contribution to the predicted risk"


def _ranked(rows: pd.DataFrame) -> list[str]:
    size = rows.groupby("feature")["contribution"].apply(lambda values: values.abs().mean())
    return [str(name) for name in size.sort_values(ascending=False).index[:TERMS]]


def _swarm(stem: str, endpoint: str, model: str, rows: pd.DataFrame) -> Display:
    names = _ranked(rows)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        image = None
        for place, name in enumerate(reversed(names)):
            own = table[table["feature"] == name]
            rank = own["value"].rank(pct=True).to_numpy()
            x = own["contribution"].to_numpy(dtype=float)
            order = np.argsort(x, kind="stable")
            jitter = np.empty(len(x))
            jitter[order] = 0.22 * np.sin(np.arange(len(x)) * 2.4)
            image = axes.scatter(x, place + jitter, c=rank, cmap="cividis", s=9, lw=0, vmin=0, vmax=1)
        axes.axvline(0, color="#525a64", lw=0.7)
        axes.set_yticks(range(len(names)), [short_term(name) for name in reversed(names)], fontsize=7.5)
        axes.set(xlabel=f"{_scale(rows)} (right: higher risk)")
        if image is not None:
            bar = figure.colorbar(image, ax=axes, shrink=0.7, ticks=[0, 1])
            bar.ax.set_yticklabels(["low", "high"])
            bar.set_label("value")

    kept = rows[rows["feature"].isin(names)][["feature", "value", "contribution"]].reset_index(drop=True)
    text = (
        f"{model}, all patients. Coefficient times distance from the mean, which for a linear model is "
        f"the exact Shapley value; "
        f"at most the {TERMS} largest terms."
        if _linear(rows)
        else f"{model}, all patients. Shapley values of the trees against their own training patients; "
        f"at most the {TERMS} largest terms."
    )
    return Display(
        stem,
        f"Contributions, {endpoint.upper()}.",
        text,
        kept,
        draw,
        f"Largest mean contribution: {names[0]}",
        height=0.9 + 0.27 * len(names),
    )


def _by_patient(tables: RunTables) -> dict[str, Any]:
    """Return one outlined slice a patient, of the largest region where there are several."""
    kept, quality = pictures(tables), tables.get("extract/quality.csv")
    if not kept or quality is None or "volume_ml" not in quality:
        return {}
    out: dict[str, Any] = {}
    for row in quality.sort_values("volume_ml", kind="stable").to_dict("records"):
        case = picture_case(row, kept)
        if case:
            out[str(row["patient"])] = outlined(kept[str(row["patient"]), case])
    return out


def _cases(part: Section, endpoint: str, model: str, rows: pd.DataFrame, slices: dict[str, Any]) -> None:
    total = rows.groupby("patient")["contribution"].sum().sort_values(kind="stable")
    if len(total) < 2:
        return
    low, high = total.index[int(0.1 * (len(total) - 1))], total.index[int(np.ceil(0.9 * (len(total) - 1)))]
    parts = []
    for label, patient in zip(CASES, (low, high), strict=True):
        own = rows[rows["patient"] == patient]
        parts.append(own.assign(case=label)[["case", "feature", "value", "contribution"]])
    table = pd.concat(parts, ignore_index=True)
    order = _ranked(table)
    table = table[table["feature"].isin(order)].rename(columns={"case": "card"}).reset_index(drop=True)
    shown: list[Any] = [slices.get(str(patient)) for patient in (low, high)]
    seen = any(image is not None for image in shown)

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        heights = [1.5, 0.45 + 0.27 * len(order)] if seen else [1.0]
        grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
        y = np.arange(len(order))[::-1]
        first: Any = None
        reach = 1.7 * max(float(frame["contribution"].abs().max()), 1e-9)
        for place, label in enumerate(CASES):
            if seen:
                above = figure.add_subplot(grid[0, place])
                above.set_axis_off()
                if shown[place] is not None:
                    above.imshow(shown[place], interpolation="none")
            axes = figure.add_subplot(grid[-1, place], sharey=first)
            own = frame[frame["card"] == label].set_index("feature").reindex(order)
            share = own["contribution"].astype(float).fillna(0).to_numpy()
            axes.barh(y, share, color=[COLOURS[1] if value > 0 else COLOURS[0] for value in share], height=0.6)
            for at, size, value in zip(y, share, own["value"].astype(float), strict=True):
                side, shift = ("left", 3) if size >= 0 else ("right", -3)
                # A score of a naive Bayes model may be 1e-11: its order of magnitude says nothing here.
                text = "" if np.isnan(value) else "< 0.001" if 0 < value < 0.001 else f"{value:.3g}"
                axes.annotate(
                    text, (size, at), xytext=(shift, 0), textcoords="offset points", ha=side, va="center", fontsize=7
                )
            axes.axvline(0, color="#525a64", lw=0.7)
            axes.set_title(label, fontsize=8.5)
            axes.set(xlabel=_scale(rows), xlim=(-reach, reach))
            if first is None:
                axes.set_yticks(y, [short_term(name) for name in order], fontsize=7.5)
            else:
                axes.tick_params(labelleft=False)
            first = first or axes

    text = (
        f"{model}: patients at the tenth and the ninetieth percentile of the linear predictor; blue "
        f"lowers, orange raises the risk; the number at a bar is the patient's value."
        if _linear(rows)
        else f"{model}: patients at the tenth and the ninetieth percentile of the predicted risk; blue "
        f"lowers, orange raises the risk; the number at a bar is the patient's value."
    )
    part.add(
        Display(
            f"cases_{endpoint}",
            f"Two cases, {endpoint.upper()}.",
            text,
            table,
            draw,
            f"Contributions of two cases; the largest for low risk is {order[0]}",
            width=6.4,
            height=0.9 + 0.27 * len(order) + (1.6 if seen else 0.0),
        )
    )
