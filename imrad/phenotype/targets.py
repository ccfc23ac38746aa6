"""Targets: where each is cut into low and high, and whether it can carry the question at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imrad.evaluation import SplitTable
from imrad.exceptions import ConfigError
from imrad.phenotype.measures import hanley_mcneil_se

__all__ = ["CutRule", "Gates", "Target", "check_feasibility", "make_targets"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.intp]]
CutRule = str | float | Callable[[Floats], float]


@dataclass(frozen=True)
class Target:
    """One quantity to predict.

    Attributes
    ----------
    name : str
        Its name in the target language.
    values : ndarray, patients
        Measured quantity, NaN where it was not measured.
    rule : str, float or callable
        ``median``, ``zero``, ``continuous``, a cut-point, or a function of the training values.
    """

    name: str
    values: Floats
    rule: CutRule = "median"

    @property
    def measured(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether each patient has a value."""
        return ~np.isnan(self.values)

    @property
    def continuous(self) -> bool:
        """Whether predictions are judged by the measured quantity instead of by classes."""
        return isinstance(self.rule, str) and self.rule == "continuous"

    @property
    def rule_name(self) -> str:
        """The rule as the tables name it."""
        if callable(self.rule):
            return getattr(self.rule, "__name__", type(self.rule).__name__)
        if self.rule == "median" and _cut_at_zero(self.values[self.measured]):
            return "zero"
        return str(self.rule)

    def cut(self, training: Floats) -> float:
        """Return the cut-point learnt from training values; high means strictly above it."""
        if callable(self.rule):
            return float(self.rule(training))
        if self.rule == "zero":
            return 0.0
        if self.rule in ("median", "continuous"):
            return 0.0 if _cut_at_zero(training) else float(np.median(training))
        return float(self.rule)

    def truth(self, rows: Rows, cut: float) -> Floats:
        """Return what predictions for these measured rows are judged by."""
        return self.values[rows] if self.continuous else (self.values[rows] > cut).astype(float)


def _cut_at_zero(values: Floats) -> bool:
    """Whether zero parts low from high: where half of the values are 0, and where they are classes, 0 and 1."""
    if not len(values):
        return False
    zeros = values == 0
    return bool((zeros | (values == 1)).all()) or (bool(zeros.mean() >= 0.5) and bool(values.min() >= 0))


def make_targets(Y: pd.DataFrame, cut: CutRule | Mapping[str, CutRule]) -> list[Target]:
    """Return the targets of a table with their cut rules.

    Raises
    ------
    ConfigError
        If a rule is unknown or names a target that is not there.
    """
    rules: Mapping[str, CutRule] = cut if isinstance(cut, Mapping) else {}
    unknown = sorted(set(rules) - {str(name) for name in Y.columns} - {"*"})
    if unknown:
        message = (
            f"cut rules name unknown targets: {', '.join(unknown)}; the targets are {', '.join(map(str, Y.columns))}"
        )
        raise ConfigError(message)
    default: CutRule = rules.get("*", "median") if isinstance(cut, Mapping) else cut
    out = []
    for name in Y.columns:
        rule = rules.get(str(name), default)
        if isinstance(rule, str) and rule not in ("median", "zero", "continuous"):
            message = f"unknown cut {rule!r} for {name}; use 'median', 'zero', 'continuous' or a number"
            raise ConfigError(message)
        column = Y[name]
        if not pd.api.types.is_numeric_dtype(column.dtype):
            message = f"target {name} is not numeric; give it as numbers (0 and 1 for classes)"
            raise ConfigError(message)
        values = column.to_numpy(dtype=float, na_value=np.nan).copy()
        values[~np.isfinite(values)] = np.nan
        out.append(Target(str(name), values, rule))
    return out


@dataclass(frozen=True)
class Gates:
    """What a target must bring before anything is fitted.

    Attributes
    ----------
    min_patients : int
        Measured patients.
    min_class : int
        Patients of each class over the whole cohort.
    min_train_class : int
        Patients of each class in every training part, the inner ones included.
    min_folds : float
        Share of outer folds whose test part holds both classes.
    half_width : float
        Half-width of the AUC's 95 % interval that a report would claim; how many patients it takes
        is printed, not enforced.
    """

    min_patients: int = 30
    min_class: int = 8
    min_train_class: int = 3
    min_folds: float = 0.6
    half_width: float = 0.1


def check_feasibility(targets: list[Target], splits: SplitTable, gates: Gates) -> pd.DataFrame:
    """Say of every target, before anything is fitted, whether it can carry the question.

    Returns
    -------
    DataFrame
        target, feasible, reason, n, n_positive, n_negative, imbalance, zeros, ties, cut_rule, min_train_class,
        folds_with_both, folds, auc_half_width, n_needed. Class counts are those of the outer folds'
        own cuts; ``imbalance`` is the share of the smaller class, ``auc_half_width`` that of a
        95 % interval at an AUC of 0.7 (Hanley and McNeil), ``n_needed`` the patients, at these
        class shares, for the half-width asked.
    """
    return pd.DataFrame([_feasibility(target, splits, gates) for target in targets])


def _feasibility(target: Target, splits: SplitTable, gates: Gates) -> dict[str, Any]:
    values = target.values[target.measured]
    row: dict[str, Any] = {
        "target": target.name,
        "feasible": False,
        "reason": "",
        "n": len(values),
        "n_positive": 0,
        "n_negative": 0,
        "imbalance": np.nan,
        "zeros": float((values == 0).mean()) if len(values) else np.nan,
        "ties": 1 - len(np.unique(values)) / len(values) if len(values) else np.nan,
        "cut_rule": target.rule_name,
        "min_train_class": 0,
        "folds_with_both": 0,
        "folds": 0,
        "auc_half_width": np.nan,
        "n_needed": np.nan,
    }
    if len(values) < gates.min_patients:
        row["reason"] = f"{len(values)} patients measured; at least {gates.min_patients} are needed"
        return row
    if len(np.unique(values)) < 2:
        row["reason"] = f"constant: all {len(values)} patients have the value {values[0]:g}"
        return row
    positive, negative, smallest, both, folds = 0, 0, len(values), 0, 0
    for repeat in splits.repeats:
        for fold in splits.outer(repeat):
            train = fold.train[target.measured[fold.train]]
            test = fold.test[target.measured[fold.test]]
            if not len(train):
                smallest = 0
                continue
            high = target.values[test] > target.cut(target.values[train])
            if repeat == splits.repeats[0]:
                positive, negative = positive + int(high.sum()), negative + int((~high).sum())
            folds, both = folds + 1, both + int(high.any() and not high.all())
            for part in (fold, *splits.inner(fold)):
                inside = part.train[target.measured[part.train]]
                above = int((target.values[inside] > target.cut(target.values[inside])).sum()) if len(inside) else 0
                smallest = min(smallest, above, len(inside) - above)
    row.update(n_positive=positive, n_negative=negative, min_train_class=smallest, folds_with_both=both, folds=folds)
    row["imbalance"] = min(positive, negative) / max(positive + negative, 1)
    if positive and negative:
        half = 1.959964 * hanley_mcneil_se(0.7, positive, negative)
        row["auc_half_width"] = half
        # The variance falls as 1 / n at fixed class shares, nearly.
        row["n_needed"] = int(np.ceil(len(values) * (half / gates.half_width) ** 2))
    needed = int(np.ceil(gates.min_folds * folds))
    if min(positive, negative) < gates.min_class:
        row["reason"] = (
            f"{positive} patients are high and {negative} low ({row['cut_rule']} cut); "
            f"at least {gates.min_class} of each are needed"
        )
    elif smallest < gates.min_train_class:
        row["reason"] = (
            f"a training fold holds {smallest} patients of one class; at least {gates.min_train_class} are needed"
        )
    elif both < needed:
        row["reason"] = f"both classes are present in {both} of {folds} outer test folds; at least {needed} are needed"
    else:
        row["feasible"] = True
    return row
