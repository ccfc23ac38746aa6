"""Risk sets: gradients and information of many columns at once, for boosting and scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from imrad.evaluation.outcomes import BoolArray, FloatArray
from imrad.exceptions import FitError

__all__ = ["BreslowSums", "Turns"]

IntArray = np.ndarray[Any, np.dtype[np.intp]]

_LARGEST = 3e8
"""Numbers in a matrix of risk sets: 2.4 GB."""


@dataclass(frozen=True)
class Turns:
    """The terms of Efron's partial likelihood, one a death, as a matrix.

    Attributes
    ----------
    member : ndarray, shape (n_turns, n_patients)
        1 for patients at risk, 1 - f for those who die at that time (f is Efron's share), else 0.
    share : ndarray, shape (n_turns,)
        Deaths that a term stands for.
    event : ndarray of bool, shape (n_patients,)
    """

    member: FloatArray
    share: FloatArray
    event: BoolArray

    @classmethod
    def of(cls, time: FloatArray, event: BoolArray) -> Self:
        """Lay out the risk sets of all deaths.

        Raises
        ------
        FitError
            If they would not fit into memory.
        """
        if float(event.sum()) * len(time) > _LARGEST:
            message = (
                f"{len(time)} patients with {int(event.sum())} events are too many for boosting by likelihood, which "
                "keeps every risk set; use LassoCox"
            )
            raise FitError(message)
        rows, shares = [], []
        for moment in np.unique(time[event]):
            at_risk = (time >= moment).astype(float)
            died = event & (time == moment)
            deaths = int(died.sum())
            for turn in range(deaths):
                rows.append(at_risk - died * (turn / deaths))
                shares.append(1.0)
        member = np.array(rows) if rows else np.zeros((0, len(time)))
        return cls(member, np.array(shares), event)

    def _shares_of_risk(self, score: FloatArray) -> FloatArray:
        risk = np.exp(np.maximum(score - score.max(), -700.0))
        weighted = self.member * risk
        return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))

    def derivatives(self, columns: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and information of the columns together."""
        part = self._shares_of_risk(score)
        mean = part @ columns
        gradient = self.event @ columns - self.share @ mean
        total = self.share @ part
        information = (columns * total[:, None]).T @ columns - (mean * self.share[:, None]).T @ mean
        return gradient, information

    def marginal(self, columns: FloatArray, squares: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gradient and information of each column alone."""
        part = self._shares_of_risk(score)
        mean = part @ columns
        gradient = self.event @ columns - self.share @ mean
        return gradient, (self.share @ part) @ squares - self.share @ mean**2

    def log_likelihood(self, scores: FloatArray) -> FloatArray:
        """Return the log partial likelihood of each column of scores."""
        top = scores.max(axis=0)
        return np.asarray(
            self.event @ scores - self.share @ (np.log(self.member @ np.exp(np.maximum(scores - top, -700.0))) + top)
        )


@dataclass(frozen=True)
class BreslowSums:
    """Breslow's partial likelihood by running sums from the latest time: any number of patients.

    Attributes
    ----------
    order : ndarray of int, shape (n_patients,)
        Latest time first.
    last : ndarray of int, shape (n_moments,)
        The last patient at risk at each event time, in that order.
    deaths : ndarray, shape (n_moments,)
    since : ndarray of int, shape (n_patients,)
        How many event times each patient was at risk at.
    event : ndarray of bool, shape (n_patients,)
    """

    order: IntArray
    last: IntArray
    deaths: FloatArray
    since: IntArray
    event: BoolArray

    @classmethod
    def of(cls, time: FloatArray, event: BoolArray) -> Self:
        """Sort the patients."""
        order = np.argsort(-time, kind="stable")
        moments, deaths = np.unique(time[event], return_counts=True)
        last = np.searchsorted(-time[order], -moments, side="right") - 1
        since = np.searchsorted(moments, time, side="right")
        return cls(order, last, deaths.astype(float), since, event)

    def _parts(self, score: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Each patient's risk, the sum of risks at each event time, and the events expected of each patient."""
        risk = np.exp(np.maximum(score - score.max(), -700.0))
        at_risk = np.cumsum(risk[self.order])[self.last]
        hazard = np.concatenate(([0.0], np.cumsum(self.deaths / at_risk)))
        return risk, at_risk, risk * hazard[self.since]

    def log_likelihood(self, score: FloatArray) -> float:
        """Return the log partial likelihood."""
        return float(score[self.event].sum() - self.deaths @ (np.log(self._parts(score)[1]) + score.max()))

    def residual(self, score: FloatArray) -> FloatArray:
        """Return events minus expected events, the gradient in the score."""
        return np.asarray(self.event - self._parts(score)[2])

    def derivatives(self, columns: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return gradient and information of the columns together."""
        risk, at_risk, expected = self._parts(score)
        mean = self._means(columns, risk, at_risk)
        information = (columns * expected[:, None]).T @ columns - (mean * self.deaths[:, None]).T @ mean
        return self.event @ columns - self.deaths @ mean, information

    def marginal(self, columns: FloatArray, squares: FloatArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gradient and information of each column alone."""
        risk, at_risk, expected = self._parts(score)
        mean = self._means(columns, risk, at_risk)
        return self.event @ columns - self.deaths @ mean, expected @ squares - self.deaths @ mean**2

    def _means(self, columns: FloatArray, risk: FloatArray, at_risk: FloatArray) -> FloatArray:
        sums = np.cumsum(risk[self.order, None] * columns[self.order], axis=0)[self.last]
        return np.asarray(sums / at_risk[:, None])
