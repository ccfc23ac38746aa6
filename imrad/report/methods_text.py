"""The methods paragraph, generated from settings and cards, and the citations that go with it."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from imrad.report.page import Text
from imrad.report.tables import RunTables

__all__ = ["bibtex", "methods_text"]

DOI = re.compile(r"10\.\d{4,9}/[^\s,;\"]+[^\s,;.\"]")

OWN = (
    ("metrics", "METRICS: methodological radiomics score", "10.1186/s13244-023-01572-w", "2024"),
    ("clear", "CLEAR: checklist for evaluation of radiomics research", "10.1186/s13244-023-01415-8", "2023"),
    (
        "rqs",
        "Radiomics: the bridge between medical imaging and personalized medicine",
        "10.1038/nrclinonc.2017.141",
        "2017",
    ),
    ("tripodai", "TRIPOD+AI statement", "10.1136/bmj-2023-078378", "2024"),
    ("nadeaubengio", "Inference for the generalization error", "10.1023/A:1024068626366", "2003"),
)


def _stage(tables: RunTables, name: str) -> dict[str, Any]:
    entry = tables.run.record["stages"].get(name, {})
    return dict(entry.get("settings", {})) if entry.get("status") == "done" else {}


def methods_text(tables: RunTables) -> list[Text]:
    """Return the methods, one paragraph a stage that has run."""
    out = [
        _data(tables),
        *_images(tables),
        *_scores(tables),
        *_splits(tables),
        *_phenotypes(tables),
        *_survival(tables),
    ]
    return [text for text in out if text is not None]


def _data(tables: RunTables) -> Text | None:
    table = tables.get("cohort/table1.csv")
    features = tables.get("cohort/features.csv")
    if table is None or features is None:
        return None
    tables.register("n_features", features.iloc[:1].assign(features=len(features))[["features"]])
    return Text(
        "Data. {n} patients with {features} features each entered the cohort; every loss on the way "
        "is in the attrition "
        "table. Endpoints are counted in days from the cohort's index date; follow-up is the reverse "
        "Kaplan-Meier median.",
        "数据。{n} 例患者、每例 {features} 个特征进入队列，流失见流失表。终点以天计，随访时间为反向 "
        "Kaplan-Meier 中位数。",
        {
            "n": tables.number("cohort/table1.csv", 0, "n", "d"),
            "features": tables.number("n_features", 0, "features", "d"),
        },
    )


def _images(tables: RunTables) -> list[Text]:
    settings = _stage(tables, "extract")
    if not settings:
        return []
    radiomics = settings.get("radiomics") or {}
    names = ("resampledPixelSpacing", "spacing_mm", "resample", "binWidth", "bin_width", "binCount", "normalize")
    told = "; ".join(f"{key} {radiomics[key]}" for key in names if radiomics.get(key) is not None)
    return [
        Text(
            "Images. Features were extracted with the engine {engine} ({told}); each mask was brought "
            "onto its image's grid "
            "by the way that the geometry table names. Cases that failed are listed with their reasons.",
            "影像。使用引擎 {engine} 提取特征（{told}）；掩膜与影像的配准方式见几何表，失败病例及原因已列出。",
            {"engine": str(settings.get("engine", "imrad")), "told": told or "settings below"},
        )
    ]


def _scores(tables: RunTables) -> list[Text]:
    settings = _stage(tables, "score")
    if not settings:
        return []
    methods = settings.get("methods") or []
    names = ", ".join(str(item) for item in methods) if isinstance(methods, list) else str(methods)
    return [
        Text(
            "Immune scores. Expression was scored by {names}; units, gene coverage and agreement "
            "stand in the targets' part.",
            "免疫评分。表达数据以 {names} 评分；单位、基因覆盖与一致性见靶标一节。",
            {"names": names or "published tables"},
        )
    ]


def _splits(tables: RunTables) -> list[Text]:
    splits = tables.get("splits.csv")
    if splits is None:
        return []
    counts = {"outer": splits["outer"].nunique(), "repeats": splits["repeat"].nunique()}
    counts["inner"] = sum(str(name).startswith("inner_") for name in splits.columns)
    tables.register("split_counts", pd.DataFrame([counts]))
    return [
        Text(
            "Splits. One table of {outer} outer folds (repeats: {repeats}) by {inner} inner folds, "
            "drawn once and stratified by "
            "the first endpoint's event, served every target and endpoint. All that learns (cut-points, bins, scaling, "
            "imputation, selection, models, penalties) was fitted in training parts only.",
            "划分。一张划分表（{outer} 个外层折，{repeats} 次重复，{inner} "
            "个内层折）按首个终点的事件分层，一次抽取，供所有靶标与终点使用；"
            "所有学习步骤（切点、分箱、缩放、插补、选择、模型、惩罚）仅在训练部分拟合。",
            {key: tables.number("split_counts", 0, key, "d") for key in counts},
        )
    ]


def _phenotypes(tables: RunTables) -> list[Text]:
    settings = _stage(tables, "phenotype")
    if not settings:
        return []
    words = {
        key: ", ".join(name.replace("_", " ") for name in settings.get(key) or ())
        for key in ("selectors", "classifiers")
    }
    return [
        Text(
            "Phenotypes. Each target was cut by the rule {cut} learnt in the training part, and "
            "predicted by the selectors "
            "{selectors} with the classifiers {classifiers}; the inner folds chose the cell. Noise "
            "was measured by permuting "
            "the labels through the whole search, and q corrects over targets (Benjamini-Hochberg). "
            "Intervals of fold means "
            "are Nadeau and Bengio's, which are approximate.",
            "表型。各靶标按训练部分学得的规则 {cut} 切分，以选择器 {selectors} 与分类器 {classifiers} "
            "预测，由内层折选定组合。"
            "噪声通过对整个搜索过程置换标签来度量，q 对全部靶标校正（Benjamini-Hochberg）；"
            "折均值区间为 Nadeau-Bengio 近似。",
            {"cut": str(settings.get("cut", "median")), **words},
        )
    ]


def _survival(tables: RunTables) -> list[Text]:
    if not tables.endpoints:
        return []
    models: list[str] = []
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, "models")
        models += [] if table is None else [str(name) for name in table["model"] if str(name) not in models]
    return [
        Text(
            "Survival. Cox models over blocks of predictors ({models}) were compared on the same "
            "patients and folds for "
            "{endpoints}; blocks of many columns carry a lasso penalty chosen in the fold, and a "
            "training patient's ImRad "
            "score is always out of fold. Reported are Harrell's and Uno's C, the integrated Brier "
            "score, time-dependent AUC, "
            "calibration and net benefit in the outer folds, with corrected resampled intervals.",
            "生存。针对 {endpoints}，在相同患者与折上比较各变量块的 Cox 模型（{models}）；"
            "高维块采用折内选定惩罚的 lasso，"
            "训练患者的 ImRad 评分始终为折外值。报告外层折的 Harrell C、Uno C、积分 Brier 评分、"
            "时间依赖 AUC、校准与净获益及其校正区间。",
            {"models": ", ".join(models), "endpoints": ", ".join(name.upper() for name in tables.endpoints)},
        )
    ]


def bibtex(tables: RunTables) -> str:
    """Return a BibTeX entry for every reference of the cards, and for the checklists."""
    version = str(tables.run.record.get("versions", {}).get("imrad", ""))
    title = "imrad: immune-radiomic phenotypes and survival fusion"
    entries = [_entry("software", "imrad", title=title, version=version)]
    entries += [_entry("article", key, title=title, year=year, doi=doi) for key, title, doi, year in OWN]
    seen = {doi for _, _, doi, _ in OWN}
    for card in tables.cards:
        for doi in DOI.findall(card.reference):
            if doi not in seen:
                seen.add(doi)
                key = re.sub(r"[^a-z0-9]+", "", card.name.lower()) + str(len(entries))
                entries.append(_entry("misc", key, title=f"Definition of {card.name} ({card.kind})", doi=doi))
    return "\n\n".join(entries)


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}\n}}"
