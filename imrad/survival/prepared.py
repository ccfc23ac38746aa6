"""Preparation steps of the block Rad in a fusion: which models take them, and the proof that they do not leak."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from imrad.evaluation import SplitTable
from imrad.evaluation.inspection import inspect_parts
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.preparation import Preparation, check_preparation
from imrad.exceptions import FitError
from imrad.survival.binary_models import BinaryModel
from imrad.survival.models import BlockModel

if TYPE_CHECKING:
    from imrad.survival.fusion_tables import Finished

__all__ = ["check_prepared", "funnel", "prepared_model"]

BLOCK = "Rad"


M = TypeVar("M", BlockModel, BinaryModel)


def prepared_model(model: M, preparation: Preparation) -> M:
    """Return the model with the steps before its block Rad; a choice by outcome replaces its screening."""
    if BLOCK not in model.blocks or BLOCK in model.prepare:
        return model
    screening = dict(model.screening)
    if preparation.selects_by_outcome:
        screening.pop(BLOCK, None)
    return replace(model, prepare={**model.prepare, BLOCK: preparation}, screening=screening)


def check_prepared(
    preparation: Preparation,
    table: pd.DataFrame,
    y: tuple[FloatArray, BoolArray] | BoolArray,
    usable: BoolArray,
    splits: SplitTable,
    endpoint: str,
    seed: int,
) -> None:
    """Search the steps for the cohort's rows, and fit them twice in one fold, its held-out rows replaced by noise.

    Raises
    ------
    LeakError
        Naming the step.
    """
    parts = y if isinstance(y, tuple) else (y,)
    outcomes = pd.DataFrame({f"outcome {k}": part.astype(float) for k, part in enumerate(parts)}, index=table.index)
    inspect_parts(preparation.parts, table.to_numpy(dtype=float, na_value=np.nan), outcomes)
    fold = next(iter(splits.outer(splits.repeats[0])))
    train = fold.train[usable[fold.train]]
    outcome = (y[0][train], y[1][train]) if isinstance(y, tuple) else y[train]
    step = f"{endpoint}/{BLOCK}"
    # A step that cannot be fitted is told by the models that need it; the others go on.
    with suppress(FitError):
        check_preparation(preparation, table, outcome, train, fold.test, step=step, fold=fold.name, seed=seed)


def funnel(done: Finished) -> pd.DataFrame:
    """Return how many columns of Rad each step was given and kept, by model, outer fold and finally."""
    rows: list[dict[str, Any]] = []
    for task, found in done.results.items():
        steps = found.get("funnel", {}).get(BLOCK) if task.kind in ("outer", "all") else None
        if not steps:
            continue
        mine = np.array([name == BLOCK for name in found["block"]])
        left, used = int(mine.sum()), int((np.asarray(found["coef"])[mine] != 0).sum())
        base = {"model": task.model, "fold": task.fold}
        rows += [base | {"order": number} | row for number, row in enumerate(steps)]
        if done.data.model(task.model).learner is None:
            rows.append(base | {"order": len(steps), "step": "model", "n_in": left, "n_out": used})
    return pd.DataFrame(rows, columns=["model", "fold", "order", "step", "n_in", "n_out"])
