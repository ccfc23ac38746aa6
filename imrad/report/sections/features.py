"""The features: how many, of which classes, how reliable, and how much of them is volume."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.tables import RunTables

__all__ = ["section"]


def section(tables: RunTables) -> Section:
    """Return the funnel, reliability, correlation with volume and harmonisation."""
    part = Section("features", Text(*TITLES["features"]))
    table = tables.get("cohort/features.csv")
    if table is None:
        part.missing(
            "No feature table: run assemble again, which describes the features.", "没有特征表：请重新运行 assemble。"
        )
        return part
    part.add(_funnel(tables, table))
    _classes(part, table)
    _reliability(part, tables, table)
    _volume(part, tables, table)
    _harmonised(part, tables)
    return part


def _funnel(tables: RunTables, table: pd.DataFrame) -> Display:
    steps = [("in the cohort", len(table)), ("varying", int((table["distinct"] > 1).sum()))]
    steps.append(("without missing values", int(((table["distinct"] > 1) & (table["missing"] == 0)).sum())))
    steps += _prepared(tables)
    stability = tables.get("phenotype/stability.csv")
    if stability is not None:
        steps.append(("selected in any outer fold", stability["feature"].nunique()))
        top = stability.groupby("feature")["frequency"].max()
        steps.append(("selected in 80 % of a target's folds", int((top >= 0.8).sum())))
    for endpoint in tables.endpoints:
        coefficients = tables.survival(endpoint, "coefficients")
        if coefficients is not None:
            rad = coefficients[(coefficients["model"] == "Rad") & (coefficients["coef"] != 0)]
            if len(rad) or (coefficients["model"] == "Rad").any():
                steps.append((f"in the final Rad model, {endpoint.upper()}", rad["feature"].nunique()))
    frame = tables.register("feature_funnel", pd.DataFrame(steps, columns=["step", "features"]))

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        y = np.arange(len(rows))[::-1]
        axes.barh(y, rows["features"], color=COLOURS[0], height=0.6)
        for place, value in zip(y, rows["features"], strict=True):
            axes.text(value, place, f" {int(value)}", va="center", fontsize=8)
        axes.set_yticks(y, list(rows["step"]), fontsize=8)
        axes.set(xlabel="features", xlim=(0, 1.12 * rows["features"].max()))

    text = "Selection happens anew in each training fold; the lower bars count over folds, selectors and targets."
    return Display(
        "feature_funnel",
        "From extracted to kept.",
        text,
        frame,
        draw,
        f"{steps[0][1]} features in the cohort, {steps[-1][1]} {steps[-1][0]}",
        height=0.7 + 0.3 * len(frame),
    )


def _prepared(tables: RunTables) -> list[tuple[str, int]]:
    """Return what the steps of preparation keep in the median outer fold, where there were any."""
    found = tables.get("phenotype/funnel.csv")
    if found is None:
        endpoints = [tables.survival(endpoint, "funnel") for endpoint in tables.endpoints]
        found = next((table for table in endpoints if table is not None), None)
    if found is None or not {"fold", "order", "step", "n_out"} <= set(found.columns):
        return []
    folds = found[(found["fold"].astype(str) != "all") & (found["step"] != "extracted")]
    kept = folds.groupby(["order", "step"])["n_out"].median().reset_index()
    return [(f"after {row['step']}, in the median fold", round(row["n_out"])) for row in kept.to_dict("records")]


def _classes(part: Section, table: pd.DataFrame) -> None:
    keys = [name for name in ("region", "image_filter", "feature_class") if name in table]
    if not keys:
        return
    counts = table.groupby(keys, sort=False, dropna=False).size().rename("features").reset_index()
    headings = {"region": "Region", "image_filter": "Image", "feature_class": "Class"}
    columns = {name: Column(headings[name]) for name in keys} | {"features": Column("Features", "d")}
    part.add(Shown("feature_classes", "Features by class.", counts, columns, collapsed=len(counts) > 12))


def _reliability(part: Section, tables: RunTables, table: pd.DataFrame) -> None:
    known = table[table["robustness"].notna()] if "robustness" in table else table.iloc[:0]
    readers = tables.get("features/icc.csv")
    if readers is not None and {"feature", "icc", "kept", "threshold"} <= set(readers.columns):
        _agreement_of_readers(part, tables, readers)
        return
    if known.empty:
        part.missing(
            "ICC distribution: needs a robustness extraction (perturbed or repeated regions); none "
            "came with these features.",
            "ICC 分布：需要稳健性提取（扰动或重复勾画），这些特征未附带。",
        )
        return

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.hist(rows["robustness"].astype(float), bins=[k / 20 for k in range(21)], color=COLOURS[0])
        axes.axvline(0.75, color=COLOURS[1], ls="--", lw=1)
        axes.set(xlabel="ICC", ylabel="features")

    frame = known[["feature", "robustness"]].reset_index(drop=True)
    share = float((frame["robustness"] >= 0.75).mean())
    text = "Dashed: 0.75, from which reliability is commonly called good."
    part.add(
        Display(
            "icc", "Reliability.", text, frame, draw, f"{share:.0%} of features have ICC of 0.75 or more", height=2.6
        )
    )


def _agreement_of_readers(part: Section, tables: RunTables, table: pd.DataFrame) -> None:
    threshold = float(table["threshold"].iloc[0])
    row = {"kept": int(table["kept"].sum()), "features": len(table), "threshold": threshold, "n": int(table["n"].max())}
    tables.register("icc_counts", pd.DataFrame([row]))
    part.say(
        "Between readings of {n} patients, {kept} of {features} features reach an ICC of {threshold}; each training "
        "fold decides anew which are kept.",
        "在 {n} 例患者的重复勾画之间，{features} 个特征中有 {kept} 个 ICC 达到 {threshold}；"
        "每个训练折重新决定保留哪些。",
        n=tables.number("icc_counts", 0, "n", "d"),
        kept=tables.number("icc_counts", 0, "kept", "d"),
        features=tables.number("icc_counts", 0, "features", "d"),
        threshold=tables.number("icc_counts", 0, "threshold", ".2g"),
    )

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        values = rows["icc"].astype(float).clip(lower=0)
        axes.hist(values.dropna(), bins=[k / 20 for k in range(21)], color=COLOURS[0])
        axes.axvline(threshold, color=COLOURS[1], ls="--", lw=1)
        axes.set(xlabel="ICC", ylabel="features")

    keep = ["feature", "icc", "low", "high", "kept", "kept_folds"]
    part.add(
        Display(
            "icc",
            "Reliability.",
            "Dashed: what a feature must reach to be kept. Values below 0 are drawn at 0.",
            table[[name for name in keep if name in table]].reset_index(drop=True),
            draw,
            f"{row['kept']} of {row['features']} features are kept",
            height=2.6,
        )
    )


def _harmonised(part: Section, tables: RunTables) -> None:
    table = tables.get("features/combat.csv")
    if table is None or not {"site_effect_before", "site_effect_after", "p_before", "p_after"} <= set(table.columns):
        part.missing(
            "ComBat before and after: needs several scanners or sites named in the cohort, and "
            "harmonisation asked for.",
            "ComBat 前后对比：需要多个设备或中心，并启用批次校正。",
        )
        return
    counts = {when: int((table[f"p_{when}"] < 0.05).sum()) for when in ("before", "after")}
    tables.register("combat_counts", pd.DataFrame([{**counts, "features": len(table)}]))
    part.say(
        "Before ComBat {before} of {features} features differ between sites (p below 0.05, not corrected), after it "
        "{after}; what is learnt for the models is learnt in each training fold.",
        "ComBat 之前 {features} 个特征中有 {before} 个在中心间不同（p 小于 0.05，未校正），之后为 {after} 个；"
        "用于模型的参数均在训练折内学得。",
        before=tables.number("combat_counts", 0, "before", "d"),
        after=tables.number("combat_counts", 0, "after", "d"),
        features=tables.number("combat_counts", 0, "features", "d"),
    )

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        left, right = figure.subplots(1, 2)
        top = max(float(rows[["site_effect_before", "site_effect_after"]].max().max()) * 1.05, 0.05)
        edges = np.linspace(0, top, 25)
        for name, colour, style in (("before", COLOURS[1], "-"), ("after", COLOURS[0], "--")):
            bars = np.histogram(rows[f"site_effect_{name}"].dropna().astype(float), edges)[0]
            left.stairs(bars, edges, color=colour, ls=style, lw=1.4, label=name)
        left.set(xlabel="variance between sites, share", ylabel="features")
        left.legend()
        right.plot([0, top], [0, top], color="#525a64", lw=0.7, ls=":")
        right.scatter(rows["site_effect_before"], rows["site_effect_after"], s=8, color=COLOURS[0], alpha=0.5, lw=0)
        right.set(xlabel="before", ylabel="after", xlim=(0, top), ylim=(0, top))

    part.add(
        Display(
            "combat",
            "ComBat before and after.",
            "Share of each feature's variance that lies between sites, all patients.",
            table,
            draw,
            f"{counts['before']} features differ between sites before and {counts['after']} after",
            height=2.8,
        )
    )


def _volume(part: Section, tables: RunTables, table: pd.DataFrame) -> None:
    known = table[table["spearman_volume"].notna()]
    if known.empty:
        part.missing("Correlation with volume: needs a volume feature.", "与体积的相关：需要体积特征。")
        return
    counts = tables.register(
        "volume_counts",
        pd.DataFrame([{"features": len(known), "strong": int((known["spearman_volume"].abs() >= 0.8).sum())}]),
    )
    part.say(
        "{strong} of {features} features follow the volume of the region closely (|Spearman| of 0.8 or more): they are "
        "volume under another name.",
        "{features} 个特征中有 {strong} 个与区域体积高度相关（|Spearman| ≥ 0.8），实为体积的别名。",
        strong=tables.number("volume_counts", 0, "strong", "d"),
        features=tables.number("volume_counts", 0, "features", "d"),
    )

    def draw(figure: Figure, rows: pd.DataFrame) -> None:
        axes = figure.subplots()
        names = list(dict.fromkeys(rows["feature_class"]))
        for place, name in enumerate(names):
            values = rows.loc[rows["feature_class"] == name, "spearman_volume"].astype(float).to_numpy()
            spread = np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else np.zeros(1)
            axes.scatter(values, place + spread, s=8, color=COLOURS[place % 8], alpha=0.6, lw=0)
        axes.set_yticks(range(len(names)), [str(name) for name in names])
        axes.axvline(0, color="#525a64", lw=0.6)
        axes.set(xlabel="Spearman correlation with volume", xlim=(-1.05, 1.05))

    frame = known.assign(feature_class=known.get("feature_class", pd.Series("all", index=known.index)).fillna(""))
    keep = ["feature", "feature_class", "spearman_volume"]
    alt = f"{counts['strong'].iloc[0]} of {len(known)} features have |Spearman| of 0.8 or more with volume"
    height = 0.9 + 0.26 * frame["feature_class"].nunique()
    text = "One point a feature, by class, in the order of the table."
    part.add(
        Display("volume", "How much is volume.", text, frame[keep].reset_index(drop=True), draw, alt, height=height)
    )
