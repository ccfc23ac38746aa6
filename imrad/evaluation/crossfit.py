"""Predictions that may be used as predictors: out of fold by type, with the fits that made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation.splits import Fold
from imrad.exceptions import InSampleError, SchemaError

__all__ = ["CrossFitted"]

COLUMNS = ["patient", "target", "repeat", "outer", "role", "score", "fit"]


@dataclass(frozen=True)
class CrossFitted:
    """Phenotype scores for a second model, cross-fitted within every outer fold.

    Attributes
    ----------
    table : DataFrame
        Columns patient, target, repeat, outer, role, score, fit. For each outer fold, a ``train``
        row holds the patient's inner out-of-fold score and a ``test`` row the outer fit's
        prediction; ``fit`` is the ledger's name of the fit that made it.
    """

    table: pd.DataFrame

    def __post_init__(self) -> None:
        """Refuse a table without roles and fits.

        Raises
        ------
        SchemaError
            If columns are missing or a role is neither train nor test.
        """
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            message = f"cross-fitted scores need the columns {COLUMNS}; missing are {missing}"
            raise SchemaError(message)
        if not set(self.table["role"].unique()) <= {"train", "test"}:
            message = "cross-fitted scores: role must be 'train' or 'test'"
            raise SchemaError(message)

    @property
    def targets(self) -> list[str]:
        """Targets in order of first appearance."""
        return list(dict.fromkeys(str(name) for name in self.table["target"]))

    def block(self, fold: Fold, patients: list[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the scores of an outer fold as two matrices, train and test rows x targets.

        Raises
        ------
        InSampleError
            If a training patient has no inner out-of-fold score, or a test patient no outer one.
        """
        repeat, outer = (int(part[1:]) for part in fold.name.split("/")[:2])
        part = self.table[(self.table["repeat"] == repeat) & (self.table["outer"] == outer)]
        out = []
        for role, rows in (("train", fold.train), ("test", fold.test)):
            wide = part[part["role"] == role].pivot(index="patient", columns="target", values="score")
            names = [patients[row] for row in rows]
            absent = [name for name in names if name not in wide.index]
            if absent:
                message = (
                    f"fold {fold.name}: no out-of-fold {role} score for {len(absent)} patients, "
                    f"among them {absent[0]}; in-sample scores cannot take their place"
                )
                raise InSampleError(message)
            out.append(wide.loc[names, self.targets].to_numpy(dtype=float))
        return out[0], out[1]
