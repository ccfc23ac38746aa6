"""Hazard regression with one covariate: the smooth curve that rms::calibrate draws by default.

The logarithm of the hazard is a sum of products of linear splines in time, which are constant after
their last knot, and in the covariate; hazards need not be proportional. Terms enter one at a time by
their Rao statistic, then leave by their Wald statistic, and the model of the smallest
-2 log likelihood + log(n) x terms is kept (Kooperberg, Stone and Truong 1995,
doi:10.1080/01621459.1995.10476491). The search for knots follows what polspline 1.1.22 was seen to
do; where it picks another of two near-equal knots the curves differ (see the tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from imrad.evaluation.outcomes import BoolArray, FloatArray, finite, survival_outcome
from imrad.exceptions import CohortError

__all__ = ["HazardRegression", "Term", "fit_hazard_regression"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_LARGEST = 300.0
"""Cap of a log hazard, far above any that data support."""
_STRIDE = 20.0
"""Most that a step of Newton may move a log hazard."""
_STEEPEST, _TRIES = 15.0, 3
"""Largest change of a log hazard between 0 and a knot, and how many terms are tried when it is passed."""
_GAP = 6
"""Fewest ranks between a new knot and its neighbours, as polspline was seen to keep."""


class Term(NamedTuple):
    """One product: ``(time_knot - t)+`` or 1, times x, ``(x - covariate)+`` or 1."""

    time_knot: float | None
    covariate: float | Literal["linear"] | None


_CONSTANT, _LINEAR = Term(None, None), Term(None, "linear")


@dataclass(frozen=True)
class HazardRegression:
    """A fitted log hazard.

    Attributes
    ----------
    terms : tuple of Term
        The constant comes first.
    coef : ndarray, shape (n_terms,)
    log_likelihood : float
    information : ndarray, shape (n_terms, n_terms)
    """

    terms: tuple[Term, ...]
    coef: FloatArray
    log_likelihood: float
    information: FloatArray

    def survival(self, time: float, x: npt.ArrayLike) -> FloatArray:
        """Return the survival probability at one time for each value of the covariate, shape (n,)."""
        values = np.asarray(x, dtype=float)
        t, weight = _quadrature(np.full(len(values), float(time)), self.terms)
        log_hazard = np.minimum(_design(self.terms, t, values) @ self.coef, _LARGEST)
        survival: FloatArray = np.exp(-(np.exp(log_hazard) * weight).sum(axis=1))
        return survival


def fit_hazard_regression(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    x: npt.ArrayLike,
    *,
    max_terms: int | None = None,
    penalty: float | None = None,
) -> HazardRegression:
    """Fit hazard regression to times and one covariate.

    Parameters
    ----------
    time, event : array_like, shape (n_patients,)
        Times in any unit, and True or 1 where the event happened.
    x : array_like, shape (n_patients,)
        The covariate.
    max_terms : int, optional
        Most terms before deletion; by default the least of 6 n^(1/5), n / 4 and 50.
    penalty : float, optional
        Cost of a term; log(n) by default.

    Raises
    ------
    CohortError
        If there are fewer than two distinct times of events, or a value is missing.
    """
    times, events = survival_outcome(time, event)
    values = finite(x, len(times), "covariate")
    if len(np.unique(times[events & (times > 0)])) < 2:
        message = (
            f"hazard regression: {int(events.sum())} events at {len(np.unique(times[events]))} distinct times; at "
            "least two distinct times after 0 are needed"
        )
        raise CohortError(message)
    n = len(times)
    most = int(min(6 * n**0.2, n / 4, 50)) if max_terms is None else max_terms
    data = _Data(times, events, values)
    grown = _grow(data, max(most, 1))
    cost = float(np.log(n)) if penalty is None else penalty
    return min((*grown, *_shrink(data, grown[-1])), key=lambda fit: -2 * fit.log_likelihood + cost * len(fit.terms))


class _Data(NamedTuple):
    time: FloatArray
    event: BoolArray
    x: FloatArray


def _quadrature(end: FloatArray, terms: Sequence[Term]) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights, (n, nodes), that integrate from 0 to each end, broken at the knots."""
    edges = [0.0, *sorted({term.time_knot for term in terms if term.time_knot is not None}), np.inf]
    nodes, weights = [], []
    for start, stop in pairwise(edges):
        width = np.maximum(np.minimum(end, stop) - start, 0)[:, None]
        nodes.append(start + width * (_NODES + 1) / 2)
        weights.append(width * _WEIGHTS / 2)
    return np.concatenate(nodes, axis=1), np.concatenate(weights, axis=1)


def _design(terms: Sequence[Term], t: FloatArray, x: FloatArray) -> FloatArray:
    covariate = x[:, None] if t.ndim == 2 else x
    columns = []
    for knot, of in terms:
        early = np.ones_like(t) if knot is None else np.maximum(knot - t, 0)
        part = 1.0 if of is None else covariate if of == "linear" else np.maximum(covariate - of, 0)
        columns.append(early * part)
    return np.stack(columns, axis=-1)


def _fit(data: _Data, terms: Sequence[Term], start: FloatArray | None = None) -> HazardRegression:
    """Maximise the likelihood by Newton's steps, halved where they overshoot."""
    t, weight = _quadrature(data.time, terms)
    design, weight = _design(terms, t, data.x).reshape(-1, len(terms)), weight.ravel()
    happened = _design(terms, data.time, data.x)[data.event].sum(axis=0)
    beta = np.zeros(len(terms)) if start is None else start
    if start is None:
        beta[0] = np.log(data.event.sum() / data.time.sum())

    def value(at: FloatArray) -> tuple[float, FloatArray]:
        hazard = np.exp(np.minimum(design @ at, _LARGEST)) * weight
        return float(happened @ at - hazard.sum()), hazard

    likelihood, hazard = value(beta)
    for _ in range(60):
        score = happened - hazard @ design
        information = design.T @ (design * hazard[:, None])
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        # Where a group has no event the hazard falls for ever; a bounded step keeps the numbers finite.
        size = min(1.0, _STRIDE / max(float(np.abs(design @ step).max()), _STRIDE))
        new, there = value(beta + size * step)
        while new < likelihood - 1e-10 * abs(likelihood) and size > 1e-6:
            size /= 2
            new, there = value(beta + size * step)
        gain, likelihood, hazard, beta = new - likelihood, new, there, beta + size * step
        if abs(gain) < 1e-9 * (1 + abs(likelihood)) and size == 1:
            break
    return HazardRegression(tuple(terms), beta, likelihood, design.T @ (design * hazard[:, None]))


def _rao(data: _Data, fit: HazardRegression, term: Term) -> float:
    """Return the score statistic of one more term; -1 where it says nothing new."""
    t, weight = _quadrature(data.time, (*fit.terms, term))
    design = _design(fit.terms, t, data.x)
    added = _design((term,), t, data.x)[..., 0]
    hazard = np.exp(np.minimum(design @ fit.coef, _LARGEST)) * weight
    score = float(_design((term,), data.time, data.x)[data.event].sum() - (hazard * added).sum())
    cross = (hazard * added).ravel() @ design.reshape(-1, len(fit.terms))
    own = float((hazard * added * added).sum())
    variance = own - float(cross @ np.linalg.lstsq(fit.information, cross, rcond=None)[0])
    return score**2 / variance if variance > 1e-10 * own else -1.0


def _grow(data: _Data, most: int) -> list[HazardRegression]:
    fits = [_fit(data, (_CONSTANT,))]
    while len(fits) < most:
        fit = fits[-1]
        candidates = [(_rao(data, fit, term), term) for term in _without_a_knot(fit.terms)]
        candidates += list(_new_knots(data, fit))
        ranked = sorted((pair for pair in candidates if pair[0] > 1e-8), key=lambda pair: -pair[0])
        tried = (_fit(data, (*fit.terms, term), np.append(fit.coef, 0.0)) for _, term in ranked[:_TRIES])
        grown = next((one for one in tried if not _steep(one, data.x)), None)
        if grown is None:
            break
        fits.append(grown)
        size, reached = len(fits), fits[-1].log_likelihood
        # Growth ends where the last terms gave less than chance would.
        if any(reached - fits[k - 1].log_likelihood < (size - k - 1) / 2 for k in range(1, size - 2)):
            break
    return fits


def _steep(fit: HazardRegression, x: FloatArray) -> bool:
    """Tell whether a hazard leaps within a knot's time, where one early event would buy any likelihood."""
    ends = np.array([x.min(), x.max()])
    return any(
        abs(value) * term.time_knot * float(np.abs(_design([Term(None, term.covariate)], ends * 0, ends)).max())
        > _STEEPEST
        for value, term in zip(fit.coef, fit.terms, strict=True)
        if term.time_knot is not None
    )


def _without_a_knot(terms: Sequence[Term]) -> Iterator[Term]:
    """Yield terms whose parts are there already: the linear one, and products."""
    if _LINEAR not in terms:
        yield _LINEAR
    for knot in (term.time_knot for term in terms if term.time_knot is not None and term.covariate is None):
        for of in (term.covariate for term in terms if term.time_knot is None and term.covariate is not None):
            if Term(knot, of) not in terms and (of == "linear" or Term(knot, "linear") in terms):
                yield Term(knot, of)


def _new_knots(data: _Data, fit: HazardRegression) -> Iterator[tuple[float, Term]]:
    times = [term.time_knot for term in fit.terms if term.time_knot is not None and term.covariate is None]
    yield from _search(np.sort(data.time[data.event]), times, lambda at: Term(at, None), data, fit)
    if _LINEAR in fit.terms:
        taken = [of for knot, of in fit.terms if knot is None and isinstance(of, float)]
        yield from _search(np.sort(data.x), taken, lambda at: Term(None, at), data, fit)


def _search(
    values: FloatArray, taken: Sequence[float], term: Callable[[float], Term], data: _Data, fit: HazardRegression
) -> Iterator[tuple[float, Term]]:
    """Yield the knot that halving finds in the most promising interval between knots, with its statistic."""
    n, known = len(values), dict[int, float]()

    def statistic(rank: int) -> float:
        if rank not in known:
            inside = values[rank] > values[0] and values[rank] not in taken
            known[rank] = _rao(data, fit, term(float(values[rank]))) if inside else -1.0
        return known[rank]

    if taken:
        lows, highs = (
            [int(np.searchsorted(values, knot)) for knot in sorted(taken)],
            [int(np.searchsorted(values, knot, "right")) - 1 for knot in sorted(taken)],
        )
        starts = []
        for low, high in zip([-1, *highs], [*lows, n], strict=True):
            left = low + _GAP if low >= 0 else 0
            right = high - _GAP if high < n else n - 1
            if left > right:
                continue
            middle = min(max((low + high) // 2, left), right)
            starts.append((statistic(middle), left, middle, right))
        if not starts:
            return
        _, left, middle, right = max(starts)
    else:
        quartiles = [0, n // 4, n // 2, 3 * n // 4, n - 1]
        k = max((1, 2, 3), key=lambda k: statistic(quartiles[k]))
        left, middle, right = quartiles[k - 1 : k + 2]
    while True:
        before, after = (left + middle - 1) // 2, (middle + 1 + right) // 2
        lower = statistic(before) if left <= before < middle else -1.0
        upper = statistic(after) if middle < after <= right else -1.0
        if lower > statistic(middle) and lower >= upper:
            right, middle = middle, before
        elif upper > statistic(middle):
            left, middle = middle, after
        else:
            break
    yield statistic(middle), term(float(values[middle]))


def _shrink(data: _Data, fit: HazardRegression) -> Iterator[HazardRegression]:
    """Drop the term of the smallest Wald statistic that no other term builds on, down to the constant."""
    while len(fit.terms) > 1:
        variance = np.diag(np.linalg.pinv(fit.information))
        with np.errstate(over="ignore"):
            wald = fit.coef**2 / np.maximum(variance, np.finfo(float).tiny)
        drop = min((k for k in range(1, len(fit.terms)) if not _needed(fit.terms, k)), key=lambda k: float(wald[k]))
        kept = [term for k, term in enumerate(fit.terms) if k != drop]
        fit = _fit(data, kept, np.delete(fit.coef, drop))
        yield fit


def _needed(terms: Sequence[Term], k: int) -> bool:
    knot, of = terms[k]
    others: list[Any] = [term for i, term in enumerate(terms) if i != k]
    if of == "linear":
        # Knots of x, alone or in products with the same knot of time, and products of x build on it.
        return any(
            (other.time_knot == knot and isinstance(other.covariate, float))
            or (knot is None and other.covariate == "linear")
            for other in others
        )
    if knot is None:
        return any(other.time_knot is not None and other.covariate == of for other in others)
    return of is None and any(other.time_knot == knot and other.covariate is not None for other in others)
