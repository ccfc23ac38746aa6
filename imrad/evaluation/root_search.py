"""Roots as R's uniroot stops at them: where its tolerance is coarse, the figure R prints is not the root."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["UNIROOT_TOLERANCE", "brent_root"]

EPSILON = float(np.finfo(float).eps)
UNIROOT_TOLERANCE = EPSILON**0.25
"""R's default, 1.2e-4: an odds ratio whose reciprocal is searched is then good to 1.2e-4 of its square."""


def brent_root(
    function: Callable[[float], float], low: float, high: float, *, tolerance: float = UNIROOT_TOLERANCE
) -> float:
    """Find a root by Brent's method with Brent's own stopping rule, step by step as uniroot.

    scipy's brentq interpolates and stops otherwise; both end within the tolerance, at other points of it.

    Parameters
    ----------
    function : callable
        Of opposite sign (or 0) at both ends.
    low, high : float
    tolerance : float
        Absolute; the root lies within it.

    Raises
    ------
    ValueError
        If the function has one sign at both ends.

    References
    ----------
    Brent, 1973, Algorithms for Minimization without Derivatives, chapter 4.
    """
    previous, best = low, high
    f_previous, f_best = function(previous), function(best)
    if f_previous == 0:
        return previous
    if f_best == 0:
        return best
    if (f_previous > 0) == (f_best > 0):
        message = f"the function has one sign at {low:g} and {high:g}: a root needs a change of sign between them"
        raise ValueError(message)
    other, f_other = previous, f_previous
    for _ in range(1000):
        last_step = best - previous
        if abs(f_other) < abs(f_best):
            previous, best, other = best, other, best
            f_previous, f_best, f_other = f_best, f_other, f_best
        least = 2 * EPSILON * abs(best) + tolerance / 2
        half = (other - best) / 2
        if abs(half) <= least or f_best == 0:
            break
        step = half
        if abs(last_step) >= least and abs(f_previous) > abs(f_best):
            step = _interpolated(previous, best, other, f_previous, f_best, f_other, last_step, least, half)
        if abs(step) < least:
            step = least if step > 0 else -least
        previous, f_previous = best, f_best
        best += step
        f_best = function(best)
        if (f_best > 0) == (f_other > 0) and f_best != 0:
            other, f_other = previous, f_previous
    return best


def _interpolated(
    a: float, b: float, c: float, fa: float, fb: float, fc: float, last_step: float, least: float, half: float
) -> float:
    """Return the secant or inverse quadratic step where it is safe, else the bisection's."""
    if a == c:
        ratio = fb / fa
        p, q = 2 * half * ratio, 1 - ratio
    else:
        r1, r2, r3 = fa / fc, fb / fc, fb / fa
        p = r3 * (2 * half * r1 * (r1 - r2) - (b - a) * (r2 - 1))
        q = (r1 - 1) * (r2 - 1) * (r3 - 1)
    q, p = (-q, p) if p > 0 else (q, -p)
    safe = p < 1.5 * half * q - abs(least * q) / 2 and p < abs(last_step * q / 2)
    return p / q if safe else half
