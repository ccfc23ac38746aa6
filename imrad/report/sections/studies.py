"""Figures as published studies print them, with the held-out version of each beside the apparent one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imrad.report.displays import COLOURS, MARKERS, STYLES, Display
from imrad.report.page import Column, Section, Shown, Text
from imrad.report.sections.kaplan_meier import MONTH, draw_groups, ticks_up_to
from imrad.report.sections.names import TITLES
from imrad.report.sections.predictor_curves import add_predictor_curves
from imrad.report.tables import RunTables

__all__ = ["section"]

YEAR = 365.25
SOURCES = ("apparent", "outer folds")
OWN = (
    *("model", "fold", "feature", "n_learners", "needed", "shared", "chosen"),
    *("coef", "hr", "hr_inverse", "hr_low", "hr_high", "p"),
)


def section(tables: RunTables) -> Section:
    """Return exclusion and its bias, shared features, AUC over time, cut-points and both coefficients."""
    part = Section("studies", Text(*TITLES["studies"]))
    _exclusion(part, tables)
    for endpoint in tables.endpoints:
        before = len(part.blocks)
        _signature(part, tables, endpoint)
        _time(part, tables, endpoint)
        _cuts(part, tables, endpoint)
        add_predictor_curves(part, tables, endpoint)
        _boosting(part, tables, endpoint)
        _both_coefficients(part, tables, endpoint)
        if len(part.blocks) > before:
            part.blocks.insert(before, _head(endpoint))
    return part


def _head(endpoint: str) -> object:
    holder = Section("", Text(""))
    holder.head("{endpoint}", endpoint=endpoint.upper())
    return holder.blocks[0]


def _exclusion(part: Section, tables: RunTables) -> None:
    effect, compared = tables.get("cohort/exclusion_effect.csv"), tables.get("cohort/excluded.csv")
    if effect is None:
        return
    part.head("Exclusion of short follow-up", "排除随访过短者")
    columns = {"patients": Column("Patients"), "n": Column("n", ".0f"), "n_events": Column("Events", ".0f")}
    columns |= {
        name: Column(head, ".0f") for name, head in (("median_days", "Median (days)"), ("median_low", "95 % low"))
    }
    columns["median_high"] = Column("95 % high", ".0f")
    columns |= {
        name: Column(f"{name.split('_')[1].removesuffix('y')} y", ".3f")
        for name in effect.columns
        if name.startswith("survival_")
    }
    caption = Text(
        "Kaplan-Meier with all patients and with those that are kept. Leaving out patients because their follow-up "
        "is short conditions on the future: who was lost early says nothing about later risk only if losses are "
        "unrelated to it, and leaving out early events as well makes survivors of everybody.",
        "全部患者与保留患者的 Kaplan-Meier 估计。以随访时间为排除标准等于以未来为条件：只有失访与风险无关时才无偏；"
        "若连早期事件者一并排除，则所有人都成了幸存者。",
    )
    part.add(Shown("exclusion_effect", "With and without the excluded patients.", effect, columns, caption))
    if compared is not None:
        columns = {"variable": Column("Variable"), "level": Column("Level"), "kept": Column("Kept")}
        columns |= {"excluded": Column("Excluded"), "p": Column("p", "p")}
        part.add(Shown("excluded", "Excluded patients against those kept.", compared, columns, collapsed=True))


def _signature(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "signature")
    if table is None:
        return
    whole = table[table["fold"] == "all"].reset_index(drop=True)
    if whole.empty:
        return
    learners = [str(name) for name in table.columns if name not in OWN]
    part.add(_upset(endpoint, whole, learners))
    chosen = whole[whole["chosen"] == 1].reset_index(drop=True)
    columns = {"feature": Column("Feature"), "coef": Column("Coef", ".4f"), "hr": Column("exp(coef)", ".4f")}
    columns |= {"hr_inverse": Column("exp(-coef)", ".4f"), "hr_low": Column("Lower .95", ".4f")}
    columns |= {
        "hr_high": Column("Upper .95", ".4f"),
        "p": Column("p", "p"),
        "folds": Column("Chosen in folds", "share"),
    }
    others = table[table["fold"] != "all"]
    n_folds = max(others["fold"].nunique(), 1)
    often = others[others["chosen"] == 1].groupby("feature").size() / n_folds
    chosen["folds"] = chosen["feature"].map(often).fillna(0.0)
    caption = Text(
        "The Radscore: stepwise Cox regression by AIC on the features that the learners share, fitted on all "
        "patients. Limits and p ignore that these features were chosen on the same outcomes; the last column says "
        "how often a fold, left to itself, chose the feature again.",
        "Radscore：在各学习器共有特征上按 AIC 逐步 Cox 回归，用全部患者拟合。区间与 p 值未计入特征选择；"
        "末列为各折独立重选该特征的比例。",
    )
    part.add(Shown(f"radscore_{endpoint}", f"Radscore, {endpoint.upper()}.", chosen, columns, caption))


def _upset(endpoint: str, whole: pd.DataFrame, learners: list[str]) -> Display:
    counts = whole.groupby(learners).size().reset_index(name="n_features")
    counts["n_learners"] = counts[learners].sum(axis=1)
    counts = counts.sort_values(["n_learners", "n_features"], ascending=False, ignore_index=True).head(20)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        bars, dots = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1.4])
        at = np.arange(len(table))
        bars.bar(at, table["n_features"], color=COLOURS[0], width=0.6)
        for place, n in zip(at, table["n_features"], strict=True):
            bars.text(place, n, f"{n}", ha="center", va="bottom", fontsize=7.5)
        bars.set(ylabel="features")
        bars.yaxis.get_major_locator().set_params(integer=True)
        bars.tick_params(bottom=False)
        for row, name in enumerate(learners):
            inside = table[name].to_numpy(dtype=bool)
            dots.plot(at, np.full(len(at), row), "o", color="#dddddd", ms=5)
            dots.plot(at[inside], np.full(int(inside.sum()), row), "o", color=COLOURS[6], ms=5)
        for place, (_, values) in zip(at, table[learners].iterrows(), strict=True):
            rows = np.flatnonzero(values.to_numpy(dtype=bool))
            dots.plot([place, place], [rows.min(), rows.max()], color=COLOURS[6], lw=1.2)
        dots.set_yticks(range(len(learners)), learners, fontsize=7.5)
        dots.set_ylim(len(learners) - 0.5, -0.5)
        dots.set_xticks([])
        dots.spines[:].set_visible(False)

    shared = int((whole["shared"] == 1).sum())
    caption = Text(
        "Each column is a set of learners and the number of features that exactly these selected, in the fit on all "
        "patients.",
        "每列为一组学习器及恰由它们共同选出的特征数（全部患者拟合）。",
    )
    alt = f"{len(learners)} learners; {shared} features enter the stepwise regression"
    return Display(f"upset_{endpoint}", "Features that the learners share.", caption, counts, draw, alt, height=3.8)


def _time(part: Section, tables: RunTables, endpoint: str) -> None:
    curves, areas = tables.survival(endpoint, "time_roc"), tables.survival(endpoint, "time_auc")
    if areas is not None:
        medians = areas.groupby(["model", "horizon_days", "part"], sort=False)["auc"].median().unstack("part")
        medians = medians.reset_index().rename_axis(columns=None)
        medians["years"] = medians["horizon_days"] / YEAR
        columns = {"model": Column("Model"), "years": Column("Years", ".1f")}
        columns |= {"training": Column("Training folds", ".3f"), "validation": Column("Held-out folds", ".3f")}
        caption = Text(
            "Medians over folds of the time-dependent AUC. The gap between the two columns is optimism.",
            "各折时间依赖 AUC 的中位数；两列之差即乐观偏差。",
        )
        title = f"AUC over time by fold, {endpoint.upper()}."
        part.add(Shown(f"time_auc_{endpoint}", title, medians, columns, caption))
    refused = tables.survival(endpoint, "horizons")
    if refused is not None and (curves is not None or areas is not None):
        rows = refused[refused["status"] == "refused"].drop_duplicates("horizon_days")
        for index in rows.index:
            part.say(
                "The horizon of {days} days is refused: {reason}.",
                "时间点 {days} 天不可行：{reason}。",
                days=tables.number(f"survival/{endpoint}/horizons.csv", index, "horizon_days", ".0f"),
                reason=str(rows.loc[index, "reason"]),
            )
    if curves is None:
        return
    model = _study_model(tables, curves)
    part.add(_roc_display(endpoint, model, curves[curves["model"] == model].reset_index(drop=True)))


def _study_model(tables: RunTables, table: pd.DataFrame) -> str:
    present = [str(name) for name in dict.fromkeys(table["model"])]
    return next((name for name in ("Radscore", "Clinical+Immune+ImRad") if name in present), tables.fullest(table))


def _roc_display(endpoint: str, model: str, rows: pd.DataFrame) -> Display:
    def draw(figure: Figure, table: pd.DataFrame) -> None:
        panels = np.atleast_1d(figure.subplots(1, len(SOURCES), sharey=True))
        for axes, source in zip(panels, SOURCES, strict=True):
            mine = table[table["source"] == source]
            axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
            for place, (horizon, curve) in enumerate(mine.groupby("horizon_days", sort=True)):
                area = float(np.trapezoid(curve["tpr"], curve["fpr"])) if "auc" not in curve else curve["auc"].iloc[0]
                label = f"{float(str(horizon)) / YEAR:.1g} y, {area:.2f}"
                axes.plot(curve["fpr"], curve["tpr"], color=COLOURS[place % 8], ls=STYLES[place % 8], label=label)
            axes.set(xlabel="1 - specificity", xlim=(0, 1), ylim=(0, 1.02), aspect="equal", title=source)
            if len(mine):
                axes.legend(loc="lower right", fontsize=7)
        panels[0].set_ylabel("sensitivity")

    caption = Text(
        "Left, the model on the patients it was fitted on, as studies print it; right, the mean curve of the held-out "
        "folds. In the key: years and area under the drawn curve.",
        "左：模型在其拟合患者上的表现（文献常见做法）；右：各留出折曲线的平均。图例：年数与所绘曲线下面积。",
    )
    n = rows["horizon_days"].nunique()
    title = f"Time-dependent ROC of {model}, {endpoint.upper()}."
    return Display(f"time_roc_{endpoint}", title, caption, rows, draw, f"ROC curves at {n} horizons", height=3.2)


def _cuts(part: Section, tables: RunTables, endpoint: str) -> None:
    groups, curves = tables.survival(endpoint, "cut_groups"), tables.survival(endpoint, "cut_curves")
    if groups is None or curves is None:
        return
    columns = {"model": Column("Model"), "source": Column("Patients"), "group": Column("Risk")}
    columns |= {"n": Column("n", ".0f"), "n_events": Column("Events", ".0f"), "cutpoint": Column("Cut", ".3f")}
    columns |= {"median_days": Column("Median (days)", ".0f"), "log_rank_p": Column("Log-rank p", "p")}
    columns["p_corrected"] = Column("p corrected for the search", "p")
    caption = Text(
        "Groups cut by maximally selected log-rank statistics. Apparent: the cut was searched on the patients it "
        "divides, so the plain log-rank p is too small and the corrected one holds. Outer folds: the cut of each "
        "training part divides the held-out patients; a fold whose training part has no cut leaves its own out.",
        "按最大选择秩统计量分组。表观：切点在被划分的患者上搜索，故普通 log-rank p 偏小，应看校正 p；"
        "外层折：由各训练部分的切点划分留出患者；训练部分无切点者，其患者不计入。",
    )
    title = f"Maximally selected cut-points, {endpoint.upper()}."
    part.add(Shown(f"cut_groups_{endpoint}", title, groups, columns, caption))
    model = _study_model(tables, curves)
    rows = curves[curves["model"] == model].reset_index(drop=True)

    def draw(figure: Figure, table: pd.DataFrame) -> None:
        grid = figure.subplots(2, len(SOURCES), sharey="row", sharex=True, height_ratios=[5, 1.1])
        last = float(table["time"].max()) / MONTH
        for place, source in enumerate(SOURCES):
            axes, below = grid[0, place], grid[1, place]
            mine = table[table["source"] == source]
            if len(mine):
                draw_groups(axes, below, mine, ticks_up_to(last, 6), names=place == 0)
                axes.legend(loc="upper right", fontsize=7)
            axes.set(ylim=(0, 1.03), xlim=(0, last * 1.02), title=source)
        grid[0, 0].set_ylabel(f"{endpoint.upper()} probability")

    text = (
        "The same cut search, judged on its own patients and on held-out ones. Ticks are censored patients, bands "
        "pointwise 95 % intervals."
    )
    title = f"{endpoint.upper()} by {model}, maximally selected cut."
    alt = f"Kaplan-Meier of two groups by {model}, with numbers at risk"
    part.add(Display(f"cut_curves_{endpoint}", title, text, rows, draw, alt, width=6.6, height=3.8))


def _boosting(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "calibration")
    if table is None:
        return
    names = [name for name in dict.fromkeys(table["model"]) if "GBM" in str(name)]
    if not names:
        return
    rows = table[(table["model"] == names[0]) & (table["source"] == "outer folds")].reset_index(drop=True)

    def draw(figure: Figure, shown: pd.DataFrame) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
        for place, (horizon, points) in enumerate(shown.groupby("horizon_days", sort=True)):
            points_ = points.sort_values("predicted")
            error = [points_["observed"] - points_["low"], points_["high"] - points_["observed"]]
            axes.errorbar(
                points_["predicted"],
                points_["observed"],
                yerr=np.clip(np.nan_to_num(np.array(error)), 0, None),
                color=COLOURS[place % 8],
                marker=MARKERS[place % 8],
                ls=STYLES[place % 8],
                ms=4,
                lw=1.1,
                capsize=2,
                label=f"{float(str(horizon)) / YEAR:.1g} y",
            )
        axes.set(xlabel="predicted survival", ylabel="observed survival", xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="upper left")

    caption = Text(
        "Held-out patients in groups of similar prediction; bars are 95 % limits of Kaplan-Meier.",
        "留出患者按预测值相近分组；误差线为 Kaplan-Meier 95 % 区间。",
    )
    title = f"Calibration of {names[0]}, {endpoint.upper()}."
    alt = f"Calibration at {rows['horizon_days'].nunique()} horizons"
    part.add(Display(f"gbm_calibration_{endpoint}", title, caption, rows, draw, alt, height=3.6))


def _both_coefficients(part: Section, tables: RunTables, endpoint: str) -> None:
    table = tables.survival(endpoint, "coefficients")
    study = tables.survival(endpoint, "time_auc")
    if table is None or study is None:
        return
    refit = table[table["kind"].astype(str).str.startswith("refit")]
    models = [name for name in ("Clinical+Immune+ImRad", "Clinical+ImRad", "Rad") if name in set(refit["model"])]
    if not models:
        return
    lasso = table[(table["model"] == models[0]) & ~table["kind"].astype(str).str.startswith("refit")]
    both = refit[refit["model"] == models[0]].merge(
        lasso[["feature", "coef", "inclusion"]].rename(columns={"coef": "lasso_coef", "inclusion": "folds"}),
        on="feature",
    )
    columns = {"feature": Column("Predictor"), "block": Column("Block"), "lasso_coef": Column("Lasso coef", ".3f")}
    columns |= {"hr": Column("HR", ".2f"), "hr_low": Column("95 % low", ".2f"), "hr_high": Column("95 % high", ".2f")}
    columns |= {"p": Column("p", "p"), "folds": Column("Chosen in folds", "share")}
    caption = Text(
        "Lasso-Cox, then a plain Cox regression on what it left. Hazard ratios, limits and p are naive: the same "
        "outcomes chose the predictors. The last column says in how many outer folds the Lasso chose each again.",
        "先 Lasso-Cox，再对保留变量作普通 Cox 回归。风险比、区间与 p 未计入选择；末列为外层折中再次选入的比例。",
    )
    title = f"{models[0]}: Lasso and multivariable Cox, {endpoint.upper()}."
    part.add(Shown(f"lasso_then_cox_{endpoint}", title, both, columns, caption))
