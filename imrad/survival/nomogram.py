"""Nomograms: any linear model as points, tables and a formula, for survival and for binary outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from imrad.evaluation.outcomes import FloatArray
from imrad.exceptions import FitError
from imrad.survival.baseline import survival_at
from imrad.survival.design import BlockCoding

__all__ = ["Nomogram", "binary_nomogram", "nice_ticks", "nomogram_of", "survival_nomogram"]

PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Nomogram:
    """A linear model drawn as points.

    Attributes
    ----------
    kind : str
        ``survival`` or ``binary``.
    names : list of str
        Predictors with a coefficient other than 0.
    coef : ndarray, shape (n_predictors,)
    low, high : ndarray, shape (n_predictors,)
        Ends of each axis, the training range rounded outwards; a predictor of two values keeps them.
    intercept : float
        Added to the linear predictor.
    outcomes : dict of str to float
        For survival, the cumulative baseline hazard of each outcome's time; for binary, one entry
        whose value does not matter.
    labels : dict of str to list of str
        Names of an ordered predictor's steps (``stage``: ``II``, ``III``, ``IV``), at the values 0, 1, 2.
    """

    kind: str
    names: list[str]
    coef: FloatArray
    low: FloatArray
    high: FloatArray
    intercept: float
    outcomes: dict[str, float]
    labels: dict[str, list[str]]
    _ticks: list[list[float]]

    @property
    def points_per_unit(self) -> float:
        """Points that one unit of the linear predictor is worth: the widest axis spans 100."""
        return float(100.0 / np.max(np.abs(self.coef) * (self.high - self.low)))

    @property
    def _best(self) -> FloatArray:
        """The end of each axis that has 0 points."""
        return np.where(self.coef > 0, self.low, self.high)

    @property
    def linear_predictor_at_zero(self) -> float:
        """The linear predictor of a patient with 0 points on every axis."""
        return float(self.intercept + self.coef @ self._best)

    def points(self, values: npt.ArrayLike) -> FloatArray:
        """Return the points of each predictor, shape (n_patients, n_predictors), columns as `names`.

        Values outside an axis have fewer than 0 points, or more than it spans.
        """
        x = np.asarray(values, dtype=float).reshape(-1, len(self.names))
        return np.asarray((x - self._best) * self.coef * self.points_per_unit)

    def predict(self, values: npt.ArrayLike) -> pd.DataFrame:
        """Return total points, linear predictor and the probability of each outcome."""
        total = self.points(values).sum(axis=1)
        score = self.linear_predictor_at_zero + total / self.points_per_unit
        table = pd.DataFrame({"points": total, "linear_predictor": score})
        for name in self.outcomes:
            table[name] = self._probability(name, score)
        return table

    def _probability(self, outcome: str, score: FloatArray) -> FloatArray:
        if self.kind == "binary":
            return np.asarray(special.expit(score))
        return np.asarray(np.exp(-self.outcomes[outcome] * np.exp(np.clip(score, -700, 700))))

    def _score(self, outcome: str, probability: FloatArray) -> FloatArray:
        if self.kind == "binary":
            return np.asarray(special.logit(probability))
        return np.asarray(np.log(-np.log(probability) / self.outcomes[outcome]))

    def axes(self) -> pd.DataFrame:
        """Return the ticks of every predictor's axis: predictor, value, label, points."""
        rows = []
        for number, (name, ticks) in enumerate(zip(self.names, self._ticks, strict=True)):
            for value in ticks:
                points = (value - self._best[number]) * self.coef[number] * self.points_per_unit
                rows.append((name, value, self._label(name, value), float(points)))
        return pd.DataFrame(rows, columns=["predictor", "value", "label", "points"])

    def _label(self, name: str, value: float) -> str:
        steps = self.labels.get(name)
        # A number has no steps, and may be below 0.
        return steps[int(value)] if steps and value == int(value) and 0 <= value < len(steps) else f"{value:g}"

    def outcome_axes(self) -> pd.DataFrame:
        """Return where each outcome's probabilities lie on the total: outcome, probability, total_points."""
        rows = []
        top = self._largest_total()
        for name, hazard in self.outcomes.items():
            if self.kind == "survival" and hazard <= 0:
                continue
            total = (self._score(name, np.array(PROBABILITIES)) - self.linear_predictor_at_zero) * self.points_per_unit
            rows += [(name, p, float(t)) for p, t in zip(PROBABILITIES, total, strict=True) if -1e-9 <= t <= top + 1e-9]
        return pd.DataFrame(rows, columns=["outcome", "probability", "total_points"])

    def totals(self) -> pd.DataFrame:
        """Return ticks of the total: total_points, linear_predictor and each outcome's probability."""
        total = np.array(nice_ticks(0.0, self._largest_total(), 10))
        score = self.linear_predictor_at_zero + total / self.points_per_unit
        table = pd.DataFrame({"total_points": total, "linear_predictor": score})
        for name in self.outcomes:
            table[name] = self._probability(name, score)
        return table

    def _largest_total(self) -> float:
        return float(np.sum(np.abs(self.coef) * (self.high - self.low)) * self.points_per_unit)

    def formula(self) -> str:
        """Return the model as one line of text that can be calculated by hand."""
        terms = " ".join(
            # Brackets keep the sign of equality of a class's name out of the sum.
            f"{'+' if c >= 0 else '-'} {abs(c):.6g} * {f'[{name}]' if '=' in name else name}"
            for name, c in zip(self.names, self.coef, strict=True)
        )
        parts = [f"LP = {self.intercept:.6g} {terms}"]
        if self.kind == "binary":
            parts.append("probability = 1 / (1 + exp(-LP))")
        else:
            parts += [f"{name} = exp(-{hazard:.6g} * exp(LP))" for name, hazard in self.outcomes.items()]
        for name in self.names:
            # A cut or ordered predictor enters by its step, not by what was measured.
            steps = [f"{value} where {step}" for value, step in enumerate(self.labels.get(name, []))]
            parts += [f"{name} = {', '.join(steps)}"] if steps else []
        return "; ".join(parts)

    def to_plain(self) -> dict[str, Any]:
        """Return all that a calculator needs as plain values.

        LP = intercept + sum of coef * value; binary: 1 / (1 + exp(-LP)); survival: exp(-hazard * exp(LP)).
        Points of a predictor = (value - zero_at) * coef * points_per_unit.
        """
        return {
            "kind": self.kind,
            "intercept": float(self.intercept),
            "points_per_unit": self.points_per_unit,
            "linear_predictor_at_zero": self.linear_predictor_at_zero,
            "predictors": [
                {
                    "name": name,
                    "coef": float(self.coef[k]),
                    "low": float(self.low[k]),
                    "high": float(self.high[k]),
                    "zero_at": float(self._best[k]),
                    "ticks": list(self._ticks[k]),
                    "labels": [self._label(name, value) for value in self._ticks[k]],
                    "binary": len(self._ticks[k]) == 2,
                }
                for k, name in enumerate(self.names)
            ],
            "outcomes": [{"name": name, "hazard": float(hazard)} for name, hazard in self.outcomes.items()],
            "formula": self.formula(),
        }


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Return about `n` round numbers that enclose a range."""
    if not high > low:
        return [float(low)]
    raw = (high - low) / max(n, 1)
    size = 10.0 ** np.floor(np.log10(raw))
    step = float(size * next(factor for factor in (1, 2, 2.5, 5, 10) if raw <= factor * size * (1 + 1e-9)))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(np.round(k * step, 12)) for k in np.arange(first, last + 1)]


def _build(
    kind: str,
    names: Sequence[str],
    coef: npt.ArrayLike,
    training: npt.ArrayLike,
    intercept: float,
    outcomes: dict[str, float],
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Nomogram:
    slopes = np.nan_to_num(np.asarray(coef, dtype=float))
    # A model of which nothing is left has no column to shape the rows by.
    x = np.asarray(training, dtype=float).reshape(-1 if len(slopes) else 0, len(slopes))
    kept, ticks, constant = [], [], 0.0
    for number, slope in enumerate(slopes):
        column = x[:, number][np.isfinite(x[:, number])]
        values = np.unique(column)
        if slope == 0:
            continue
        if len(values) < 2:
            # A column without spread has no axis; its part goes to the intercept.
            constant += slope * float(values[0]) if len(values) else 0.0
            continue
        kept.append(number)
        # Grades and stages keep their own steps.
        few = len(values) == 2 or (len(values) <= 10 and bool(np.all(values == np.round(values))))
        ticks.append([float(v) for v in values] if few else nice_ticks(float(values[0]), float(values[-1])))
    if not kept:
        message = "no predictor has a coefficient other than 0: there is no nomogram of an empty model"
        raise FitError(message)
    low, high = np.array([part[0] for part in ticks]), np.array([part[-1] for part in ticks])
    own = [str(names[number]) for number in kept]
    # A class of a column is called COLUMN=CLASS; a measured column's own name may hold the sign too.
    steps = {name: ["no", "yes"] for name, part in zip(own, ticks, strict=True) if "=" in name and part == [0.0, 1.0]}
    steps |= {name: [str(item) for item in labels[name]] for name in own if labels is not None and name in labels}
    return Nomogram(kind, own, slopes[kept], low, high, float(intercept + constant), outcomes, steps, ticks)


def survival_nomogram(
    names: Sequence[str],
    coef: npt.ArrayLike,
    training: npt.ArrayLike,
    *,
    event_times: npt.ArrayLike,
    hazard: npt.ArrayLike,
    offset: float,
    times: Mapping[str, float],
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Nomogram:
    """Draw a proportional-hazards model as a nomogram.

    Parameters
    ----------
    names : sequence of str
    coef : array_like, shape (n_predictors,)
        On the original scale; predictors with 0 are left out.
    training : array_like, shape (n_patients, n_predictors)
        Coded training values, for the axes' ends.
    event_times, hazard : array_like
        Cumulative baseline hazard at a linear predictor equal to `offset`.
    offset : float
        Mean linear predictor of the training patients.
    times : mapping of str to float
        Outcomes, such as ``{"3-year survival": 1095.75}``, in the unit of the times.
    labels : mapping, optional
        Names of an ordered predictor's steps.

    Raises
    ------
    FitError
        If every coefficient is 0.
    """
    at = np.asarray(list(times.values()), dtype=float)
    event_free = survival_at(np.asarray(event_times, dtype=float), np.asarray(hazard, dtype=float), np.zeros(1), at)[0]
    with np.errstate(divide="ignore"):
        cumulative = -np.log(event_free)
    # Before the first event nobody, and after the last perhaps everybody, has died: no axis can be read there.
    readable = np.isfinite(cumulative) & (cumulative > 0)
    outcomes = {name: float(value) for name, value, good in zip(times, cumulative, readable, strict=True) if good}
    return _build("survival", names, coef, training, -float(offset), outcomes, labels)


def binary_nomogram(
    names: Sequence[str],
    coef: npt.ArrayLike,
    training: npt.ArrayLike,
    *,
    intercept: float,
    outcome: str = "probability",
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Nomogram:
    """Draw a logistic model as a nomogram; parameters as in :func:`survival_nomogram`."""
    return _build("binary", names, coef, training, intercept, {outcome: 1.0}, labels)


def nomogram_of(
    plain: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    *,
    times: Mapping[str, float] | None = None,
    outcome: str = "probability",
) -> Nomogram:
    """Draw a fusion's final model, survival or binary, as a nomogram.

    Parameters
    ----------
    plain : mapping
        One entry of a result's ``final``.
    tables : mapping of str to DataFrame
        The training patients' blocks, for the axes' ends; ``ImRad`` as out-of-fold scores.
    times : mapping of str to float, optional
        Outcomes of a survival model, such as ``{"3-year survival": 1095.75}``.
    outcome : str
        Name of a binary model's probability.

    Raises
    ------
    FitError
        If the model is empty.
    """
    codings = {name: BlockCoding.from_plain(plain["coding"][name]) for name in plain["blocks"]}
    matrix = np.column_stack([codings[name].apply(tables[name])[:, plain["columns"][name]] for name in codings])
    labels = {
        str(column["name"]): column["levels"]
        for coding in plain["coding"].values()
        for column in coding
        if column["kind"] == "ordered"
    }
    if "event_times" in plain:
        return survival_nomogram(
            plain["names"],
            plain["coef"],
            matrix,
            event_times=plain["event_times"],
            hazard=plain["baseline_hazard"],
            offset=plain["offset"],
            times=dict(times or {}),
            labels=labels,
        )
    return binary_nomogram(
        plain["names"], plain["coef"], matrix, intercept=plain["intercept"], outcome=outcome, labels=labels
    )
