"""From the folds' results to the honest values of cells and targets, and their predictions.

====================  ==========================================================================
table                 columns
====================  ==========================================================================
grid                  target, selector, classifier, n, n_positive, auc, auc_low, auc_high, accuracy,
                      precision, sensitivity, specificity, npv, auc_pooled, auc_inner, spearman, n_chosen
summary               target, status, reason, n, n_positive, auc, auc_low, auc_high, p_permutation, q_fdr,
                      spearman, auc_pooled, interval, selector, classifier, n_chosen, auc_best_cell,
                      null_median, null_q95, null_cells, null_group, permutations, cut_rule, imbalance
predictions           patient, target, repeat, fold, probability, observed, value, selector, classifier, cut
====================  ==========================================================================

``auc`` is a mean over outer folds; intervals are Nadeau and Bengio's, approximate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import CrossFitted, Fold
from imrad.phenotype.measures import at_threshold, concordance, fdr, mean_known, nadeau_bengio, spearman
from imrad.phenotype.nulls import best_cell
from imrad.phenotype.prepared import Plan
from imrad.phenotype.targets import Target

__all__ = [
    "Results",
    "crossfit",
    "fold_auc",
    "grid_table",
    "observed_statistics",
    "prediction_table",
    "summary_table",
]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Results = dict[tuple[str, str], dict[str, Any]]

INTERVAL = "Nadeau-Bengio, approximate"


def fold_auc(target: Target, fold: Fold, result: dict[str, Any]) -> Floats:
    """Return the AUC of every cell in an outer fold."""
    known = target.measured[fold.test]
    return concordance(result["test"][:, known], target.truth(fold.test[known], result["cut"]))


def _test_share(target: Target, folds: list[Fold]) -> float:
    return float(np.mean([target.measured[f.test].sum() / max(target.measured[f.train].sum(), 1) for f in folds]))


def observed_statistics(
    null_plan: Plan, plan: Plan, targets: list[Target], folds: list[Fold], results: Results
) -> dict[str, float]:
    """Return each target's largest mean outer AUC over the cells of the permutation test."""
    cells = [plan.cells.index(cell) for cell in null_plan.cells]
    out = {}
    for target in targets:
        auc = np.stack([fold_auc(target, fold, results[target.name, fold.name])[cells] for fold in folds])
        out[target.name] = float(best_cell(auc[:, None, :])[0])
    return out


def _pooled(
    target: Target, folds: list[Fold], results: Results, pick: Any
) -> list[tuple[np.ndarray[Any, Any], Floats, np.ndarray[Any, Any]]]:
    """Return, by repeat, measured rows, the scores that `pick` takes from a result, and classes."""
    by_repeat: dict[str, list[Fold]] = {}
    for fold in folds:
        by_repeat.setdefault(fold.name.split("/")[0], []).append(fold)
    out = []
    for part in by_repeat.values():
        rows, scores, high = [], [], []
        for fold in part:
            result, known = results[target.name, fold.name], target.measured[fold.test]
            rows.append(fold.test[known])
            scores.append(np.atleast_2d(pick(result))[:, known])
            high.append(target.values[fold.test[known]] > result["cut"])
        out.append((np.concatenate(rows), np.concatenate(scores, axis=1), np.concatenate(high)))
    return out


def _truth(target: Target, rows: np.ndarray[Any, Any], high: np.ndarray[Any, Any]) -> Floats:
    return target.values[rows] if target.continuous else high.astype(float)


def grid_table(
    plan: Plan, targets: list[Target], folds: list[Fold], results: Results, feasibility: pd.DataFrame
) -> pd.DataFrame:
    """Return one row a target and cell."""
    counts = feasibility.set_index("target")
    rows = []
    for target in targets:
        auc = np.stack([fold_auc(target, fold, results[target.name, fold.name]) for fold in folds])
        inner = np.stack([mean_known(results[target.name, fold.name]["inner_auc"], axis=1) for fold in folds])
        chosen = np.bincount([results[target.name, fold.name]["chosen"] for fold in folds], minlength=len(plan.cells))
        share = _test_share(target, folds)
        pooled = _pooled(target, folds, results, lambda result: result["test"])
        whole = mean_known(np.stack([concordance(scores, _truth(target, at, high)) for at, scores, high in pooled]))
        for number, (selector, classifier) in enumerate(plan.cells):
            mean, low, high = nadeau_bengio(auc[:, number], share)
            at = at_threshold(
                np.concatenate([scores[number] for _, scores, _ in pooled]), np.concatenate([h for _, _, h in pooled])
            )
            order = np.array([spearman(scores[number], target.values[rows_]) for rows_, scores, _ in pooled])
            rows.append(
                {
                    "target": target.name,
                    "selector": selector,
                    "classifier": classifier,
                    "n": counts.loc[target.name, "n"],
                    "n_positive": counts.loc[target.name, "n_positive"],
                    "auc": mean,
                    "auc_low": low,
                    "auc_high": high,
                    **at,
                    "auc_pooled": whole[number],
                    "auc_inner": mean_known(inner[:, number]),
                    "spearman": mean_known(order),
                    "n_chosen": int(chosen[number]),
                }
            )
    columns = (
        "target selector classifier n n_positive auc auc_low auc_high accuracy precision sensitivity specificity npv "
        "auc_pooled auc_inner spearman n_chosen"
    )
    return pd.DataFrame(rows, columns=columns.split())


SUMMARY = (
    "target status reason n n_positive auc auc_low auc_high p_permutation q_fdr spearman auc_pooled interval "
    "selector classifier n_chosen auc_best_cell null_median null_q95 null_cells null_group permutations "
    "cut_rule imbalance"
)


def summary_table(
    plan: Plan,
    null_plan: Plan,
    targets: list[Target],
    folds: list[Fold],
    results: Results,
    feasibility: pd.DataFrame,
    nulls: dict[str, tuple[float, int, bool, str]],
    null: pd.DataFrame,
    *,
    cap: int,
    observed: dict[str, float],
) -> pd.DataFrame:
    """Return one row a target, skipped ones included."""
    draws = {key: part["statistic"].to_numpy() for key, part in null.groupby("group")}
    rows = []
    for target, fit in zip(targets, feasibility.to_dict("records"), strict=True):
        row: dict[str, Any] = {"target": target.name, "status": "skipped", "reason": fit["reason"]}
        row |= {name: fit[name] for name in ("n", "n_positive", "cut_rule", "imbalance")}
        row["permutations"] = 0
        if fit["feasible"]:
            row |= _honest(plan, target, folds, results)
            p, used, _, group = nulls[target.name]
            values = draws.get(group, np.full(1, np.nan))
            row |= {
                "p_permutation": p,
                "permutations": used,
                "null_group": group,
                "null_cells": len(null_plan.cells),
                "auc_best_cell": observed[target.name],
                "null_median": float(np.median(values)),
                "null_q95": float(np.quantile(values, 0.95)),
            }
        rows.append(row)
    table = pd.DataFrame(rows, columns=SUMMARY.split())
    table["q_fdr"] = fdr(table["p_permutation"].to_numpy(dtype=float))
    able = int(feasibility["feasible"].sum())
    for number, entry in enumerate(table.to_dict("records")):
        row = {str(name): item for name, item in entry.items()}
        if row["target"] not in nulls:
            continue
        settled = nulls[row["target"]][2] and row["permutations"] < cap
        status, reason = _status(row, able, cap, settled=settled)
        table.loc[number, ["status", "reason"]] = [status, reason]
    return table


def _status(row: dict[str, Any], able: int, cap: int, *, settled: bool) -> tuple[str, str]:
    used, q = int(row["permutations"]), float(row["q_fdr"])
    if used == 0:
        return "unresolved", "no permutations were run"
    if q < 0.05 and row["auc"] > 0.5:
        return "claimed", f"q = {q:.3g} after {used} permutations"
    if q < 0.05:
        return "not_claimed", f"q = {q:.3g}, but the honest AUC is {row['auc']:.2f}"
    # The least p that the cap allows, at the best rank that it could take among the targets.
    if not settled and able / (cap + 1) >= 0.05:
        needed = 20 * able
        return (
            "unresolved",
            f"{cap} permutations cannot reach q < 0.05 over {able} targets; at least {needed} are needed",
        )
    return "not_claimed", f"q = {q:.2f} after {used} permutations"


def _honest(plan: Plan, target: Target, folds: list[Fold], results: Results) -> dict[str, Any]:
    chosen = [int(results[target.name, fold.name]["chosen"]) for fold in folds]
    auc = np.array(
        [
            fold_auc(target, fold, results[target.name, fold.name])[cell]
            for fold, cell in zip(folds, chosen, strict=True)
        ]
    )
    mean, low, high = nadeau_bengio(auc, _test_share(target, folds))
    pooled = _pooled(target, folds, results, lambda result: result["test"][result["chosen"]])
    cell = int(np.argmax(np.bincount(chosen, minlength=len(plan.cells))))
    return {
        "auc": mean,
        "auc_low": low,
        "auc_high": high,
        "auc_pooled": float(
            mean_known(np.array([concordance(scores, _truth(target, at, high_))[0] for at, scores, high_ in pooled]))
        ),
        "interval": INTERVAL,
        "spearman": float(mean_known(np.array([spearman(scores[0], target.values[at]) for at, scores, _ in pooled]))),
        "selector": plan.cells[cell][0],
        "classifier": plan.cells[cell][1],
        "n_chosen": chosen.count(cell),
    }


def prediction_table(plan: Plan, targets: list[Target], folds: list[Fold], results: Results) -> pd.DataFrame:
    """Return the chosen cells' out-of-fold probability of every patient, measured or not."""
    parts = []
    for target in targets:
        for fold in folds:
            result = results[target.name, fold.name]
            repeat, outer = (int(part[1:]) for part in fold.name.split("/"))
            values = target.values[fold.test]
            selector, classifier = plan.cells[result["chosen"]]
            parts.append(
                pd.DataFrame(
                    {
                        "patient": [plan.patients[row] for row in fold.test],
                        "target": target.name,
                        "repeat": repeat,
                        "fold": outer,
                        "probability": result["test"][result["chosen"]],
                        "observed": np.where(np.isnan(values), np.nan, values > result["cut"]),
                        "value": values,
                        "selector": selector,
                        "classifier": classifier,
                        "cut": result["cut"],
                    }
                )
            )
    columns = [
        "patient",
        "target",
        "repeat",
        "fold",
        "probability",
        "observed",
        "value",
        "selector",
        "classifier",
        "cut",
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def crossfit(plan: Plan, targets: list[Target], folds: list[Fold], results: Results) -> CrossFitted:
    """Return the chosen cells' scores for a second model: inner out-of-fold for training rows, outer for test rows."""
    parts = []
    names = np.array(plan.patients, dtype=object)
    for target in targets:
        for fold in folds:
            result = results[target.name, fold.name]
            repeat, outer = (int(part[1:]) for part in fold.name.split("/"))
            cell = result["chosen"]
            selector, classifier = plan.cells[cell]
            step = f"{target.name}/classifier:{selector}:{classifier}"
            blocks = [("test", fold.test, result["test"][cell], f"phenotype:{fold.name}:{step}")]
            for inner in plan.splits.inner(fold):
                scores = result["training"][np.searchsorted(fold.train, inner.test)]
                blocks.append(("train", inner.test, scores, f"phenotype:{inner.name}:{step}"))
            parts += [
                pd.DataFrame(
                    {
                        "patient": names[rows],
                        "target": target.name,
                        "repeat": repeat,
                        "outer": outer,
                        "role": role,
                        "score": scores,
                        "fit": fit,
                    }
                )
                for role, rows, scores, fit in blocks
            ]
    columns = ["patient", "target", "repeat", "outer", "role", "score", "fit"]
    return CrossFitted(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns))
