"""Checks of the phenotype grid: classes, stability, permutations, simpler explanations, leaks."""

from __future__ import annotations

from imrad.report.checks.catalogue import Findings, check, counted
from imrad.report.page import Text
from imrad.report.tables import RunTables

__all__: list[str] = []

SMALL_CLASS = 10
STABLE = 0.4


@check("IMR003", "Classes below ten patients", "类别少于十例")
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
            {**counted(tables, "small_classes", len(few), len(table)), "names": names},
        )
    ]


@check("IMR004", "Unstable selection", "特征选择不稳定")
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
            counted(tables, "unstable_selections", len(low), len(value)),
        )
    ]


@check("IMR014", "Too few permutations", "置换次数不足")
def _unresolved(tables: RunTables) -> Findings:
    table = tables.get("phenotype/summary.csv")
    if table is None:
        return None
    n = int((table["status"] == "unresolved").sum())
    if not n:
        return []
    text = "{n} of {total} targets are unresolved: with the permutations run, significance was out of reach."
    chinese = "{total} 个靶标中有 {n} 个未决：所做置换无法达到显著性。"
    return [Text(text, chinese, counted(tables, "unresolved_targets", n, len(table)))]


@check("IMR017", "Volume alone does as well", "仅体积即可达到")
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


@check("IMR022", "Shuffled features predict", "打乱后的特征仍可预测")
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
    return [Text(text, chinese, counted(tables, "shuffled_targets", len(high), tried))]
