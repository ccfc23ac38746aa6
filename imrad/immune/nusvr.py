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

from imrad.compiled import compiled

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
    weights = np.empty((len(nus), y.shape[0], x.shape[1]))
    certified = np.empty((len(nus), y.shape[0]), dtype=np.bool_)
    offsets = y.mean(axis=1)
    sizes = np.sort(np.abs(y - offsets[:, None]), axis=1)
    spreads = np.maximum(sizes.mean(axis=1), 1e-8)
    for number, nu in enumerate(nus):
        tubes = sizes[:, min(y.shape[1] - 1, int((1.0 - nu) * y.shape[1]))]
        starts = np.column_stack([offsets, tubes, spreads])
        _solve_all(x, y, starts, float(nu), float(cost), weights[number], certified[number])
    return weights.swapaxes(0, 1), certified.T


@compiled(nogil=True, error_model="numpy")
def _solve_all(x, y, starts, nu, cost, weights, certified):  # type: ignore[no-untyped-def]
    finished = np.empty(x.shape[1])
    for row in range(y.shape[0]):
        certified[row] = _solve(x, y[row], starts[row], nu, cost, weights[row], finished)
        if certified[row]:
            for a in range(x.shape[1]):
                weights[row, a] = finished[a]


@compiled(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _products(x, inverse, matrix):  # type: ignore[no-untyped-def]
    """Write the lower half of I + X'TX and its borders for the offset and the tube."""
    n, d = x.shape
    matrix[:] = 0.0
    for i in range(n):
        both, tilt = inverse[0, i] + inverse[1, i], inverse[0, i] - inverse[1, i]
        for a in range(d):
            scaled = both * x[i, a]
            for c in range(a + 1):
                matrix[a, c] += scaled * x[i, c]
            matrix[d, a] += scaled
            matrix[d + 1, a] += tilt * x[i, a]
        matrix[d, d] += both
        matrix[d + 1, d] += tilt
        matrix[d + 1, d + 1] += both
    for a in range(d):
        matrix[a, a] += 1.0


@compiled(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _loaded(x, load, w, out):  # type: ignore[no-untyped-def]
    """Write X'load - w and the sum of load."""
    d = x.shape[1]
    out[:] = 0.0
    for a in range(d):
        out[a] = -w[a]
    for i in range(x.shape[0]):
        for a in range(d):
            out[a] += load[i] * x[i, a]
        out[d] += load[i]


@compiled(nogil=True, error_model="numpy")
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


@compiled(nogil=True, error_model="numpy")
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


@compiled(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _times(x, w, out):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        total = 0.0
        for a in range(x.shape[1]):
            total += x[i, a] * w[a]
        out[i] = total


# A side of the tube is four rows of `state`: the multipliers (alpha), their room below the bound,
# the slack of the tube's constraint and what lies over it; `move` holds their steps likewise.


@compiled(nogil=True, error_model="numpy")
def _start(state, rest, tube, cost, nu, spread):  # type: ignore[no-untyped-def]
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for i in range(rest.shape[0]):
            gap = tube - sign * rest[i]
            state[side, 0, i] = 0.5 * cost * nu
            # Kept apart: cost - alpha would lose its last digits near the bound.
            state[side, 1, i] = cost - 0.5 * cost * nu
            state[side, 2, i] = max(gap, 0.0) + 0.5 * spread
            state[side, 3, i] = max(-gap, 0.0) + 0.5 * spread


@compiled(nogil=True, error_model="numpy")
def _push(state, cross, aim, tube, rest, inverse, push, load):  # type: ignore[no-untyped-def]
    """Write the part of the multipliers' steps that depends on no other unknown; return its sums."""
    total = 0.0
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for i in range(rest.shape[0]):
            alpha, room, slack, over = state[side, 0, i], state[side, 1, i], state[side, 2, i], state[side, 3, i]
            r_slack = aim - alpha * slack - cross[side, 0, i]
            r_over = aim - room * over + cross[side, 1, i]
            r_gap = tube - sign * rest[i] - slack + over
            inverse[side, i] = 1.0 / (slack / alpha + over / room)
            push[side, i] = (r_slack / alpha - r_over / room - r_gap) * inverse[side, i]
            total += push[side, i] + alpha
    for i in range(rest.shape[0]):
        load[i] = push[0, i] - push[1, i] + state[0, 0, i] - state[1, 0, i]
    return total


@compiled(nogil=True, error_model="numpy")
def _direct(state, cross, aim, moved, shift, widen, inverse, push, move, reach):  # type: ignore[no-untyped-def]
    """Write the steps of both sides; return the step length that keeps all positive."""
    steepest = reach
    for side in range(2):
        sign = 1.0 - 2.0 * side
        for i in range(moved.shape[0]):
            alpha, room, slack, over = state[side, 0, i], state[side, 1, i], state[side, 2, i], state[side, 3, i]
            da = push[side, i] - inverse[side, i] * (sign * (moved[i] + shift) + widen)
            ds = (aim - alpha * slack - cross[side, 0, i] - slack * da) / alpha
            do = (aim - room * over + cross[side, 1, i] + over * da) / room
            move[side, 0, i] = da
            move[side, 1, i] = -da
            move[side, 2, i] = ds
            move[side, 3, i] = do
            steepest = max(steepest, max(max(-da / alpha, da / room), max(-ds / slack, -do / over)))
    return reach / steepest


@compiled(nogil=True, error_model="numpy")
def _gap(state, move, step):  # type: ignore[no-untyped-def]
    """Return the mean complementarity product after a step."""
    total = 0.0
    for side in range(2):
        for i in range(state.shape[2]):
            for k in range(2):
                here = state[side, k, i] + step * move[side, k, i]
                total += here * (state[side, k + 2, i] + step * move[side, k + 2, i])
    return total / (4.0 * state.shape[2])


@compiled(nogil=True, error_model="numpy")
def _advance(state, move, step, cross):  # type: ignore[no-untyped-def]
    """Take a step, or with a step of zero write the second-order terms that the corrector needs."""
    for side in range(2):
        for i in range(state.shape[2]):
            for k in range(4):
                state[side, k, i] += step * move[side, k, i]
            cross[side, 0, i] = move[side, 0, i] * move[side, 2, i] if step == 0.0 else 0.0
            cross[side, 1, i] = move[side, 0, i] * move[side, 3, i] if step == 0.0 else 0.0


@compiled(nogil=True, error_model="numpy")
def _solve(x, y, start, nu, cost, w, finished):  # type: ignore[no-untyped-def]
    n, d = x.shape
    b, tube, spread = start[0], start[1], start[2]
    fitted, rest = np.zeros(n), y - b
    w[:] = 0.0
    state, move, cross = np.empty((2, 4, n)), np.zeros((2, 4, n)), np.zeros((2, 2, n))
    inverse, push = np.empty((2, n)), np.empty((2, n))
    load, moved = np.empty(n), np.empty(n)
    matrix, right = np.empty((d + 2, d + 2)), np.empty(d + 2)
    _start(state, rest, tube, cost, nu, spread)
    next_try = 1e-3 * spread * cost
    for _ in range(MAX_STEPS):
        mu = _gap(state, move, 0.0)
        if mu < next_try:
            if _finish(x, y, nu, cost, state, finished):
                return True
            if mu < 1e-15 * max(1.0, spread):
                return False
            next_try = max(mu * 0.05, 1e-15 * max(1.0, spread))
        aim, step = 0.0, 1.0
        # Mehrotra's predictor (phase 0) and corrector (phase 1) share one factorisation.
        for phase in range(2):
            total = _push(state, cross, aim, tube, rest, inverse, push, load)
            if phase == 0:
                _products(x, inverse, matrix)
                if not _factor(matrix):
                    return False
            _loaded(x, load, w, right)
            right[d + 1] = total - cost * nu * n
            _back(matrix, right)
            _times(x, right, moved)
            reach = 0.9999 if phase == 0 else min(max(0.995, 1.0 - mu), 0.999999)
            step = _direct(state, cross, aim, moved, right[d], right[d + 1], inverse, push, move, reach)
            if phase == 0:
                aim = (_gap(state, move, step) / mu) ** 3 * mu
                _advance(state, move, 0.0, cross)
        _advance(state, move, step, cross)
        for a in range(d):
            w[a] += step * right[a]
        b += step * right[d]
        tube += step * right[d + 1]
        for i in range(n):
            fitted[i] += step * moved[i]
            rest[i] = y[i] - fitted[i] - b
    return False


@compiled(nogil=True, error_model="numpy")
def _finish(x, y, nu, cost, point, answer):  # type: ignore[no-untyped-def] # noqa: C901
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
            if point[side, 0, i] > point[side, 2, i]:
                state[i] = 2 * facing if point[side, 1, i] < point[side, 3, i] else facing
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


@compiled(nogil=True, error_model="numpy")
def _held(rows, m, i):  # type: ignore[no-untyped-def]
    found = False
    for j in range(m):
        found = found or rows[j] == i
    return found


@compiled(nogil=True, error_model="numpy")
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
