"""Newton's method for the unpenalised Cox partial likelihood: Efron, Breslow or exact ties, weights, strata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imrad.compiled import compiled
from imrad.evaluation.outcomes import BoolArray, FloatArray, merge_close_times
from imrad.exceptions import ConfigError, FitError
from imrad.survival.discrete_likelihood import exact_derivatives

__all__ = ["CoxRows", "NewtonFit", "independent_columns", "newton", "univariate"]

IntArray = np.ndarray[Any, np.dtype[np.int64]]
Derivatives = tuple[float, FloatArray, FloatArray]

# A standardised coefficient beyond this means a hazard ratio per SD above 10^8: the likelihood has no maximum.
_SEPARATED = 18.0

# A column has no information of its own below this share of it.
_FLAT = 1e-10


@dataclass(frozen=True)
class CoxRows:
    """Rows of a Cox model in the kernel's order: by stratum, then latest time first.

    Attributes
    ----------
    columns : ndarray, shape (n, p)
        Centred and scaled to unit variance.
    block : ndarray of int, shape (n_blocks + 1,)
        Bounds of the runs of rows that share stratum and time.
    opens : ndarray of bool, shape (n_blocks,)
        Whether a block begins a stratum.
    order : ndarray of int, shape (n,)
        Where each row was.
    """

    columns: FloatArray
    event: BoolArray
    weight: FloatArray
    block: IntArray
    opens: BoolArray
    order: IntArray
    time: FloatArray
    centre: FloatArray
    scale: FloatArray

    @classmethod
    def sort(
        cls,
        X: FloatArray,
        time: FloatArray,
        event: BoolArray,
        *,
        weight: FloatArray | None = None,
        strata: Any = None,
    ) -> CoxRows:
        """Sort rows, and scale columns so that Newton's steps are well conditioned."""
        n = len(time)
        stratum = np.zeros(n, dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
        times = merge_close_times(time)
        order = np.lexsort((-times, stratum))
        stratum, times = stratum[order], times[order]
        new = np.ones(n, dtype=bool)
        new[1:] = (np.diff(times) != 0) | (np.diff(stratum) != 0)
        start = np.flatnonzero(new)
        opens = np.ones(len(start), dtype=bool)
        opens[1:] = stratum[start[1:]] != stratum[start[1:] - 1]
        case = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
        total = case.sum()
        centre = case @ X / total
        columns = X - centre
        spread = np.sqrt(case @ columns**2 / total)
        scale = np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1e-300), spread, 0.0)
        columns = np.ascontiguousarray((columns / np.where(scale > 0, scale, 1.0))[order])
        columns[:, scale == 0] = 0.0
        bounds = np.append(start, n).astype(np.int64)
        return cls(columns, event[order], case[order], bounds, opens, order, times, centre, scale)

    def take(self, columns: list[int]) -> CoxRows:
        """Return the same rows with these columns only."""
        part = np.ascontiguousarray(self.columns[:, columns])
        return replace(self, columns=part, centre=self.centre[columns], scale=self.scale[columns])


@dataclass(frozen=True)
class NewtonFit:
    """A maximum of the partial likelihood, on the original scale.

    Attributes
    ----------
    coef : ndarray, shape (p,)
        NaN for a constant column, or one that others determine.
    variance : ndarray, shape (p, p)
    log_likelihood, log_likelihood_null, score_test : float
        The score test is NaN where the iteration began elsewhere than at 0.
    iterations : int
    separated : ndarray of bool, shape (p,)
        Columns whose coefficient grows without bound.
    """

    coef: FloatArray
    variance: FloatArray
    log_likelihood: float
    log_likelihood_null: float
    score_test: float
    iterations: int
    separated: BoolArray


def newton(
    rows: CoxRows,
    *,
    ties: str = "efron",
    ridge: float = 0.0,
    start: FloatArray | None = None,
    independent: bool = False,
) -> NewtonFit:
    """Maximise the partial likelihood.

    Parameters
    ----------
    rows : CoxRows
    ties : {"efron", "breslow", "exact"}
    ridge : float
        Penalty ``ridge / 2 * sum b_j^2`` on standardised coefficients; 0 for none.
    start : ndarray, shape (p,), optional
        Coefficients on the original scale near the maximum, such as those of a model with a column
        less; 0 by default.
    independent : bool
        Whether no column is known to be constant or determined by others.

    Raises
    ------
    ConfigError
        If `ties` is unknown, or exact with weights.
    FitError
        If the iteration does not converge.
    """
    derivatives = _derivatives_of(rows, ties)
    p = rows.columns.shape[1]
    used = np.arange(p) if independent else independent_columns(rows, ties=ties)
    columns = np.ascontiguousarray(rows.columns[:, used])
    beta = np.zeros(len(used))
    if start is not None:
        null, _, _ = derivatives(columns[:, :0], beta[:0])
        beta = np.nan_to_num(start[used]) * rows.scale[used]
    value, gradient, information = derivatives(columns, beta)
    score_test = np.nan
    if start is None:
        null = value
        score_test = float(gradient @ _solve(information, gradient)) if len(used) else 0.0
    iterations, settled = 0, len(used) == 0
    while not settled and iterations < 100:
        iterations += 1
        penalised = information + ridge * np.eye(len(used))
        step = _solve(penalised, gradient - ridge * beta)
        goal = value - ridge / 2 * beta @ beta
        size = 1.0
        for _ in range(40):
            trial = beta + size * step
            new_value, new_gradient, new_information = derivatives(columns, trial)
            if new_value - ridge / 2 * trial @ trial >= goal - 1e-12 * abs(goal):
                break
            size /= 2
        beta, value, gradient, information = trial, new_value, new_gradient, new_information
        if np.abs(size * step).max() < 1e-10 or np.abs(beta).max() > 2 * _SEPARATED:
            settled = True
    if not settled:
        message = f"the Cox model did not converge in {iterations} steps; leave out collinear or separating columns"
        raise FitError(message)
    coef = np.full(p, np.nan)
    variance = np.full((p, p), np.nan)
    scale = rows.scale[used]
    coef[used] = beta / scale
    if len(used):
        inverse = _solve(information + ridge * np.eye(len(used)), np.eye(len(used)))
        variance[np.ix_(used, used)] = inverse / np.outer(scale, scale)
    separated = np.zeros(p, dtype=bool)
    separated[used] = np.abs(beta) > _SEPARATED
    return NewtonFit(coef, variance, float(value), float(null), score_test, iterations, separated)


def _derivatives_of(rows: CoxRows, ties: str) -> Callable[[FloatArray, FloatArray], Derivatives]:
    """Return the function of columns and coefficients that a likelihood of tied times is."""
    if ties not in ("efron", "breslow", "exact"):
        message = f"ties must be efron, breslow or exact; found {ties!r}"
        raise ConfigError(message)
    if ties == "exact" and not np.all(rows.weight == 1):
        message = "the exact likelihood of ties counts sets of patients and takes no weights; use efron or breslow"
        raise ConfigError(message)

    def derivatives(part: FloatArray, at: FloatArray) -> Derivatives:
        if ties == "exact":
            return exact_derivatives(part, rows.event, rows.block, rows.opens, at)
        found: Derivatives = _derivatives(part, rows.event, rows.weight, rows.block, rows.opens, at, ties == "efron")
        return found

    return derivatives


def independent_columns(rows: CoxRows, *, ties: str = "efron") -> IntArray:
    """Return the columns that vary and are not determined by earlier ones, as R drops them.

    What varies among all patients may not do so among those at risk when somebody dies; then the
    likelihood is flat.
    """
    used = _varying_columns(rows)
    columns = np.ascontiguousarray(rows.columns[:, used])
    _, _, information = _derivatives(
        columns, rows.event, rows.weight, rows.block, rows.opens, np.zeros(len(used)), ties == "efron"
    )
    deaths = float(rows.weight[rows.event].sum())
    kept: list[int] = []
    left = information.copy()
    for j in range(len(used)):
        if left[j, j] <= _FLAT * max(information[j, j], deaths * 1e-4):
            continue
        kept.append(j)
        left -= np.outer(left[:, j], left[j]) / left[j, j]
    return used[kept]


def _varying_columns(rows: CoxRows) -> IntArray:
    kept: list[int] = []
    root = np.sqrt(rows.weight)
    varying = np.flatnonzero(rows.scale > 0)
    # One direction a row, so that a column of a large table is read in one go.
    basis = np.zeros((min(len(varying), len(root)), len(root)))
    for j in varying:
        column = root * rows.columns[:, j]
        found = basis[: len(kept)]
        rest = column - (found @ column) @ found
        rest = rest - (found @ rest) @ found
        length = float(np.linalg.norm(rest))
        if length > 1e-7 * float(np.linalg.norm(column)) and len(kept) < len(basis):
            basis[len(kept)] = rest / length
            kept.append(int(j))
    return np.array(kept, dtype=np.int64)


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0])


def univariate(X: FloatArray, time: FloatArray, event: BoolArray, *, ties: str = "efron") -> dict[str, FloatArray]:
    """Fit one Cox model per column.

    Returns
    -------
    dict
        coef and se per standard deviation (1/n), z, log_likelihood, log_likelihood_null and
        score_test; a column that is constant or separates the outcome has NaN.
    """
    rows = CoxRows.sort(X, time, event)
    columns = np.ascontiguousarray(rows.columns.T)
    coef, information, value, null, score, good = _univariate(
        columns, rows.event, rows.weight, rows.block, rows.opens, ties == "efron", 2 * _SEPARATED
    )
    good &= (rows.scale > 0) & (information > 1e-12) & (np.abs(coef) < _SEPARATED)
    coef = np.where(good, coef, np.nan)
    se = 1 / np.sqrt(np.where(good, information, np.nan))
    return {
        "coef": coef,
        "se": se,
        "z": coef / se,
        "log_likelihood": np.where(good, value, np.nan),
        "log_likelihood_null": np.full(len(coef), null),
        "score_test": np.where(good, score, np.nan),
    }


@compiled(error_model="numpy")
def _derivatives(columns, event, weight, block, opens, beta, efron):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    """Return log likelihood, gradient and information at beta."""
    n, p = columns.shape
    gradient = np.zeros(p)
    information = np.zeros((p, p))
    eta = np.zeros(n)
    top = -np.inf
    for i in range(n):
        s = 0.0
        for j in range(p):
            s += columns[i, j] * beta[j]
        eta[i] = s
        top = max(top, s)
    s1 = np.zeros(p)
    s2 = np.zeros((p, p))
    d1 = np.zeros(p)
    d2 = np.zeros((p, p))
    mean = np.zeros(p)
    s0 = 0.0
    value = 0.0
    for b in range(len(opens)):
        if opens[b]:
            s0 = 0.0
            s1[:] = 0.0
            s2[:] = 0.0
        d0 = 0.0
        deaths = 0
        death_weight = 0.0
        d1[:] = 0.0
        d2[:] = 0.0
        for i in range(block[b], block[b + 1]):
            r = weight[i] * np.exp(eta[i] - top)
            died = event[i] and weight[i] > 0
            s0 += r
            for j in range(p):
                a = r * columns[i, j]
                s1[j] += a
                for k in range(j + 1):
                    s2[j, k] += a * columns[i, k]
            if died:
                deaths += 1
                death_weight += weight[i]
                d0 += r
                value += weight[i] * (eta[i] - top)
                for j in range(p):
                    gradient[j] += weight[i] * columns[i, j]
                    a = r * columns[i, j]
                    d1[j] += a
                    for k in range(j + 1):
                        d2[j, k] += a * columns[i, k]
        if deaths == 0:
            continue
        rounds = deaths if efron else 1
        share = death_weight / rounds
        for m in range(rounds):
            f = m / deaths if efron else 0.0
            z = s0 - f * d0
            value -= share * np.log(z)
            for j in range(p):
                mean[j] = (s1[j] - f * d1[j]) / z
                gradient[j] -= share * mean[j]
            for j in range(p):
                for k in range(j + 1):
                    information[j, k] += share * ((s2[j, k] - f * d2[j, k]) / z - mean[j] * mean[k])
    for j in range(p):
        for k in range(j):
            information[k, j] = information[j, k]
    return value, gradient, information


@compiled(error_model="numpy")
def _univariate(columns, event, weight, block, opens, efron, limit):  # type: ignore[no-untyped-def] # pragma: no cover
    p = columns.shape[0]
    n = columns.shape[1]
    coef = np.zeros(p)
    spread = np.zeros(p)
    values = np.zeros(p)
    score = np.zeros(p)
    good = np.ones(p, dtype=np.bool_)
    null = 0.0
    one = np.zeros((n, 1))
    beta = np.zeros(1)
    for c in range(p):
        for i in range(n):
            one[i, 0] = columns[c, i]
        beta[0] = 0.0
        value, gradient, information = _derivatives(one, event, weight, block, opens, beta, efron)
        null = value
        score[c] = gradient[0] ** 2 / information[0, 0] if information[0, 0] > 0.0 else 0.0
        for _ in range(50):
            if information[0, 0] <= 1e-12:
                good[c] = False
                break
            step = gradient[0] / information[0, 0]
            before = beta[0]
            size = 1.0
            for _ in range(30):
                beta[0] = before + size * step
                new, gradient, information = _derivatives(one, event, weight, block, opens, beta, efron)
                if new >= value - 1e-12 * abs(value):
                    break
                size *= 0.5
            value = new
            if abs(size * step) < 1e-10:
                break
            if abs(beta[0]) > limit:
                good[c] = False
                break
        coef[c] = beta[0]
        spread[c] = information[0, 0]
        values[c] = value
    return coef, spread, values, null, score, good
