"""What was chosen: features by selectors, cells by the inner folds, and how steadily.

====================  ==========================================================================
table                 columns
====================  ==========================================================================
funnel                target, fold (``all``: the final fit), order, step, n_in, n_out
stability             target, selector, feature, n_selected, n_folds, frequency, stability
agreement             selector_a, selector_b, n_selected, shared, jaccard
inner                 target, repeat, fold, selector, classifier, auc_inner, auc_outer, chosen
====================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import Fold
from imrad.phenotype.measures import mean_known
from imrad.phenotype.prepared import Plan
from imrad.phenotype.tables import Results, fold_auc
from imrad.phenotype.targets import Target

__all__ = ["agreement_table", "bundle_choices", "funnel_table", "inner_table", "stability_table"]


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
                        "auc_inner": mean_known(result["inner_auc"], axis=1),
                        "auc_outer": fold_auc(target, fold, result),
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
        inner = np.stack([mean_known(results[target.name, fold.name]["inner_auc"], axis=1) for fold in folds])
        merit = np.nan_to_num(mean_known(inner), nan=-1.0)
        out[target.name] = [plan.cells[number] for number in np.argsort(-np.round(merit, 12), kind="stable")]
    return out
