"""Checks of the survival models: events, intervals, hazards, horizons, optimism."""

from __future__ import annotations

from typing import Any

import pandas as pd

from imrad.report.checks.catalogue import Findings, Parts, check, counted, each_endpoint, listed
from imrad.report.page import Text
from imrad.report.tables import RunTables, label

__all__: list[str] = []

EVENTS_PER_VARIABLE = 10
OPTIMISM = 0.1
NOISE = 0.05


@check("IMR001", "Events per candidate predictor", "每个候选变量的事件数")
def _events_per_variable(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        low = table[table["events_per_candidate"] < EVENTS_PER_VARIABLE]
        if low.empty:
            return []
        row: Any = low["events_per_candidate"].idxmin()
        parts: Parts = {
            "endpoint": endpoint.upper(),
            "model": str(table.loc[row, "model"]),
            "events": tables.number(path, row, "events_per_candidate", ".2g"),
        }
        return [
            Text(
                "{endpoint}: {model} has {events} events for each candidate predictor; below ten, "
                "coefficients and apparent "
                "values are not to be trusted.",
                "{endpoint}：{model} 每个候选变量仅 {events} 个事件，少于十个时系数与表观值不可信。",
                parts,
            )
        ]

    def response(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        low = table[table["events_per_candidate"] < EVENTS_PER_VARIABLE]
        if low.empty:
            return []
        row: Any = low["events_per_candidate"].idxmin()
        parts: Parts = {
            "endpoint": label(endpoint),
            "model": str(table.loc[row, "model"]),
            "patients": tables.number(path, row, "events_per_candidate", ".2g"),
        }
        return [
            Text(
                "{endpoint}: {model} has {patients} patients of the smaller class for each candidate predictor; below "
                "ten, coefficients and apparent values are not to be trusted.",
                "{endpoint}：{model} 每个候选变量仅有较小类别的 {patients} 例患者，少于十例时系数与表观值不可信。",
                parts,
            )
        ]

    return each_endpoint(tables, "models", find, ("events_per_candidate",), response=response)


@check("IMR002", "Folds without events", "无事件的折")
def _fold_without_events(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        empty = table[table["n_test_events"] == 0]
        if empty.empty:
            return []
        parts = counted(tables, f"folds_without_events_{endpoint}", empty["fold"].nunique(), table["fold"].nunique())
        text = (
            "{endpoint}: {n} of {total} outer folds have no event in their test part and say nothing "
            "about discrimination."
        )
        chinese = "{endpoint}：{total} 个外层折中有 {n} 个测试部分没有事件，无法评价区分度。"
        return [Text(text, chinese, {"endpoint": endpoint.upper(), **parts})]

    return each_endpoint(tables, "folds", find, ("n_test_events",))


@check("IMR005", "Interval of C contains 0.5", "C 的区间含 0.5")
def _chance(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        fitted = table[table["c_outer"].notna()]
        if fitted.empty:
            return []
        row: Any = fitted.index[fitted["model"] == tables.fullest(fitted)][0]
        if not fitted.loc[row, "c_outer_low"] <= 0.5 <= fitted.loc[row, "c_outer_high"]:
            return []
        parts: Parts = {
            "endpoint": endpoint.upper(),
            "model": str(fitted.loc[row, "model"]),
            "low": tables.number(path, row, "c_outer_low", ".3f"),
            "high": tables.number(path, row, "c_outer_high", ".3f"),
        }
        return [
            Text(
                "{endpoint}: the interval of C of {model} in the outer folds, {low} to {high}, contains chance.",
                "{endpoint}：{model} 外层折 C 的区间 {low} 至 {high} 包含机遇水平。",
                parts,
            )
        ]

    return each_endpoint(tables, "models", find)


@check("IMR006", "Imaging adds nothing to clinical", "影像无增益")
def _adds_nothing(tables: RunTables) -> Findings:
    found, applies = [], False
    for endpoint in tables.endpoints:
        path = f"survival/{endpoint}/verdict.json"
        verdict = tables.get(path)
        if verdict is None or verdict["status"].iloc[0] == "not_answered":
            continue
        applies = True
        if verdict["status"].iloc[0] != "adds":
            parts: Parts = {"endpoint": endpoint.upper(), "low": tables.number(path, 0, "c_low", "+.3f")}
            text = (
                "{endpoint}: the lower end of the gain in C over the clinical model is {low}, so a gain is not shown."
            )
            found.append(Text(text, "{endpoint}：相对临床模型的 C 增益下限为 {low}，增益未被证明。", parts))
    return found if applies else None


@check("IMR007", "Proportional hazards doubtful", "比例风险存疑")
def _hazards(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        own = table[table["model"] == tables.fullest(table)]
        terms = own[own["term"] != "GLOBAL"]
        low = terms[terms["p"] < NOISE / max(len(terms), 1)]
        if low.empty:
            return []
        row: Any = low["p"].idxmin()
        parts: Parts = {
            "endpoint": endpoint.upper(),
            "term": str(table.loc[row, "term"]),
            "model": str(table.loc[row, "model"]),
            "p": tables.number(path, row, "p", "p="),
        }
        return [
            Text(
                "{endpoint}: the hazard ratio of {term} in {model} changes over time (p {p}, below "
                "0.05 after Bonferroni).",
                "{endpoint}：{model} 中 {term} 的风险比随时间变化（p {p}，Bonferroni 校正后低于 0.05）。",
                parts,
            )
        ]

    return each_endpoint(tables, "ph", find)


@check("IMR012", "Horizon beyond follow-up", "时间点超出随访")
def _horizon(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        late = table[table["status"] != "feasible"].drop_duplicates("horizon_days")
        if late.empty:
            return []
        days = listed(tables, path, late.index, "{days}", days=("horizon_days", ".0f"))
        return [
            Text(
                f"{{endpoint}}: the follow-up cannot carry a value at {days.text} days: {{reason}}.",
                f"{{endpoint}}：随访不足以支持 {days.text} 天处的估计：{{reason}}。",
                {"endpoint": endpoint.upper(), "reason": str(late["reason"].iloc[0]), **days.parts},
            )
        ]

    return each_endpoint(tables, "horizons", find)


@check("IMR013", "Apparent value far above the outer folds", "表观值远高于外层折")
def _optimism(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        far = table.index[table["c_apparent"] - table["c_outer"] > OPTIMISM]
        if far.empty:
            return []
        pattern = "{model} ({apparent} → {outer})"
        models = listed(
            tables, path, far, pattern, model=("model", ""), apparent=("c_apparent", ".3f"), outer=("c_outer", ".3f")
        )
        return [
            Text(
                f"{{endpoint}}: in the outer folds C is more than 0.1 below its value on the model's own patients: "
                f"{models.text}.",
                f"{{endpoint}}：从自身患者到外层折，C 下降超过 0.1：{models.text}。",
                {"endpoint": endpoint.upper(), **models.parts},
            )
        ]

    def response(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        far = table.index[table["auc_apparent"] - table["auc_outer"] > OPTIMISM]
        if far.empty:
            return []
        cells = {"model": ("model", ""), "apparent": ("auc_apparent", ".3f"), "outer": ("auc_outer", ".3f")}
        models = listed(tables, path, far, "{model} ({apparent} → {outer})", **cells)
        return [
            Text(
                f"{{endpoint}}: in the outer folds the AUC is more than 0.1 below its value on the model's own "
                f"patients: {models.text}.",
                f"{{endpoint}}：从自身患者到外层折，AUC 下降超过 0.1：{models.text}。",
                {"endpoint": label(endpoint), **models.parts},
            )
        ]

    return each_endpoint(tables, "models", find, response=response)


@check("IMR020", "Models that were not fitted", "未拟合的模型")
def _not_fitted(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        return [
            Text(
                "{endpoint}: {model} was not fitted ({reason}).",
                "{endpoint}：{model} 未拟合（{reason}）。",
                {
                    "endpoint": endpoint.upper(),
                    "model": str(table.loc[row, "model"]),
                    "reason": str(table.loc[row, "reason"] if "reason" in table else "no value"),
                },
            )
            for row in table.index[table["c_outer"].isna()]
        ]

    return each_endpoint(tables, "models", find)


@check("IMR021", "Worse than no predictors", "不如无预测变量")
def _worse_than_nothing(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        worse = table.index[table["ibs_outer"] > table["ibs_without_predictors"]]
        if worse.empty:
            return []
        models = listed(tables, path, worse, "{model} ({ibs})", model=("model", ""), ibs=("ibs_outer", ".3f"))
        none = tables.number(path, worse[0], "ibs_without_predictors", ".3f")
        return [
            Text(
                f"{{endpoint}}: by the integrated Brier score, no predictor at all ({{none}}) beats {models.text}.",
                f"{{endpoint}}：按积分 Brier 评分，不用任何变量（{{none}}）优于 {models.text}。",
                {"endpoint": endpoint.upper(), "none": none, **models.parts},
            )
        ]

    return each_endpoint(tables, "models", find, ("ibs_outer", "ibs_without_predictors"))
