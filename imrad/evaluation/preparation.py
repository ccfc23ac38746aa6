"""Preparation of features: a list of named steps, fitted on the training rows of a fold and on no others.

A step is a scikit-learn transformer. What it needs beside the features (sites, another reader's
measurements, another outcome) lies in side tables indexed by patient: a fit is handed the rows of its
own patients and never the table. What was learnt is kept as plain arrays, so that the same object is
applied in the fold, written into a bundle and read at another hospital.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from imrad import content
from imrad.evaluation.ledger import Ledger
from imrad.evaluation.outcomes import FloatArray
from imrad.evaluation.plain_steps import Impute, Opaque, PlainStep, Select, freeze, from_plain
from imrad.exceptions import BundleError, ConfigError, FitError, LeakError
from imrad.seeds import generator

__all__ = ["FittedPreparation", "Preparation", "Step", "check_preparation"]

Names = tuple[str, ...]
Side = str | tuple[str, ...]

IMPUTE = "impute"


@dataclass(frozen=True)
class Step:
    """A named step.

    Attributes
    ----------
    name : str
        As in the tables and the ledger.
    transformer : estimator
        Unfitted; a DataFrame of the training rows goes into its ``fit``.
    outcome : bool
        Whether ``fit`` is handed the outcome of the training rows.
    fit_with, transform_with : mapping of str to (str or tuple of str)
        Arguments of ``fit`` and ``transform`` to the side tables they take rows from; a tuple of
        columns makes one table, a tuple of tables a list.
    """

    name: str
    transformer: Any
    outcome: bool = False
    fit_with: Mapping[str, Side] = field(default_factory=dict)
    transform_with: Mapping[str, Side] = field(default_factory=dict)

    @property
    def selects_by_outcome(self) -> bool:
        """Whether the step looks at any outcome, the model's own or another."""
        return self.outcome or "labels" in self.fit_with


@dataclass(frozen=True)
class FittedPreparation:
    """What the steps learnt of the training rows.

    Attributes
    ----------
    steps : tuple of (str, PlainStep)
        In order; ``impute`` stands before the first step that cannot take missing values.
    transform_with : mapping
        Side tables of each step's ``transform``.
    """

    steps: tuple[tuple[str, PlainStep], ...]
    transform_with: Mapping[str, Mapping[str, Side]] = field(default_factory=dict)
    inputs: Names = ()

    @property
    def names(self) -> Names:
        """Columns that come out."""
        return self.steps[-1][1].names if self.steps else self.inputs

    def transform(self, X: pd.DataFrame, sides: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the prepared columns of patients.

        Parameters
        ----------
        X : DataFrame, patients x features
            Raw features; columns that are not needed are ignored.
        sides : mapping, optional
            Side tables by name, indexed by patient.

        Raises
        ------
        BundleError
            If a column is missing.
        """
        absent = [name for name in self.inputs if name not in X.columns]
        if absent:
            message = f"the preparation needs {len(self.inputs)} features; {len(absent)} are missing, as {absent[0]}"
            raise BundleError(message)
        values = X[list(self.inputs)].to_numpy(dtype=float, na_value=np.nan)
        for name, step in self.steps:
            rows = _rows_of(self.transform_with.get(name, {}), sides or {}, X.index, absent_ok=True)
            values = step.apply(values, rows)
        return pd.DataFrame(values, index=X.index, columns=list(self.names))

    def funnel(self) -> list[dict[str, Any]]:
        """Return how many columns went into and came out of each step."""
        rows: list[dict[str, Any]] = [{"step": "extracted", "n_in": len(self.inputs), "n_out": len(self.inputs)}]
        rows += [
            {"step": name, "n_in": len(step.inputs), "n_out": len(step.names)}
            for name, step in self.steps
            if name != IMPUTE
        ]
        return rows

    def then(self, other: FittedPreparation) -> FittedPreparation:
        """Return this preparation with another one's steps after its own."""
        return FittedPreparation(
            (*self.steps, *other.steps), {**self.transform_with, **other.transform_with}, self.inputs
        )

    def narrowed(self, names: Iterable[str]) -> FittedPreparation:
        """Return the preparation for some of its columns, with no more than they need."""
        wanted = set(names)
        kept: Names = tuple(name for name in self.names if name in wanted)
        steps: list[tuple[str, PlainStep]] = []
        for name, step in reversed(self.steps):
            part = step.narrowed(kept)
            if part.names != kept:
                # A step that needs all its columns (the nearest site) hands on those that are wanted.
                steps.append((f"{name}, wanted", Select(part.names, kept)))
            steps.append((name, part))
            kept = part.inputs
        return FittedPreparation(tuple(reversed(steps)), self.transform_with, kept)

    def states(self) -> dict[str, str]:
        """Return a digest of what each step learnt; a user's own transformer speaks by its output names."""
        found = {}
        for name, step in self.steps:
            plain = {"names": list(step.names)} if isinstance(step, Opaque) else step.to_plain()
            found[name] = content.digest(plain)
        return found

    @property
    def travels(self) -> bool:
        """Whether every step has a plain form."""
        return not any(isinstance(step, Opaque) for _, step in self.steps)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values and arrays for a bundle; no patient is in it.

        Raises
        ------
        BundleError
            If a step is a user's own.
        """
        return {
            "inputs": list(self.inputs),
            "steps": [{"step": name, **step.to_plain()} for name, step in self.steps],
            "transform_with": {
                name: {key: list(side) if isinstance(side, tuple) else side for key, side in sides.items()}
                for name, sides in self.transform_with.items()
            },
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild from :meth:`to_plain`, also after :func:`imrad.content.save` and ``load``.

        Raises
        ------
        BundleError
            If the values are no preparation of this version.
        """
        try:
            steps = tuple((str(item["step"]), from_plain(item)) for item in plain["steps"])
            sides = {
                str(name): {str(key): tuple(side) if isinstance(side, list) else side for key, side in item.items()}
                for name, item in plain["transform_with"].items()
            }
            return cls(steps, sides, tuple(map(str, plain["inputs"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"the preparation of the features is damaged or of another version ({error}); export it again"
            raise BundleError(message) from error


class Preparation:
    """A list of steps and the side tables they may take rows from.

    Parameters
    ----------
    steps : sequence of Step or (str, transformer)
        Of a plain pair, scikit-learn's tags tell whether it needs the outcome.
    sides : mapping of str to (Series or DataFrame), optional
        Side tables by name, one row a patient, indexed by patient.

    Raises
    ------
    ConfigError
        If two steps have one name, or a step names a side table that is not there.
    """

    def __init__(self, steps: Sequence[Step | tuple[str, Any]], sides: Mapping[str, Any] | None = None) -> None:
        self.steps = tuple(_as_step(step) for step in steps)
        self.sides = dict(sides or {})
        names = [step.name for step in self.steps]
        if len(set(names)) < len(names) or IMPUTE in names:
            message = f"preparation steps need different names, none of them '{IMPUTE}'; got {', '.join(names)}"
            raise ConfigError(message)
        for step in self.steps:
            for side in (*step.fit_with.values(), *step.transform_with.values()):
                for name in side if isinstance(side, tuple) else (side,):
                    if name not in self.sides:
                        message = f"the preparation step {step.name} needs the side table {name!r}, which is not given"
                        raise ConfigError(message)

    def __repr__(self) -> str:
        return f"Preparation({', '.join(step.name for step in self.steps)}; {self.key})"

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def names(self) -> list[str]:
        """Names of the steps."""
        return [step.name for step in self.steps]

    @property
    def selects_by_outcome(self) -> bool:
        """Whether any step looks at an outcome."""
        return any(step.selects_by_outcome for step in self.steps)

    @property
    def parts(self) -> dict[str, Any]:
        """The transformers by the name of their step in the ledger."""
        return {f"prepare:{step.name}": step.transformer for step in self.steps}

    @cached_property
    def key(self) -> str:
        """Digest of the steps and side tables; empty where a step is a user's own, which nothing names for sure."""
        try:
            steps = [
                [step.name, _describe(step.transformer), step.outcome, dict(step.fit_with), dict(step.transform_with)]
                for step in self.steps
            ]
            sides = {name: [side, list(map(str, side.index))] for name, side in self.sides.items()}
            return content.digest([steps, sides])
        except TypeError:
            return ""

    @cached_property
    def shared(self) -> Preparation:
        """The steps before the first that is handed the outcome: they serve every target."""
        return Preparation(self.steps[: self._first_own], self.sides)

    @cached_property
    def own(self) -> Preparation:
        """The first step that is handed the outcome, and all after it."""
        return Preparation(self.steps[self._first_own :], self.sides)

    @property
    def _first_own(self) -> int:
        return next((number for number, step in enumerate(self.steps) if step.outcome), len(self.steps))

    def replaced(self, patients: Sequence[str], seed: int) -> Preparation:
        """Return the preparation with these patients' rows of the side tables replaced by others' or by noise."""
        sides: dict[str, Any] = {}
        for name, side in self.sides.items():
            sides[name] = _replaced(side, set(patients), generator(seed, "canary", "side", name))
        return Preparation(self.steps, sides)

    def record(self, ledger: Ledger, *, stage: str, step: str, fold: str, rows: Any) -> None:
        """Record a fit of every step."""
        for name in self.names:
            ledger.record(stage=stage, step=f"{step}/prepare:{name}", fold=fold, rows=rows)

    def fit(self, X: pd.DataFrame, y: Any = None) -> FittedPreparation:
        """Fit the steps, each on what the one before it made of the training rows.

        Parameters
        ----------
        X : DataFrame, training patients x features
            Raw; its index names the rows of the side tables.
        y : any, optional
            Outcome of the same rows, in the form that the steps take.

        Raises
        ------
        FitError
            If a step cannot be fitted, with its name.
        """
        key = self._fit_key(X, y)
        with _LOCK:
            if key in _KEPT:
                _KEPT.move_to_end(key)
                return _KEPT[key]
        found = self._fit(X, y)
        if key:
            with _LOCK:
                _KEPT[key] = found
                while len(_KEPT) > _KEEP:
                    _KEPT.popitem(last=False)
        return found

    def _fit_key(self, X: pd.DataFrame, y: Any) -> str:
        if not self.key or not self.steps:
            return ""
        sha = hashlib.sha256(self.key.encode())
        sha.update("\x1f".join(map(str, X.index)).encode())
        sha.update("\x1f".join(map(str, X.columns)).encode())
        sha.update(np.ascontiguousarray(X.to_numpy(dtype=float, na_value=np.nan)).tobytes())
        if any(step.outcome for step in self.steps):
            for part in y if isinstance(y, tuple) else (y,):
                sha.update(np.asarray(part, dtype=float).tobytes())
        return sha.hexdigest()

    def _fit(self, X: pd.DataFrame, y: Any) -> FittedPreparation:
        inputs: Names = tuple(map(str, X.columns))
        # Sums, and so the last bits, depend on the order in memory: it is always the same.
        values = np.ascontiguousarray(X.to_numpy(dtype=float, na_value=np.nan))
        names, filled = inputs, False
        steps: list[tuple[str, PlainStep]] = []
        for step in self.steps:
            if not filled and not get_tags(step.transformer).input_tags.allow_nan:
                fill = Impute(names, names, _medians(values))
                values, filled = np.ascontiguousarray(fill.apply(values, {})), True
                steps.append((IMPUTE, fill))
            model = clone(step.transformer)
            table = pd.DataFrame(values, index=X.index, columns=list(names))
            try:
                model.fit(table, *((y,) if step.outcome else ()), **_rows_of(step.fit_with, self.sides, X.index))
                plain = freeze(model, names)
                if len(plain.names) == 0:
                    message = f"it keeps none of {len(names)} features; loosen its threshold or leave it out"
                    raise FitError(message)
                values = np.ascontiguousarray(plain.apply(values, _rows_of(step.transform_with, self.sides, X.index)))
            except FitError as error:
                message = f"preparation step {step.name} ({len(X)} training rows): {error}"
                raise type(error)(message) from error
            except ValueError as error:
                message = f"preparation step {step.name} ({len(X)} training rows): {error}"
                raise FitError(message) from error
            names = plain.names
            steps.append((step.name, plain))
        sides = {step.name: step.transform_with for step in self.steps if step.transform_with}
        return FittedPreparation(tuple(steps), sides, inputs)


_KEPT: OrderedDict[str, FittedPreparation] = OrderedDict()
_LOCK = Lock()  # a Dask worker may run several threads
_KEEP = 64  # the folds of a fusion, inner ones included, for the models that share them


def check_preparation(
    preparation: Preparation,
    X: pd.DataFrame,
    y: Any,
    train: Any,
    test: Any,
    *,
    step: str,
    fold: str,
    seed: int = 0,
) -> None:
    """Fit the preparation twice on one fold, the second time with the held-out rows of all tables replaced.

    Raises
    ------
    LeakError
        Naming the first step whose fitted state changed.
    """
    rng = generator(seed, "canary", "preparation", fold)
    noise = X.copy()
    spread = np.nan_to_num(X.to_numpy(dtype=float, na_value=np.nan).std(axis=0), nan=1.0)
    noise.iloc[test] = rng.normal(size=(len(test), X.shape[1])) * (10 * spread + 1)
    other = preparation.replaced([str(X.index[row]) for row in test], seed)
    states = [part._fit(table.iloc[train], y).states() for part, table in ((preparation, X), (other, noise))]
    for name, state in states[0].items():
        if states[1].get(name) != state:
            held = ", ".join(str(X.index[row]) for row in list(test)[:3])
            message = (
                f"leak: {step}/prepare:{name} changes when its held-out patients are replaced by noise (fold {fold}, "
                f"{len(test)} held-out patients, among them {held}); "
                "learn everything in fit() from the rows it is given"
            )
            raise LeakError(message)


def _as_step(step: Step | tuple[str, Any]) -> Step:
    if isinstance(step, Step):
        return step
    name, transformer = step
    if not hasattr(transformer, "fit"):
        message = f"the preparation step {name} is no transformer: {type(transformer).__name__} has no fit"
        raise ConfigError(message)
    return Step(str(name), transformer, outcome=bool(get_tags(transformer).target_tags.required))


def _describe(transformer: Any) -> Any:
    """Return what names a transformer of imrad or scikit-learn for sure.

    Raises
    ------
    TypeError
        If it is a user's own.
    """
    if not isinstance(transformer, BaseEstimator):
        return transformer
    kind = type(transformer)
    if kind.__module__.split(".")[0] not in ("imrad", "sklearn"):
        message = f"{kind.__name__} has no content that a key could name"
        raise TypeError(message)
    parameters = transformer.get_params(deep=False)
    return [kind.__module__, kind.__qualname__, {name: _describe(value) for name, value in parameters.items()}]


def _rows_of(
    wanted: Mapping[str, Side], sides: Mapping[str, Any], index: pd.Index[Any], *, absent_ok: bool = False
) -> dict[str, Any]:
    """Return, by argument, the rows of these patients and of no others."""
    found: dict[str, Any] = {}
    for argument, side in wanted.items():
        names = side if isinstance(side, tuple) else (side,)
        if absent_ok and any(name not in sides for name in names):
            continue
        parts = [sides[name].reindex(index) for name in names]
        if isinstance(side, str):
            found[argument] = parts[0]
        elif all(isinstance(part, pd.Series) for part in parts):
            found[argument] = pd.DataFrame(dict(zip(names, parts, strict=True)))
        else:
            found[argument] = parts
    return found


def _replaced(side: Any, patients: set[str], rng: np.random.Generator) -> Any:
    out = side.copy()
    rows = np.array([str(name) in patients for name in side.index])
    others = np.flatnonzero(~rows)
    if not rows.any() or len(others) == 0:
        return out
    if isinstance(side, pd.DataFrame) and all(pd.api.types.is_numeric_dtype(kind) for kind in side.dtypes):
        out.loc[rows] = 1e3 * rng.normal(size=(int(rows.sum()), side.shape[1]))
    else:
        out.iloc[np.flatnonzero(rows)] = side.iloc[rng.choice(others, int(rows.sum()))].to_numpy()
    return out


def _medians(values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    medians = np.zeros(values.shape[1])
    some = known.any(axis=0)
    medians[some] = np.nanmedian(values[:, some], axis=0)
    return medians
