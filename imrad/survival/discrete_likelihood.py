"""The exact partial likelihood of tied times: each time's events as a draw from all sets of so many at risk."""

from __future__ import annotations

import numpy as np

from imrad.compiled import compiled
from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import FitError

__all__ = ["exact_derivatives"]

_LARGEST_TIE = 400


def exact_derivatives(
    columns: FloatArray,
    event: BoolArray,
    block: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    opens: BoolArray,
    beta: FloatArray,
) -> tuple[float, FloatArray, FloatArray]:
    """Return log likelihood, gradient and information, rows in the order of CoxRows.

    The sum over all sets of d patients at risk grows one patient at a time, with its derivatives.

    Raises
    ------
    FitError
        If more than 400 events share a time, where the sums would leave the range of numbers.

    References
    ----------
    Cox, 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Gail et al., 1981, doi:10.1093/biomet/68.3.703.
    """
    deaths = np.add.reduceat(event.astype(np.int64), block[:-1])
    if deaths.max(initial=0) > _LARGEST_TIE:
        message = f"{int(deaths.max())} events share one time; the exact likelihood takes {_LARGEST_TIE}, use efron"
        raise FitError(message)
    value, gradient, information = _exact(columns, event, block, opens, deaths, beta)
    return float(value), gradient, information


@compiled(error_model="numpy")
def _exact(columns, event, block, opens, deaths, beta):  # type: ignore[no-untyped-def] # noqa: C901 # pragma: no cover
    p = columns.shape[1]
    eta = columns @ beta
    gradient = np.zeros(p)
    information = np.zeros((p, p))
    value = 0.0
    begin = 0
    for b in range(len(deaths)):
        if opens[b]:
            begin = block[b]
        d = deaths[b]
        if d == 0:
            continue
        stop = block[b + 1]
        top = -np.inf
        for i in range(begin, stop):
            top = max(top, eta[i])
        mean = 0.0
        for i in range(begin, stop):
            mean += np.exp(eta[i] - top)
        mean /= stop - begin
        # Any common factor of the risks cancels; this one keeps sums of products near 1.
        factor = d / max(stop - begin - d, 1) / mean
        total = np.zeros(d + 1)
        first = np.zeros((d + 1, p))
        second = np.zeros((d + 1, p, p))
        total[0] = 1.0
        shift = 0.0
        for i in range(begin, stop):
            r = np.exp(eta[i] - top) * factor
            for m in range(min(d, i - begin + 1), 0, -1):
                for j in range(p):
                    for k in range(j + 1):
                        second[m, j, k] += r * (
                            second[m - 1, j, k]
                            + columns[i, j] * first[m - 1, k]
                            + columns[i, k] * first[m - 1, j]
                            + columns[i, j] * columns[i, k] * total[m - 1]
                        )
                for j in range(p):
                    first[m, j] += r * (first[m - 1, j] + columns[i, j] * total[m - 1])
                total[m] += r * total[m - 1]
            largest = total.max()
            if largest > 1e100:
                total /= largest
                first /= largest
                second /= largest
                shift += np.log(largest)
        value -= np.log(total[d]) + shift - d * (np.log(factor) - top)
        for i in range(block[b], stop):
            if event[i]:
                value += eta[i]
                for j in range(p):
                    gradient[j] += columns[i, j]
        for j in range(p):
            mean_j = first[d, j] / total[d]
            gradient[j] -= mean_j
            for k in range(j + 1):
                information[j, k] += second[d, j, k] / total[d] - mean_j * first[d, k] / total[d]
    for j in range(p):
        for k in range(j):
            information[k, j] = information[j, k]
    return value, gradient, information
