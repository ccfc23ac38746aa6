"""Linear nu-support vector regression solved to its optimum: few unknowns, many rows.

The problem is libsvm's,

    min over w, b, e:  w'w / 2 + C (nu n e + sum_i max(0, |y_i - x_i w - b| - e)),

with some 22 weights and 547 rows. An interior-point method needs one system of that small size per
step; once the rows on the tube are known, the optimum is the solution of one linear system, which
is solved and checked against every optimality condition (the certificate).

References
----------
Schoelkopf et al., Neural Computation 2000, doi 10.1162/089976600300015565;
Mehrotra, SIAM J. Optim. 1992, doi 10.1137/0802028;
Ferris and Munson, SIAM J. Optim. 2002, doi 10.1137/S1052623400374379.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["solve_many"]

MAX_STEPS = 80


def solve_many(
    design: np.ndarray[Any, Any], mixtures: np.ndarray[Any, Any], nus: tuple[float, ...], cost: float = 1.0
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Solve every mixture at every nu.

    Parameters
    ----------
    design : ndarray of shape (n_rows, n_weights)
        The scaled signature.
    mixtures : ndarray of shape (n_mixtures, n_rows)
        The scaled mixtures.
    nus : tuple of float
        Each in (0, 1).
    cost : float
        libsvm's C.

    Returns
    -------
    weights : ndarray of shape (n_mixtures, n_nus, n_weights)
        The optima.
    certified : ndarray of bool, shape (n_mixtures, n_nus)
        Whether all optimality conditions were met to 1e-9; where not (degenerate data), the
        interior point's duality gap was brought below 1e-13.
    """
    x = np.ascontiguousarray(design, dtype=np.float64)
    y = np.ascontiguousarray(mixtures, dtype=np.float64)
    weights = np.empty((y.shape[0], len(nus), x.shape[1]))
    certified = np.empty((y.shape[0], len(nus)), dtype=np.bool_)
    _solve_all(x, y, np.asarray(nus, dtype=np.float64), float(cost), weights, certified)
    return weights, certified


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _solve_all(x, y, nus, cost, weights, certified):  # type: ignore[no-untyped-def]
    for row in range(y.shape[0]):
        for number in range(nus.shape[0]):
            certified[row, number] = _solve(x, y[row], nus[number], cost, weights[row, number])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})  # type: ignore[misc]
def _products(x, weight, tilt, load, matrix, vector):  # type: ignore[no-untyped-def]
    """Accumulate I + X'TX and its borders (for b and e), and X'load."""
    n, d = x.shape
    matrix[:] = 0.0
    vector[:] = 0.0
    for i in range(n):
        t, g, k = weight[i], tilt[i], load[i]
        for a in range(d):
            xa = x[i, a]
            scaled = t * xa
            for c in range(a + 1):
                matrix[a, c] += scaled * x[i, c]
            matrix[d, a] += scaled
            matrix[d + 1, a] += g * xa
            vector[a] += k * xa
        matrix[d, d] += t
        matrix[d + 1, d] += g
        matrix[d + 1, d + 1] += t
        vector[d] += k
    for a in range(d):
        matrix[a, a] += 1.0


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _factor(matrix):  # type: ignore[no-untyped-def]
    size = matrix.shape[0]
    for a in range(size):
        for c in range(a + 1):
            total = matrix[a, c]
            for k in range(c):
                total -= matrix[a, k] * matrix[c, k]
            if a == c:
                if total <= 1e-300:
                    return False
                matrix[a, a] = np.sqrt(total)
            else:
                matrix[a, c] = total / matrix[c, c]
    return True


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _back(factor, vector):  # type: ignore[no-untyped-def]
    size = vector.shape[0]
    for a in range(size):
        total = vector[a]
        for k in range(a):
            total -= factor[a, k] * vector[k]
        vector[a] = total / factor[a, a]
    for a in range(size - 1, -1, -1):
        total = vector[a]
        for k in range(a + 1, size):
            total -= factor[k, a] * vector[k]
        vector[a] = total / factor[a, a]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})  # type: ignore[misc]
def _times(x, w, out):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        total = 0.0
        for a in range(x.shape[1]):
            total += x[i, a] * w[a]
        out[i] = total


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _solve(x, y, nu, cost, answer):  # type: ignore[no-untyped-def] # noqa: C901
    n, d = x.shape
    budget = cost * nu * n
    w = np.zeros(d)
    fitted = np.zeros(n)
    b = np.mean(y)
    magnitudes = np.sort(np.abs(y - b))
    tube = magnitudes[min(n - 1, int((1.0 - nu) * n))]
    spread = max(np.mean(magnitudes), 1e-8)
    # Two sides a row: 0 above the tube (sign +1), 1 below it (sign -1).
    alpha = np.full((2, n), 0.5 * cost * nu)
    # cost - alpha, kept apart: the difference would lose its last digits near the bound.
    room = np.full((2, n), cost - 0.5 * cost * nu)
    slack = np.empty((2, n))
    over = np.empty((2, n))
    for i in range(n):
        for side in range(2):
            gap = tube - (y[i] - b) if side == 0 else tube + (y[i] - b)
            slack[side, i] = max(gap, 0.0) + 0.5 * spread
            over[side, i] = max(-gap, 0.0) + 0.5 * spread
    inverse = np.empty((2, n))
    push = np.empty((2, n))
    d_alpha = np.empty((2, n))
    d_slack = np.zeros((2, n))
    d_over = np.zeros((2, n))
    weight = np.empty(n)
    tilt = np.empty(n)
    load = np.empty(n)
    moved = np.empty(n)
    matrix = np.empty((d + 2, d + 2))
    vector = np.empty(d + 2)
    right = np.empty(d + 2)
    next_try = 1e-3 * spread * cost
    for _ in range(MAX_STEPS):
        mu = 0.0
        for side in range(2):
            for i in range(n):
                mu += alpha[side, i] * slack[side, i] + room[side, i] * over[side, i]
        mu /= 4.0 * n
        if mu < next_try:
            if _finish(x, y, nu, cost, alpha, room, slack, over, answer):
                return True
            next_try = mu * 0.05
        if mu < 1e-15 * max(1.0, spread):
            break
        for phase in range(2):
            if phase == 0:
                aim = 0.0
            for side in range(2):
                for i in range(n):
                    free = room[side, i]
                    r_slack = aim - alpha[side, i] * slack[side, i]
                    r_over = aim - free * over[side, i]
                    if phase == 1:
                        r_slack -= d_alpha[side, i] * d_slack[side, i]
                        r_over += d_alpha[side, i] * d_over[side, i]
                    else:
                        inverse[side, i] = 1.0 / (slack[side, i] / alpha[side, i] + over[side, i] / free)
                    sign = 1.0 if side == 0 else -1.0
                    r_gap = tube - sign * (y[i] - fitted[i] - b) - slack[side, i] + over[side, i]
                    push[side, i] = (r_slack / alpha[side, i] - r_over / free - r_gap) * inverse[side, i]
            total = 0.0
            balance = 0.0
            both = 0.0
            for i in range(n):
                if phase == 0:
                    weight[i] = inverse[0, i] + inverse[1, i]
                    tilt[i] = inverse[0, i] - inverse[1, i]
                load[i] = push[0, i] - push[1, i] + alpha[0, i] - alpha[1, i]
                total += alpha[0, i] + alpha[1, i]
                both += push[0, i] + push[1, i]
            if phase == 0:
                _products(x, weight, tilt, load, matrix, vector)
                ok = _factor(matrix)
                if not ok:
                    answer[:] = w
                    return False
            else:
                vector[:] = 0.0
                for i in range(n):
                    for a in range(d):
                        vector[a] += load[i] * x[i, a]
                    vector[d] += load[i]
            for a in range(d):
                right[a] = vector[a] - w[a]
            right[d] = vector[d] + balance
            right[d + 1] = both + total - budget
            _back(matrix, right)
            _times(x, right[:d], moved)
            step = 1.0
            reach = 0.9999 if phase == 0 else min(max(0.995, 1.0 - mu), 0.999999)
            for side in range(2):
                sign = 1.0 if side == 0 else -1.0
                for i in range(n):
                    free = room[side, i]
                    change = sign * (moved[i] + right[d]) + right[d + 1]
                    da = push[side, i] - inverse[side, i] * change
                    r_slack = aim - alpha[side, i] * slack[side, i]
                    r_over = aim - free * over[side, i]
                    if phase == 1:
                        r_slack -= d_alpha[side, i] * d_slack[side, i]
                        r_over += d_alpha[side, i] * d_over[side, i]
                    ds = (r_slack - slack[side, i] * da) / alpha[side, i]
                    do = (r_over + over[side, i] * da) / free
                    d_alpha[side, i] = da
                    d_slack[side, i] = ds
                    d_over[side, i] = do
                    if da < 0.0 and -step * da > reach * alpha[side, i]:
                        step = -reach * alpha[side, i] / da
                    if da > 0.0 and step * da > reach * free:
                        step = reach * free / da
                    if ds < 0.0 and -step * ds > reach * slack[side, i]:
                        step = -reach * slack[side, i] / ds
                    if do < 0.0 and -step * do > reach * over[side, i]:
                        step = -reach * over[side, i] / do
            if phase == 0:
                ahead = 0.0
                for side in range(2):
                    for i in range(n):
                        a_new = alpha[side, i] + step * d_alpha[side, i]
                        ahead += a_new * (slack[side, i] + step * d_slack[side, i])
                        ahead += (room[side, i] - step * d_alpha[side, i]) * (over[side, i] + step * d_over[side, i])
                ratio = ahead / (4.0 * n * mu)
                aim = ratio * ratio * ratio * mu
        for a in range(d):
            w[a] += step * right[a]
        b += step * right[d]
        tube += step * right[d + 1]
        for i in range(n):
            fitted[i] += step * moved[i]
        for side in range(2):
            for i in range(n):
                alpha[side, i] += step * d_alpha[side, i]
                room[side, i] -= step * d_alpha[side, i]
                slack[side, i] += step * d_slack[side, i]
                over[side, i] += step * d_over[side, i]
    if _finish(x, y, nu, cost, alpha, room, slack, over, answer):
        return True
    answer[:] = w
    return False


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _finish(x, y, nu, cost, alpha, room, slack, over, answer):  # type: ignore[no-untyped-def] # noqa: C901
    """Guess the active set, solve its linear system, repair the guess a few times, and certify.

    The upper edge of the tube (b + e) and the lower one (b - e) are unknowns of their own. Each
    side's multipliers sum to C nu n / 2; where that is a multiple of C a side may have no row on
    its edge, which then is any number between its neighbours.
    """
    n, d = x.shape
    # 0 inside the tube, 1 on its upper edge, 2 above; -1 on its lower edge, -2 below.
    state = np.zeros(n, dtype=np.int64)
    for i in range(n):
        for side in range(2):
            facing = 1 if side == 0 else -1
            if room[side, i] < over[side, i] and alpha[side, i] > slack[side, i]:
                state[i] = 2 * facing
            elif alpha[side, i] > slack[side, i]:
                state[i] = facing
    rest = np.empty(n)
    base = np.empty(d)
    rows = np.empty(n, dtype=np.int64)
    edge = np.empty(2)
    for _ in range(20):
        m = 0
        on_edge = np.zeros(2, dtype=np.int64)
        beyond = np.zeros(2, dtype=np.int64)
        base[:] = 0.0
        for i in range(n):
            side = 0 if state[i] > 0 else 1
            if abs(state[i]) == 1:
                rows[m] = i
                m += 1
                on_edge[side] += 1
            elif state[i] != 0:
                beyond[side] += 1
                half = 0.5 * cost * state[i]
                for a in range(d):
                    base[a] += half * x[i, a]
        if m > d + 2:
            return False
        size = m
        at = np.full(2, -1)
        for side in range(2):
            if on_edge[side] > 0:
                at[side] = size
                size += 1
        system = np.zeros((size, size + 1))
        for j in range(m):
            i = rows[j]
            for k in range(j + 1):
                total = 0.0
                for a in range(d):
                    total += x[i, a] * x[rows[k], a]
                system[j, k] = total
                system[k, j] = total
            total = y[i]
            for a in range(d):
                total -= x[i, a] * base[a]
            system[j, size] = total
            column = at[0] if state[i] > 0 else at[1]
            system[j, column] = 1.0
            system[column, j] = 1.0
        for side in range(2):
            if at[side] >= 0:
                sign = 1.0 if side == 0 else -1.0
                system[at[side], size] = sign * cost * (0.5 * nu * n - beyond[side])
        if not _eliminate(system):
            return False
        for a in range(d):
            total = base[a]
            for j in range(m):
                total += system[j, size] * x[rows[j], a]
            answer[a] = total
        _times(x, answer, rest)
        for i in range(n):
            rest[i] = y[i] - rest[i]
        wrong = 0
        for side in range(2):
            sign = 1.0 if side == 0 else -1.0
            inner = -np.inf
            outer = np.inf
            most = -1
            least = -1
            for i in range(n):
                height = sign * rest[i]
                if state[i] * sign == 2:
                    if height < outer:
                        outer = height
                        least = i
                elif height > inner and state[i] * sign != 1:
                    inner = height
                    most = i
            if at[side] >= 0:
                edge[side] = system[at[side], size]
            else:
                short = 0.5 * nu * n - beyond[side]
                tolerance = 1e-9 * (1.0 + abs(inner))
                if short > 0.5 or (inner > outer + tolerance and short > -0.5):
                    state[most] = int(sign)
                    wrong += 1
                if (short < -0.5 or (inner > outer + tolerance and short < 0.5)) and least >= 0:
                    state[least] = int(sign)
                    wrong += 1
                edge[side] = sign * min(max(inner, -1e300), outer)
        for j in range(m):
            i = rows[j]
            dual = system[j, size] if state[i] > 0 else -system[j, size]
            if dual < -1e-9 * cost:
                state[i] = 0
                wrong += 1
            elif dual > cost * (1.0 + 1e-9):
                state[i] *= 2
                wrong += 1
        scale = 1e-9 * (1.0 + abs(edge[0]) + abs(edge[1]))
        for i in range(n):
            if _held(rows, m, i):
                continue
            above = rest[i] - edge[0] if at[0] >= 0 else 0.0
            below = edge[1] - rest[i] if at[1] >= 0 else 0.0
            if (state[i] == 2 and above < -scale) or (state[i] <= 0 and above > scale):
                state[i] = 1
                wrong += 1
            if (state[i] == -2 and below < -scale) or (state[i] >= 0 and below > scale):
                state[i] = -1
                wrong += 1
        if wrong == 0:
            return edge[0] - edge[1] >= -scale
    return False


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _held(rows, m, i):  # type: ignore[no-untyped-def]
    found = False
    for j in range(m):
        found = found or rows[j] == i
    return found


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[misc]
def _eliminate(system):  # type: ignore[no-untyped-def]
    """Solve the augmented system in place by Gauss-Jordan with partial pivoting."""
    size = system.shape[0]
    for column in range(size):
        pivot = column
        for row in range(column + 1, size):
            if abs(system[row, column]) > abs(system[pivot, column]):
                pivot = row
        if abs(system[pivot, column]) < 1e-10:
            return False
        if pivot != column:
            for k in range(size + 1):
                system[column, k], system[pivot, k] = system[pivot, k], system[column, k]
        for row in range(size):
            if row != column and system[row, column] != 0.0:
                factor = system[row, column] / system[column, column]
                for k in range(column, size + 1):
                    system[row, k] -= factor * system[column, k]
    for row in range(size):
        system[row, size] /= system[row, row]
    return True
