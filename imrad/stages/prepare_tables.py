"""What the ICC and ComBat did to the features, as tables that the report draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from imrad.evaluation import SplitTable
    from imrad.evaluation.preparation import Preparation
    from imrad.run import Stage

__all__ = ["describe"]


def describe(stage: Stage, folder: str, preparation: Preparation, table: pd.DataFrame, splits: SplitTable) -> None:
    """Write what the ICC and ComBat did as tables: ``features/icc.csv`` and ``features/combat.csv``.

    Both are of the whole cohort, whose rows the final models are fitted on. Another stage's table of
    other content is left alone; this one's then goes to `folder`.
    """
    for name, found in (("icc", _icc_table(preparation, table, splits)), ("combat", _combat_table(preparation, table))):
        if found is not None:
            _write(stage, folder, name, found)


def _write(stage: Stage, folder: str, name: str, table: pd.DataFrame) -> None:
    from imrad import content

    path = f"features/{name}.csv"
    recorded = stage.run.record["stages"]
    others = [recorded[other]["outputs"].get(path) for other in recorded if other != stage.name]
    differs = any(entry is not None and entry["content"] != content.digest(table) for entry in others)
    stage.table(f"{folder}/{name}.csv" if differs else path, table)


def _icc_table(preparation: Preparation, table: pd.DataFrame, splits: SplitTable) -> pd.DataFrame | None:
    from imrad.evaluation.agreement import icc

    step = next((step for step in preparation.steps if step.name == "icc"), None)
    if step is None:
        return None
    model = step.transformer
    keys = tuple(step.fit_with["repeats"])
    readers = [preparation.sides[key].reindex(table.index)[list(table.columns)] for key in keys]
    cube = np.stack([table.to_numpy(dtype=float), *(reader.to_numpy(dtype=float) for reader in readers)], axis=1)

    def kept(found: Any) -> Any:
        chosen = found.lower if model.on == "lower" else found.value
        return np.nan_to_num(chosen, nan=-1.0) >= model.threshold

    whole = icc(cube, model.form)
    folds = [fold for repeat in splits.repeats for fold in splits.outer(repeat)]
    return pd.DataFrame(
        {
            "feature": table.columns.astype(str),
            "icc": whole.value,
            "low": whole.lower,
            "high": whole.upper,
            "n": whole.n,
            "kept": kept(whole).astype(int),
            "kept_folds": np.mean([kept(icc(cube[fold.train], model.form)) for fold in folds], axis=0),
            "threshold": model.threshold,
            "on": model.on,
        }
    )


def _combat_table(preparation: Preparation, table: pd.DataFrame) -> pd.DataFrame | None:
    from imrad.evaluation.preparation import Preparation as Steps

    names = preparation.shared.names
    if "combat" not in names:
        return None
    at = names.index("combat")
    side = preparation.steps[at].fit_with["batch"]
    sites = preparation.sides[str(side)].reindex(table.index).to_numpy()
    before = Steps(preparation.steps[:at], preparation.sides)
    after = Steps(preparation.steps[: at + 1], preparation.sides)
    parts = [steps.fit(table).transform(table, preparation.sides) for steps in (before, after)]
    (eta, p), (eta_after, p_after) = (_site_effect(part[parts[1].columns], sites) for part in parts)
    return pd.DataFrame(
        {
            "feature": parts[1].columns.astype(str),
            "site_effect_before": eta,
            "site_effect_after": eta_after,
            "p_before": p,
            "p_after": p_after,
            "n": len(table),
            "n_sites": len(set(sites)),
        }
    )


def _site_effect(table: pd.DataFrame, sites: Any) -> tuple[Any, Any]:
    """Return each feature's share of variance that lies between sites (eta squared), and the p of its F test."""
    from scipy import stats

    filled = table.fillna(table.median()).fillna(0.0).to_numpy()
    centred = filled - filled.mean(axis=0)
    total = (centred**2).sum(axis=0)
    levels, which = np.unique(sites, return_inverse=True)
    between = sum((which == number).sum() * centred[which == number].mean(axis=0) ** 2 for number in range(len(levels)))
    eta = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    free = (len(levels) - 1, len(filled) - len(levels))
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (eta / free[0]) / ((1 - eta) / free[1]) if min(free) > 0 else np.full_like(eta, np.nan)
    return eta, stats.f.sf(f, *free) if min(free) > 0 else f
