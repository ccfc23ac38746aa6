"""Weighted counts of the pairs that concordance compares, without a matrix of all pairs where patients are many."""

from __future__ import annotations

import numpy as np

from imrad.evaluation.outcomes import BoolArray, FloatArray, IntArray

__all__ = [
    "concordant_and_comparable",
    "first_not_later",
    "outlived_by",
    "outlives",
    "rank_information",
    "tied_time_pairs",
]

# Up to this many patients a matrix of all pairs is faster than sorting; above it, it is never made.
PAIR_MATRIX_LIMIT = 1500


def concordant_and_comparable(
    times: FloatArray, events: BoolArray, rank: IntArray, case: FloatArray, weight: FloatArray
) -> tuple[float, float]:
    """Weighted numbers of concordant (ties one half) and of comparable pairs."""
    weight = np.where(events, weight, 0.0)
    lower, tied, later = outlived_by(times, events, rank, case)
    scaled = case * weight
    return float(scaled @ (lower + tied / 2)), float(scaled @ later)


def first_not_later(times: FloatArray, events: BoolArray) -> IntArray:
    """For rows in falling time, censored before events: how many rows outlive each row's event."""
    n = len(times)
    new = np.concatenate(([True], (times[1:] != times[:-1]) | (events[1:] != events[:-1])))
    start = np.maximum.accumulate(np.where(new, np.arange(n), 0))
    return np.asarray(start, dtype=np.intp)


def outlived_by(
    times: FloatArray, events: BoolArray, rank: IntArray, case: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """For each patient, the weight of those who outlive it: with lower risk, with equal risk, all."""
    order = np.lexsort((events, -times))
    bound = first_not_later(times[order], events[order])
    below, equal = _prefix_sums(rank[order], case[order], bound)
    everyone = np.concatenate(([0.0], np.cumsum(case[order])))[bound]
    out = np.empty((3, len(times)))
    out[:, order] = below, equal, everyone
    return out[0], out[1], out[2]


def outlives(times: FloatArray, events: BoolArray, rank: IntArray, weight: FloatArray) -> FloatArray:
    """For each patient, the weight of the events it outlives: with higher, lower and equal risk."""
    order = np.lexsort((~events, times))
    t, e = times[order], events[order]
    first = np.searchsorted(t, t, side="left")
    deaths_here = np.concatenate(([0], np.cumsum(e)))
    last = np.searchsorted(t, t, side="right")
    bound = np.where(e, first, first + deaths_here[last] - deaths_here[first])
    # The censored in the prefix weigh nothing.
    below, equal = _prefix_sums(rank[order], np.where(e, weight[order], 0.0), bound)
    everyone = np.concatenate(([0.0], np.cumsum(np.where(e, weight[order], 0.0))))[bound]
    out = np.empty((len(times), 3))
    out[order] = np.column_stack([everyone - below - equal, below, equal])
    return out


def _prefix_sums(rank: IntArray, weight: FloatArray, bound: IntArray) -> tuple[FloatArray, FloatArray]:
    """For each row i, the weight among the first bound[i] rows with rank below, and equal to, rank[i].

    Small inputs compare all pairs; large ones cut each prefix into blocks of powers of two, each
    sorted by rank, so that n log(n)^2 steps and memory linear in n suffice.
    """
    n = len(rank)
    if n <= PAIR_MATRIX_LIMIT:
        inside = np.arange(n)[None, :] < bound[:, None]
        below = ((rank[None, :] < rank[:, None]) & inside) @ weight
        equal = ((rank[None, :] == rank[:, None]) & inside) @ weight
        return below, equal
    below, equal = np.zeros(n), np.zeros(n)
    span = int(rank.max()) + 2
    position = np.arange(n)
    size = 1
    while size <= n:
        rows = np.flatnonzero((bound // size) % 2 == 1)
        if len(rows):
            block = bound[rows] // size - 1
            key = (position // size) * span + rank
            order = np.argsort(key, kind="stable")
            sums = np.concatenate(([0.0], np.cumsum(weight[order])))
            low = np.searchsorted(key[order], block * span + rank[rows], side="left")
            high = np.searchsorted(key[order], block * span + rank[rows], side="right")
            below[rows] += sums[low] - sums[block * size]
            equal[rows] += sums[high] - sums[low]
        size *= 2
    return below, equal


def tied_time_pairs(
    times: FloatArray, events: BoolArray, rank: IntArray, case: FloatArray, weight: FloatArray
) -> tuple[float, float]:
    """Weighted numbers of pairs of events at one time: with different and with equal risk."""

    def pairs(*columns: FloatArray | IntArray) -> float:
        key = np.unique(np.column_stack(columns)[events], axis=0, return_inverse=True)[1].ravel()
        total = np.bincount(key, weights=case[events])
        squares = np.bincount(key, weights=case[events] ** 2)
        at = np.zeros(len(total))
        at[key] = weight[events]
        return float(np.sum(at * (total**2 - squares)) / 2)

    if not events.any():
        return 0.0, 0.0
    both = pairs(times, rank)
    return pairs(times) - both, both


def rank_information(
    times: FloatArray, events: BoolArray, rank: IntArray, case: FloatArray, weight: FloatArray
) -> float:
    """Information at 0 of a Cox model on the rank within each risk set: four times the null variance of the pairs.

    A weight of the event times counts once, as R has it.

    Over a risk set of weight W with tied groups of weights T, the squared differences between the
    weights ranked below and above sum to (W^3 - sum of T^3) / 3.
    """
    order = np.argsort(-times, kind="stable")
    t, r, w = times[order], rank[order], case[order]
    by_rank = np.argsort(r, kind="stable")
    total = np.cumsum(w[by_rank])
    opens = np.concatenate(([True], np.diff(r[by_rank]) != 0))
    start = np.where(opens, total - w[by_rank], 0.0)
    after = total - start[np.maximum.accumulate(np.where(opens, np.arange(len(t)), 0))]
    growth = np.empty(len(t))
    growth[by_rank] = after**3 - (after - w[by_rank]) ** 3
    last = np.searchsorted(-t, -times, side="right") - 1
    everyone, cubes = np.cumsum(w)[last], np.cumsum(growth)[last]
    spread = (everyone**3 - cubes) / (3 * np.where(everyone > 0, everyone, 1.0))
    return float(np.sum(np.where(events, case * weight * spread, 0.0)))
