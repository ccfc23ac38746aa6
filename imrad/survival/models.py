"""A survival model over blocks of predictors: everything it learns, it learns on the rows it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.evaluation.preparation import FittedPreparation, Preparation
from imrad.exceptions import ConfigError, FitError
from imrad.survival.baseline import breslow_hazard, survival_at
from imrad.survival.coxph import CoxPH
from imrad.survival.design import BlockCoding
from imrad.survival.lasso_cox import choose_penalty
from imrad.survival.penalised import PenalisedPath, Problem, fit_path
from imrad.survival.radscore import Radscore
from imrad.survival.screening import SurvivalMRMR, UnivariateCox
from imrad.survival.tree_learners import GradientBoostedCox, SurvivalForest
from imrad.survival.trees import TreeSum

__all__ = [
    "COMPARISON_MODELS",
    "DEFAULT_MODELS",
    "RADSCORE_MODEL",
    "BlockModel",
    "FittedBlockModel",
    "fit_block_model",
    "named_model",
]

Tables = Mapping[str, pd.DataFrame]
IntArray = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class BlockModel:
    """Which blocks a model sees and how.

    Attributes
    ----------
    name : str
        As in the tables.
    blocks : tuple of str
        Names of the blocks, in order.
    unpenalised : tuple of str
        Blocks that enter without penalty; a model of such blocks alone is a plain Cox regression.
    screening : mapping of str to selector
        Selector per block (``"mrmr"``, ``"univariate"`` or an estimator with ``selected_``), fitted
        on the training rows before the penalised model.
    choice : {"min", "1se"}
        Rule for the penalty.
    cut : tuple of str
        Blocks whose columns are cut at the training median into high (1) and low (0), as one founding
        study does.
    learner : estimator, optional
        Instead of the (penalised) Cox regression, such as a survival forest; fitted on all columns.
    prepare : mapping of str to Preparation
        Steps per block that stand before coding and screening, fitted on the training rows.
    resampled : bool
        Whether its optimism is bootstrapped; too slow for models of many learners.
    """

    name: str
    blocks: tuple[str, ...]
    unpenalised: tuple[str, ...] = ("Clinical", "Volume")
    screening: Mapping[str, Any] = field(default_factory=lambda: {"Rad": "mrmr"})
    choice: str = "min"
    cut: tuple[str, ...] = ()
    learner: Any = None
    prepare: Mapping[str, Preparation] = field(default_factory=dict)
    resampled: bool = True

    @property
    def penalised(self) -> bool:
        """Whether any block is penalised."""
        return self.learner is None and any(block not in self.unpenalised for block in self.blocks)


DEFAULT_MODELS = (
    BlockModel("Clinical", ("Clinical",)),
    BlockModel("Volume", ("Volume",)),
    BlockModel("Rad", ("Rad",)),
    BlockModel("ImRad", ("ImRad",)),
    BlockModel("Clinical+Immune", ("Clinical", "Immune")),
    BlockModel("Clinical+ImRad", ("Clinical", "ImRad")),
)

COMPARISON_MODELS = (
    BlockModel("Rad (GBM-Cox)", ("Rad",), learner=GradientBoostedCox()),
    BlockModel("Clinical+ImRad (forest)", ("Clinical", "ImRad"), learner=SurvivalForest(n_trees=200, min_leaf=5)),
)
"""The founding study's gradient boosting of radiomics, and a forest that needs no linearity."""

RADSCORE_MODEL = BlockModel("Radscore", ("Rad",), screening={}, learner=Radscore(), resampled=False)
"""The oesophageal founding study's: what six learners share, in a stepwise Cox regression."""

LEARNERS: dict[str, Any] = {
    "lasso": None,
    "gbm": GradientBoostedCox(),
    "forest": SurvivalForest(n_trees=200, min_leaf=5),
    "radscore": Radscore(),
}
"""Learners by their name in a config; None is the (penalised) Cox regression."""


def named_model(name: str, blocks: tuple[str, ...], learner: str, choice: str, cut: tuple[str, ...]) -> BlockModel:
    """Return a model as a config names it."""
    screening = {} if learner == "radscore" else {"Rad": "mrmr"}
    slow = learner == "radscore"
    return BlockModel(
        name, blocks, screening=screening, choice=choice, cut=cut, learner=LEARNERS[learner], resampled=not slow
    )


_SCREENS = {"mrmr": SurvivalMRMR(k=30), "univariate": UnivariateCox(k=30, alpha=None)}


@dataclass(frozen=True)
class _Design:
    """Coding and screening of every block, learnt on training rows."""

    codings: dict[str, BlockCoding]
    kept: dict[str, IntArray]
    median: dict[str, FloatArray]
    names: list[str]
    block: list[str]
    free: BoolArray
    prepared: dict[str, FittedPreparation] = field(default_factory=dict)
    sides: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def learn(cls, model: BlockModel, tables: Tables, time: FloatArray, event: BoolArray) -> _Design:
        codings, kept, median = {}, {}, {}
        prepared: dict[str, FittedPreparation] = {}
        sides: dict[str, Mapping[str, Any]] = {}
        names: list[str] = []
        block: list[str] = []
        for name in model.blocks:
            table = tables[name]
            if name in model.prepare:
                prepared[name] = model.prepare[name].fit(table, (time, event))
                sides[name] = model.prepare[name].sides
                table = prepared[name].transform(table, sides[name])
            coding = BlockCoding.learn(table)
            columns = np.arange(len(coding.names))
            screen = model.screening.get(name)
            if screen is not None and len(columns):
                columns = np.sort(_selector(screen).fit(coding.apply(table), (time, event)).selected_)
            codings[name], kept[name] = coding, columns
            if name in model.cut:
                median[name] = np.median(coding.apply(table)[:, columns], axis=0)
            names += [coding.names[j] + (" high" if name in model.cut else "") for j in columns]
            block += [name] * len(columns)
        free = np.array([name in model.unpenalised for name in block], dtype=bool)
        return cls(codings, kept, median, names, block, free, prepared, sides)

    def apply(self, tables: Tables) -> FloatArray:
        parts = []
        for name, coding in self.codings.items():
            table = tables[name]
            if name in self.prepared:
                table = self.prepared[name].transform(table, self.sides[name])
            part = coding.apply(table)[:, self.kept[name]]
            parts.append((part > self.median[name]).astype(float) if name in self.median else part)
        return np.column_stack(parts)


def _selector(screen: Any) -> Any:
    if isinstance(screen, str):
        if screen not in _SCREENS:
            message = f"unknown screening {screen!r}; known are {', '.join(_SCREENS)}"
            raise ConfigError(message)
        screen = _SCREENS[screen]
    return clone(screen)


@dataclass(frozen=True)
class FittedBlockModel:
    """A fitted model over blocks.

    Attributes
    ----------
    names, block : list of str
        Coded columns that reached the model, and the block of each.
    coef : ndarray
        0 where the penalty, or a constant column, left it out.
    variance : ndarray or None
        Of a plain Cox regression's coefficients.
    penalty : float
        The lambda used; NaN without penalty.
    choice : DataFrame or None
        Cross-validation of the penalty: lambda, mean, se, n_selected, chosen.
    path : PenalisedPath or None
    notes : list of str
        What had to be done differently, such as a ridge against separation.
    learner : estimator or None
        Only where it is neither linear nor a sum of trees, and so cannot be stored.
    trees : TreeSum or None
        Of boosting or a forest; `slope` brings their sum to the scale of a log hazard.
    """

    model: BlockModel
    design: _Design
    coef: FloatArray
    variance: FloatArray | None
    offset: float
    event_times: FloatArray
    hazard: FloatArray
    penalty: float
    choice: pd.DataFrame | None
    path: PenalisedPath | None
    notes: list[str]
    learner: Any = None
    trees: TreeSum | None = None
    slope: float = 1.0
    votes: dict[str, Any] | None = None

    @property
    def used(self) -> BoolArray:
        """Which coded columns have a part in the risk."""
        if self.trees is not None:
            return np.isin(np.arange(len(self.coef)), self.trees.used)
        if self.learner is not None:
            return np.ones(len(self.coef), dtype=bool)
        return np.asarray(self.coef != 0)

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

    def risk(self, tables: Tables) -> FloatArray:
        """Return linear predictors, 0 at the training mean; higher is an earlier event."""
        X = self.matrix(tables)
        if self.trees is not None:
            return self.slope * self.trees.predict(X) - self.offset
        if self.learner is not None:
            return np.asarray(self.slope * self.learner.predict(X) - self.offset)
        return np.asarray(X @ self.coef - self.offset)

    def survival(self, risk: FloatArray, times: Any) -> FloatArray:
        """Return survival probabilities of risks, shape (n_patients, n_times)."""
        return survival_at(self.event_times, self.hazard, risk, times)

    def contributions(self, X: FloatArray) -> FloatArray:
        """Return what each column of a coded matrix adds to each patient's risk, shape (n_patients, n_names).

        Exact for linear models (coefficient times distance from the mean of `X`), Shapley values for
        trees; NaN for models that are neither.
        """
        if self.trees is not None:
            return self.slope * self.trees.shapley(X)
        if self.learner is not None:
            return np.full(X.shape, np.nan)
        return np.asarray((X - X.mean(axis=0)) * self.coef)

    def to_plain(self) -> dict[str, Any]:
        """Return all that prediction needs, as plain values and arrays."""
        return {
            "name": self.model.name,
            "blocks": list(self.model.blocks),
            "coding": {name: coding.to_plain() for name, coding in self.design.codings.items()},
            "columns": {name: [int(j) for j in kept] for name, kept in self.design.kept.items()},
            "names": self.names,
            "coef": self.coef,
            "offset": self.offset,
            "event_times": self.event_times,
            "baseline_hazard": self.hazard,
            "penalty": self.penalty,
            "median": dict(self.design.median),
            "trees": None if self.trees is None else self.trees.to_plain(),
            "slope": self.slope,
            "usable": self.learner is None and all(part.travels for part in self.design.prepared.values()),
            "prepare": {name: part.to_plain() for name, part in self.design.prepared.items() if part.travels},
        }


def fit_block_model(
    model: BlockModel, tables: Tables, time: FloatArray, event: BoolArray, label: IntArray
) -> FittedBlockModel:
    """Fit coding, screening, penalty and coefficients on training rows.

    Parameters
    ----------
    model : BlockModel
    tables : mapping of str to DataFrame
        The training rows of each block.
    time, event : ndarray, shape (n_train,)
    label : ndarray of int, shape (n_train,)
        Folds in which the penalty is chosen, coding and screening repeated in each; rows of one
        patient share a fold.

    Raises
    ------
    FitError
        If no column is left, or a fold has too few events.
    """
    design = _Design.learn(model, tables, time, event)
    X = design.apply(tables)
    if X.shape[1] == 0:
        message = f"model {model.name}: no column is left in {', '.join(model.blocks)}"
        raise FitError(message)
    notes: list[str] = []
    if model.learner is not None:
        return _learned(model, design, X, time, event)
    variance: FloatArray | None = None
    penalty, table, path = np.nan, None, None
    if model.penalised:
        path, step, table = _penalised(model, design, X, tables, time, event, label, notes)
        coef, penalty = path.coef[:, step].copy(), float(path.lambdas[step])
    else:
        coef, variance = _plain(model, design.names, X, time, event, notes)
    score = X @ coef
    offset = float(score.mean())
    moments, hazard = breslow_hazard(time, event, score - offset)
    return FittedBlockModel(model, design, coef, variance, offset, moments, hazard, penalty, table, path, notes)


def _learned(model: BlockModel, design: _Design, X: FloatArray, time: FloatArray, event: BoolArray) -> FittedBlockModel:
    fitted = clone(model.learner).fit(X, (time, event))
    risk = np.asarray(fitted.predict(X))
    slope = 1.0
    # A forest's risk is no log hazard: its scale is learnt on out-of-bag predictions.
    out_of_bag = getattr(fitted, "oob_risk_", None)
    if out_of_bag is not None:
        known = np.isfinite(out_of_bag)
        scale = CoxPH(ridge=1e-3).fit(out_of_bag[known, None], (time[known], event[known]))
        slope = max(float(np.nan_to_num(scale.coef_[0])), 1e-6)
    linear = np.asarray(getattr(fitted, "coef_", np.zeros(0)), dtype=float)
    if linear.shape == (X.shape[1],):
        coef = slope * linear
        risk, learner, trees = X @ linear, None, None
    else:
        coef, trees = np.zeros(X.shape[1]), getattr(fitted, "trees_", None)
        trees = trees if isinstance(trees, TreeSum) else None
        learner = fitted if trees is None else None
    offset = float(slope * risk.mean())
    moments, hazard = breslow_hazard(time, event, slope * risk - offset)
    se = getattr(fitted, "se_", None)
    variance = None if se is None else np.diag(np.nan_to_num(se) ** 2)
    return FittedBlockModel(
        model,
        design,
        coef,
        variance,
        offset,
        moments,
        hazard,
        np.nan,
        None,
        None,
        [],
        learner=learner,
        trees=trees,
        slope=slope,
        votes=fitted.votes() if isinstance(fitted, Radscore) else None,
    )


def _plain(
    model: BlockModel, names: list[str], X: FloatArray, time: FloatArray, event: BoolArray, notes: list[str]
) -> tuple[FloatArray, FloatArray]:
    named = pd.DataFrame(X, columns=names) if len(set(names)) == len(names) else X
    try:
        fitted = CoxPH().fit(named, (time, event))
    except FitError as error:
        # One unit of information per column: enough to hold a separating column, little beside the data.
        fitted = CoxPH(ridge=1.0).fit(X, (time, event))
        notes.append(f"{model.name}: {error}; a ridge penalty of 1 was used")
    return np.nan_to_num(fitted.coef_), fitted.variance_


def _penalised(
    model: BlockModel,
    design: _Design,
    X: FloatArray,
    tables: Tables,
    time: FloatArray,
    event: BoolArray,
    label: IntArray,
    notes: list[str],
) -> tuple[PenalisedPath, int, pd.DataFrame]:
    def path_of(columns: FloatArray, free: BoolArray, rows: Any) -> PenalisedPath:
        problem = Problem.cox(columns, time[rows], event[rows])
        factor = np.where(free, 0.0, 1.0)
        try:
            return fit_path(problem, penalty_factor=factor)
        except FitError as error:
            notes.append(f"{model.name}: {error}; they were given a twentieth of the penalty")
            return fit_path(problem, penalty_factor=np.where(free, 0.05, 1.0))

    path = path_of(X, design.free, slice(None))

    def scores_of(fold: int) -> FloatArray:
        kept = np.flatnonzero(label != fold)
        inside = {name: tables[name].iloc[kept] for name in model.blocks}
        own = _Design.learn(model, inside, time[kept], event[kept])
        fitted = path_of(own.apply(inside), own.free, kept)
        return np.asarray(own.apply(tables) @ fitted.at(path.lambdas)[0])

    table, lowest, within = choose_penalty(path.lambdas, time, event, label, scores_of)
    step = lowest if model.choice == "min" else within
    table["n_selected"] = (path.coef != 0).sum(axis=0)
    table["chosen"] = np.arange(len(table)) == step
    return path, step, table
