"""The best cut of a predictor for survival and what it is worth: maximally selected log-rank statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from imrad.evaluation.kaplan_meier import log_rank
from imrad.evaluation.outcomes import FloatArray, IntArray, finite, merge_close_times, survival_outcome
from imrad.exceptions import FeasibilityError
from imrad.seeds import generator

__all__ = ["MaximallySelected", "log_rank_scores", "maximally_selected"]

# The Gaussian integral takes cuts x nodes^2 steps; beyond this many cuts its upper bound serves.
GAUSS_CUTS = 2000


@dataclass(frozen=True)
class MaximallySelected:
    """The cut with the largest standardised log-rank statistic.

    Attributes
    ----------
    cutpoint : float
        Groups are value <= cutpoint and value > cutpoint.
    statistic : float
        Largest absolute standardised linear rank statistic.
    p : float
        Corrected for the search: exact Gaussian, or Lausen and Schumacher's bound for many cuts.
    p_lau92, p_lau94, p_gauss, p_permutation : float
        The corrections side by side; ``p_permutation`` NaN unless asked for.
    p_naive : float
        The plain log-rank p of the chosen cut, which ignores the search and is too small.
    n_low, n_high : int
    scan : DataFrame
        cutpoint, n_low and statistic of every candidate.
    """

    cutpoint: float
    statistic: float
    p: float
    p_lau92: float
    p_lau94: float
    p_gauss: float
    p_permutation: float
    p_naive: float
    n_low: int
    n_high: int
    scan: pd.DataFrame

    @property
    def optimistic(self) -> bool:
        """Groups at this cut look further apart than they are: the cut was chosen on these outcomes."""
        return True


def log_rank_scores(time: npt.ArrayLike, event: npt.ArrayLike) -> FloatArray:
    """Return Hothorn and Lausen's log-rank scores.

    The cumulative hazard at a time divides by n minus the number up to and with that time, plus one,
    which differs from the number at risk where times are tied.
    """
    times, events = survival_outcome(time, event)
    times = merge_close_times(times)
    unique, inverse = np.unique(times, return_inverse=True)
    deaths = np.bincount(inverse, weights=events, minlength=len(unique))
    up_to = np.cumsum(np.bincount(inverse, minlength=len(unique)))
    hazard = np.cumsum(deaths / (len(times) - up_to + 1))
    return np.asarray(events - hazard[inverse])


def maximally_selected(
    time: npt.ArrayLike,
    event: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    min_share: float = 0.1,
    max_share: float | None = None,
    permutations: int = 0,
    seed: int = 0,
) -> MaximallySelected:
    """Search the cut of a predictor that separates survival best, with p corrected for the search.

    Parameters
    ----------
    time, event, values : array_like, shape (n_patients,)
    min_share, max_share : float
        Smallest and largest share of patients in the lower group; max_share is 1 - min_share by default.
    permutations : int
        Draws for the conditional Monte Carlo p (maxstat's condMC); 0 for none.
    seed : int

    Raises
    ------
    FeasibilityError
        If there is no event, or no cut leaves both groups large enough.

    References
    ----------
    Lausen and Schumacher, 1992, doi:10.2307/2532740; Lausen et al., 1994; Hothorn and Lausen, 2003,
    doi:10.1016/S0167-9473(02)00225-6.
    """
    times, events = survival_outcome(time, event)
    x = finite(values, len(times), "predictor")
    n = len(x)
    top = 1 - min_share if max_share is None else max_share
    if not 0 < min_share < top < 1:
        message = f"shares from {min_share:g} to {top:g}: the lower group's share must rise from above 0 to below 1"
        raise ValueError(message)
    if not events.any():
        message = f"no events among {n} patients: a cut-point needs some"
        raise FeasibilityError(message)
    scores = log_rank_scores(times, events)
    order = np.argsort(x, kind="stable")
    below = np.searchsorted(x[order], np.unique(x), side="right")
    # maxstat's bounds: a share of 37 patients that is no whole number is rounded down at both ends.
    below = below[(below >= max(np.floor(n * min_share), 1)) & (below <= np.floor(n * top)) & (below < n)]
    spread = float(np.sum((scores - scores.mean()) ** 2))
    if len(below) == 0 or spread <= 0:
        message = (
            f"{len(np.unique(x))} different values among {n} patients: no cut leaves {min_share:.0%} on either side; "
            "choose another predictor or smaller groups"
        )
        raise FeasibilityError(message)
    statistic = _standardised(scores[order][None, :], below, spread)[0]
    best = int(np.argmax(np.abs(statistic)))
    b, m = float(np.abs(statistic[best])), int(below[best])
    cut = float(x[order][m - 1])
    gauss = _gaussian_p(b, below, n) if len(below) <= GAUSS_CUTS else float("nan")
    lau94 = _lausen_94(b, below, n)
    permuted = float("nan")
    if permutations:
        permuted = _permutation_p(b, scores, below, spread, permutations, seed)
    return MaximallySelected(
        cutpoint=cut,
        statistic=b,
        p=gauss if np.isfinite(gauss) else min(lau94, 1.0),
        p_lau92=_lausen_92(b, min_share, top),
        p_lau94=lau94,
        p_gauss=gauss,
        p_permutation=permuted,
        p_naive=log_rank(times, events, x > cut).p,
        n_low=m,
        n_high=n - m,
        scan=pd.DataFrame({"cutpoint": x[order][below - 1], "n_low": below, "statistic": np.abs(statistic)}),
    )


def _standardised(scores: FloatArray, below: IntArray, spread: float) -> FloatArray:
    """Linear rank statistics of each row of scores (in the predictor's order) at each cut."""
    n = scores.shape[1]
    sums = np.cumsum(scores, axis=1)
    m = below.astype(float)
    expected = m * sums[:, -1:] / n
    variance = m * (n - m) / (n * (n - 1)) * spread
    return np.asarray((sums[:, below - 1] - expected) / np.sqrt(variance))


def _lausen_92(b: float, low: float, high: float) -> float:
    if b < 1:
        return 1.0
    density = stats.norm.pdf(b)
    p = 4 * density / b + density * (b - 1 / b) * np.log(high * (1 - low) / ((1 - high) * low))
    return float(max(p, 0.0))


def _lausen_94(b: float, below: IntArray, n: int) -> float:
    m1, m2 = below[:-1].astype(float), below[1:].astype(float)
    t = np.sqrt(1 - m1 * (n - m2) / ((n - m1) * m2))
    extra = np.sum(np.exp(-(b**2) / 2) / np.pi * (t - (b**2 / 4 - 1) * t**3 / 6))
    return float(2 * stats.norm.sf(b) + extra)


def _gaussian_p(b: float, below: IntArray, n: int) -> float:
    """P(max |Z| >= b) for the limiting Gaussian statistics.

    They form a Markov chain over the cuts, so that one dimension after another is integrated, to
    about 1e-10, where maxstat draws quasi-random points (error 1e-3).
    """
    m1, m2 = below[:-1].astype(float), below[1:].astype(float)
    rho = np.sqrt(m1 * (n - m2) / ((n - m1) * m2))
    width = float(np.sqrt(1 - rho**2).min(initial=1.0))
    nodes, weights = np.polynomial.legendre.leggauss(int(np.clip(12 * b / width, 64, 600)))
    nodes, weights = nodes * b, weights * b
    density = stats.norm.pdf(nodes)
    inside = density.copy()
    known: dict[float, FloatArray] = {}
    for r in rho:
        if r not in known:
            sd = np.sqrt(1 - r * r)
            kernel = stats.norm.pdf((nodes[:, None] - r * nodes[None, :]) / sd) / sd * weights[None, :]
            known = {r: np.asarray(kernel)}
        inside = known[r] @ inside
    return float(np.clip(1 - weights @ inside, 0.0, 1.0))


def _permutation_p(b: float, scores: FloatArray, below: IntArray, spread: float, draws: int, seed: int) -> float:
    rng = generator(seed, "maximally selected")
    reached, done = 0, 0
    while done < draws:
        size = min(draws - done, max(1, 2_000_000 // len(scores)))
        shuffled = rng.permuted(np.broadcast_to(scores, (size, len(scores))), axis=1)
        reached += int(np.sum(np.abs(_standardised(shuffled, below, spread)).max(axis=1) >= b - 1e-12))
        done += size
    return reached / draws
