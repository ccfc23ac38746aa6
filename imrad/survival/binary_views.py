"""Further views of a binary fusion: operating points, ROC curves, scores by outcome, subgroups, explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imrad.evaluation.operating import operating_point
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.roc import auc, delong_interval, roc_curve
from imrad.evaluation.two_group import ks_two_sample
from imrad.survival.perturbations import perturbed_rows

if TYPE_CHECKING:
    from imrad.survival.binary_tables import FinishedBinary

__all__ = ["explanations", "funnel", "matched_pair", "multivariable", "operating", "roc", "score_histogram", "score_ks"]

BINS = 20


def _views(done: FinishedBinary, name: str) -> list[tuple[str, BoolArray, FloatArray, BoolArray]]:
    """Return kind, outcomes, probabilities and calls: of the own patients, and of the outer folds' test patients."""
    whole, y = done.whole(name), done.data.outcome[done.data.usable]
    own = np.asarray(whole["probability"])
    return [("apparent", y, own, own > whole["threshold"]), ("outer", *done.pooled(name))]


def operating(done: FinishedBinary) -> pd.DataFrame:
    """Return sensitivity and the rest at Youden's cut of each training part, and at the whole cohort's own cut."""
    rows = []
    for name in done.fitted:
        for kind, y, _, called in _views(done, name):
            threshold = done.whole(name)["threshold"] if kind == "apparent" else np.nan
            rows.append({"model": name, "kind": kind, "threshold": threshold} | operating_point(y, called))
    return pd.DataFrame(rows)


def roc(done: FinishedBinary) -> pd.DataFrame:
    """Return the ROC curves: model, kind, threshold, false_positive_share, sensitivity."""
    parts = []
    for name in done.fitted:
        for kind, y, probability, _ in _views(done, name):
            parts.append(roc_points(y, probability).assign(model=name, kind=kind))
    columns = ["model", "kind", "threshold", "false_positive_share", "sensitivity"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def roc_points(y: BoolArray, probability: FloatArray) -> pd.DataFrame:
    """Return one ROC curve from (0, 0) to (1, 1)."""
    curve = roc_curve(y, probability)
    table = pd.DataFrame(
        {
            "threshold": curve["threshold"],
            "false_positive_share": 1 - curve["specificity"],
            "sensitivity": curve["sensitivity"],
        }
    )
    return table.iloc[::-1].reset_index(drop=True)


def score_ks(done: FinishedBinary) -> pd.DataFrame:
    """Return how far the scores of the two classes lie apart: the Kolmogorov-Smirnov statistic and its p."""
    rows = []
    for name in done.fitted:
        for kind, y, probability, _ in _views(done, name):
            statistic, p = ks_two_sample(probability[y], probability[~y])
            rows.append((name, kind, int(y.sum()), int((~y).sum()), statistic, p))
    return pd.DataFrame(rows, columns=["model", "kind", "n_positive", "n_negative", "ks", "p"])


def score_histogram(done: FinishedBinary) -> pd.DataFrame:
    """Return counts of the outer folds' probabilities in bins, by outcome."""
    rows = []
    for name in done.fitted:
        y, probability, _ = done.pooled(name)
        for outcome, inside in ((1, y), (0, ~y)):
            counts, edges = np.histogram(probability[inside], bins=BINS, range=(0, 1))
            rows += [(name, outcome, edges[k], edges[k + 1], int(counts[k])) for k in range(BINS)]
    return pd.DataFrame(rows, columns=["model", "outcome", "low", "high", "count"])


def multivariable(done: FinishedBinary, coefficients: pd.DataFrame) -> pd.DataFrame:
    """Return the plain logistic regressions, fitted to all patients, with the cut-point of each column that is cut.

    Cut-points and selected columns were found on the same patients, so p is too small where there are any.
    """
    parts = []
    for name in done.fitted:
        model, whole = done.data.model(name), done.whole(name)
        if model.penalised:
            continue
        cuts = dict(zip(whole["names"], np.asarray(whole["cuts"], dtype=float), strict=False))
        part = coefficients[coefficients["model"] == name].copy()
        part["cut"] = part["feature"].map(cuts)
        screened = any(block in model.screening for block in model.blocks)
        learnt = part["cut"].notna() | screened
        part["note"] = np.where(learnt, "cut or chosen on these patients: p is too small", "")
        parts.append(part[["model", "feature", "cut", "coef", "or", "or_low", "or_high", "p", "inclusion", "note"]])
    columns = ["model", "feature", "cut", "coef", "or", "or_low", "or_high", "p", "inclusion", "note"]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def robustness(done: FinishedBinary) -> pd.DataFrame:
    """Return models without each site, and on perturbed features: AUC in the columns c, low and high."""

    def area(at: Any, scores: Any) -> float:
        y = done.data.outcome[at]
        return float(auc(y, scores)) if y.any() and not y.all() else np.nan

    rows = done.sites_left_out() + perturbed_rows(done, area, done.data.outcome, "linear_predictor")
    columns = ["kind", "model", "level", "n", "n_events", "c", "low", "high", "risk_sd", "risk_icc", "note"]
    return pd.DataFrame(rows, columns=columns)


def subgroups(done: FinishedBinary) -> pd.DataFrame:
    """Return the AUC of the first repeat's test predictions within each category, with DeLong's interval."""
    rows: list[dict[str, Any]] = []
    table = pd.DataFrame() if done.data.subgroups is None else done.data.subgroups
    for name in done.fitted:
        order, y, probability, called = done.first_repeat(name)
        for column in table.columns:
            values = table[column].iloc[order]
            for level in sorted(values.dropna().astype(str).unique()):
                inside = (values.astype(str) == level).to_numpy() & values.notna().to_numpy()
                row = {"model": name, "subgroup": str(column), "level": level, "n": int(inside.sum())}
                row |= {"n_positive": int(y[inside].sum())}
                row |= {"auc": np.nan, "auc_low": np.nan, "auc_high": np.nan}
                if 1 < row["n_positive"] < row["n"] - 1:
                    row["auc"], row["auc_low"], row["auc_high"] = delong_interval(y[inside], probability[inside])
                point = operating_point(y[inside], called[inside])
                rows.append(row | {item: point[item] for item in ("sensitivity", "specificity", "accuracy")})
    columns = ["model", "subgroup", "level", "n", "n_positive", "auc", "auc_low", "auc_high"]
    return pd.DataFrame(rows, columns=[*columns, "sensitivity", "specificity", "accuracy"])


def explanations(done: FinishedBinary) -> pd.DataFrame:
    """Return each column's contribution to each patient's log odds in the final models.

    In a linear model the coefficient times the distance from the mean is the Shapley value. Of a forest's
    score, the rows of kind ``forest`` are Shapley values of its share of votes (doi:10.1038/s42256-019-0138-9).
    """
    parts = []
    patients = np.asarray(done.data.patients, dtype=object)[done.data.usable]
    for name in done.fitted:
        whole = done.whole(name)
        kept = np.flatnonzero(whole["coef"])
        views = [("linear", [whole["names"][j] for j in kept], np.asarray(whole["matrix"])[:, kept])]
        shares = [(views[0][2] - views[0][2].mean(axis=0)) * np.asarray(whole["coef"])[kept]]
        if "forest" in whole:
            views.append(("forest", list(whole["forest"]["inputs"]), np.asarray(whole["forest"]["matrix"])))
            shares.append(np.asarray(whole["forest"]["shap"]))
        for (kind, names, matrix), share in zip(views, shares, strict=True):
            table = {"patient": np.repeat(patients, len(names)), "model": name}
            table |= {"feature": np.tile(np.array(names, dtype=object), len(patients)), "value": matrix.ravel()}
            parts.append(pd.DataFrame(table | {"contribution": share.ravel(), "kind": kind}))
    columns = ["patient", "model", "feature", "value", "contribution", "kind"]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def funnel(done: FinishedBinary) -> pd.DataFrame:
    """Return how many columns each step was given and kept, by model, block, outer fold and finally (``all``)."""
    parts = []
    for task, found in done.results.items():
        if task.kind in ("outer", "all") and found.get("funnel"):
            table = pd.DataFrame(found["funnel"])
            table["order"] = table.groupby("block").cumcount()
            parts.append(table.assign(model=task.model, fold="all" if task.kind == "all" else task.fold))
    columns = ["model", "fold", "block", "order", "step", "n_in", "n_out"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def matched_pair(done: FinishedBinary, block: str, model: str) -> pd.DataFrame:
    """Return two patients who are alike in a block and unlike in outcome, with their outer-fold probabilities.

    Of the pairs that the model calls rightly (of all, where there is none), the one nearest by Gower's distance
    (doi:10.2307/2528823), and among equally near ones that with the widest gap between probabilities.
    """
    columns = ["patient", "outcome", "model", "probability", "positive", "distance", "n_columns"]
    if model not in done.fitted or block not in done.data.tables:
        return pd.DataFrame(columns=columns)
    order, y, probability, called = done.first_repeat(model)
    table = done.data.tables[block].iloc[order]
    right = called == y
    one = np.flatnonzero(y & right) if (y & right).any() else np.flatnonzero(y)
    two = np.flatnonzero(~y & right) if (~y & right).any() else np.flatnonzero(~y)
    distance = _gower(table, one, two)
    gap = probability[one][:, None] - probability[two][None, :]
    nearest = distance <= np.nanmin(distance) + 1e-12
    i, j = np.unravel_index(int(np.argmax(np.where(nearest, gap, -np.inf))), gap.shape)
    rows = [
        (done.data.patients[order[k]], int(y[k]), model, probability[k], bool(called[k]), distance[i, j], len(table.T))
        for k in (one[i], two[j])
    ]
    return pd.DataFrame(rows, columns=columns)


def _gower(table: pd.DataFrame, one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> FloatArray:
    """Return mean distances over the columns that both patients have, shape (n_one, n_two)."""
    total, known = np.zeros((len(one), len(two))), np.zeros((len(one), len(two)))
    for name in table.columns:
        if pd.api.types.is_numeric_dtype(table[name].dtype):
            values = table[name].to_numpy(dtype=float, na_value=np.nan)
            spread = float(np.nanmax(values) - np.nanmin(values)) if np.isfinite(values).any() else 0.0
            apart = np.abs(values[one][:, None] - values[two][None, :]) / (spread or 1.0)
            both = np.isfinite(apart)
        else:
            text = table[name].astype(object).where(table[name].notna(), None).to_numpy()
            apart = (text[one][:, None] != text[two][None, :]).astype(float)
            here = np.array([item is not None for item in text])
            both = here[one][:, None] & here[two][None, :]
        total += np.where(both, apart, 0.0)
        known += both
    # A column that one of them lacks counts as different: nothing shows that they are alike.
    return np.asarray((total + (table.shape[1] - known)) / max(table.shape[1], 1))
