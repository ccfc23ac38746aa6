"""A model of a binary outcome over blocks of predictors, learnt on the rows it is given and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.two_group import screen
from imrad.exceptions import ConfigError, FitError
from imrad.survival.design import BlockCoding
from imrad.survival.penalised import LOGISTIC, PenalisedPath, Problem, fit_path
from imrad.survival.penalty_choice import best, over_folds

__all__ = ["DEFAULT_BINARY_MODELS", "BinaryModel", "FittedBinaryModel", "fit_binary_model"]

Tables = Mapping[str, pd.DataFrame]
IntArray = np.ndarray[Any, np.dtype[np.intp]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

ESTIMATORS = ("logistic", "svm")


@dataclass(frozen=True)
class BinaryModel:
    """Which blocks a model sees and how.

    Attributes
    ----------
    name : str
    blocks : tuple of str
    unpenalised : tuple of str
        Blocks that enter without penalty; a model of such blocks alone is a plain logistic regression.
    screening : mapping of str to int
        Columns kept of a block by the smallest p of the rank-sum test on the training rows.
    choice : {"min", "1se"}
        Rule for the penalty, by cross-validated deviance.
    l1_ratio : float
        1 for the lasso, below for the elastic net.
    estimator : {"logistic", "svm"}
        ``svm``: a linear support vector machine on standardised columns, with probabilities from a
        logistic regression on its decision values of the inner folds.
    """

    name: str
    blocks: tuple[str, ...]
    unpenalised: tuple[str, ...] = ("Clinical", "Volume")
    screening: Mapping[str, int] = field(default_factory=lambda: {"Rad": 30})
    choice: str = "min"
    l1_ratio: float = 1.0
    estimator: str = "logistic"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        if self.choice not in ("min", "1se") or self.estimator not in ESTIMATORS or not 0 < self.l1_ratio <= 1:
            message = (
                f"model {self.name}: choice {self.choice!r}, estimator {self.estimator!r}, l1_ratio {self.l1_ratio}; "
                "choice is min or 1se, estimator logistic or svm, l1_ratio above 0 and at most 1"
            )
            raise ConfigError(message)

    @property
    def penalised(self) -> bool:
        """Whether the fit has a penalty that inner folds choose or calibrate."""
        return self.estimator == "svm" or any(block not in self.unpenalised for block in self.blocks)


DEFAULT_BINARY_MODELS = (
    BinaryModel("Clinical", ("Clinical",)),
    BinaryModel("Volume", ("Volume",)),
    BinaryModel("Rad", ("Rad",)),
    BinaryModel("ImRad", ("ImRad",)),
    BinaryModel("Clinical+Immune", ("Clinical", "Immune")),
    BinaryModel("Clinical+ImRad", ("Clinical", "ImRad")),
)


@dataclass(frozen=True)
class _Numbers:
    """BlockCoding of a block that holds numbers only, without its loop over columns."""

    names: list[str]
    fill: FloatArray

    @classmethod
    def learn(cls, table: pd.DataFrame) -> _Numbers:
        x = _finite(table)
        empty = np.isnan(x).all(axis=0)
        fill = np.zeros(x.shape[1])
        fill[~empty] = np.nanmedian(x[:, ~empty], axis=0)
        return cls([str(name) for name in table.columns], fill)

    def apply(self, table: pd.DataFrame) -> FloatArray:
        x = _finite(table)
        return np.where(np.isnan(x), self.fill, x)

    def to_plain(self) -> list[dict[str, Any]]:
        pairs = zip(self.names, self.fill, strict=True)
        return [{"name": name, "kind": "number", "fill": float(fill), "levels": []} for name, fill in pairs]


def _finite(table: pd.DataFrame) -> FloatArray:
    x = table.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(x), x, np.nan)


def _coding(table: pd.DataFrame) -> BlockCoding | _Numbers:
    if all(pd.api.types.is_numeric_dtype(kind) for kind in set(table.dtypes)):
        return _Numbers.learn(table)
    return BlockCoding.learn(table)


@dataclass(frozen=True)
class _Design:
    codings: dict[str, BlockCoding | _Numbers]
    kept: dict[str, IntArray]
    names: list[str]
    block: list[str]
    free: BoolArray

    @classmethod
    def learn(cls, model: BinaryModel, tables: Tables, y: BoolArray) -> _Design:
        codings: dict[str, BlockCoding | _Numbers] = {}
        kept: dict[str, IntArray] = {}
        names: list[str] = []
        block: list[str] = []
        for name in model.blocks:
            coding = _coding(tables[name])
            columns = np.arange(len(coding.names))
            if name in model.screening and len(columns) > model.screening[name]:
                p = screen(y, coding.apply(tables[name]))["p"].to_numpy(dtype=float)
                columns = np.sort(np.argsort(np.nan_to_num(p, nan=2.0), kind="stable")[: model.screening[name]])
            codings[name], kept[name] = coding, columns
            names += [coding.names[j] for j in columns]
            block += [name] * len(columns)
        free = np.array([name in model.unpenalised for name in block], dtype=bool)
        return cls(codings, kept, names, block, free)

    def apply(self, tables: Tables) -> FloatArray:
        return np.column_stack(
            [coding.apply(tables[name])[:, self.kept[name]] for name, coding in self.codings.items()]
        )


@dataclass(frozen=True)
class FittedBinaryModel:
    """A fitted model.

    Attributes
    ----------
    coef : ndarray
        Log odds ratios on the original scale; 0 where left out.
    intercept : float
    se : ndarray or None
        Of a plain logistic regression.
    penalty : float
        The lambda used; NaN without penalty.
    choice : DataFrame or None
        lambda, mean, se, n_selected, chosen.
    notes : list of str
    """

    model: BinaryModel
    design: _Design
    coef: FloatArray
    intercept: float
    se: FloatArray | None
    penalty: float
    choice: pd.DataFrame | None
    notes: list[str]

    @property
    def names(self) -> list[str]:
        """Coded columns."""
        return self.design.names

    @property
    def block(self) -> list[str]:
        """Block of each coded column."""
        return self.design.block

    def matrix(self, tables: Tables) -> FloatArray:
        """Return the coded matrix of patients."""
        return self.design.apply(tables)

    def linear_predictor(self, tables: Tables) -> FloatArray:
        """Return log odds."""
        return np.asarray(self.intercept + self.matrix(tables) @ self.coef)

    def probability(self, tables: Tables) -> FloatArray:
        """Return predicted probabilities of outcome 1."""
        return np.asarray(special.expit(self.linear_predictor(tables)))

    def to_plain(self) -> dict[str, Any]:
        """Return all that prediction needs, as plain values and arrays."""
        return {
            "name": self.model.name,
            "blocks": list(self.model.blocks),
            "coding": {name: coding.to_plain() for name, coding in self.design.codings.items()},
            "columns": {name: [int(j) for j in kept] for name, kept in self.design.kept.items()},
            "names": self.names,
            "coef": self.coef,
            "intercept": self.intercept,
            "penalty": self.penalty,
        }


def predict_plain(plain: Mapping[str, Any], tables: Tables) -> FloatArray:
    """Return the probabilities of a model kept by :meth:`FittedBinaryModel.to_plain`."""
    parts = [
        BlockCoding.from_plain(plain["coding"][name]).apply(tables[name])[:, plain["columns"][name]]
        for name in plain["blocks"]
    ]
    return np.asarray(special.expit(plain["intercept"] + np.column_stack(parts) @ np.asarray(plain["coef"])))


def fit_binary_model(model: BinaryModel, tables: Tables, y: BoolArray, label: IntArray) -> FittedBinaryModel:
    """Fit coding, screening, penalty and coefficients on training rows.

    Parameters
    ----------
    model : BinaryModel
    tables : mapping of str to DataFrame
        The training rows of each block.
    y : ndarray of bool, shape (n_train,)
    label : ndarray of int, shape (n_train,)
        Inner folds, in which coding and screening are repeated; rows of one patient share a fold.

    Raises
    ------
    FitError
        If a class is empty, in the training rows or without an inner fold, or no column is left.
    """
    _require_classes(y, model.name)
    design = _Design.learn(model, tables, y)
    x = design.apply(tables)
    if x.shape[1] == 0:
        message = f"model {model.name}: no column is left in {', '.join(model.blocks)}"
        raise FitError(message)
    notes: list[str] = []
    if model.estimator == "svm":
        coef, intercept = _support_vectors(model, design, x, tables, y, label)
        return FittedBinaryModel(model, design, coef, intercept, None, np.nan, None, notes)
    if not model.penalised:
        coef, intercept, se, penalty = _plain(model, x, y, notes)
        return FittedBinaryModel(model, design, coef, intercept, se, penalty, None, notes)
    path, step, table = _penalised(model, design, x, tables, y, label, notes)
    coef, intercept = path.coef[:, step].copy(), float(path.intercept[step])
    return FittedBinaryModel(model, design, coef, intercept, None, float(path.lambdas[step]), table, notes)


def _require_classes(y: BoolArray, name: str, where: str = "the training patients") -> None:
    n, positive = len(y), int(y.sum())
    if min(positive, n - positive) < 2:
        message = f"model {name}: {positive} of {n} {where} have outcome 1; at least 2 of each class are needed"
        raise FitError(message)


def _plain(
    model: BinaryModel, x: FloatArray, y: BoolArray, notes: list[str]
) -> tuple[FloatArray, float, FloatArray | None, float]:
    varies = np.ptp(x, axis=0) > 0
    coef, se = np.zeros(x.shape[1]), np.full(x.shape[1], np.nan)
    reason = ""
    try:
        fit = fit_logistic(y, x[:, varies])
        reason = "the columns separate the classes" if fit.separated else ""
    except FitError as error:
        reason = str(error)
    if not reason:
        coef[varies], se[varies] = fit.coef[1:], np.sqrt(np.diag(fit.covariance))[1:]
        return coef, float(fit.coef[0]), se, np.nan
    # A little ridge keeps coefficients finite; tables then show no standard errors.
    penalty = 1.0 / len(y)
    problem = Problem.linear(x, y.astype(float), LOGISTIC)
    path = fit_path(problem, l1_ratio=0.0, lambdas=np.array([100 * penalty, 10 * penalty, penalty]))
    notes.append(f"{model.name}: {reason}; a ridge penalty was used")
    return path.coef[:, -1].copy(), float(path.intercept[-1]), None, penalty


def _path(model: BinaryModel, free: BoolArray, x: FloatArray, y: BoolArray, notes: list[str]) -> PenalisedPath:
    problem = Problem.linear(x, y.astype(float), LOGISTIC)
    factor = np.where(free, 0.0, 1.0)
    for ratio in (None, 0.01, 0.05):
        # Where the penalised columns can separate the classes, the path must end at a larger penalty.
        try:
            return fit_path(problem, l1_ratio=model.l1_ratio, penalty_factor=factor, lambda_min_ratio=ratio)
        except FitError as error:
            reason = str(error)
    if free.any():
        notes.append(f"{model.name}: {reason}; they were given a twentieth of the penalty")
    factor = np.where(free, 0.05, 1.0)
    return fit_path(problem, l1_ratio=model.l1_ratio, penalty_factor=factor, lambda_min_ratio=0.1)


def _penalised(
    model: BinaryModel,
    design: _Design,
    x: FloatArray,
    tables: Tables,
    y: BoolArray,
    label: IntArray,
    notes: list[str],
) -> tuple[PenalisedPath, int, pd.DataFrame]:
    path = _path(model, design.free, x, y, notes)

    def scores(kept: IntArray) -> FloatArray:
        inside = {name: tables[name].iloc[kept] for name in model.blocks}
        own = _Design.learn(model, inside, y[kept])
        coef, intercept = _path(model, own.free, own.apply(inside), y[kept], notes).at(path.lambdas)
        return np.asarray(intercept + own.apply(tables) @ coef)

    deviance, size = [], []
    for out, value in _inner(model, y, label, scores):
        deviance.append(2 * np.mean(np.logaddexp(0.0, value[out]) - y[out, None] * value[out], axis=0))
        size.append(float(out.sum()))
    mean, error = over_folds(np.array(deviance), np.array(size))
    lowest, within = best(mean, error, larger_is_better=False)
    step = lowest if model.choice == "min" else within
    table = pd.DataFrame({"lambda": path.lambdas, "mean": mean, "se": error})
    table["n_selected"] = (path.coef != 0).sum(axis=0)
    table["chosen"] = np.arange(len(table)) == step
    return path, step, table


def _inner(
    model: BinaryModel, y: BoolArray, label: IntArray, scores: Callable[[IntArray], FloatArray]
) -> list[tuple[BoolArray, FloatArray]]:
    parts = []
    for fold in np.unique(label):
        out = label == fold
        _require_classes(y[~out], model.name, f"patients outside inner fold {fold}")
        parts.append((out, scores(np.flatnonzero(~out))))
    return parts


def _support_vectors(
    model: BinaryModel, design: _Design, x: FloatArray, tables: Tables, y: BoolArray, label: IntArray
) -> tuple[FloatArray, float]:
    from sklearn.svm import SVC

    def machine(columns: FloatArray, classes: BoolArray) -> tuple[FloatArray, float]:
        mean, sd = columns.mean(axis=0), columns.std(axis=0)
        scale = np.where(sd > 0, sd, 1.0)
        fitted = SVC(kernel="linear", C=1.0, class_weight="balanced").fit((columns - mean) / scale, classes)
        weight = fitted.coef_[0] / scale
        return np.asarray(weight), float(fitted.intercept_[0] - weight @ mean)

    def scores(kept: IntArray) -> FloatArray:
        inside = {name: tables[name].iloc[kept] for name in model.blocks}
        own = _Design.learn(model, inside, y[kept])
        weight, offset = machine(own.apply(inside), y[kept])
        return np.asarray(own.apply(tables) @ weight + offset)

    held = np.zeros(len(y))
    for out, value in _inner(model, y, label, scores):
        held[out] = value[out]
    weight, offset = machine(x, y)
    slope, start = 1.0, 0.0
    if np.ptp(held) > 0:
        scaling = fit_logistic(y, held)
        if not scaling.separated:
            start, slope = float(scaling.coef[0]), max(float(scaling.coef[1]), 0.0)
    return weight * slope, start + slope * offset
