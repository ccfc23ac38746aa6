"""Coded checks of a run: each says in one sentence what a careful reader would doubt, or that it does not apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imrad.report.page import Number, Text
from imrad.report.tables import RunTables

__all__ = ["CHECKS", "Check", "Outcome", "run_checks"]

EVENTS_PER_VARIABLE = 10
SMALL_CLASS = 10
STABLE = 0.4
LOST = 0.3
DISGUISED = 0.8
OPTIMISM = 0.1
MISSING = 0.3
COVERED = 0.8
FAILED = 0.1
NOISE = 0.05

Parts = dict[str, Number | str]
Findings = list[Text] | None
"""Sentences of a check that fires, an empty list where all is well, None where it does not apply."""


@dataclass(frozen=True)
class Check:
    """One check: its code, what it looks at, and how."""

    code: str
    title: Text
    find: Callable[[RunTables], Findings]


@dataclass(frozen=True)
class Outcome:
    """What a check found; ``status`` is ``fires``, ``clear`` or ``not applicable``."""

    code: str
    title: Text
    status: str
    findings: list[Text]


CHECKS: list[Check] = []


def run_checks(tables: RunTables) -> list[Outcome]:
    """Return the outcome of every check, in the order of the codes."""
    found = []
    for check in CHECKS:
        findings = check.find(tables)
        status = "not applicable" if findings is None else "fires" if findings else "clear"
        found.append(Outcome(check.code, check.title, status, findings or []))
    return found


def _check(code: str, en: str, zh: str) -> Callable[[Callable[[RunTables], Findings]], Callable[[RunTables], Findings]]:
    def keep(find: Callable[[RunTables], Findings]) -> Callable[[RunTables], Findings]:
        CHECKS.append(Check(code, Text(en, zh), find))
        return find

    return keep


def _each_endpoint(
    tables: RunTables, name: str, find: Callable[[str, str, pd.DataFrame], list[Text]], needed: tuple[str, ...] = ()
) -> Findings:
    """Apply a check to a table of every endpoint; None where no endpoint has it."""
    found, applies = [], False
    for endpoint in tables.endpoints:
        table = tables.survival(endpoint, name)
        if table is None or not set(needed) <= set(table.columns):
            continue
        applies = True
        found += find(endpoint, f"survival/{endpoint}/{name}.csv", table)
    return found if applies else None


def _counted(tables: RunTables, name: str, n: int, total: int) -> Parts:
    tables.register(name, pd.DataFrame([{"n": n, "total": total}]))
    return {"n": tables.number(name, 0, "n", "d"), "total": tables.number(name, 0, "total", "d")}


@_check("IMR001", "Events per candidate predictor", "每个候选变量的事件数")
def _events_per_variable(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        low = table[table["events_per_candidate"] < EVENTS_PER_VARIABLE]
        if low.empty:
            return []
        row: Any = low["events_per_candidate"].idxmin()
        parts: Parts = {
            "endpoint": endpoint.upper(),
            "model": str(table.loc[row, "model"]),
            "events": tables.number(path, row, "events_per_candidate", ".1f"),
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

    return _each_endpoint(tables, "models", find, ("events_per_candidate",))


@_check("IMR002", "Folds without events", "无事件的折")
def _fold_without_events(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        empty = table[table["n_test_events"] == 0]
        if empty.empty:
            return []
        parts = _counted(tables, f"folds_without_events_{endpoint}", empty["fold"].nunique(), table["fold"].nunique())
        text = (
            "{endpoint}: {n} of {total} outer folds have no event in their test part and say nothing "
            "about discrimination."
        )
        chinese = "{endpoint}：{total} 个外层折中有 {n} 个测试部分没有事件，无法评价区分度。"
        return [Text(text, chinese, {"endpoint": endpoint.upper(), **parts})]

    return _each_endpoint(tables, "folds", find, ("n_test_events",))


@_check("IMR003", "Classes below ten patients", "类别少于十例")
def _small_class(tables: RunTables) -> Findings:
    table = tables.get("phenotype/feasibility.csv")
    if table is None:
        return None
    smallest = table[["n_positive", "n_negative"]].min(axis=1)
    few = table[smallest < SMALL_CLASS]
    if few.empty:
        return []
    names = ", ".join(few["target"].astype(str).head(6)) + (", ..." if len(few) > 6 else "")
    return [
        Text(
            "{n} of {total} targets have a class of fewer than ten patients ({names}).",
            "{total} 个靶标中有 {n} 个的某一类别少于十例（{names}）。",
            {**_counted(tables, "small_classes", len(few), len(table)), "names": names},
        )
    ]


@_check("IMR004", "Unstable selection", "特征选择不稳定")
def _unstable(tables: RunTables) -> Findings:
    table = tables.get("phenotype/stability.csv")
    if table is None:
        return None
    value = table.groupby(["target", "selector"])["stability"].first().dropna()
    low = value[value < STABLE]
    if low.empty:
        return []
    return [
        Text(
            "In {n} of {total} pairs of target and selector the features chosen differ between folds "
            "(stability below 0.4): "
            "names of single features mean little.",
            "{total} 个靶标与选择器组合中有 {n} 个在各折间所选特征不一致（稳定性低于 0.4），单个特征名意义有限。",
            _counted(tables, "unstable_selections", len(low), len(value)),
        )
    ]


@_check("IMR005", "Interval of C contains 0.5", "C 的区间含 0.5")
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

    return _each_endpoint(tables, "models", find)


@_check("IMR006", "Imaging adds nothing to clinical", "影像无增益")
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


@_check("IMR007", "Proportional hazards doubtful", "比例风险存疑")
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

    return _each_endpoint(tables, "ph", find)


@_check("IMR008", "CIBERSORT p above 0.05 in many samples", "CIBERSORT p 值偏高")
def _deconvolution(tables: RunTables) -> Findings:
    table = tables.get("cohort/deconvolution.csv")
    if table is None:
        return None
    if not table["share_above"].iloc[0] > 0.2:
        return []
    parts: Parts = {
        "n": tables.number("cohort/deconvolution.csv", 0, "n_above", "d"),
        "total": tables.number("cohort/deconvolution.csv", 0, "n", "d"),
    }
    text = (
        "In {n} of {total} samples the deconvolution's p is above 0.05: their cell fractions are hardly "
        "better than noise."
    )
    return [Text(text, "{total} 个样本中有 {n} 个的反卷积 p 大于 0.05，其细胞比例与噪声相差无几。", parts)]


@_check("IMR009", "Scanner or site and outcome associated", "设备或中心与结局相关")
def _sites(tables: RunTables) -> Findings:
    table = tables.get("cohort/site_outcome.csv")
    if table is None:
        return None
    low = table[table["log_rank_p"] < NOISE].drop_duplicates(["variable", "endpoint"])
    return [
        Text(
            "{endpoint} differs between levels of {variable} (log-rank p {p}): a model may learn the "
            "{variable} instead of the "
            "tumour.",
            "{endpoint} 在 {variable} 的各水平间不同（log-rank p {p}），模型可能学到的是 {variable} 而非肿瘤。",
            {
                "endpoint": str(table.loc[row, "endpoint"]).upper(),
                "variable": str(table.loc[row, "variable"]),
                "p": tables.number("cohort/site_outcome.csv", row, "log_rank_p", "p="),
            },
        )
        for row in low.index
    ]


@_check("IMR010", "Patients lost at a join", "合并时丢失患者")
def _lost(tables: RunTables) -> Findings:
    table = tables.get("attrition.csv")
    if table is None:
        return None
    lost = table["n_in"] - table["n_out"]
    return [
        Text(
            "At the step '{step}' {before} became {after}: more than 30 % were lost, and those who remain may differ.",
            "在步骤“{step}”中 {before} 变为 {after}：丢失超过 30 %，留下者可能有所不同。",
            {
                "step": str(table.loc[row, "step"]),
                "before": tables.number("attrition.csv", row, "n_in", "d"),
                "after": tables.number("attrition.csv", row, "n_out", "d"),
            },
        )
        for row in table.index[lost > LOST * table["n_in"]]
    ]


@_check("IMR011", "Features are volume in disguise", "特征实为体积")
def _volume(tables: RunTables) -> Findings:
    table = tables.get("cohort/features.csv")
    if table is None or table["spearman_volume"].isna().all():
        return None
    known = table["spearman_volume"].dropna().abs()
    n = int((known >= DISGUISED).sum())
    if n < 0.2 * len(known):
        return []
    text = "{n} of {total} features have |Spearman| of 0.8 or more with the region's volume."
    chinese = "{total} 个特征中有 {n} 个与区域体积的 |Spearman| 不低于 0.8。"
    return [Text(text, chinese, _counted(tables, "disguised_features", n, len(known)))]


@_check("IMR012", "Horizon beyond follow-up", "时间点超出随访")
def _horizon(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        late = table[table["status"] != "feasible"].drop_duplicates("horizon_days")
        return [
            Text(
                "{endpoint}: {days} days lies beyond what the follow-up can carry ({reason}).",
                "{endpoint}：{days} 天超出随访所能支持的范围（{reason}）。",
                {
                    "endpoint": endpoint.upper(),
                    "days": tables.number(path, row, "horizon_days", ".0f"),
                    "reason": str(table.loc[row, "reason"]),
                },
            )
            for row in late.index
        ]

    return _each_endpoint(tables, "horizons", find)


@_check("IMR013", "Apparent value far above the outer folds", "表观值远高于外层折")
def _optimism(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        gap = table["c_apparent"] - table["c_outer"]
        return [
            Text(
                "{endpoint}: C of {model} falls from {apparent} on its own patients to {outer} in the outer folds.",
                "{endpoint}：{model} 的 C 从自身患者的 {apparent} 降至外层折的 {outer}。",
                {
                    "endpoint": endpoint.upper(),
                    "model": str(table.loc[row, "model"]),
                    "apparent": tables.number(path, row, "c_apparent", ".3f"),
                    "outer": tables.number(path, row, "c_outer", ".3f"),
                },
            )
            for row in table.index[gap > OPTIMISM]
        ]

    return _each_endpoint(tables, "models", find)


@_check("IMR014", "Too few permutations", "置换次数不足")
def _unresolved(tables: RunTables) -> Findings:
    table = tables.get("phenotype/summary.csv")
    if table is None:
        return None
    n = int((table["status"] == "unresolved").sum())
    if not n:
        return []
    text = "{n} of {total} targets are unresolved: with the permutations run, significance was out of reach."
    chinese = "{total} 个靶标中有 {n} 个未决：所做置换无法达到显著性。"
    return [Text(text, chinese, _counted(tables, "unresolved_targets", n, len(table)))]


@_check("IMR015", "Columns that miss many values", "缺失较多的列")
def _missing(tables: RunTables) -> Findings:
    table = tables.get("cohort/missingness.csv")
    if table is None:
        return None
    much = table[(table["share"] > MISSING) & (table["share"] < 1)]
    if much.empty:
        return []
    names = ", ".join(much["column"].astype(str).head(6)) + (", ..." if len(much) > 6 else "")
    parts: Parts = {**_counted(tables, "columns_missing", len(much), len(table)), "names": names}
    text = "{n} of {total} listed columns miss more than 30 % of their values ({names})."
    return [Text(text, "{total} 列中有 {n} 列缺失超过 30 %（{names}）。", parts)]


@_check("IMR016", "Targets that are mostly zero", "以零为主的靶标")
def _zeros(tables: RunTables) -> Findings:
    table = tables.get("cohort/targets.csv")
    if table is None:
        return None
    much = table[table["share_zero"] > 0.5]
    if much.empty:
        return []
    text = "{n} of {total} targets are zero in more than half of the patients: a median cut is then a cut at zero."
    chinese = "{total} 个靶标中有 {n} 个在半数以上患者中为零：中位数切分即为零切分。"
    return [Text(text, chinese, _counted(tables, "zero_targets", len(much), len(table)))]


@_check("IMR017", "Volume alone does as well", "仅体积即可达到")
def _volume_alone(tables: RunTables) -> Findings:
    controls, summary = tables.get("phenotype/controls.csv"), tables.get("phenotype/summary.csv")
    if controls is None or summary is None or not (controls["control"] == "volume").any():
        return None
    claimed = summary[summary["status"] == "claimed"].set_index("target")["auc"]
    alone = controls[(controls["control"] == "volume") & controls["target"].isin(claimed.index)]
    return [
        Text(
            "{target}: the region's volume alone reaches AUC {auc}, as much as the claimed phenotype.",
            "{target}：仅用区域体积即可达到 AUC {auc}，不逊于所声称的表型。",
            {
                "target": str(alone.loc[row, "target"]),
                "auc": tables.number("phenotype/controls.csv", row, "auc", ".3f"),
            },
        )
        for row in alone.index
        if alone.loc[row, "auc"] >= claimed[alone.loc[row, "target"]]
    ]


@_check("IMR018", "Gene coverage of a signature", "基因覆盖不足")
def _coverage(tables: RunTables) -> Findings:
    table = tables.get("score/coverage.csv")
    if table is None:
        return None
    return [
        Text(
            "Of the signature {name} only {share} of the genes were found.",
            "特征集 {name} 仅找到 {share} 的基因。",
            {
                "name": str(table.loc[row, "signature"]),
                "share": tables.number("score/coverage.csv", row, "coverage", "share"),
            },
        )
        for row in table.index[table["coverage"] < COVERED]
    ]


@_check("IMR019", "Cases that could not be measured", "无法测量的病例")
def _failures(tables: RunTables) -> Findings:
    quality, failures = tables.get("extract/quality.csv"), tables.get("extract/failures.csv")
    if quality is None and failures is None:
        return None
    lost = 0 if failures is None else len(failures)
    total = lost + (0 if quality is None else len(quality))
    if lost <= FAILED * total:
        return []
    text = "{n} of {total} cases could not be measured; if the worst images fail, the rest is not the clinic's."
    chinese = "{total} 个病例中有 {n} 个无法测量；若失败者多为质量差的影像，其余便不具代表性。"
    return [Text(text, chinese, _counted(tables, "cases_failed", lost, total))]


@_check("IMR020", "Models that were not fitted", "未拟合的模型")
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

    return _each_endpoint(tables, "models", find)


@_check("IMR021", "Worse than no predictors", "不如无预测变量")
def _worse_than_nothing(tables: RunTables) -> Findings:
    def find(endpoint: str, path: str, table: pd.DataFrame) -> list[Text]:
        worse = table.index[table["ibs_outer"] > table["ibs_without_predictors"]]
        return [
            Text(
                "{endpoint}: {model} has an integrated Brier score of {ibs}, worse than the {none} of "
                "no predictor at all.",
                "{endpoint}：{model} 的积分 Brier 评分为 {ibs}，不如不用任何变量的 {none}。",
                {
                    "endpoint": endpoint.upper(),
                    "model": str(table.loc[row, "model"]),
                    "ibs": tables.number(path, row, "ibs_outer", ".3f"),
                    "none": tables.number(path, row, "ibs_without_predictors", ".3f"),
                },
            )
            for row in worse
        ]

    return _each_endpoint(tables, "models", find, ("ibs_outer", "ibs_without_predictors"))


@_check("IMR022", "Shuffled features predict", "打乱后的特征仍可预测")
def _shuffled(tables: RunTables) -> Findings:
    controls = tables.get("phenotype/controls.csv")
    if controls is None or not (controls["control"] == "shuffled_features").any():
        return None
    own = controls[controls["control"] == "shuffled_features"]
    tried = max(len(own), 1)
    high = own[own["auc_low"] > 0.5]
    # One target in forty passes by chance; a leak lifts many.
    if len(high) <= max(1, 0.1 * tried):
        return []
    text = (
        "{n} of {total} targets are predicted by shuffled features: look for a leak before believing any other number."
    )
    chinese = "{total} 个靶标中有 {n} 个可由打乱的特征预测：在相信其他数字之前，请先排查泄漏。"
    return [Text(text, chinese, _counted(tables, "shuffled_targets", len(high), tried))]
