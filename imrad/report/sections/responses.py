"""Binary endpoints: the models side by side, how they discriminate, and at what price they call a patient positive."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, MARKERS, STYLES, Display
from imrad.report.page import Calculator, Column, Number, Section, Shown, Text
from imrad.report.sections import response_patients
from imrad.report.sections.matched_pair import add_pair
from imrad.report.sections.model import drawn_nomogram, ready_nomogram
from imrad.report.sections.names import TITLES
from imrad.report.sections.penalty_path import add_path
from imrad.report.sections.recorded import add_recorded
from imrad.report.tables import RunTables, label

__all__ = ["section", "tell_verdict", "with_shares"]

SENTENCES = {
    "adds": ("{endpoint}: {model} predicts better than {reference}.", "{endpoint}：{model} 的预测优于 {reference}。"),
    "worse": ("{endpoint}: {model} predicts worse than {reference}.", "{endpoint}：{model} 的预测不如 {reference}。"),
    "not_shown": (
        "{endpoint}: it is not shown that {model} predicts better than {reference}.",
        "{endpoint}：未能证明 {model} 的预测优于 {reference}。",
    ),
}
CHANCE = 0.5
SHARES = ("sensitivity", "specificity", "accuracy", "npv", "ppv")


def tell_verdict(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the answer to a binary endpoint's question, with its numbers."""
    path = f"response/{endpoint}/verdict.json"
    found = tables.get(path)
    if found is None:
        return
    row = found.iloc[0]
    if row["status"] not in SENTENCES:
        why = str(row["sentence"]).partition(": ")[2] or str(row["sentence"])
        english, chinese = "{endpoint}: the question is not answered. {why}", "{endpoint}：本次运行未能回答。{why}"
        part.say(english, chinese, kind="lead", endpoint=label(endpoint), why=why)
        return
    english, chinese = SENTENCES[str(row["status"])]
    words: dict[str, Number | str] = {"model": str(row["model"]), "reference": str(row["reference"])}
    own = _own_areas(tables, endpoint, words)
    part.say(
        english + own[0] + " The difference is {gap} (95 % interval {low} to {high}, p {p}). {n} patients, {positive} "
        "with the outcome, {folds} outer folds.",
        chinese + own[1] + "两者 AUC 之差为 {gap}（95 % 区间 {low} 至 {high}，p {p}）。{n} 例患者，其中 {positive} "
        "例有该结局，{folds} 个外层折。",
        kind="lead",
        endpoint=label(endpoint),
        **words,
        gap=tables.number(path, 0, "auc_difference", "+.3f"),
        low=tables.number(path, 0, "auc_low", "+.3f"),
        high=tables.number(path, 0, "auc_high", "+.3f"),
        p=tables.number(path, 0, "auc_p", "p="),
        n=tables.number(path, 0, "n", "d"),
        positive=tables.number(path, 0, "n_positive", "d"),
        folds=tables.number(path, 0, "n_folds", "d"),
    )
    _against_chance(part, tables, endpoint, str(row["model"]))


def _own_areas(tables: RunTables, endpoint: str, words: dict[str, Number | str]) -> tuple[str, str]:
    """Return a sentence with the AUC of both models of the question, and put its numbers among the words."""
    models, path = tables.response(endpoint, "models"), f"response/{endpoint}/models.csv"
    for name, key in (("model", "a"), ("reference", "b")):
        if models is None or not (models["model"] == words[name]).any():
            return "", ""
        rows = models.index[models["model"] == words[name]]
        for column in ("auc_outer", "auc_outer_low", "auc_outer_high"):
            words[key + column[9:]] = tables.number(path, rows[0], column, ".3f")
    return (
        " In the outer folds the AUC is {a} for {model} ({a_low} to {a_high}) and {b} for {reference} ({b_low} to "
        "{b_high}), where 0.5 is chance.",
        "外层折中 {model} 的 AUC 为 {a}（{a_low} 至 {a_high}），{reference} 为 {b}（{b_low} 至 {b_high}）；"
        "0.5 为随机水平。",
    )


def _against_chance(part: Section, tables: RunTables, endpoint: str, model: str) -> None:
    models = tables.response(endpoint, "models")
    fitted = None if models is None else models[models["auc_outer"].notna()]
    if fitted is None or not len(fitted):
        return
    if (fitted["auc_outer_low"] <= CHANCE).all():
        part.say(
            "{endpoint}: no model is shown to do better than chance; every interval of an outer-fold AUC reaches down "
            "to 0.5.",
            "{endpoint}：没有模型被证明优于随机；各模型外层折 AUC 的区间均达到 0.5。",
            kind="warning",
            endpoint=label(endpoint),
        )
    elif (fitted.loc[fitted["model"] == model, "auc_outer_low"] <= CHANCE).any():
        part.say(
            "{endpoint}: {model} is not shown to do better than chance.",
            "{endpoint}：未能证明 {model} 优于随机。",
            kind="warning",
            endpoint=label(endpoint),
            model=model,
        )


def section(tables: RunTables) -> Section:
    """Return models, curves, tables and nomogram of every binary endpoint; without one, nothing."""
    part = Section("response", Text(*TITLES["response"]))
    for endpoint in tables.responses:
        models = tables.response(endpoint, "models")
        if models is None:
            continue
        part.head("{endpoint}", endpoint=label(endpoint))
        add_recorded(part, tables, endpoint)
        _models(part, endpoint, models)
        _roc(part, tables, endpoint)
        _scores(part, tables, endpoint)
        _operating(part, tables, endpoint)
        _calibration(part, tables, endpoint)
        _decision(part, tables, endpoint)
        response_patients.add_tables(part, tables, endpoint)
        _lasso(part, tables, endpoint)
        _nomogram(part, tables, endpoint)
        response_patients.add_patients(part, tables, endpoint)
        add_pair(part, tables, endpoint)
    return part


def candidate(tables: RunTables, endpoint: str) -> str:
    """Return the model that the verdict is about, or the last that was fitted."""
    found = tables.get(f"response/{endpoint}/verdict.json")
    models = tables.response(endpoint, "models")
    fitted = [] if models is None else [str(name) for name in models.loc[models["auc_outer"].notna(), "model"]]
    asked = "" if found is None else str(found.iloc[0].get("model", ""))
    return asked if asked in fitted else (fitted[-1] if fitted else "")


def _models(part: Section, endpoint: str, models: pd.DataFrame) -> None:
    columns = {
        "model": Column("Model"),
        "n": Column("n", ".0f"),
        "n_positive": Column("With outcome", ".0f"),
        "auc_apparent": Column("Apparent AUC", ".3f"),
        "auc_bootstrap": Column("Bootstrap-corrected", ".3f"),
        "auc_outer": Column("Outer-fold AUC", ".3f"),
        "auc_outer_low": Column("95 % low", ".3f"),
        "auc_outer_high": Column("95 % high", ".3f"),
        "brier_outer": Column("Brier", ".3f"),
        "n_selected": Column("Terms", ".0f"),
    }
    if "reason" in models and models["reason"].fillna("").astype(str).ne("").any():
        columns["reason"] = Column("Reason")
    text = (
        "Only the outer-fold value carries the verdict: a model always looks better on its own patients. Models with "
        "ImRad and forests are too dear to bootstrap."
    )
    part.add(Shown(f"response_models_{endpoint}", "Models.", models, columns, text))
    fitted = models[models["auc_outer"].notna()].reset_index(drop=True)
    if not len(fitted):
        return

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(table))[::-1]
        axes.hlines(y, table["auc_outer_low"], table["auc_outer_high"], color=COLOURS[0], lw=1.6)
        marks = (("auc_outer", "outer folds", 0), ("auc_bootstrap", "bootstrap-corrected", 2))
        for name, words, place in (*marks, ("auc_apparent", "apparent", 4)):
            colour = COLOURS[(0, 0, 2, 0, 1)[place]]
            filled = colour if name == "auc_outer" else "none"
            axes.scatter(
                table[name],
                y,
                s=30,
                marker=MARKERS[place],
                facecolors=filled,
                edgecolors=colour,
                label=words,
                clip_on=False,
            )
        axes.axvline(0.5, color="#525a64", lw=0.7, ls=":")
        axes.set_yticks(y, list(table["model"]))
        axes.set(xlabel="AUC", xlim=(0, 1), ylim=(-0.6, len(table) - 0.4))
        figure.legend(loc="outside upper left", ncols=3, fontsize=7.5)

    keep = ["model", "auc_apparent", "auc_bootstrap", "auc_outer", "auc_outer_low", "auc_outer_high"]
    top: Any = fitted["auc_outer"].idxmax()
    best = fitted.loc[top]
    part.add(
        Display(
            f"response_forest_{endpoint}",
            f"AUC for {label(endpoint)}.",
            "Dotted: chance. The distance from apparent to outer folds is the optimism.",
            fitted[keep],
            draw,
            f"Largest outer-fold AUC {best['auc_outer']:.3f} by {best['model']}",
            height=0.9 + 0.28 * len(fitted),
        )
    )


def _roc(part: Section, tables: RunTables, endpoint: str) -> None:
    roc = tables.response(endpoint, "roc")
    if roc is None:
        return
    rows = roc[roc["kind"] == "outer"].reset_index(drop=True)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        for place, (name, own) in enumerate(table.groupby("model", sort=False)):
            colour, style = COLOURS[place % 8], STYLES[place % 8]
            axes.plot(own["false_positive_share"], own["sensitivity"], color=colour, ls=style, label=str(name))
        axes.plot([0, 1], [0, 1], color="#525a64", lw=0.7, ls=":")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
        axes.set_aspect("equal")
        axes.legend(loc="lower right", fontsize=7.5)

    text = "Test patients of the outer folds, first repeat, pooled: folds may differ in level, so the area can too."
    n = rows["model"].nunique()
    part.add(
        Display(
            f"roc_{endpoint}", f"ROC curves for {label(endpoint)}.", text, rows, draw, f"ROC of {n} models", 4.6, 4.4
        )
    )


def _scores(part: Section, tables: RunTables, endpoint: str) -> None:
    histogram, ks = tables.response(endpoint, "score_histogram"), tables.response(endpoint, "score_ks")
    name = candidate(tables, endpoint)
    if histogram is None or not name:
        return
    rows = histogram[histogram["model"] == name].reset_index(drop=True)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        axes = figure.subplots()
        for place, (outcome, own) in enumerate(table.groupby("outcome", sort=False)):
            share = own["count"] / max(float(own["count"].sum()), 1.0)
            words = "with the outcome" if outcome == 1 else "without it"
            edges = [*own["low"], own["high"].iloc[-1]]
            axes.stairs(share, edges, color=COLOURS[place], fill=True, alpha=0.25)
            axes.stairs(share, edges, color=COLOURS[place], ls=STYLES[place], label=words)
        axes.set(xlabel="predicted probability", ylabel="share of patients", xlim=(0, 1))
        figure.legend(loc="outside upper left", ncols=2, fontsize=7.5)

    text = "Probabilities of the outer folds' test patients."
    alt = f"Probabilities by {name} of patients with and without the outcome"
    part.add(Display(f"scores_{endpoint}", f"Scores of {name} by outcome.", text, rows, draw, alt, height=2.8))
    if ks is None:
        return
    found = ks[(ks["model"] == name) & (ks["kind"] == "outer")]
    if len(found):
        path = f"response/{endpoint}/score_ks.csv"
        part.say(
            "{model}: the Kolmogorov-Smirnov distance between the two outcomes is {ks} (p {p}), out of fold.",
            "{model}：两组结局得分的 Kolmogorov-Smirnov 距离为 {ks}（p {p}），为折外预测。",
            model=name,
            ks=tables.number(path, found.index[0], "ks", ".3f"),
            p=tables.number(path, found.index[0], "p", "p="),
        )


def with_shares(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Column]]:
    """Return a table with each share at a threshold and its interval in one cell, and the columns to show."""
    table, columns = table.copy(), {}
    for name in SHARES:
        if name not in table:
            continue
        triples = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        cells = [f"{100 * a:.0f} % ({100 * b:.0f}–{100 * c:.0f})" if a == a else "–" for a, b, c in triples]
        table[f"{name}_with_interval"] = cells
        heading = name.upper() if name in ("ppv", "npv") else name.capitalize()
        columns[f"{name}_with_interval"] = Column(heading, "share")
    return table, columns


def _operating(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.response(endpoint, "operating")
    if table is None:
        return
    columns = {"model": Column("Model"), "kind": Column("Judged on"), "threshold": Column("Threshold", ".3f")}
    counts = {name: Column(name.upper(), "d") for name in ("tp", "fp", "tn", "fn")}
    text = (
        "At Youden's cut-point of the training part: of each outer fold (outer, so there is no one threshold), or of "
        "all patients judged on themselves (apparent). In brackets Wilson's 95 % intervals."
    )
    table, shares = with_shares(table)
    part.add(Shown(f"operating_{endpoint}", "Confusion at the threshold.", table, columns | shares | counts, text))


def _calibration(part: Section, tables: RunTables, endpoint: str) -> None:
    table, name = tables.response(endpoint, "calibration"), candidate(tables, endpoint)
    if table is None or not name:
        return
    rows = table[table["model"] == name].reset_index(drop=True)
    if not len(rows):
        return

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        axes = figure.subplots()
        order = [kind for kind in ("ideal", "apparent", "bias-corrected", "outer") if kind in set(frame["kind"])]
        for place, kind in enumerate(order):
            own = frame[frame["kind"] == kind]
            colour = "#525a64" if kind == "ideal" else COLOURS[place - 1]
            axes.plot(own["predicted"], own["observed"], color=colour, ls=STYLES[place], label=kind)
        axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", fontsize=7.5)

    text = "Smoothed by lowess. Bias-corrected: less the bootstrap's optimism; outer: the outer folds' test patients."
    title = f"Calibration of {name}."
    alt = f"Calibration curves of {name}"
    part.add(Display(f"calibration_{endpoint}", title, text, rows, draw, alt, 4.6, 4.4))
    indices = tables.response(endpoint, "indices")
    if indices is not None:
        columns = {"model": Column("Model"), "index": Column("Index"), "apparent": Column("Apparent", ".3f")}
        columns |= {"corrected": Column("Corrected", ".3f"), "outer": Column("Outer", ".3f")}
        part.add(Shown(f"indices_{endpoint}", "Indices of validation.", indices, columns, collapsed=True))


def _decision(part: Section, tables: RunTables, endpoint: str) -> None:
    table, name = tables.response(endpoint, "net_benefit"), candidate(tables, endpoint)
    if table is None or not name:
        return
    rows = table[table["model"] == name].reset_index(drop=True)

    def draw(figure: Figure, frame: pd.DataFrame) -> None:
        axes = figure.subplots()
        kinds = [kind for kind in ("apparent", "corrected", "outer") if frame[kind].notna().any()]
        for place, kind in enumerate(kinds):
            axes.plot(frame["threshold"], frame[kind], color=COLOURS[place], ls=STYLES[place], label=kind)
        axes.plot(frame["threshold"], frame["treat_all"], color="#525a64", lw=1, label="all positive")
        axes.axhline(0, color="#525a64", lw=1, ls=":", label="none positive")
        top = float(frame[[*kinds, "treat_all"]].max().max())
        axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1), ylim=(-0.06, 1.08 * top))
        axes.legend(loc="upper right", fontsize=7.5)

    text = "Net benefit of calling positive above each threshold; corrected: less the bootstrap's optimism."
    alt = f"Decision curves of {name}"
    part.add(Display(f"decision_{endpoint}", f"Decision curves of {name}.", text, rows, draw, alt, height=3.0))


def _lasso(part: Section, tables: RunTables, endpoint: str) -> None:
    """Add the penalty's choice and the paths of a lasso, and every model's coefficients."""
    choices, paths = tables.response(endpoint, "path"), tables.response(endpoint, "path_coefficients")
    if choices is not None and paths is not None:
        found = list(dict.fromkeys(choices["model"]))
        own = candidate(tables, endpoint)
        model = own if own in found else str(found[0])
        add_path(part, choices, paths, model, endpoint, name=label(endpoint), what="binomial ")
    table = tables.response(endpoint, "coefficients")
    if table is None:
        return
    rows = table[table["coef"] != 0].reset_index(drop=True)
    columns = {"model": Column("Model"), "feature": Column("Term"), "coef": Column("Coefficient", ".4g")}
    columns |= {"coef_per_sd": Column("Per SD", ".3f"), "inclusion": Column("In outer folds", "share")}
    columns["kind"] = Column("Kind")
    text = (
        "Final models, in log odds on each column's own scale and per standard deviation; how often the outer folds "
        "chose each again."
    )
    kept = {key: column for key, column in columns.items() if key in rows}
    part.add(Shown(f"coefficients_{endpoint}", "Coefficients other than 0.", rows, kept, text, collapsed=True))


def _nomogram(part: Section, tables: RunTables, endpoint: str) -> None:
    models = tables.json(f"response/{endpoint}/nomogram.json") or {}
    models = {str(name): _with_named_outcome(plain, endpoint) for name, plain in models.items()}
    ready = {name: ready_nomogram(plain) for name, plain in models.items()}
    order = [name for name in ready if 0 < len(ready[name]["predictors"]) <= 30]
    if not order:
        return
    name = candidate(tables, endpoint)
    name = name if name in order else order[0]
    shown = drawn_nomogram(endpoint, name, models[name])
    text = "Read each value's points upwards, add them, and read the probability below the total."
    part.add(replace(shown, name=f"response_nomogram_{endpoint}", caption=text))
    part.add(
        Calculator(
            f"response_calculator_{endpoint}", f"Calculator, {label(endpoint)}", {key: ready[key] for key in order}
        )
    )
    part.say(
        "The calculator is the final model of all patients, for research only; a score is that of the kept model.",
        "计算器为全体患者拟合的最终模型，仅供研究；评分须由保存的模型给出。",
    )
    part.say("{formula}", kind="code", formula=str(models[name]["formula"]))


def _with_named_outcome(plain: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """Return a nomogram whose outcome says what the number is."""
    words = f"probability of {endpoint}"
    ends = [item | {"outcome": words} for item in plain["outcome_axes"]]
    return plain | {"outcome_axes": ends, "outcomes": [item | {"name": words} for item in plain["outcomes"]]}
