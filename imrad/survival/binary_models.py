"""A model of a binary outcome over blocks of predictors, learnt on the rows it is given and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from imrad.evaluation.logistic import fit_logistic
from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.preparation import Preparation
from imrad.exceptions import ConfigError, FitError
from imrad.survival.binary_design import Design, Rows
from imrad.survival.binary_forest import FittedForest, fit_forest
from imrad.survival.penalised import LOGISTIC, PenalisedPath, Problem, fit_path
from imrad.survival.penalty_choice import best, over_folds

__all__ = ["DEFAULT_BINARY_MODELS", "BinaryModel", "FittedBinaryModel", "fit_binary_model"]

Tables = Mapping[str, pd.DataFrame]
IntArray = np.ndarray[Any, np.dtype[np.intp]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

ESTIMATORS = ("logistic", "svm", "forest")


@dataclass(frozen=True)
class BinaryModel:
    """Which blocks a model sees and how.

    Attributes
    ----------
    name : str
    blocks : tuple of str
    unpenalised : tuple of str
        Blocks that enter without penalty; a model of such blocks alone is a plain logistic regression.
    screening : mapping of str to number
        What is kept of a block by the rank-sum test on the training rows: a whole number is how many
        columns, the smallest p first; a number below 1 is the p below which a column stays.
    choice : {"min", "1se"}
        Rule for the penalty, by cross-validated deviance.
    l1_ratio : float
        1 for the lasso, below for the elastic net.
    estimator : {"logistic", "svm", "forest"}
        ``svm``: a linear support vector machine on standardised columns, with probabilities from a
        logistic regression on its decision values of the inner folds. ``forest``: a random forest, which
        enters as a score.
    select : bool
        Let the lasso choose columns first; the estimator is then fitted on those, without penalty.
    combine : bool
        Let the penalised blocks enter as one score beside the unpenalised columns of a plain logistic
        regression; a training patient's score comes from the inner fold that had not seen it.
    components : int
        Principal components of the blocks that a forest grows on; 0 for the columns themselves.
    cuts : tuple of str
        Columns that are cut at Youden's point of the training rows.
    prepare : mapping of str to Preparation
        Steps before the coding of a block, fitted on the training rows, in inner folds too.
    seed : int
        Of a forest.
    """

    name: str
    blocks: tuple[str, ...]
    unpenalised: tuple[str, ...] = ("Clinical", "Volume")
    screening: Mapping[str, float] = field(default_factory=lambda: {"Rad": 30})
    choice: str = "min"
    l1_ratio: float = 1.0
    estimator: str = "logistic"
    select: bool = False
    combine: bool = False
    components: int = 0
    cuts: tuple[str, ...] = ()
    prepare: Mapping[str, Preparation] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        if self.choice not in ("min", "1se") or self.estimator not in ESTIMATORS or not 0 < self.l1_ratio <= 1:
            message = (
                f"model {self.name}: choice {self.choice!r}, estimator {self.estimator!r}, l1_ratio {self.l1_ratio}; "
                f"choice is min or 1se, estimator {', '.join(ESTIMATORS)}, l1_ratio above 0 and at most 1"
            )
            raise ConfigError(message)
        if (self.select or self.combine or self.estimator == "forest") and not self.scored_blocks:
            message = (
                f"model {self.name} selects columns or makes a score of blocks, but all of its blocks "
                f"({', '.join(self.blocks)}) are unpenalised; add a block such as Rad"
            )
            raise ConfigError(message)
        if self.components and self.estimator != "forest":
            message = f"model {self.name}: components are for the estimator forest; found {self.estimator}"
            raise ConfigError(message)

    @property
    def scored_blocks(self) -> tuple[str, ...]:
        """Blocks that are penalised, or enter as a score."""
        return tuple(block for block in self.blocks if block not in self.unpenalised)

    @property
    def scored(self) -> bool:
        """Whether blocks enter as one score."""
        return self.combine or self.estimator == "forest"

    @property
    def penalised(self) -> bool:
        """Whether the fit has a penalty or a score that inner folds choose or make."""
        return self.estimator == "svm" or bool(self.scored_blocks)


DEFAULT_BINARY_MODELS = (
    BinaryModel("Clinical", ("Clinical",)),
    BinaryModel("Volume", ("Volume",)),
    BinaryModel("Rad", ("Rad",)),
    BinaryModel("ImRad", ("ImRad",)),
    BinaryModel("Clinical+Rad", ("Clinical", "Rad")),
    BinaryModel("Clinical+Immune", ("Clinical", "Immune")),
    BinaryModel("Clinical+ImRad", ("Clinical", "ImRad")),
)


@dataclass(frozen=True)
class FittedBinaryModel:
    """A fitted model.

    Attributes
    ----------
    coef : ndarray
        Log odds ratios on the original scale, columns as `names`; 0 where left out.
    intercept : float
    se : ndarray or None
        Of a plain logistic regression.
    penalty : float
        The lambda used; NaN without penalty.
    choice : DataFrame or None
        lambda, mean, se, n_selected, chosen.
    notes : list of str
    score : FittedBinaryModel, FittedForest or None
        What makes the last column, where blocks enter as a score.
    training : ndarray
        Log odds of the training rows, scores out of fold: where a threshold is learnt.
    path : PenalisedPath or None
        Of a lasso that is the model itself: the coefficients at every penalty.
    """

    model: BinaryModel
    design: Design
    coef: FloatArray
    intercept: float
    se: FloatArray | None
    penalty: float
    choice: pd.DataFrame | None
    notes: list[str]
    score: FittedBinaryModel | FittedForest | None = None
    training: FloatArray = field(default_factory=lambda: np.zeros(0))
    path: PenalisedPath | None = None

    @property
    def names(self) -> list[str]:
        """Coded columns, and the score."""
        return [*self.design.names, *([score_name(self.model)] if self.score is not None else [])]

    @property
    def block(self) -> list[str]:
        """Block of each coded column."""
        return [*self.design.block, *(["+".join(self.model.scored_blocks)] if self.score is not None else [])]

    def matrix(self, tables: Tables) -> FloatArray:
        """Return the coded matrix of patients."""
        matrix = self.design.apply(tables)
        return matrix if self.score is None else np.column_stack([matrix, self.score.value(tables)])

    def linear_predictor(self, tables: Tables) -> FloatArray:
        """Return log odds."""
        return np.asarray(self.intercept + self.matrix(tables) @ self.coef)

    def value(self, tables: Tables) -> FloatArray:
        """Return log odds, or the decision values of a machine that is part of another model."""
        return self.linear_predictor(tables)

    def probability(self, tables: Tables) -> FloatArray:
        """Return predicted probabilities of outcome 1."""
        return np.asarray(special.expit(self.linear_predictor(tables)))

    def to_plain(self) -> dict[str, Any]:
        """Return all that prediction needs, as plain values and arrays."""
        return {
            "kind": "linear",
            "name": self.model.name,
            "blocks": list(self.model.blocks),
            **self.design.to_plain(),
            "names": self.names,
            "coef": self.coef,
            "intercept": self.intercept,
            "penalty": self.penalty,
            "score": {} if self.score is None else self.score.to_plain(),
        }

    def funnel(self) -> list[dict[str, Any]]:
        """Return block, step, n_in and n_out of every step from raw columns to coefficients."""
        rows = [{"block": block} | row for block, steps in self.design.funnel.items() for row in steps]
        if isinstance(self.score, FittedForest):
            rows += [{"block": block} | row for block, steps in self.score.design.funnel.items() for row in steps]
            inputs = len(self.score.inputs)
            rows.append({"block": self.block[-1], "step": "forest", "n_in": len(self.score.design.names)})
            return [*rows[:-1], rows[-1] | {"n_out": inputs}]
        if self.score is not None:
            return rows + self.score.funnel()
        for block in dict.fromkeys(self.design.block) if self.model.penalised else ():
            mine = np.array([name == block for name in self.design.block])
            used = int((self.coef[mine] != 0).sum())
            left = self.design.funnel.get(block, [])
            rows.append({"block": block, "step": "lasso" if self.choice is not None else self.model.estimator})
            rows[-1] |= {"n_in": left[-1]["n_out"] if left else int(mine.sum()), "n_out": used}
        return rows


def score_name(model: BinaryModel) -> str:
    """Return the name of the column that a model's scored blocks become."""
    return f"{'+'.join(model.scored_blocks)} score"


def fit_binary_model(
    model: BinaryModel, tables: Tables | Rows, y: BoolArray, label: IntArray, *, share_penalty: bool = False
) -> FittedBinaryModel:
    """Fit coding, screening, penalty and coefficients on training rows.

    Parameters
    ----------
    model : BinaryModel
    tables : mapping of str to DataFrame, or Rows
        The training rows of each block.
    y : ndarray of bool, shape (n_train,)
    label : ndarray of int, shape (n_train,)
        Inner folds, in which coding and screening are repeated; rows of one patient share a fold.
    share_penalty : bool
        Whether the fits that give out-of-fold scores take the penalty of these rows instead of choosing their
        own: three times faster, for resamples, whose scores are nobody's prediction.

    Raises
    ------
    FitError
        If a class is empty, in the training rows or without an inner fold, or a block has no column.
    """
    _require_classes(y, model.name)
    rows = tables if isinstance(tables, Rows) else Rows.of(tables, model)
    if not any(rows.tables[name].shape[1] for name in model.blocks):
        message = f"model {model.name}: no column is left in {', '.join(model.blocks)}"
        raise FitError(message)
    if model.scored:
        return _with_score(model, rows, y, label, share_penalty)
    if model.estimator == "svm":
        machine = _machine(model, rows, y, label)
        start, slope = _scaling(y, _held_out(model, rows, y, label, machine.penalty if share_penalty else None))
        coef, intercept = machine.coef * slope, start + slope * machine.intercept
        return _finished(replace(machine, coef=coef, intercept=intercept), rows)
    notes: list[str] = []
    design = Design.learn(model, rows, y)
    if not model.penalised:
        return _finished(_plain(model, design, rows, y, notes), rows)
    return _finished(_lasso(model, design, rows, y, label, notes), rows)


def _lasso(
    model: BinaryModel,
    design: Design,
    rows: Rows,
    y: BoolArray,
    label: IntArray,
    notes: list[str],
    penalty: float | None = None,
) -> FittedBinaryModel:
    """Fit the lasso, its penalty chosen in the inner folds or given, and where asked refit what it selects."""
    if penalty is None:
        path, step, table = _penalised(model, design, rows, y, label, notes)
        coef, intercept, penalty = path.coef[:, step].copy(), float(path.intercept[step]), float(path.lambdas[step])
    else:
        table = None
        path = _path(model, design.free, design.apply(rows.tables), y, notes)
        found, start = path.at(np.array([penalty]))
        coef, intercept = found[:, 0].copy(), float(start[0])
    if model.select and model.estimator == "logistic":
        fitted = _plain(model, design.only(design.free | (coef != 0)), rows, y, notes)
        return replace(fitted, choice=table, penalty=penalty)
    return FittedBinaryModel(model, design, coef, intercept, None, penalty, table, notes, path=path)


def _finished(fitted: FittedBinaryModel, rows: Rows) -> FittedBinaryModel:
    return replace(fitted, training=fitted.linear_predictor(rows.tables))


def _require_classes(y: BoolArray, name: str, where: str = "the training patients") -> None:
    n, positive = len(y), int(y.sum())
    if min(positive, n - positive) < 2:
        message = f"model {name}: {positive} of {n} {where} have outcome 1; at least 2 of each class are needed"
        raise FitError(message)


def _plain(model: BinaryModel, design: Design, rows: Rows, y: BoolArray, notes: list[str]) -> FittedBinaryModel:
    coef, intercept, se, penalty = _logistic(model, design.apply(rows.tables), y, notes)
    return FittedBinaryModel(model, design, coef, intercept, se, penalty, None, notes)


def _logistic(
    model: BinaryModel, x: FloatArray, y: BoolArray, notes: list[str]
) -> tuple[FloatArray, float, FloatArray | None, float]:
    if x.shape[1] == 0:
        notes.append(f"{model.name}: no column passed, so everybody gets the same probability")
        return np.zeros(0), float(special.logit(y.mean())), np.zeros(0), np.nan
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
    model: BinaryModel, design: Design, rows: Rows, y: BoolArray, label: IntArray, notes: list[str]
) -> tuple[PenalisedPath, int, pd.DataFrame]:
    path = _path(model, design.free, design.apply(rows.tables), y, notes)

    def scores(kept: IntArray) -> FloatArray:
        inside = rows.take(kept)
        own = Design.learn(model, inside, y[kept])
        coef, intercept = _path(model, own.free, own.apply(inside.tables), y[kept], notes).at(path.lambdas)
        return np.asarray(intercept + own.apply(rows.tables) @ coef)

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
) -> Iterator[tuple[BoolArray, FloatArray]]:
    for fold in np.unique(label):
        out = label == fold
        _require_classes(y[~out], model.name, f"patients outside inner fold {fold}")
        yield out, scores(np.flatnonzero(~out))


def _raw(
    model: BinaryModel, rows: Rows, y: BoolArray, label: IntArray, penalty: float | None = None
) -> FittedBinaryModel | FittedForest:
    """Fit what makes a score: a machine's decision values, a forest's votes or a lasso's log odds."""
    if model.estimator == "forest":
        return fit_forest(model, rows, y)
    if model.estimator == "svm":
        return _machine(model, rows, y, label, penalty)
    _require_classes(y, model.name)
    return _finished(_lasso(model, Design.learn(model, rows, y), rows, y, label, [], penalty), rows)


def _held_out(
    model: BinaryModel, rows: Rows, y: BoolArray, label: IntArray, penalty: float | None = None
) -> FloatArray:
    """Return each row's value by the fit without its inner fold."""
    held = np.zeros(len(y))

    def values(kept: IntArray) -> FloatArray:
        rest = label[kept]
        if len(np.unique(rest)) < 2:
            # Two inner folds leave one; its rows are dealt anew, class by class.
            order = np.argsort(y[kept], kind="stable")
            rest = np.empty(len(kept), dtype=np.intp)
            rest[order] = np.arange(len(kept)) % 3
        return _raw(model, rows.take(kept), y[kept], rest, penalty).value(rows.tables)

    for out, value in _inner(model, y, label, values):
        held[out] = value[out]
    return held


def _machine(
    model: BinaryModel, rows: Rows, y: BoolArray, label: IntArray, given: float | None = None
) -> FittedBinaryModel:
    """Fit a linear support vector machine; its coefficients give decision values, not log odds."""
    from sklearn.svm import SVC

    notes: list[str] = []
    design, table, penalty = Design.learn(model, rows, y), None, np.nan
    if model.select:
        lasso = _lasso(model, design, rows, y, label, notes, given)
        design, penalty, table = design.only(design.free | (lasso.coef != 0)), lasso.penalty, lasso.choice
    x = design.apply(rows.tables)
    if x.shape[1] == 0:
        notes.append(f"{model.name}: no column passed, so everybody gets the same probability")
        return FittedBinaryModel(model, design, np.zeros(0), 0.0, None, penalty, table, notes)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    scale = np.where(sd > 0, sd, 1.0)
    fitted = SVC(kernel="linear", C=1.0, class_weight="balanced").fit((x - mean) / scale, y)
    weight = np.asarray(fitted.coef_[0] / scale)
    offset = float(fitted.intercept_[0] - weight @ mean)
    return FittedBinaryModel(model, design, weight, offset, None, penalty, table, notes)


def _scaling(y: BoolArray, held: FloatArray) -> tuple[float, float]:
    """Return intercept and slope that turn held-out decision values into log odds; never a falling slope."""
    if np.ptp(held) == 0:
        return float(special.logit(y.mean())), 0.0
    scaling = fit_logistic(y, held)
    return (0.0, 1.0) if scaling.separated else (float(scaling.coef[0]), max(float(scaling.coef[1]), 0.0))


def _with_score(
    model: BinaryModel, rows: Rows, y: BoolArray, label: IntArray, share_penalty: bool
) -> FittedBinaryModel:
    sub = replace(model, blocks=model.scored_blocks, unpenalised=(), combine=False, cuts=())
    free = tuple(name for name in model.blocks if name in model.unpenalised)
    score = _raw(sub, rows, y, label)
    penalty = score.penalty if share_penalty and isinstance(score, FittedBinaryModel) else None
    held = _held_out(sub, rows, y, label, None if penalty is None or np.isnan(penalty) else penalty)
    design = Design.learn(model, rows, y, free)
    notes = list(score.notes) if isinstance(score, FittedBinaryModel) else []
    x = np.column_stack([design.apply(rows.tables), held])
    coef, intercept, se, penalty = _logistic(model, x, y, notes)
    training = np.asarray(intercept + x @ coef)
    return FittedBinaryModel(model, design, coef, intercept, se, penalty, None, notes, score, training)
