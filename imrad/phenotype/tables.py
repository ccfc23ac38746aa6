"""From the folds' results to the tables that others rely on.

====================  ==========================================================================
table                 columns
====================  ==========================================================================
grid                  target, selector, classifier, n, n_positive, auc, auc_low, auc_high, accuracy,
                      precision, sensitivity, specificity, npv, auc_pooled, auc_inner, spearman, n_chosen
summary               target, status, reason, n, n_positive, auc, auc_low, auc_high, p_permutation, q_fdr,
                      spearman, auc_pooled, interval, selector, classifier, n_chosen, auc_best_cell,
                      null_median, null_q95, null_cells, null_group, permutations, cut_rule, imbalance
predictions           patient, target, repeat, fold, probability, observed, value, selector, classifier, cut
funnel                target, fold (``all``: the final fit), order, step, n_in, n_out
stability             target, selector, feature, n_selected, n_folds, frequency, stability
agreement             selector_a, selector_b, n_selected, shared, jaccard
study_table           target, one column a classifier (its best selector's AUC), best_cell, best_auc
ablation              target, part, name, n_cells, auc, difference
controls              target, control, model, n, auc, auc_low, auc_high
published             target, selector, classifier, auc, auc_pooled, auc_honest, optimism, best
optimism              selector, classifier, n_targets, auc, auc_honest, optimism
inner                 target, repeat, fold, selector, classifier, auc_inner, auc_outer, chosen
====================  ==========================================================================

``auc`` is a mean over outer folds; intervals are Nadeau and Bengio's, approximate.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import CrossFitted, Fold
from imrad.phenotype.measures import at_threshold, concordance, fdr, nadeau_bengio, spearman
from imrad.phenotype.nulls import best_cell
from imrad.phenotype.prepared import Plan
from imrad.phenotype.targets import Target

__all__: list[str] = []

Floats = np.ndarray[Any, np.dtype[np.float64]]
Results = dict[tuple[str, str], dict[str, Any]]

INTERVAL = "Nadeau-Bengio, approximate"


def _fold_auc(target: Target, fold: Fold, result: dict[str, Any]) -> Floats:
    """Return the AUC of every cell in an outer fold."""
    known = target.measured[fold.test]
    return concordance(result["test"][:, known], target.truth(fold.test[known], result["cut"]))


def _test_share(target: Target, folds: list[Fold]) -> float:
    return float(np.mean([target.measured[f.test].sum() / max(target.measured[f.train].sum(), 1) for f in folds]))


def _mean(values: Floats, axis: int = 0) -> Floats:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(known.any(axis=axis), total / np.maximum(known.sum(axis=axis), 1), np.nan))


def observed_statistics(
    null_plan: Plan, plan: Plan, targets: list[Target], folds: list[Fold], results: Results
) -> dict[str, float]:
    """Return each target's largest mean outer AUC over the cells of the permutation test."""
    cells = [plan.cells.index(cell) for cell in null_plan.cells]
    out = {}
    for target in targets:
        auc = np.stack([_fold_auc(target, fold, results[target.name, fold.name])[cells] for fold in folds])
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
        auc = np.stack([_fold_auc(target, fold, results[target.name, fold.name]) for fold in folds])
        inner = np.stack([_mean(results[target.name, fold.name]["inner_auc"], axis=1) for fold in folds])
        chosen = np.bincount([results[target.name, fold.name]["chosen"] for fold in folds], minlength=len(plan.cells))
        share = _test_share(target, folds)
        pooled = _pooled(target, folds, results, lambda result: result["test"])
        whole = _mean(np.stack([concordance(scores, _truth(target, at, high)) for at, scores, high in pooled]))
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
                    "auc_inner": _mean(inner[:, number]),
                    "spearman": _mean(order),
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
            _fold_auc(target, fold, results[target.name, fold.name])[cell]
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
            _mean(np.array([concordance(scores, _truth(target, at, high_))[0] for at, scores, high_ in pooled]))
        ),
        "interval": INTERVAL,
        "spearman": float(_mean(np.array([spearman(scores[0], target.values[at]) for at, scores, _ in pooled]))),
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


def stability_table(
    plan: Plan, targets: list[Target], folds: list[Fold], results: Results, features: list[str]
) -> pd.DataFrame:
    """Return how often each feature was selected in the outer folds, with Nogueira's stability beside it.

    References
    ----------
    Nogueira S, Sechidis K, Brown G. On the stability of feature selection algorithms. JMLR 2018;18(174).
    """
    parts = []
    made = {name for one in results.values() for chosen in one["selected"].values() for name in chosen}
    features = [*features, *sorted(made - set(features))]
    where = {name: number for number, name in enumerate(features)}
    for target in targets:
        for selector in plan.selectors:
            hits = np.zeros((len(folds), len(features)), dtype=bool)
            for number, fold in enumerate(folds):
                chosen = results[target.name, fold.name]["selected"][selector]
                hits[number, [where[name] for name in chosen]] = True
            counts = hits.sum(axis=0)
            seen = np.flatnonzero(counts)
            order = seen[np.argsort(-counts[seen], kind="stable")]
            parts.append(
                pd.DataFrame(
                    {
                        "target": target.name,
                        "selector": selector,
                        "feature": [features[column] for column in order],
                        "n_selected": counts[order],
                        "n_folds": len(folds),
                        "frequency": counts[order] / len(folds),
                        "stability": _stability(hits),
                    }
                )
            )
    columns = ["target", "selector", "feature", "n_selected", "n_folds", "frequency", "stability"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _stability(hits: np.ndarray[Any, Any]) -> float:
    n_folds, n_features = hits.shape
    share = hits.sum(axis=1).mean() / n_features
    if n_folds < 2 or share in (0.0, 1.0):
        return float("nan")
    frequency = hits.mean(axis=0)
    spread = (n_folds / (n_folds - 1) * frequency * (1 - frequency)).mean()
    return float(1 - spread / (share * (1 - share)))


def funnel_table(
    targets: list[Target], folds: list[Fold], results: Results, whole: Mapping[str, list[dict[str, Any]]]
) -> pd.DataFrame:
    """Return how many features each preparation step was given and kept, by target, outer fold and finally."""
    rows: list[dict[str, Any]] = []
    for target in targets:
        found = [(fold.name, results[target.name, fold.name]["funnel"]) for fold in folds]
        for name, funnel in [*found, ("all", whole.get(target.name, []))]:
            rows += [{"target": target.name, "fold": name, "order": number} | row for number, row in enumerate(funnel)]
    return pd.DataFrame(rows, columns=["target", "fold", "order", "step", "n_in", "n_out"])


def agreement_table(plan: Plan, targets: list[Target], folds: list[Fold], results: Results) -> pd.DataFrame:
    """Return how many features each pair of selectors shares, averaged over targets and outer folds."""
    rows = []
    for first, second in combinations(plan.selectors, 2):
        shared, jaccard, kept = [], [], []
        for target in targets:
            for fold in folds:
                chosen = results[target.name, fold.name]["selected"]
                a, b = set(chosen[first]), set(chosen[second])
                shared.append(len(a & b))
                jaccard.append(len(a & b) / max(len(a | b), 1))
                kept.append(max(len(a), len(b)))
        if shared:
            rows.append((first, second, float(np.mean(kept)), float(np.mean(shared)), float(np.mean(jaccard))))
    return pd.DataFrame(rows, columns=["selector_a", "selector_b", "n_selected", "shared", "jaccard"])


def study_table(plan: Plan, grid: pd.DataFrame) -> pd.DataFrame:
    """Return the founding study's table: targets by classifiers, the best cell named after the fact."""
    rows = []
    for name, part in grid.groupby("target", sort=False):
        best = part.iloc[int(np.argmax(part["auc"].fillna(-1.0)))]
        row: dict[str, Any] = {"target": name}
        row |= {kind: part.loc[part["classifier"] == kind, "auc"].max() for kind in plan.classifiers}
        row["best_cell"] = f"{best['selector']} + {best['classifier']}"
        row["best_auc"] = best["auc"]
        rows.append(row)
    return pd.DataFrame(rows, columns=["target", *plan.classifiers, "best_cell", "best_auc"])


def ablation_table(grid: pd.DataFrame, bare: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the mean outer AUC of each selector's and each classifier's cells, and of no selector.

    ``difference`` is to the mean of the whole grid, without a selector to that classifier's mean.
    """
    rows = []
    for name, part in grid.groupby("target", sort=False):
        whole = part["auc"].mean()
        for column in ("selector", "classifier"):
            for kind, cells in part.groupby(column, sort=False):
                rows.append((name, column, kind, len(cells), cells["auc"].mean(), cells["auc"].mean() - whole))
    by_classifier = grid.groupby(["target", "classifier"], sort=False)["auc"].mean().to_dict()
    for one in bare:
        for kind, auc in zip(one["classifiers"], _mean(one["auc"]), strict=True):
            rows.append((one["target"], "no_selector", kind, 1, auc, auc - by_classifier[one["target"], kind]))
    return pd.DataFrame(rows, columns=["target", "part", "name", "n_cells", "auc", "difference"])


def control_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows beside the grid."""
    columns = ["target", "control", "model", "n", "auc", "auc_low", "auc_high"]
    return pd.DataFrame([{name: row[name] for name in columns} for row in rows], columns=columns)


def published_table(
    plan: Plan, targets: list[Target], published: list[dict[str, Any]], grid: pd.DataFrame
) -> pd.DataFrame:
    """Return the leaky values beside the honest ones of the same cells."""
    columns = ["target", "selector", "classifier", "auc", "auc_pooled", "auc_honest", "optimism", "best"]
    if not published:
        return pd.DataFrame(columns=columns)
    honest = grid.set_index(["target", "selector", "classifier"])["auc"].to_dict()
    rows = []
    for target, one in zip(targets, published, strict=True):
        best = int(np.argmax(np.nan_to_num(one["auc"], nan=-1.0)))
        for number, (selector, classifier) in enumerate(plan.cells):
            beside = float(honest[target.name, selector, classifier])
            auc = float(one["auc"][number])
            rows.append(
                (
                    target.name,
                    selector,
                    classifier,
                    auc,
                    float(one["auc_pooled"][number]),
                    beside,
                    auc - beside,
                    number == best,
                )
            )
    return pd.DataFrame(rows, columns=columns)


def optimism_table(published: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the leaky and the honest AUC of every cell, averaged over targets.

    The last row is what a study reports, each target's best leaky cell, beside the nested AUC.
    """
    columns = ["selector", "classifier", "n_targets", "auc", "auc_honest", "optimism"]
    if published.empty:
        return pd.DataFrame(columns=columns)
    rows = []
    for (selector, classifier), part in published.groupby(["selector", "classifier"], sort=False):
        rows.append((selector, classifier, len(part), part["auc"].mean(), part["auc_honest"].mean()))
    best = published[published["best"]].set_index("target")["auc"]
    nested = summary.set_index("target")["auc"].astype(float).reindex(best.index)
    rows.append(("best", "best", len(best), best.mean(), nested.mean()))
    table = pd.DataFrame(rows, columns=columns[:-1])
    return table.assign(optimism=table["auc"] - table["auc_honest"])


def inner_table(plan: Plan, targets: list[Target], folds: list[Fold], results: Results) -> pd.DataFrame:
    """Return every cell's mean inner AUC in each outer fold, its outer AUC beside it, and which was chosen."""
    parts = []
    for target in targets:
        for fold in folds:
            result = results[target.name, fold.name]
            repeat, outer = (int(part[1:]) for part in fold.name.split("/"))
            parts.append(
                pd.DataFrame(
                    {
                        "target": target.name,
                        "repeat": repeat,
                        "fold": outer,
                        "selector": [selector for selector, _ in plan.cells],
                        "classifier": [classifier for _, classifier in plan.cells],
                        "auc_inner": _mean(result["inner_auc"], axis=1),
                        "auc_outer": _fold_auc(target, fold, result),
                        "chosen": np.arange(len(plan.cells)) == result["chosen"],
                    }
                )
            )
    columns = ["target", "repeat", "fold", "selector", "classifier", "auc_inner", "auc_outer", "chosen"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def bundle_choices(
    plan: Plan, targets: list[Target], folds: list[Fold], results: Results
) -> dict[str, list[tuple[str, str]]]:
    """Return each target's cells in the order of their mean inner AUC over all outer folds."""
    out = {}
    for target in targets:
        inner = np.stack([_mean(results[target.name, fold.name]["inner_auc"], axis=1) for fold in folds])
        merit = np.nan_to_num(_mean(inner), nan=-1.0)
        out[target.name] = [plan.cells[number] for number in np.argsort(-np.round(merit, 12), kind="stable")]
    return out
