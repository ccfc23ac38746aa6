"""The verdict: does imaging add anything here, how sure are we, and what did each number see."""

from __future__ import annotations

from typing import Any

import pandas as pd

from imrad.report.checks import run_checks
from imrad.report.page import Column, Number, Section, Shown, Text
from imrad.report.sections.names import TITLES
from imrad.report.sections.responses import tell_verdict
from imrad.report.tables import RunTables

__all__ = ["section"]

SENTENCES = {
    "adds": (
        "{endpoint}: imaging adds to the clinical variables.",
        "{endpoint}：影像在临床变量之上增加了预后信息。",
    ),
    "worse": (
        "{endpoint}: adding imaging makes prediction by the clinical variables worse.",
        "{endpoint}：加入影像后，预测不如仅用临床变量。",
    ),
    "not_shown": (
        "{endpoint}: it is not shown that imaging adds to the clinical variables.",
        "{endpoint}：未能证明影像在临床变量之上有增益。",
    ),
}
SAME = 1e-9
GENERAL = ("Clinical", "Rad", "ImRad", "Clinical+Rad", "Clinical+ImRad")
FIGURES = (
    " In the outer folds, C of {model} minus {reference} is {c} (95 % interval {c_low} to {c_high}, p {c_p}); the "
    "integrated Brier score changes by {ibs} ({ibs_low} to {ibs_high}; below 0 is better). {n} patients, {events} "
    "events, {folds} outer folds.",
    "外层折中，{model} 与 {reference} 的 C 指数之差为 {c}（95 % 区间 {c_low} 至 {c_high}，p {c_p}）；"
    "积分 Brier 评分变化 {ibs}（{ibs_low} 至 {ibs_high}，小于 0 为改善）。{n} 例患者，{events} "
    "个事件，{folds} 个外层折。",
)


def section(tables: RunTables) -> Section:
    """Return the first thing a reader sees: a sentence per question, then its numbers, then the doubts."""
    part = Section("verdict", Text(*TITLES["verdict"]))
    for endpoint in tables.endpoints:
        _endpoint(part, tables, endpoint)
    for endpoint in tables.responses:
        tell_verdict(part, tables, endpoint)
    _phenotypes(part, tables)
    if not part.blocks:
        part.missing(
            "Neither a phenotype nor a fusion has run: add the sections phenotype and fuse to the config.",
            "尚未运行表型或融合分析：请在配置中加入 phenotype 与 fuse。",
        )
    elif tables.endpoints:
        _kind_of_claim(part, tables)
    _general(part, tables)
    _doubts(part, tables)
    return part


def _endpoint(part: Section, tables: RunTables, endpoint: str) -> None:
    path = f"survival/{endpoint}/verdict.json"
    found = tables.get(path)
    if found is None:
        return
    row = found.iloc[0]
    if row["status"] not in SENTENCES:
        part.say(
            "{endpoint}: whether imaging adds to the clinical variables is not answered. {why}",
            "{endpoint}：影像是否有增益，本次运行未能回答。{why}",
            kind="lead",
            endpoint=endpoint.upper(),
            why=_after_colon(str(row["sentence"])),
        )
        return

    def number(column: str, spec: str) -> Number:
        return tables.number(path, 0, column, spec)

    if row["status"] == "not_shown" and max(abs(row["c_low"]), abs(row["c_high"])) < SAME:
        english, chinese = SENTENCES["not_shown"]
        part.say(
            english
            + " {model} and {reference} rank the patients alike in every outer fold: nothing of the imaging scores "
            "was used. {n} patients, {events} events, {folds} outer folds.",
            chinese + "在每个外层折中，{model} 与 {reference} 对患者的排序相同：影像评分未被采用。"
            "{n} 例患者，{events} 个事件，{folds} 个外层折。",
            kind="lead",
            endpoint=endpoint.upper(),
            model=str(row["model"]),
            reference=str(row["reference"]),
            n=number("n", "d"),
            events=number("n_events", "d"),
            folds=number("n_folds", "d"),
        )
        return

    english, chinese = SENTENCES[str(row["status"])]
    part.say(
        english + FIGURES[0],
        chinese + FIGURES[1],
        kind="lead",
        endpoint=endpoint.upper(),
        model=str(row["model"]),
        reference=str(row["reference"]),
        c=number("c_difference", "+.3f"),
        c_low=number("c_low", "+.3f"),
        c_high=number("c_high", "+.3f"),
        c_p=number("c_p", "p="),
        ibs=number("ibs_difference", "+.4f"),
        ibs_low=number("ibs_low", "+.4f"),
        ibs_high=number("ibs_high", "+.4f"),
        n=number("n", "d"),
        events=number("n_events", "d"),
        folds=number("n_folds", "d"),
    )


def _after_colon(sentence: str) -> str:
    return sentence.partition(": ")[2] or sentence


def _phenotypes(part: Section, tables: RunTables) -> None:
    summary = tables.get("phenotype/summary.csv")
    if summary is None:
        return
    status = summary["status"]
    counts = {name: int((status == name).sum()) for name in ("claimed", "not_claimed", "unresolved", "skipped")}
    counts["tried"] = len(summary) - counts["skipped"]
    tables.register("verdict_targets", pd.DataFrame([counts]))

    def number(column: str) -> Number:
        return tables.number("verdict_targets", 0, column, "d")

    claimed = summary[status == "claimed"]
    if len(claimed):
        words: dict[str, Any] = {}
        english, chinese = [], []
        for place, (row, found) in enumerate(claimed.sort_values("auc", ascending=False).head(8).iterrows()):
            words |= {
                f"t{place}": str(found["target"]),
                f"a{place}": tables.number("phenotype/summary.csv", row, "auc", ".3f"),
                f"q{place}": tables.number("phenotype/summary.csv", row, "q_fdr", "p="),
            }
            english.append(f"{{t{place}}} (outer AUC {{a{place}}}, q {{q{place}}})")
            chinese.append(f"{{t{place}}}（外层 AUC {{a{place}}}，q {{q{place}}}）")
        more = " and others" if len(claimed) > 8 else ""
        part.say(
            "{claimed} of {tried} phenotypes survive correction for all that was tried: "
            + ", ".join(english)
            + more
            + ".",
            "经多重校正后，{tried} 个靶标中有 {claimed} 个表型成立：" + "、".join(chinese) + "。",
            kind="lead",
            claimed=number("claimed"),
            tried=number("tried"),
            **words,
        )
    elif counts["tried"]:
        part.say(
            "No phenotype survives correction: none of {tried} targets can be claimed to be readable "
            "from these images.",
            "没有表型通过多重校正：{tried} 个靶标均不能声称可由这些影像读出。",
            kind="lead",
            tried=number("tried"),
        )
    else:
        part.say(
            "No phenotype could be tried: all {skipped} targets were skipped, each with its reason below.",
            "没有可尝试的表型：{skipped} 个靶标均被跳过，原因见下。",
            kind="lead",
            skipped=number("skipped"),
        )
    if counts["unresolved"]:
        part.say(
            "{unresolved} targets are unresolved: the permutations run could not have reached q below the threshold.",
            "{unresolved} 个靶标未决：置换次数不足以达到阈值。",
            unresolved=number("unresolved"),
        )


def _kind_of_claim(part: Section, tables: RunTables) -> None:
    if tables.has_treatment and not tables.is_tcga:
        return
    who = "The patients of TCGA were" if tables.is_tcga else "No treatment column says that these patients were"
    chinese = "TCGA 患者并非因接受免疫治疗而入选" if tables.is_tcga else "没有治疗列表明这些患者接受了某种治疗"
    not_ = " not" if tables.is_tcga else ""
    part.say(
        f"{who}{not_} selected for immunotherapy: everything here is prognostic, never predictive of a "
        f"treatment's effect.",
        f"{chinese}：本报告的结论仅为预后性，不能预测疗效。",
        kind="warning",
    )


def _general(part: Section, tables: RunTables) -> None:
    rows = []
    for endpoint in tables.endpoints:
        models = tables.survival(endpoint, "models")
        found = tables.get(f"survival/{endpoint}/verdict.json")
        if models is None:
            continue
        best = models.set_index("model")["c_outer"].astype(float)
        row: dict[str, Any] = {
            "endpoint": endpoint.upper(),
            "n": models["n"].iloc[0],
            "events": models["n_events"].iloc[0],
        }
        for name in GENERAL:
            row[f"c_{name}"] = best.get(name, float("nan"))
        if found is not None and "c_difference" in found:
            row |= {
                "difference": found["c_difference"].iloc[0],
                "low": found["c_low"].iloc[0],
                "high": found["c_high"].iloc[0],
            }
            row |= {"p": found["c_p"].iloc[0]}
            row["compared"] = f"{found['model'].iloc[0]} − {found['reference'].iloc[0]}"
        rows.append(row)
    if not rows:
        return
    shown = {"endpoint": Column("Endpoint"), "n": Column("n", ".0f"), "events": Column("Events", ".0f")}
    shown |= {f"c_{name}": Column(f"C, {name}", ".3f") for name in GENERAL}
    shown |= {
        "compared": Column("Compared"),
        "difference": Column("Difference", "+.3f"),
        "low": Column("95 % low", "+.3f"),
        "high": Column("95 % high", "+.3f"),
    }
    shown["p"] = Column("p", "p")
    table = pd.DataFrame(rows).reindex(columns=list(shown))
    shown = {name: column for name, column in shown.items() if table[name].notna().any()}
    caption = (
        "Mean C of the outer folds, which no model was fitted on; the difference in C of the two models compared, with "
        "its corrected 95 % interval."
    )
    part.add(Shown("general", "General table.", table, shown, caption))


def _doubts(part: Section, tables: RunTables) -> None:
    fired = [item for item in run_checks(tables) if item.status == "fires"]
    if not fired:
        return
    part.head("What to doubt", "需要存疑之处")
    for item in fired:
        for text in item.findings:
            part.say(
                f"{{code}} {text.en}",
                f"{{code}} {text.zh}" if text.zh else "",
                kind="doubt",
                code=item.code,
                **text.parts,
            )
