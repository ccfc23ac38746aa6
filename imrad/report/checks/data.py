"""Checks of what came in: scores, sites, losses, missing values, images."""

from __future__ import annotations

from imrad.report.checks.catalogue import Findings, Parts, check, counted
from imrad.report.page import Text
from imrad.report.tables import RunTables

__all__: list[str] = []

LOST = 0.3
DISGUISED = 0.8
MISSING = 0.3
COVERED = 0.8
FAILED = 0.1
NOISE = 0.05


@check("IMR008", "CIBERSORT p above 0.05 in many samples", "CIBERSORT p 值偏高")
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


@check("IMR009", "Scanner or site and outcome associated", "设备或中心与结局相关")
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


NO_LOSS = ("cases to patients", "internal hold-out")
"""Steps that have fewer rows out than in and lose nobody: several cases of a patient, and those set aside to judge."""


@check("IMR010", "Patients lost at a join", "合并时丢失患者")
def _lost(tables: RunTables) -> Findings:
    table = tables.get("attrition.csv")
    if table is None:
        return None
    lost = (table["n_in"] - table["n_out"]).where(~table["step"].isin(NO_LOSS), 0)
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


@check("IMR011", "Features are volume in disguise", "特征实为体积")
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
    return [Text(text, chinese, counted(tables, "disguised_features", n, len(known)))]


@check("IMR015", "Columns that miss many values", "缺失较多的列")
def _missing(tables: RunTables) -> Findings:
    table = tables.get("cohort/missingness.csv")
    if table is None:
        return None
    much = table[(table["share"] > MISSING) & (table["share"] < 1)]
    if much.empty:
        return []
    names = ", ".join(much["column"].astype(str).head(6)) + (", ..." if len(much) > 6 else "")
    parts: Parts = {**counted(tables, "columns_missing", len(much), len(table)), "names": names}
    text = "{n} of {total} listed columns miss more than 30 % of their values ({names})."
    return [Text(text, "{total} 列中有 {n} 列缺失超过 30 %（{names}）。", parts)]


@check("IMR016", "Targets that are mostly zero", "以零为主的靶标")
def _zeros(tables: RunTables) -> Findings:
    table = tables.get("cohort/targets.csv")
    if table is None:
        return None
    much = table[table["share_zero"] > 0.5]
    if much.empty:
        return []
    text = "{n} of {total} targets are zero in more than half of the patients: a median cut is then a cut at zero."
    chinese = "{total} 个靶标中有 {n} 个在半数以上患者中为零：中位数切分即为零切分。"
    return [Text(text, chinese, counted(tables, "zero_targets", len(much), len(table)))]


@check("IMR018", "Gene coverage of a signature", "基因覆盖不足")
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


@check("IMR019", "Cases that could not be measured", "无法测量的病例")
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
    return [Text(text, chinese, counted(tables, "cases_failed", lost, total))]
